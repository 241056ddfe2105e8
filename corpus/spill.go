package corpus

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
)

// Sizes of what a spill writes.
const (
	tokenBytes    = 4  // id and flags
	labelBytes    = 4  // part of speech and entity
	sequenceBytes = 32 // see encodeSequence
	maxStoredID   = 1<<(32-flagBits) - 1
)

// spill keeps tokens and sequences in temporary files, from which they are read
// by number: files rather than a mapping, so that what was read does not count
// as this program's memory.
type spill struct {
	tokens, labels, seqs *spillFile
	buf                  []byte
	written              int64 // tokens
	size                 int64 // of labels
}

type spillFile struct {
	f *os.File
	w *bufio.Writer
}

func newSpillFile() (*spillFile, error) {
	f, err := os.CreateTemp("", "lite-corpus-*")
	if err != nil {
		return nil, err
	}
	os.Remove(f.Name()) // where open files can be removed, nothing is left behind even by kill -9
	return &spillFile{f, bufio.NewWriterSize(f, 1<<18)}, nil
}

func (s *spillFile) close() {
	if s != nil {
		s.f.Close()
		os.Remove(s.f.Name())
	}
}

func newSpill(limit int64) (*spill, error) {
	s := &spill{}
	var errs [2]error
	s.tokens, errs[0] = newSpillFile()
	s.seqs, errs[1] = newSpillFile()
	if err := errors.Join(errs[:]...); err != nil {
		s.close()
		return nil, fmt.Errorf("corpus: the tokens take more than %d MB, and no temporary file can be made for them: %w; set TMPDIR to a folder that can be written", limit>>20, err)
	}
	return s, nil
}

func (s *spill) close() {
	s.tokens.close()
	s.labels.close()
	s.seqs.close()
}

func (s *spill) failed(err error) error {
	return fmt.Errorf("corpus: keeping tokens in a temporary file: %w; set TMPDIR to a folder with more space", err)
}

// write appends a part, whose sequences have their final places. Labels have a
// file of their own in which what is not labelled is a hole: 0 stands for −1.
func (s *spill) write(p part) error {
	b := s.buf[:0]
	for i, id := range p.ids {
		b = binary.LittleEndian.AppendUint32(b, uint32(id)<<flagBits|uint32(p.flags[i]))
	}
	if _, err := s.tokens.w.Write(b); err != nil {
		return s.failed(err)
	}
	b = b[:0]
	for _, q := range p.seqs {
		b = encodeSequence(b, q)
	}
	if _, err := s.seqs.w.Write(b); err != nil {
		return s.failed(err)
	}
	b = b[:0]
	if p.pos != nil {
		for i, v := range p.pos {
			b = binary.LittleEndian.AppendUint16(b, uint16(v+1))
			b = binary.LittleEndian.AppendUint16(b, uint16(p.ner[i]+1))
		}
		if err := s.writeLabels(b); err != nil {
			return s.failed(err)
		}
	}
	s.buf = b
	s.written += int64(len(p.ids))
	return nil
}

// writeLabels writes the labels of the tokens from s.written on.
func (s *spill) writeLabels(b []byte) (err error) {
	if s.labels == nil {
		if s.labels, err = newSpillFile(); err != nil {
			return err
		}
	}
	if at := s.written * labelBytes; at != s.size {
		if err := s.labels.w.Flush(); err != nil {
			return err
		}
		if _, err := s.labels.f.Seek(at, io.SeekStart); err != nil {
			return err
		}
		s.size = at
	}
	_, err = s.labels.w.Write(b)
	s.size += int64(len(b))
	return err
}

// finish makes the files readable; they go when owner does.
func (s *spill) finish(owner *store) error {
	files := []*spillFile{s.tokens, s.seqs}
	if s.labels != nil {
		files = append(files, s.labels)
	}
	for _, f := range files {
		if err := f.w.Flush(); err != nil {
			s.close()
			return s.failed(err)
		}
		f.w = nil
	}
	if s.labels != nil {
		if err := s.labels.f.Truncate(s.written * labelBytes); err != nil {
			s.close()
			return s.failed(err)
		}
	}
	s.buf = nil
	runtime.AddCleanup(owner, (*spill).close, s)
	return nil
}

// reader is the working space of one reader.
type reader struct {
	raw []byte
	tokens
}

func (s *spill) read(f *spillFile, w *reader, at, n int64) ([]byte, error) {
	if int64(cap(w.raw)) < n {
		w.raw = make([]byte, n)
	}
	b := w.raw[:n]
	if _, err := f.f.ReadAt(b, at); err != nil {
		return nil, fmt.Errorf("corpus: reading tokens from their temporary file: %w", err)
	}
	return b, nil
}

func (s *spill) load(n int, w *reader) (sequence, tokens, error) {
	b, err := s.read(s.seqs, w, int64(n)*sequenceBytes, sequenceBytes)
	if err != nil {
		return sequence{}, tokens{}, err
	}
	q := decodeSequence(b)
	err = s.loadTokens(q.lo, int64(q.n), w)
	return q, w.tokens, err
}

// loadTokens reads n tokens from lo on into w.
func (s *spill) loadTokens(lo, n int64, w *reader) error {
	b, err := s.read(s.tokens, w, lo*tokenBytes, n*tokenBytes)
	if err != nil {
		return err
	}
	w.ids, w.flags = w.ids[:0], w.flags[:0]
	for i := range n {
		v := binary.LittleEndian.Uint32(b[i*tokenBytes:])
		w.ids, w.flags = append(w.ids, int32(v>>flagBits)), append(w.flags, uint8(v&(1<<flagBits-1)))
	}
	if s.labels == nil {
		return nil
	}
	if b, err = s.read(s.labels, w, lo*labelBytes, n*labelBytes); err != nil {
		return err
	}
	w.pos, w.ner = w.pos[:0], w.ner[:0]
	for i := range n {
		w.pos = append(w.pos, int16(binary.LittleEndian.Uint16(b[i*labelBytes:])-1))
		w.ner = append(w.ner, int16(binary.LittleEndian.Uint16(b[i*labelBytes+2:])-1))
	}
	return nil
}

func encodeSequence(b []byte, q sequence) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(q.lo))
	for _, v := range []int32{q.example, q.label, q.mid, q.n} {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(q.score))
	bits := uint32(0)
	for i, x := range []bool{q.pair, q.split, q.raw} {
		if x {
			bits |= 1 << i
		}
	}
	return binary.LittleEndian.AppendUint32(b, bits)
}

func decodeSequence(b []byte) sequence {
	u := func(at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
	bits := u(28)
	return sequence{
		lo: int64(binary.LittleEndian.Uint64(b)), example: int32(u(8)), label: int32(u(12)), mid: int32(u(16)), n: int32(u(20)),
		score: math.Float32frombits(u(24)), pair: bits&1 != 0, split: bits&2 != 0, raw: bits&4 != 0,
	}
}
