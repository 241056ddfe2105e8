package teacher

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// A shard is an append-only file of a set of labels:
//
//	"litelog3" | id of the set [32]byte | records
//
// and a record is
//
//	key [32]byte | rows uint32 | width uint32 | size uint32 | head crc32 uint32 | data crc32 uint32 | size bytes
//
// all little-endian; the bytes are the rows in the set's [Form]. The first
// checksum covers what stands before it, the second that and the bytes. The
// head has its own so that a damaged size is not taken for a record cut short.
// A record cut off by a crash is dropped by the next writer; a damaged one is
// an error.
const (
	shardMagic  = "litelog3"
	oldMagic    = "litelog" // of any version
	shardHead   = len(shardMagic) + 32
	recordHead  = 32 + 5*4
	maxRecord   = 1 << 30 // more is damage, not data
	maxElements = 1 << 28 // of a record, once it is read
)

// CorruptError reports a damaged cache file.
type CorruptError struct {
	Path   string
	Offset int64
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("teacher: cache %s is damaged at byte %d (%s); delete the file to compute its labels again", e.Path, e.Offset, e.Reason)
}

// record says where a key's rows are.
type record struct {
	shard       *shard
	offset      int64 // of the head
	rows, width int
	size        int
}

// shard is an open file, whose records up to end are indexed.
type shard struct {
	file *os.File
	path string
	end  int64 // 0 until the header is read
}

// failed names the file in an error and says what to do where that is known.
func failed(path string, err error) error {
	if full(err) {
		return fmt.Errorf("teacher: cache %s: %w; free some space and run again (what is there is kept), or choose a cache directory on another disk", path, err)
	}
	return fmt.Errorf("teacher: cache %s: %w", path, err)
}

// scan hands the records behind end to add. What a crash or a writer at work
// has left unfinished at the end of the file stays behind end.
func (s *shard) scan(id [32]byte, add func([32]byte, record)) error {
	info, err := s.file.Stat()
	if err != nil {
		return failed(s.path, err)
	}
	size := info.Size()
	r := bufio.NewReaderSize(io.NewSectionReader(s.file, s.end, size-s.end), 1<<20)
	if s.end == 0 {
		if ok, err := s.header(r, size, id); err != nil || !ok {
			return err
		}
		s.end = int64(shardHead)
	}
	for {
		ok, err := s.next(r, size, add)
		if err != nil || !ok {
			return err
		}
	}
}

// header checks the beginning of the file; false is one that is not written yet.
func (s *shard) header(r io.Reader, size int64, id [32]byte) (bool, error) {
	want := append([]byte(shardMagic), id[:]...)
	head := make([]byte, min(size, int64(len(want))))
	if _, err := io.ReadFull(r, head); err != nil {
		return false, failed(s.path, err)
	}
	if bytes.Equal(head, want) {
		return true, nil
	}
	if len(head) < len(want) && bytes.HasPrefix(want, head) {
		return false, nil
	}
	for i := range head {
		if head[i] != want[i] {
			reason := "it does not begin as a cache of this version"
			if i >= len(shardMagic) {
				reason = "it belongs to other labels than those of its folder"
			}
			return false, &CorruptError{s.path, int64(i), reason}
		}
	}
	return false, nil
}

// next indexes the record at s.end. It is false at the end of the file and at
// a record that the file does not hold whole.
func (s *shard) next(r io.Reader, size int64, add func([32]byte, record)) (bool, error) {
	if s.end+recordHead > size {
		return false, nil
	}
	head := make([]byte, recordHead)
	if _, err := io.ReadFull(r, head); err != nil {
		return false, failed(s.path, err)
	}
	rec := record{shard: s, offset: s.end}
	if !rec.read(head) {
		// After a power cut a file system may show zeros that were never written.
		zero, err := onlyZeros(io.MultiReader(bytes.NewReader(head), r))
		if err != nil {
			return false, failed(s.path, err)
		}
		if zero {
			return false, nil
		}
		return false, &CorruptError{s.path, s.end, "checksum mismatch in a record's head"}
	}
	if s.end+recordHead+int64(rec.size) > size {
		return false, nil
	}
	crc := crc32.NewIEEE()
	_, _ = crc.Write(head[:48]) // a hash does not fail
	if _, err := io.CopyN(crc, r, int64(rec.size)); err != nil {
		return false, failed(s.path, err)
	}
	if binary.LittleEndian.Uint32(head[48:]) != crc.Sum32() {
		return false, &CorruptError{s.path, s.end, "checksum mismatch"}
	}
	add([32]byte(head[:32]), rec)
	s.end += recordHead + int64(rec.size)
	return true, nil
}

// read fills the sizes from a record's head; false if it is damaged.
func (r *record) read(head []byte) bool {
	rows, width, size := binary.LittleEndian.Uint32(head[32:]), binary.LittleEndian.Uint32(head[36:]), binary.LittleEndian.Uint32(head[40:])
	if binary.LittleEndian.Uint32(head[44:]) != crc32.ChecksumIEEE(head[:44]) || size > maxRecord || uint64(rows)*uint64(width) > maxElements {
		return false
	}
	r.rows, r.width, r.size = int(rows), int(width), int(size)
	return true
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

// load reads a record's bytes and checks them again: the file may have changed
// since it was indexed.
func (r record) load(key [32]byte) ([]byte, error) {
	buf := make([]byte, recordHead+r.size)
	if _, err := r.shard.file.ReadAt(buf, r.offset); err != nil {
		return nil, failed(r.shard.path, err)
	}
	head, data := buf[:recordHead], buf[recordHead:]
	if [32]byte(head[:32]) != key || binary.LittleEndian.Uint32(head[48:]) != checksum(head, data) {
		return nil, &CorruptError{r.shard.path, r.offset, "checksum mismatch"}
	}
	return data, nil
}

func checksum(head, data []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE(head[:48]), crc32.IEEETable, data)
}

// begin writes the header of an empty shard. What stands there must be the
// beginning of one, which scan has seen to.
func (s *shard) begin(id [32]byte) error {
	if _, err := s.file.WriteAt(append([]byte(shardMagic), id[:]...), 0); err != nil {
		return errors.Join(failed(s.path, err), s.file.Truncate(0))
	}
	s.end = int64(shardHead)
	return nil
}

// append writes a record behind the last.
func (s *shard) append(key [32]byte, rows, width int, data []byte) (record, error) {
	buf := make([]byte, recordHead, recordHead+len(data))
	copy(buf, key[:])
	binary.LittleEndian.PutUint32(buf[32:], uint32(rows))
	binary.LittleEndian.PutUint32(buf[36:], uint32(width))
	binary.LittleEndian.PutUint32(buf[40:], uint32(len(data)))
	binary.LittleEndian.PutUint32(buf[44:], crc32.ChecksumIEEE(buf[:44]))
	binary.LittleEndian.PutUint32(buf[48:], checksum(buf, data))
	buf = append(buf, data...)
	if _, err := s.file.WriteAt(buf, s.end); err != nil {
		// Whole records only: what was written of this one goes. Should that
		// fail too, the next writer drops it.
		return record{}, errors.Join(failed(s.path, err), s.file.Truncate(s.end))
	}
	rec := record{shard: s, offset: s.end, rows: rows, width: width, size: len(data)}
	s.end += int64(len(buf))
	return rec, nil
}
