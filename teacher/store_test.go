package teacher

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/litekit/lite/internal/files"
)

func key(s string) [32]byte { return sha256.Sum256([]byte(s)) }

var testSet = Set{Version: setVersion, Task: "t", Output: "o", Form: "full", Source: Source{Model: "m"}}

func openTest(t *testing.T, cache string) *store {
	t.Helper()
	s, err := openStore(cache, testSet, Form{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// add puts one row under a name, as a writer does.
func (s *store) add1(name string, v ...float32) error {
	if err := s.write(context.Background()); err != nil {
		return err
	}
	data, err := s.form.encode(v, len(v))
	if err != nil {
		return err
	}
	return s.put(key(name), 1, len(v), data)
}

// filled is a cache with two records, the path of its shard, and where the
// second record begins.
func filled(t *testing.T) (cache, path string, second int64) {
	t.Helper()
	cache = t.TempDir()
	s := openTest(t, cache)
	if err := s.add1("a", 1, 2); err != nil {
		t.Fatal(err)
	}
	second = s.last.end
	path = s.last.path
	if err := errors.Join(s.add1("b", 3, 4, 5), s.close()); err != nil {
		t.Fatal(err)
	}
	return cache, path, second
}

func TestStoreKeepsAndFinds(t *testing.T) {
	cache := filepath.Join(t.TempDir(), "a")
	s := openTest(t, cache)
	want := []float32{1, -2.5, 3e-30}
	if err := errors.Join(s.add1("x", want...), s.add1("y", 7), s.close()); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, cache)
	defer func() { _ = s.close() }()
	got, ok, err := s.get(key("x"))
	if err != nil || !ok || !slices.Equal(got, want) {
		t.Fatalf("got %v %v %v", got, ok, err)
	}
	if _, ok, _ := s.get(key("z")); ok || s.len() != 2 {
		t.Fatal("found a key that was never put")
	}
}

// A set grows beyond one file, and every record is found again.
// Who writes removes what a process left that was killed while it began the set;
// one that is just beginning does not mind.
func TestStoreTidiesUp(t *testing.T) {
	cache := t.TempDir()
	first := openTest(t, cache)
	defer first.close()
	left := filepath.Join(first.dir, "."+setFile+".123.tmp")
	if err := os.WriteFile(left, []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := first.write(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was left is still there: %v", err)
	}
}

func TestStoreHasSeveralShards(t *testing.T) {
	cache := t.TempDir()
	s := openTest(t, cache)
	s.limit = 300
	for i := range 20 {
		if err := s.add1(fmt.Sprint(i), float32(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	shards, _ := filepath.Glob(filepath.Join(s.dir, shardGlob))
	if len(shards) < 3 {
		t.Fatalf("%d shards", len(shards))
	}
	// The file that an error says to delete goes, and what was in it is put again.
	if err := os.Remove(shards[1]); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s = openTest(t, cache)
		s.limit = 300
		for i := range 20 {
			if err := s.add1(fmt.Sprint(i), float32(i)); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 20 {
			if v, ok, err := s.get(key(fmt.Sprint(i))); err != nil || !ok || v[0] != float32(i) {
				t.Fatalf("%d: %v %v %v", i, v, ok, err)
			}
		}
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A crash can cut the file anywhere: whole records before the cut survive, and
// writing goes on after them.
func TestStoreDropsATornRecord(t *testing.T) {
	cache, path, second := filled(t)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(data) {
		if err := os.WriteFile(path, data[:cut], 0o666); err != nil {
			t.Fatal(err)
		}
		s := openTest(t, cache)
		if _, ok, _ := s.get(key("a")); ok != (int64(cut) >= second) {
			t.Fatalf("cut at %d: first record found: %v", cut, ok)
		}
		if err := errors.Join(s.add1("a", 1, 2), s.add1("c", 9), s.close()); err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		s = openTest(t, cache)
		if v, ok, err := s.get(key("c")); err != nil || !ok || v[0] != 9 || s.len() != 2 {
			t.Fatalf("cut at %d: %v %v %v, %d records", cut, v, ok, err, s.len())
		}
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Every bit of every file counts.
func TestStoreNamesAFlippedBit(t *testing.T) {
	cache, shard, _ := filled(t)
	for _, path := range []string{shard, filepath.Join(filepath.Dir(shard), setFile)} {
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
			if _, err := openStore(cache, testSet, Form{}); !errors.As(err, &damage) || damage.Path != path {
				t.Fatalf("%s, bit %d: damage not named: %v", filepath.Base(path), bit, err)
			}
			data[bit/8] ^= 1 << (bit % 8)
		}
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// Damage that comes while the file is open is seen when the value is read.
func TestStoreChecksWhatItReads(t *testing.T) {
	cache, path, _ := filled(t)
	s := openTest(t, cache)
	defer func() { _ = s.close() }()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte{99}, s.index[key("b")].offset+recordHead+1)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	var damage *CorruptError
	if _, _, err := s.get(key("b")); !errors.As(err, &damage) {
		t.Fatalf("got %v", err)
	}
}

// A shard that is moved to another set is not taken for one of its own.
func TestStoreRefusesTheShardOfAnotherSet(t *testing.T) {
	cache, path, _ := filled(t)
	other := testSet
	other.Model = "another"
	s, err := openStore(cache, other, Form{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.close(), os.Rename(path, filepath.Join(s.dir, filepath.Base(path)))); err != nil {
		t.Fatal(err)
	}
	var damage *CorruptError
	if _, err := openStore(cache, other, Form{}); !errors.As(err, &damage) || !strings.Contains(damage.Reason, "other labels") {
		t.Fatalf("got %v", err)
	}
}

// A power cut can leave zeros that were never written.
func TestStoreDropsATailOfZeros(t *testing.T) {
	cache, path, _ := filled(t)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()+4096); err != nil {
		t.Fatal(err)
	}
	s := openTest(t, cache)
	if err := errors.Join(s.add1("c", 1), s.close()); err != nil || s.index[key("c")].offset != info.Size() {
		t.Fatalf("%v", err)
	}
}

// Another file of that name, however short, is not overwritten.
func TestStoreLeavesOtherFilesAlone(t *testing.T) {
	for _, content := range []string{"abc", "a longer text that is no cache"} {
		cache, path, _ := filled(t)
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := openStore(cache, testSet, Form{}); err == nil {
			t.Fatal("another file was taken for a cache")
		}
		if got, _ := os.ReadFile(path); string(got) != content {
			t.Fatalf("the file became %q", got)
		}
	}
}

// Readers see what a writer adds; a second writer waits or is refused.
func TestOneWriterManyReaders(t *testing.T) {
	cache := t.TempDir()
	a, b := openTest(t, cache), openTest(t, cache)
	if err := a.add1("x", 1); err != nil {
		t.Fatal(err)
	}
	reader := openTest(t, cache)
	if _, ok, err := reader.get(key("x")); !ok || err != nil {
		t.Fatalf("a reader beside a writer: %v %v", ok, err)
	}
	if err := b.write(context.Background()); !errors.Is(err, files.ErrLocked) {
		t.Fatalf("a second writer: %v", err)
	}
	notices := make(chan string, 1)
	b.wait, b.notice = true, func(s string) { notices <- s }
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := b.write(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(<-notices, "waiting") {
		t.Fatalf("a wait that is given up: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- b.write(context.Background()) }()
	<-notices
	if err := errors.Join(a.add1("y", 2), a.close()); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the second writer still waits")
	}
	if _, ok, err := b.get(key("y")); !ok || err != nil {
		t.Fatalf("what was written meanwhile: %v %v", ok, err)
	}
	if err := errors.Join(b.close(), reader.close()); err != nil {
		t.Fatal(err)
	}
}

// A record that another is just writing looks damaged; the ones before it stand.
func TestAReaderBesideAnUnfinishedRecord(t *testing.T) {
	cache, path, _ := filled(t)
	writer := openTest(t, cache)
	if err := writer.write(context.Background()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	reader := openTest(t, cache)
	if _, ok, err := reader.get(key("a")); !ok || err != nil || reader.len() != 1 {
		t.Fatalf("%v %v, %d records", ok, err, reader.len())
	}
	if err := errors.Join(reader.close(), writer.close()); err != nil {
		t.Fatal(err)
	}
	var damage *CorruptError
	if _, err := openStore(cache, testSet, Form{}); !errors.As(err, &damage) {
		t.Fatalf("the same without a writer: %v", err)
	}
}

func TestSetsAndTheirRemoval(t *testing.T) {
	cache, _, _ := filled(t)
	keep := filepath.Join(cache, "notes", "a.txt")
	if err := errors.Join(os.Mkdir(filepath.Dir(keep), 0o777), os.WriteFile(keep, nil, 0o666)); err != nil {
		t.Fatal(err)
	}
	sets, err := Sets(cache)
	if err != nil || len(sets) != 1 || sets[0] != testSet {
		t.Fatalf("%v %v", sets, err)
	}
	if err := RemoveCache(cache); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(cache)
	if err != nil || len(left) != 1 || left[0].Name() != "notes" {
		t.Fatalf("left: %v %v", left, err)
	}
	if sets, err := Sets(filepath.Join(cache, "absent")); err != nil || sets != nil {
		t.Fatalf("%v %v", sets, err)
	}
}

// What a cache holds besides is told, with what differs.
func TestOtherSetsAreNamed(t *testing.T) {
	cache := t.TempDir()
	set := Set{Version: setVersion, Task: "t", Output: "o", Form: "full", Source: Source{"aaaa", "bbbb", "cccc", "whole", 3}}
	s, err := openStore(cache, set, Form{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.close() }()
	for want, change := range map[string]func(*Set){
		"of another teacher (aaaa, not x)":    func(s *Set) { s.Model = "x" },
		"of another tokenizer (bbbb, not x)":  func(s *Set) { s.Tokenizer = "x" },
		"of other data (cccc, not x)":         func(s *Set) { s.Data = "x" },
		`their form is "full", not "half"`:    func(s *Set) { s.Form = "half" },
		`their text is "whole", not "masked"`: func(s *Set) { s.View = "masked" },
		"they are 3 batches, not 4":           func(s *Set) { s.Batches = 4 },
		"":                                    func(s *Set) { s.Model, s.Data = "x", "y" },
	} {
		other := set
		change(&other)
		if got := other.others(cache, nil); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%q does not say %q", got, want)
		}
	}
	second := set // of the same run: its teacher is one of several
	second.Model = "second"
	if got := second.others(cache, []string{set.Model}); got != "" {
		t.Errorf("labels of a teacher beside it: %q", got)
	}
	if err := os.WriteFile(filepath.Join(cache, "logits-0123456789abcdef.log"), []byte("litelog2 and more"), 0o666); err != nil {
		t.Fatal(err)
	}
	if got := set.others(cache, nil); !strings.Contains(got, "earlier version") || !strings.Contains(got, "delete them") {
		t.Errorf("old files: %q", got)
	}
}

// onFull is a store whose disk is full.
func onFull(t *testing.T) *store {
	t.Helper()
	f, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip("there is no /dev/full here")
	}
	t.Cleanup(func() { _ = f.Close() })
	return &store{last: &shard{file: f, path: "/dev/full"}, limit: shardLimit, index: map[[32]byte]record{}, shards: map[string]*shard{}}
}

func TestAFullDiskSaysWhatToDo(t *testing.T) {
	s := onFull(t)
	if err := s.add1("a", 1); err == nil || !strings.Contains(err.Error(), "free some space") {
		t.Fatalf("got %v", err)
	}
	if _, ok, _ := s.get(key("a")); ok {
		t.Fatal("what could not be written is indexed")
	}
}

func TestAFullDiskIsToldOnceWhereItIsSurvived(t *testing.T) {
	s := onFull(t)
	told := 0
	teacher := &Teacher{store: s, warn: func(error) { told++ }}
	for range 2 {
		if err := teacher.keepsNoMore(s.add1("a", 1)); err != nil {
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
