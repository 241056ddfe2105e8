// Package shared finds the material for tests that lies beside the repository:
// models, data, golden tokens, conformance suites. It is imported by tests only
// and imports no room, so that every room's tests may use it.
package shared

import (
	"os"
	"path/filepath"
	"testing"
)

// Path returns the path of a file or folder below the folder shared, which is
// looked for in the working directory and in all above it. Where it is absent
// the test is skipped.
func Path(t testing.TB, parts ...string) string {
	t.Helper()
	path, ok := Find(parts...)
	if !ok {
		t.Skipf("no shared/%s beside the repository", filepath.Join(parts...))
	}
	return path
}

// Find is [Path] for those who do something else where the material is absent.
func Find(parts ...string) (path string, ok bool) {
	dir, err := os.Getwd()
	for err == nil {
		path = filepath.Join(append([]string{dir, "shared"}, parts...)...)
		if _, err := os.Stat(path); err == nil {
			return path, true
		}
		up := filepath.Dir(dir)
		if up == dir {
			break
		}
		dir = up
	}
	return "", false
}
