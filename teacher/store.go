package teacher

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
)

// store keeps float32 vectors on disk under 32-byte keys, in one append-only
// file: after a header come records
//
//	key [32]byte | count uint32 | crc32 uint32 | count × float32
//
// all little-endian, the checksum over key, count and data. A record cut off
// by a crash is dropped at the next opening; a damaged one is an error.
type store struct {
	file  *os.File
	path  string
	index map[[32]byte]record
	end   int64
}

type record struct {
	offset int64
	count  uint32
}

const (
	storeMagic  = "litelog1"
	recordHead  = 32 + 4 + 4
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
		return nil, fmt.Errorf("teacher: cache directory: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, fmt.Errorf("teacher: cache: %w", err)
	}
	s := &store{file: f, path: path, index: map[[32]byte]record{}}
	if err := s.scan(); err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

// scan fills the index and cuts off a torn last record.
func (s *store) scan() error {
	info, err := s.file.Stat()
	if err != nil {
		return fmt.Errorf("teacher: cache: %w", err)
	}
	size := info.Size()
	if size < int64(len(storeMagic)) {
		if _, err := s.file.WriteAt([]byte(storeMagic), 0); err != nil {
			return fmt.Errorf("teacher: cache %s: %w", s.path, err)
		}
		s.end = int64(len(storeMagic))
		return s.file.Truncate(s.end)
	}
	r := bufio.NewReaderSize(io.NewSectionReader(s.file, 0, size), 1<<20)
	magic := make([]byte, len(storeMagic))
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != storeMagic {
		return &CorruptError{s.path, 0, "not a logit cache"}
	}
	at := int64(len(storeMagic))
	head := make([]byte, recordHead)
	var data []byte
	for {
		if _, err := io.ReadFull(r, head); err != nil {
			break // the end, or a torn head
		}
		count := binary.LittleEndian.Uint32(head[32:])
		need := int64(count) * 4
		if count > maxElements {
			return &CorruptError{s.path, at, "impossible record length"}
		}
		if at+recordHead+need > size {
			break // torn
		}
		if int64(cap(data)) < need {
			data = make([]byte, need)
		}
		data = data[:need]
		if _, err := io.ReadFull(r, data); err != nil {
			return fmt.Errorf("teacher: cache %s: %w", s.path, err)
		}
		if binary.LittleEndian.Uint32(head[36:]) != checksum(head, data) {
			return &CorruptError{s.path, at, "checksum mismatch"}
		}
		s.index[[32]byte(head[:32])] = record{at + recordHead, count}
		at += recordHead + need
	}
	s.end = at
	if at < size {
		if err := s.file.Truncate(at); err != nil {
			return fmt.Errorf("teacher: cache %s: %w", s.path, err)
		}
	}
	return nil
}

func checksum(head, data []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE(head[:36]), crc32.IEEETable, data)
}

// get returns the vector under key, or ok = false.
func (s *store) get(key [32]byte) (v []float32, ok bool, err error) {
	rec, ok := s.index[key]
	if !ok {
		return nil, false, nil
	}
	buf := make([]byte, recordHead+4*int(rec.count))
	if _, err := s.file.ReadAt(buf, rec.offset-recordHead); err != nil {
		return nil, false, fmt.Errorf("teacher: cache %s: %w", s.path, err)
	}
	head, data := buf[:recordHead], buf[recordHead:]
	if binary.LittleEndian.Uint32(head[36:]) != checksum(head, data) {
		return nil, false, &CorruptError{s.path, rec.offset, "checksum mismatch"}
	}
	v = make([]float32, rec.count)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return v, true, nil
}

// put appends a vector; a key already present is left as it is.
func (s *store) put(key [32]byte, v []float32) error {
	if _, ok := s.index[key]; ok {
		return nil
	}
	buf := make([]byte, recordHead+4*len(v))
	copy(buf, key[:])
	binary.LittleEndian.PutUint32(buf[32:], uint32(len(v)))
	for i, x := range v {
		binary.LittleEndian.PutUint32(buf[recordHead+4*i:], math.Float32bits(x))
	}
	binary.LittleEndian.PutUint32(buf[36:], checksum(buf[:recordHead], buf[recordHead:]))
	if _, err := s.file.WriteAt(buf, s.end); err != nil {
		return fmt.Errorf("teacher: cache %s: %w; free some space or choose another --cache", s.path, err)
	}
	s.index[key] = record{s.end + recordHead, uint32(len(v))}
	s.end += int64(len(buf))
	return nil
}

// sync makes everything put so far survive a crash.
func (s *store) sync() error {
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("teacher: cache %s: %w", s.path, err)
	}
	return nil
}

func (s *store) close() error { return errors.Join(s.sync(), s.file.Close()) }
