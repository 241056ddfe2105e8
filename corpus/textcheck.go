package corpus

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// maxLine bounds one line, and one quoted record of a csv: a binary file, or a
// quote that is never closed, must not fill the memory.
const maxLine = 64 << 20

// textReader reads lines of UTF-8 text, one at a time.
type textReader struct {
	name  string
	r     *bufio.Reader
	bad   func(error) error // nil for a line that is to be skipped
	n     int               // number of the last line
	seen  bool              // a line that is not blank was read
	err   error             // why the lines ended before the end of the text
	buf   []byte
	rest  []byte // of Read
	taken int    // bytes given out by Read since the last record
}

// lines iterates over the lines without their ends, numbered from 1. Where it
// stops early, err tells why.
func (t *textReader) lines() func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		for t.next() {
			if t.buf != nil && !yield(t.n, string(t.buf)) {
				return
			}
		}
	}
}

// next reads a line into buf; nil for one that is skipped.
func (t *textReader) next() bool {
	if t.err != nil {
		return false
	}
	if t.n == 0 {
		if t.err = t.mark(); t.err != nil {
			return false
		}
	}
	t.n++
	t.buf = t.buf[:0]
	for {
		part, err := t.r.ReadSlice('\n')
		t.buf = append(t.buf, part...)
		if len(t.buf) > maxLine {
			t.err = fmt.Errorf("corpus: %s: line %d is longer than %d MB; check the format, or break the line", t.name, t.n, maxLine>>20)
			return false
		}
		if err == nil || errors.Is(err, io.EOF) && len(t.buf) > 0 {
			break
		}
		if errors.Is(err, io.EOF) {
			return false
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			t.err = fmt.Errorf("corpus: %s: line %d: %w; the file is damaged or cut short", t.name, t.n, err)
			return false
		}
	}
	t.buf = bytes.TrimSuffix(bytes.TrimSuffix(t.buf, []byte{'\n'}), []byte{'\r'})
	if t.buf == nil {
		t.buf = []byte{}
	}
	t.seen = t.seen || len(bytes.TrimSpace(t.buf)) > 0
	if err := t.check(); err != nil {
		t.err, t.buf = t.bad(err), nil
		return t.err == nil
	}
	return true
}

// Read gives the checked lines as bytes; a skipped one is empty.
func (t *textReader) Read(p []byte) (int, error) {
	for len(t.rest) == 0 {
		if t.taken > maxLine {
			t.err = fmt.Errorf("corpus: %s: line %d: one record is longer than %d MB; a quote is not closed", t.name, t.n, maxLine>>20)
		}
		if !t.next() {
			if t.err != nil {
				return 0, t.err
			}
			return 0, io.EOF
		}
		t.rest = append(append(t.rest[:0], t.buf...), '\n')
	}
	n := copy(p, t.rest)
	t.rest = t.rest[n:]
	t.taken += n
	return n, nil
}

// mark takes a byte order mark off, and refuses those of UTF-16.
func (t *textReader) mark() error {
	head, _ := t.r.Peek(512)
	refuse := func(byteAt int, how, encoding string) error {
		return fmt.Errorf("corpus: %s: line 1, byte %d: %s; convert it: iconv -f %s -t UTF-8", t.name, byteAt, how, encoding)
	}
	switch {
	case bytes.HasPrefix(head, []byte{0xff, 0xfe, 0, 0}):
		return refuse(1, "the file is UTF-32 (little endian)", "UTF-32")
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}):
		return refuse(1, "the file is UTF-16 (little endian)", "UTF-16")
	case bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		return refuse(1, "the file is UTF-16 (big endian)", "UTF-16")
	case bytes.HasPrefix(head, []byte("\ufeff")):
		_, err := t.r.Discard(3)
		return err
	}
	if encoding := looksUTF16(head); encoding != "" {
		return refuse(bytes.IndexByte(head, 0)+1, "every other byte is zero, so the file is "+encoding+" without a mark", encoding)
	}
	return nil
}

// check refuses a line that is not UTF-8, naming the place and the likely
// encoding.
func (t *textReader) check() error {
	if utf8.Valid(t.buf) && bytes.IndexByte(t.buf, 0) < 0 {
		return nil
	}
	for i := 0; i < len(t.buf); {
		if t.buf[i] == 0 {
			return fmt.Errorf("corpus: %s: line %d, byte %d: NUL byte; this is not a text file, or it is damaged; remove it: tr -d '\\000'", t.name, t.n, i+1)
		}
		r, w := utf8.DecodeRune(t.buf[i:])
		if r == utf8.RuneError && w == 1 {
			hint := "Latin-1 or another encoding; convert it: iconv -f LATIN1 -t UTF-8"
			more, _ := t.r.Peek(min(t.r.Buffered(), 4096))
			if looksGBK(slicesJoin(t.buf[i:], more)) {
				hint = "probably GBK (GB18030); convert it: iconv -f GB18030 -t UTF-8"
			}
			return fmt.Errorf("corpus: %s: line %d, byte %d: 0x%02x is not UTF-8: %s", t.name, t.n, i+1, t.buf[i], hint)
		}
		i += w
	}
	return nil
}

// slicesJoin puts the rest of a line and what follows it together.
func slicesJoin(line, more []byte) []byte {
	return append(append(bytes.Clone(line), '\n'), more...)
}

// looksUTF16 recognises UTF-16 of mostly Latin text without a byte order mark.
func looksUTF16(data []byte) string {
	n := min(len(data), 512) &^ 1
	if n < 4 {
		return ""
	}
	var zero [2]int
	for i, c := range data[:n] {
		if c == 0 {
			zero[i&1]++
		}
	}
	switch {
	case zero[1] > n/4 && zero[0] == 0:
		return "UTF-16LE"
	case zero[0] > n/4 && zero[1] == 0:
		return "UTF-16BE"
	}
	return ""
}

// looksGBK tells whether the bytes above ASCII come in GBK pairs.
func looksGBK(data []byte) bool {
	pairs := 0
	for i := 0; i < len(data) && i < 4096; {
		c := data[i]
		if c < 0x80 {
			i++
			continue
		}
		if i+1 >= len(data) {
			break
		}
		d := data[i+1]
		if c == 0x80 || c == 0xff || d < 0x40 || d == 0x7f || d == 0xff {
			return false
		}
		pairs++
		i += 2
	}
	return pairs > 1
}
