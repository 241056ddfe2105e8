package corpus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
)

// defaultMemory is what examples may take before they go to a temporary file.
const defaultMemory = 64 << 20

// spool collects examples: in memory up to a limit, then in temporary files, one
// of examples and one of where each ends.
type spool struct {
	limit, size int64
	held        []Example
	file, index *spillFile
	n           int   // examples in the file
	end         int64 // bytes
	buf         []byte
	names       []string // POS and entity tags, numbered
	ids         map[string]int
}

func (s *spool) len() int { return len(s.held) + s.n }

func (s *spool) add(e Example) error {
	if s.file != nil {
		return s.write(&e)
	}
	s.held = append(s.held, e)
	s.size += 200 + int64(len(e.Text)+len(e.Pair)+len(e.Target)+48*len(e.Words)+16*len(e.Sentences))
	if t := e.Tokens; t != nil {
		s.size += 120 + int64(4*len(t.IDs)+len(t.Types)+16*len(t.Tags))
	}
	if s.size <= s.limit {
		return nil
	}
	var errs [2]error
	s.file, errs[0] = newSpillFile()
	s.index, errs[1] = newSpillFile()
	if err := errors.Join(errs[:]...); err != nil {
		return fmt.Errorf("corpus: the examples take more than %d MB, and no temporary file can be made for them: %w; set TMPDIR to a folder that can be written", s.limit>>20, err)
	}
	s.ids = map[string]int{}
	for i := range s.held {
		if err := s.write(&s.held[i]); err != nil {
			return err
		}
	}
	s.held = nil
	return nil
}

func (s *spool) write(e *Example) error {
	s.buf = s.encode(s.buf[:0], e)
	if _, err := s.file.w.Write(s.buf); err != nil {
		return s.failed(err)
	}
	s.end += int64(len(s.buf))
	s.buf = binary.LittleEndian.AppendUint64(s.buf[:0], uint64(s.end))
	if _, err := s.index.w.Write(s.buf); err != nil {
		return s.failed(err)
	}
	s.n++
	return nil
}

func (s *spool) failed(err error) error {
	return fmt.Errorf("corpus: keeping examples in a temporary file: %w; set TMPDIR to a folder with more space", err)
}

// drop gives the file back where reading failed.
func (s *spool) drop() {
	s.file.close()
	s.index.close()
}

// finish returns the corpus; to maps the class numbers that were stored.
func (s *spool) finish(labels []string, to []int) (Corpus, error) {
	if s.file == nil {
		for i := range s.held {
			if k := s.held[i].Label; k >= 0 {
				s.held[i].Label = to[k]
			}
		}
		return FromExamples(s.held, labels), nil
	}
	if err := errors.Join(s.file.w.Flush(), s.index.w.Flush()); err != nil {
		s.drop()
		return nil, s.failed(err)
	}
	c := &spooled{file: s.file.f, index: s.index.f, n: s.n, names: s.names, labels: labels, to: to}
	runtime.AddCleanup(c, (*spillFile).close, s.file)
	runtime.AddCleanup(c, (*spillFile).close, s.index)
	return c, nil
}

// spooled is a corpus in temporary files, of which nothing stays in memory.
type spooled struct {
	file   *os.File
	index  *os.File // 8 bytes an example: where it ends
	n      int
	names  []string
	labels []string
	to     []int
}

func (c *spooled) Len() int         { return c.n }
func (c *spooled) Labels() []string { return c.labels }

func (c *spooled) At(i int) (Example, error) {
	defer runtime.KeepAlive(c)
	if i < 0 || i >= c.n {
		return Example{}, outside(i, c.n)
	}
	var ends [16]byte // of the example before, 0 for the first, and of this one
	part, at := ends[:], int64(i-1)*8
	if i == 0 {
		part, at = ends[8:], 0
	}
	if _, err := c.index.ReadAt(part, at); err != nil {
		return Example{}, fmt.Errorf("corpus: example %d in its temporary file: %w", i, err)
	}
	from, to := int64(binary.LittleEndian.Uint64(ends[:])), int64(binary.LittleEndian.Uint64(ends[8:]))
	if to < from {
		return Example{}, errSpool
	}
	buf := make([]byte, to-from)
	if _, err := c.file.ReadAt(buf, from); err != nil {
		return Example{}, fmt.Errorf("corpus: example %d in its temporary file: %w", i, err)
	}
	return c.decode(buf)
}

func (s *spool) encode(b []byte, e *Example) []byte {
	for _, x := range []string{e.Text, e.Pair, e.Target} {
		b = append(binary.AppendUvarint(b, uint64(len(x))), x...)
	}
	b = binary.AppendVarint(b, int64(e.Label))
	if e.Score == nil {
		b = append(b, 0)
	} else {
		b, _ = binary.Append(append(b, 1), binary.LittleEndian, *e.Score)
	}
	count := func(isNil bool, n int) { // 0 is nil, to be told from an empty list
		if isNil {
			n = -1
		}
		b = binary.AppendUvarint(b, uint64(n+1))
	}
	span := func(x Span) { b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(x.Start)), uint64(x.End)) }
	count(e.Sentences == nil, len(e.Sentences))
	for _, x := range e.Sentences {
		span(x)
	}
	count(e.Words == nil, len(e.Words))
	for _, w := range e.Words {
		span(w.Span)
		b = binary.AppendUvarint(binary.AppendUvarint(b, s.tag(w.POS)), s.tag(w.Entity))
	}
	b = binary.AppendUvarint(binary.AppendUvarint(b, s.tag(e.Origin.File)), uint64(e.Origin.N)<<2|uint64(e.Origin.Unit))
	if e.Tokens == nil {
		return append(b, 0)
	}
	return s.encodeTokens(append(b, 1), e.Tokens)
}

func (s *spool) encodeTokens(b []byte, t *Tokens) []byte {
	b = binary.AppendUvarint(b, uint64(len(t.IDs)))
	for _, id := range t.IDs {
		b = binary.AppendUvarint(b, uint64(id))
	}
	b = append(binary.AppendUvarint(b, uint64(len(t.Types))), t.Types...)
	b = binary.AppendUvarint(b, uint64(len(t.Tags)))
	for _, tag := range t.Tags {
		b = binary.AppendUvarint(b, s.tag(tag))
	}
	return b
}

func (s *spool) tag(name string) uint64 {
	id, ok := s.ids[name]
	if !ok {
		id = len(s.names)
		s.ids[name], s.names = id, append(s.names, name)
	}
	return uint64(id)
}

var errSpool = errors.New("corpus: the temporary file was changed by another program")

func (c *spooled) decode(b []byte) (e Example, err error) {
	number := func() int {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > 1<<40 {
			err, b = errSpool, nil
			return 0
		}
		b = b[n:]
		return int(v)
	}
	for _, to := range []*string{&e.Text, &e.Pair, &e.Target} {
		n := number()
		if n > len(b) {
			return e, errSpool
		}
		*to, b = string(b[:n]), b[n:]
	}
	label, n := binary.Varint(b)
	if n <= 0 || len(b) < n+1 || label >= int64(len(c.to)) {
		return e, errSpool
	}
	e.Label = -1
	if label >= 0 {
		e.Label = c.to[label]
	}
	scored := b[n] == 1
	b = b[n+1:]
	if scored {
		e.Score = new(float64)
		n, bad := binary.Decode(b, binary.LittleEndian, e.Score)
		if bad != nil {
			return e, errSpool
		}
		b = b[n:]
	}
	if n := number() - 1; n >= 0 && n <= len(b) {
		e.Sentences = make([]Span, n)
		for i := range e.Sentences {
			e.Sentences[i] = Span{Start: number(), End: number()}
		}
	}
	if n := number() - 1; n >= 0 && n <= len(b) {
		e.Words = make([]Word, n)
		for i := range e.Words {
			w := Word{Span: Span{Start: number(), End: number()}}
			pos, ent := number(), number()
			if pos >= len(c.names) || ent >= len(c.names) {
				return e, errSpool
			}
			w.POS, w.Entity = c.names[pos], c.names[ent]
			e.Words[i] = w
		}
	}
	file, at := number(), number()
	if err == nil && file >= len(c.names) {
		return e, errSpool
	}
	if err == nil {
		e.Origin = Origin{c.names[file], int32(at >> 2), Unit(at & 3)}
	}
	if number() == 1 {
		if e.Tokens = c.decodeTokens(number, func(n int) (part []byte) { part, b = b[:n], b[n:]; return part }, func() int { return len(b) }); e.Tokens == nil {
			return e, errSpool
		}
	}
	return e, err
}

// decodeTokens reads what encodeTokens wrote: number gives the next number, take
// so many bytes of the left ones. Nil is damage.
func (c *spooled) decodeTokens(number func() int, take func(n int) []byte, left func() int) *Tokens {
	t := &Tokens{}
	n := number()
	if n > left() {
		return nil
	}
	t.IDs = make([]int32, n)
	for i := range t.IDs {
		t.IDs[i] = int32(number())
	}
	if n = number(); n > left() {
		return nil
	}
	if n > 0 {
		t.Types = slices.Clone(take(n))
	}
	if n = number(); n > left() {
		return nil
	}
	if n > 0 {
		t.Tags = make([]string, n)
	}
	for i := range t.Tags {
		tag := number()
		if tag >= len(c.names) {
			return nil
		}
		t.Tags[i] = c.names[tag]
	}
	return t
}
