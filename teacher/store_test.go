package teacher

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
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
	defer s.close()
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
	s, _ := openStore(path)
	s.put(key("a"), []float32{1, 2})
	whole := s.end
	s.put(key("b"), []float32{3, 4, 5})
	s.close()
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
		s.close()
	}
}

func TestStoreNamesAFlippedBit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "logits.log")
	s, _ := openStore(path)
	s.put(key("a"), []float32{1, 2})
	s.put(key("b"), []float32{3})
	s.close()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(storeMagic)+recordHead+1] ^= 4
	os.WriteFile(path, data, 0o666)
	var damage *CorruptError
	if _, err := openStore(path); !errors.As(err, &damage) || damage.Path != path {
		t.Fatalf("damage not named: %v", err)
	}
}
