package teacher

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"sync"
)

// store keeps float32 vectors on disk under 32-byte keys, in one append-only
// file: after a header come records
//
//	key [32]byte | count uint32 | head crc32 uint32 | data crc32 uint32 | count × float32
//
// all little-endian; the first checksum covers key and count, the second key,
// count and data. The head has its own so that a damaged count is not taken
// for a record cut short. A record cut off by a crash is dropped at the next
// opening; a damaged one is an error. The file is locked while it is open.
// A store is safe for concurrent use.
type store struct {
	file   *os.File
	path   string
	unlock func()

	mu    sync.Mutex // guards index and end; held while a record is written
	index map[[32]byte]record
	end   int64
}

type record struct {
	offset int64 // of the head
	count  uint32
}

const (
	storeMagic  = "litelog2"
	recordHead  = 32 + 4 + 4 + 4
	maxElements = 1 << 28 // a record of 1 GiB: more is damage, not data
)

// CorruptError reports a damaged cache file.
type CorruptError struct {
	Path   string
	Offset int64
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("teacher: cache %s is damaged at byte %d (%s); delete the file to compute the logits again", e.Path, e.Offset, e.Reason)
}

// openStore opens or creates the log and reads its index, checking every record.
func openStore(path string) (*store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, fmt.Errorf("teacher: cache directory: %w; choose a directory that can be written, on a disk with free space", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, fmt.Errorf("teacher: cache: %w; choose a directory that can be written, on a disk with free space", err)
	}
	s := &store{file: f, path: path, index: map[[32]byte]record{}}
	if s.unlock, err = lock(f); err != nil {
		_ = f.Close()
		if errors.Is(err, errLocked) {
			return nil, fmt.Errorf("teacher: cache %s is %w; wait for it to end, or give this run another cache directory", path, err)
		}
		return nil, fmt.Errorf("teacher: cache %s cannot be locked: %w", path, err)
	}
	if err := s.scan(); err != nil {
		_ = f.Close()
		s.unlock()
		return nil, err
	}
	return s, nil
}

// scan fills the index and cuts off a torn last record.
func (s *store) scan() error {
	info, err := s.file.Stat()
	if err != nil {
		return s.failed(err)
	}
	size := info.Size()
	if size < int64(len(storeMagic)) {
		return s.start(size)
	}
	r := bufio.NewReaderSize(io.NewSectionReader(s.file, 0, size), 1<<20)
	magic := make([]byte, len(storeMagic))
	if _, err := io.ReadFull(r, magic); err != nil {
		return s.failed(err)
	}
	if string(magic) != storeMagic {
		return &CorruptError{s.path, 0, "it does not begin as a logit cache of this version"}
	}
	s.end = int64(len(storeMagic))
	for {
		ok, err := s.next(r, size)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
	}
	if s.end < size {
		if err := s.file.Truncate(s.end); err != nil {
			return s.failed(err)
		}
	}
	return nil
}

// start makes an empty log of a file too short to hold anything. What is there
// must be the beginning of the header: another file is not overwritten.
func (s *store) start(size int64) error {
	begun := make([]byte, size)
	if _, err := s.file.ReadAt(begun, 0); err != nil && err != io.EOF {
		return s.failed(err)
	}
	if !bytes.HasPrefix([]byte(storeMagic), begun) {
		return &CorruptError{s.path, 0, "it does not begin as a logit cache of this version"}
	}
	if _, err := s.file.WriteAt([]byte(storeMagic), 0); err != nil {
		return s.failed(err)
	}
	s.end = int64(len(storeMagic))
	return nil
}

// next indexes the record at s.end. It is false at the end of the file and at
// a record that the file does not hold whole.
func (s *store) next(r io.Reader, size int64) (bool, error) {
	if s.end+recordHead > size {
		return false, nil
	}
	head := make([]byte, recordHead)
	if _, err := io.ReadFull(r, head); err != nil {
		return false, s.failed(err)
	}
	count := binary.LittleEndian.Uint32(head[32:])
	if binary.LittleEndian.Uint32(head[36:]) != crc32.ChecksumIEEE(head[:36]) || count > maxElements {
		// After a power cut a file system may show zeros that were never written.
		zero, err := onlyZeros(io.MultiReader(bytes.NewReader(head), r))
		if err != nil {
			return false, s.failed(err)
		}
		if zero {
			return false, nil
		}
		return false, &CorruptError{s.path, s.end, "checksum mismatch in a record's head"}
	}
	need := int64(count) * 4
	if s.end+recordHead+need > size {
		return false, nil
	}
	crc := crc32.NewIEEE()
	_, _ = crc.Write(head[:36]) // a hash does not fail
	if _, err := io.CopyN(crc, r, need); err != nil {
		return false, s.failed(err)
	}
	if binary.LittleEndian.Uint32(head[40:]) != crc.Sum32() {
		return false, &CorruptError{s.path, s.end, "checksum mismatch"}
	}
	s.index[[32]byte(head[:32])] = record{s.end, count}
	s.end += recordHead + need
	return true, nil
}

func onlyZeros(r io.Reader) (bool, error) {
	buf := make([]byte, 1<<16)
	for {
		n, err := r.Read(buf)
		for _, b := range buf[:n] {
			if b != 0 {
				return false, nil
			}
		}
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// failed names the file in an error and says what to do where that is known.
func (s *store) failed(err error) error {
	if full(err) {
		return fmt.Errorf("teacher: cache %s: %w; free some space and run again (what is there is kept), or choose a cache directory on another disk", s.path, err)
	}
	return fmt.Errorf("teacher: cache %s: %w", s.path, err)
}

// get returns the vector under key, or ok = false.
func (s *store) get(key [32]byte) (v []float32, ok bool, err error) {
	s.mu.Lock()
	rec, ok := s.index[key]
	s.mu.Unlock()
	if !ok {
		return nil, false, nil
	}
	buf := make([]byte, recordHead+4*int(rec.count))
	if _, err := s.file.ReadAt(buf, rec.offset); err != nil {
		return nil, false, s.failed(err)
	}
	head, data := buf[:recordHead], buf[recordHead:]
	if [32]byte(head[:32]) != key || binary.LittleEndian.Uint32(head[40:]) != checksum(head, data) {
		return nil, false, &CorruptError{s.path, rec.offset, "checksum mismatch"}
	}
	v = make([]float32, rec.count)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return v, true, nil
}

func checksum(head, data []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE(head[:36]), crc32.IEEETable, data)
}

// put appends a vector; a key already present is left as it is.
func (s *store) put(key [32]byte, v []float32) error {
	if len(v) > maxElements {
		return fmt.Errorf("teacher: cache: %d logits of one batch are more than a record can hold; use smaller batches", len(v))
	}
	buf := make([]byte, recordHead+4*len(v))
	copy(buf, key[:])
	binary.LittleEndian.PutUint32(buf[32:], uint32(len(v)))
	for i, x := range v {
		binary.LittleEndian.PutUint32(buf[recordHead+4*i:], math.Float32bits(x))
	}
	binary.LittleEndian.PutUint32(buf[36:], crc32.ChecksumIEEE(buf[:36]))
	binary.LittleEndian.PutUint32(buf[40:], checksum(buf[:recordHead], buf[recordHead:]))
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.index[key]; ok {
		return nil
	}
	if _, err := s.file.WriteAt(buf, s.end); err != nil {
		// Whole records only: what was written of this one goes. Should that
		// fail too, the next opening drops it.
		return errors.Join(s.failed(err), s.file.Truncate(s.end))
	}
	s.index[key] = record{s.end, uint32(len(v))}
	s.end += int64(len(buf))
	return nil
}

// sync makes everything put so far survive a crash.
func (s *store) sync() error {
	if err := s.file.Sync(); err != nil {
		return s.failed(err)
	}
	return nil
}

func (s *store) close() error {
	err := errors.Join(s.sync(), s.file.Close())
	s.unlock()
	return err
}
