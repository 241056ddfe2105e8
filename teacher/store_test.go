package teacher

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func key(s string) [32]byte { return sha256.Sum256([]byte(s)) }

func TestStoreKeepsAndFinds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "logits.log")
	s, err := openStore(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []float32{1, -2.5, 3e-30}
	if err := s.put(key("x"), want); err != nil {
		t.Fatal(err)
	}
	if err := s.put(key("y"), []float32{7}); err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if s, err = openStore(path); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.close() }()
	got, ok, err := s.get(key("x"))
	if err != nil || !ok || !slices.Equal(got, want) {
		t.Fatalf("got %v %v %v", got, ok, err)
	}
	if _, ok, _ := s.get(key("z")); ok {
		t.Fatal("found a key that was never put")
	}
}

// A crash can cut the file anywhere: whole records before the cut survive.
func TestStoreDropsATornRecord(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "logits.log")
	s, err := openStore(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.put(key("a"), []float32{1, 2}); err != nil {
		t.Fatal(err)
	}
	whole := s.end
	if err := errors.Join(s.put(key("b"), []float32{3, 4, 5}), s.close()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := whole; cut < int64(len(data)); cut++ {
		if err := os.WriteFile(path, data[:cut], 0o666); err != nil {
			t.Fatal(err)
		}
		s, err := openStore(path)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if _, ok, _ := s.get(key("a")); !ok || s.end != whole {
			t.Fatalf("cut at %d: first record lost", cut)
		}
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStoreNamesAFlippedBit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "logits.log")
	s, err := openStore(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.put(key("a"), []float32{1, 2}), s.put(key("b"), []float32{3}), s.close()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * len(data) {
		data[bit/8] ^= 1 << (bit % 8)
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		var damage *CorruptError
		if _, err := openStore(path); !errors.As(err, &damage) || damage.Path != path {
			t.Fatalf("bit %d: damage not named: %v", bit, err)
		}
		data[bit/8] ^= 1 << (bit % 8)
	}
}

// Damage that comes while the file is open is seen when the value is read.
func TestStoreChecksWhatItReads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "logits.log")
	s, err := openStore(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.close() }()
	if err := s.put(key("a"), []float32{1, 2}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.file.WriteAt([]byte{99}, s.end-1); err != nil {
		t.Fatal(err)
	}
	var damage *CorruptError
	if _, _, err := s.get(key("a")); !errors.As(err, &damage) {
		t.Fatalf("got %v", err)
	}
}

// A power cut can leave zeros that were never written.
func TestStoreDropsATailOfZeros(t *testing.T) {
	path := filepath.Join(t.TempDir(), "logits.log")
	s, err := openStore(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.put(key("a"), []float32{1}), s.close()); err != nil {
		t.Fatal(err)
	}
	whole := s.end
	if err := os.Truncate(path, whole+4096); err != nil {
		t.Fatal(err)
	}
	if s, err = openStore(path); err != nil || s.end != whole {
		t.Fatalf("%v", err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
}

// Another file of that name, however short, is not overwritten.
func TestStoreLeavesOtherFilesAlone(t *testing.T) {
	for _, content := range []string{"abc", "a longer text that is no cache"} {
		path := filepath.Join(t.TempDir(), "logits.log")
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := openStore(path); err == nil {
			t.Fatal("another file was taken for a cache")
		}
		if got, _ := os.ReadFile(path); string(got) != content {
			t.Fatalf("the file became %q", got)
		}
	}
}

func TestLockBeside(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	unlock, err := lockBeside(f)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockBeside(f); !errors.Is(err, errLocked) {
		t.Fatalf("locked twice: %v", err)
	}
	unlock()
	if unlock, err = lockBeside(f); err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestAFullDiskSaysWhatToDo(t *testing.T) {
	f, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip("there is no /dev/full here")
	}
	defer func() { _ = f.Close() }()
	s := &store{file: f, path: "/dev/full", index: map[[32]byte]record{}}
	if err := s.put(key("a"), []float32{1}); err == nil || !strings.Contains(err.Error(), "free some space") {
		t.Fatalf("got %v", err)
	}
	if _, ok, _ := s.get(key("a")); ok {
		t.Fatal("what could not be written is indexed")
	}
}

func TestAFullDiskIsToldOnceWhereItIsSurvived(t *testing.T) {
	f, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip("there is no /dev/full here")
	}
	defer func() { _ = f.Close() }()
	s := &store{file: f, path: "/dev/full", index: map[[32]byte]record{}}
	told := 0
	teacher := &Teacher{store: s, warn: func(error) { told++ }}
	for range 2 {
		if err := teacher.keepsNoMore(s.put(key("a"), []float32{1})); err != nil {
			t.Fatal(err)
		}
	}
	if told != 1 || !teacher.full.Load() {
		t.Errorf("told %d times, full %v", told, teacher.full.Load())
	}
	other := errors.New("damaged")
	if err := teacher.keepsNoMore(other); err != other {
		t.Errorf("another error became %v", err)
	}
}
