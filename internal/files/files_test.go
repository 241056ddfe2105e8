package files

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	broken := errors.New("broken")
	for _, c := range []struct {
		content string
		fail    error
		want    string
	}{{"one", nil, "one"}, {"half", broken, "one"}, {"two", nil, "two"}} {
		err := Replace(path, func(w io.Writer) error {
			if _, err := io.WriteString(w, c.content); err != nil {
				return err
			}
			return c.fail
		})
		if !errors.Is(err, c.fail) {
			t.Errorf("%s: error %v", c.content, err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != c.want {
			t.Errorf("after %s the file holds %q, %v", c.content, got, err)
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("left behind: %v, %v", list, err)
	}
	if err := Replace(filepath.Join(dir, "no", "x"), func(io.Writer) error { return nil }); err == nil {
		t.Error("no error in a folder that is not there")
	}
}

func TestLocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	for name, lock := range map[string]func(*os.File) (func(), error){"Lock": Lock, "lockBeside": lockBeside} {
		open := func() *os.File {
			f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
			return f
		}
		a, b := open(), open()
		unlock, err := lock(a)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := lock(b); !errors.Is(err, ErrLocked) {
			t.Fatalf("%s: locked twice: %v", name, err)
		}
		a.Close()
		unlock()
		if unlock, err = lock(b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		unlock()
	}
}
