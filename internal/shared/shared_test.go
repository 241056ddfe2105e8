package shared_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/litekit/lite/internal/shared"
)

func TestFind(t *testing.T) {
	root := t.TempDir()
	want := filepath.Join(root, "shared", "models", "tiny")
	deep := filepath.Join(root, "lite", "internal", "exec")
	for _, dir := range []string{want, deep, filepath.Join(root, "lite", "shared")} { // the last holds nothing
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(deep)
	got, ok := shared.Find("models", "tiny")
	if a, err := os.Stat(got); !ok || err != nil {
		t.Fatalf("%q, %v", got, ok)
	} else if b, _ := os.Stat(want); !os.SameFile(a, b) {
		t.Errorf("%s, want %s", got, want)
	}
	if shared.Path(t, "models", "tiny") != got {
		t.Error("Path gives another path than Find")
	}
	if got, ok := shared.Find("models", "none"); ok || got != "" {
		t.Errorf("what is not there is found in %q", got)
	}
	skipped := t.Run("absent", func(t *testing.T) {
		shared.Path(t, "models", "none")
		t.Error("the test goes on")
	})
	if !skipped {
		t.Error("the test fails where it should be skipped")
	}
}
