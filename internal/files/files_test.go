package files

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
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

// What a killed process was writing goes; other files stay, and so does the mode
// of a file that is replaced.
func TestSweepAndModes(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "model.onnx")
	gone := []string{".model.onnx.12.tmp", ".model.onnx.7.tmp"}
	stay := []string{"model.onnx", ".model.onnx.tmp", ".model.onnx.a.tmp", ".other.onnx.12.tmp", ".model.onnx.12.bak", ".model.onnx_data.7.tmp"}
	for _, name := range append(gone, stay...) {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Sweep(path); err != nil {
		t.Fatal(err)
	}
	for _, name := range gone {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is left", name)
		}
	}
	for _, name := range stay {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Replace(path, func(io.Writer) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := Sweep(filepath.Join(dir, "no", "x")); err != nil {
		t.Errorf("a folder that is not there: %v", err)
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

// One holder at a time; a file that a killed process left is taken over.
func TestHold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	release, err := Hold(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Hold(path); !errors.Is(err, ErrLocked) {
		t.Errorf("a second holder: %v", err)
	}
	release()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is left: %v", err)
	}
	if release, err = Hold(path); err != nil {
		t.Fatal(err)
	}
	release()
	if _, err := Hold(filepath.Join(path, "no", "lock")); err == nil {
		t.Error("held a file in a folder that is not there")
	}
}
