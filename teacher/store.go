package teacher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/litekit/lite/internal/files"
)

// store is a set of labels on disk: a folder with its description (set.json),
// shards (see shard) and a lock. Whoever reads needs no lock: what is written
// is never changed. One store at a time writes: it takes the lock with its
// first record and keeps it until it is closed. A store is safe for concurrent
// use.
type store struct {
	dir    string
	set    Set
	form   Form
	id     [32]byte
	wait   bool         // for the lock
	notice func(string) // not nil
	limit  int64        // of a shard, in bytes

	mu     sync.Mutex // guards what follows; held while a record is written
	index  map[[32]byte]record
	shards map[string]*shard
	last   *shard // the one that is written to; nil without the lock
	lock   *os.File
	unlock func()
}

// shardLimit is where a new shard begins: files that are copied and checked in
// a moment, and few of them.
const shardLimit = 64 << 20

// openStore opens or creates a set in a cache directory and reads its index,
// checking every record.
func openStore(cache string, set Set, form Form) (*store, error) {
	s := &store{dir: filepath.Join(cache, set.folder()), set: set, form: form, id: set.id(), notice: func(string) {},
		limit: shardLimit, index: map[[32]byte]record{}, shards: map[string]*shard{}}
	_, err := readSet(s.dir)
	var damaged *CorruptError
	if err != nil && !errors.As(err, &damaged) {
		err = s.create()
	}
	if err != nil {
		return nil, err
	}
	err = s.scan()
	if errors.As(err, &damaged) {
		err = s.look(err)
	}
	if err != nil {
		s.release()
		return nil, err
	}
	return s, nil
}

// create makes the folder and its description.
func (s *store) create() error {
	const remedy = "choose a directory that can be written, on a disk with free space"
	if err := os.MkdirAll(s.dir, 0o777); err != nil {
		return fmt.Errorf("teacher: cache directory: %w; %s", err, remedy)
	}
	err := files.Replace(filepath.Join(s.dir, setFile), func(w io.Writer) error { _, err := w.Write(s.set.encode()); return err })
	if errors.Is(err, fs.ErrNotExist) { // another made it first, and tidied up
		_, err = readSet(s.dir)
		return err
	}
	if err != nil {
		return fmt.Errorf("%w; %s", failed(s.dir, err), remedy)
	}
	return nil
}

// look decides what damage is that was seen without the lock: while another
// writes, the record it is writing looks like that. Records before it stand.
func (s *store) look(damage error) error {
	switch err := s.take(); {
	case errors.Is(err, files.ErrLocked):
		return nil
	case err != nil:
		return errors.Join(damage, err)
	}
	err := s.scan()
	s.giveBack()
	return err
}

// scan indexes what has been written since the last scan.
func (s *store) scan() error {
	names, err := filepath.Glob(filepath.Join(s.dir, shardGlob))
	if err != nil {
		return failed(s.dir, err)
	}
	slices.Sort(names)
	for _, path := range names {
		h := s.shards[path]
		if h == nil {
			f, err := os.Open(path)
			if err != nil {
				return failed(path, err)
			}
			h = &shard{file: f, path: path}
			s.shards[path] = h
		}
		if err := h.scan(s.id, s.add); err != nil {
			return err
		}
	}
	return nil
}

func (s *store) add(key [32]byte, r record) { s.index[key] = r }

// len is the number of records.
func (s *store) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.index)
}

// get returns the rows under key, or ok = false.
func (s *store) get(key [32]byte) (v []float32, ok bool, err error) {
	s.mu.Lock()
	rec, ok := s.index[key]
	s.mu.Unlock()
	if !ok {
		return nil, false, nil
	}
	data, err := rec.load(key)
	if err != nil {
		return nil, false, err
	}
	if v, ok = s.form.decode(data, rec.rows, rec.width); !ok {
		return nil, false, &CorruptError{rec.shard.path, rec.offset, fmt.Sprintf("%d bytes are not %d rows of %d in the form %s", len(data), rec.rows, rec.width, s.form)}
	}
	return v, true, nil
}

// write gets the right to write, waiting for it where that is wanted, and
// indexes what has been written meanwhile.
func (s *store) write(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last != nil {
		return nil
	}
	told := false
	for {
		err := s.take()
		if err == nil {
			break
		}
		if !errors.Is(err, files.ErrLocked) {
			return fmt.Errorf("teacher: cache %s cannot be locked: %w", s.dir, err)
		}
		if !s.wait {
			return fmt.Errorf("teacher: cache %s is %w; wait for it to end, or choose another cache directory", s.dir, err)
		}
		if !told {
			told = true
			s.notice(fmt.Sprintf("waiting for the labels in %s: they are %v", s.dir, err))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("teacher: stopped while waiting for the cache %s: %w", s.dir, ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
	err := s.scan()
	if err == nil {
		_ = files.Sweep(filepath.Join(s.dir, setFile)) // of those who were killed while they made it; what cannot be removed is not in the way
		err = s.openLast()
	}
	if err != nil {
		s.giveBack()
	}
	return err
}

// take takes the lock, or fails with files.ErrLocked.
func (s *store) take() (err error) {
	f, err := os.OpenFile(filepath.Join(s.dir, lockFile), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	if s.unlock, err = files.Lock(f); err != nil {
		return errors.Join(err, f.Close())
	}
	s.lock = f
	return nil
}

func (s *store) giveBack() {
	if s.lock != nil {
		_ = s.lock.Close()
		s.unlock()
		s.lock, s.last = nil, nil
	}
}

// openLast opens the last shard for writing, without what a killed writer left
// unfinished there.
func (s *store) openLast() error {
	names := make([]string, 0, len(s.shards))
	for name := range s.shards {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) == 0 {
		return s.newShard(0)
	}
	old := s.shards[names[len(names)-1]]
	f, err := os.OpenFile(old.path, os.O_RDWR, 0)
	if err != nil {
		return failed(old.path, err)
	}
	_ = old.file.Close() // it was only read from
	old.file = f
	if err := f.Truncate(old.end); err != nil {
		return failed(old.path, err)
	}
	if old.end == 0 {
		if err := old.begin(s.id); err != nil {
			return err
		}
	}
	s.last = old
	return nil
}

// newShard begins the shard of that number, or the first one after it that is free.
func (s *store) newShard(n int) error {
	for ; ; n++ {
		path := filepath.Join(s.dir, fmt.Sprintf("labels-%05d.bin", n))
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return failed(path, err)
		}
		h := &shard{file: f, path: path}
		if err := h.begin(s.id); err != nil {
			return errors.Join(err, f.Close())
		}
		s.shards[path], s.last = h, h
		return nil
	}
}

// put appends rows in the set's form; a key already present is left as it is.
func (s *store) put(key [32]byte, rows, width int, data []byte) error {
	if len(data) > maxRecord || rows*width > maxElements {
		return fmt.Errorf("teacher: cache: %d numbers of one batch are more than a record can hold; use smaller batches", rows*width)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.index[key]; ok {
		return nil
	}
	if s.last.end >= s.limit {
		if err := s.last.file.Sync(); err != nil {
			return failed(s.last.path, err)
		}
		if err := s.newShard(len(s.shards)); err != nil {
			return err
		}
	}
	rec, err := s.last.append(key, rows, width, data)
	if err == nil {
		s.index[key] = rec
	}
	return err
}

// sync makes everything put so far survive a crash.
func (s *store) sync() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		return nil
	}
	if err := s.last.file.Sync(); err != nil {
		return failed(s.last.path, err)
	}
	return nil
}

func (s *store) close() error {
	err := s.sync()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release()
	return err
}

// release closes all files.
func (s *store) release() {
	for _, h := range s.shards {
		_ = h.file.Close() // what was written is synced, or could not be
	}
	clear(s.shards)
	s.giveBack()
}
