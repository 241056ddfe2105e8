package corpus

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// checkText refuses what is not UTF-8 text, naming the place and the likely
// encoding. name is the file.
func checkText(name string, data []byte) error {
	switch {
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}), bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		return fmt.Errorf("corpus: %s: line 1, byte 1: the file is UTF-16; convert it: iconv -f UTF-16 -t UTF-8", name)
	case looksUTF16(data):
		return fmt.Errorf("corpus: %s: line 1: every other byte is zero, so the file is UTF-16 without a mark; convert it: iconv -f UTF-16LE -t UTF-8", name)
	}
	line, start := 1, 0
	for i := 0; i < len(data); {
		c := data[i]
		switch {
		case c == '\n':
			line++
			start = i + 1
			i++
			continue
		case c == 0:
			return fmt.Errorf("corpus: %s: line %d, byte %d: NUL byte; this is not a text file, or it is damaged", name, line, i-start+1)
		case c < utf8.RuneSelf:
			i++
			continue
		}
		r, w := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && w == 1 {
			hint := "Latin-1 or another encoding; convert it: iconv -f LATIN1 -t UTF-8"
			if looksGBK(data[i:]) {
				hint = "probably GBK (GB18030); convert it: iconv -f GB18030 -t UTF-8"
			}
			return fmt.Errorf("corpus: %s: line %d, byte %d: 0x%02x is not UTF-8: %s", name, line, i-start+1, c, hint)
		}
		i += w
	}
	return nil
}

// looksUTF16 recognises UTF-16 of mostly Latin text without a byte order mark.
func looksUTF16(data []byte) bool {
	n := min(len(data), 512) &^ 1
	if n < 4 {
		return false
	}
	var zero [2]int
	for i, c := range data[:n] {
		if c == 0 {
			zero[i&1]++
		}
	}
	return zero[0] > n/4 && zero[1] == 0 || zero[1] > n/4 && zero[0] == 0
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
