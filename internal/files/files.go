// Package files replaces files at once, and locks them.
package files

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Replace writes the file at path: under a temporary name beside it, synced, and
// renamed. Where that fails the file is as it was, and nothing else is left; a
// process that is killed leaves what [Sweep] removes.
func Replace(path string, write func(io.Writer) error) error {
	temp, err := Temp(path, write)
	if err != nil {
		return err
	}
	if err := Rename(temp, path); err != nil {
		_ = os.Remove(temp) // gone where it was renamed
		return err
	}
	return nil
}

// Temp writes and syncs a temporary file beside path, with the mode that path has
// or a new file would get, and returns its name, for [Rename]. Where that fails
// nothing is left.
func Temp(path string, write func(io.Writer) error) (string, error) {
	var f *os.File
	name, err := TempName(path, func(name string) (err error) {
		// os.CreateTemp would make it readable by its owner alone, whatever the umask says.
		f, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		return err
	})
	if err != nil {
		return "", err
	}
	b := bufio.NewWriterSize(f, 1<<16) // longer pieces go straight to the file
	if err = write(b); err == nil {
		err = b.Flush()
	}
	if err == nil {
		if info, statErr := os.Stat(path); statErr == nil && info.Mode().IsRegular() {
			err = f.Chmod(info.Mode().Perm())
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(name)
		return "", err
	}
	return name, nil
}

// TempName finds a temporary name beside path, .NAME.NUMBER.tmp, under which take
// can make a file.
func TempName(path string, take func(name string) error) (string, error) {
	for i := os.Getpid(); ; i++ {
		name := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%d.tmp", filepath.Base(path), i))
		if err := take(name); !errors.Is(err, fs.ErrExist) {
			return name, err
		}
	}
}

// Rename puts a file in place so that it stays there also after a power cut. An
// error of the renaming leaves both as they were.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(to))
}

// Sweep removes the temporary files that killed processes left beside path.
func Sweep(path string) error {
	entries, err := os.ReadDir(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		number, ours := strings.CutPrefix(e.Name(), "."+filepath.Base(path)+".")
		number, temp := strings.CutSuffix(number, ".tmp")
		if _, bad := strconv.ParseUint(number, 10, 64); !ours || !temp || bad != nil || !e.Type().IsRegular() {
			continue
		}
		if bad := os.Remove(filepath.Join(filepath.Dir(path), e.Name())); !errors.Is(bad, fs.ErrNotExist) {
			err = errors.Join(err, bad)
		}
	}
	return err
}
