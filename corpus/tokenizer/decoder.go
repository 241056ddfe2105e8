package tokenizer

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// decoder turns tokens back into pieces of text, which are then joined.
type decoder func(tokens []string) []string

// Decode returns the text of token ids as the tokenizer's decoder puts it
// together; without one, the tokens with spaces between. skipSpecial leaves
// special tokens out. Ids outside the vocabulary are left out.
func (t *Tokenizer) Decode(ids []int64, skipSpecial bool) string {
	var tokens []string
	for _, id := range ids {
		if s := t.Token(id); s != "" && !(skipSpecial && t.addedSpecial[int32(id)]) {
			tokens = append(tokens, s)
		}
	}
	if t.decoder == nil {
		return strings.Join(tokens, " ")
	}
	return strings.Join(t.decoder(tokens), "")
}

// decoderJSON has the members of all decoders.
type decoderJSON struct {
	Type    string            `json:"type"`
	List    []json.RawMessage `json:"decoders"`
	Prefix  *string           `json:"prefix"`
	Cleanup *bool             `json:"cleanup"`
	Suffix  *string           `json:"suffix"`
	Mark    *string           `json:"replacement"`
	Scheme  *string           `json:"prepend_scheme"`
	Space   *bool             `json:"add_prefix_space"`
	Content string            `json:"content"`
	Start   int               `json:"start"`
	Stop    int               `json:"stop"`
	Pattern json.RawMessage   `json:"pattern"`
	Pad     *string           `json:"pad_token"`
	Word    *string           `json:"word_delimiter_token"`
}

// readDecoder reads the decoder of tokenizer.json; nil for none.
func readDecoder(m json.RawMessage, path string, depth int) (decoder, error) {
	var j decoderJSON
	if err := decode(m, path, &j); err != nil {
		return nil, err
	}
	text := func(s *string, usual string) string {
		if s == nil {
			return usual
		}
		return *s
	}
	switch j.Type {
	case "":
		return nil, nil
	case "Sequence":
		all, err := readSequence(j.List, path, "decoders", depth, readDecoder)
		if err != nil {
			return nil, err
		}
		return func(tokens []string) []string {
			for _, d := range all {
				if d != nil {
					tokens = d(tokens)
				}
			}
			return tokens
		}, nil
	case "WordPiece":
		return wordPieceDecoder(text(j.Prefix, "##"), on(j.Cleanup, true)), nil
	case "ByteLevel":
		return byteLevelDecoder, nil
	case "Metaspace":
		keep := j.Scheme != nil && *j.Scheme == "never" || j.Scheme == nil && j.Space != nil && !*j.Space
		return metaspaceDecoder(text(j.Mark, "▁"), keep), nil
	case "BPEDecoder":
		return bpeDecoder(text(j.Suffix, "</w>")), nil
	case "ByteFallback":
		return byteFallbackDecoder, nil
	case "Fuse":
		return func(tokens []string) []string { return []string{strings.Join(tokens, "")} }, nil
	case "Strip":
		return each(func(s string) string {
			for range j.Start {
				s = strings.TrimPrefix(s, j.Content)
			}
			for range j.Stop {
				s = strings.TrimSuffix(s, j.Content)
			}
			return s
		}), checkStrip(path, j.Content, j.Start, j.Stop)
	case "Replace":
		p, err := readPattern(j.Pattern, path+".pattern")
		return each(func(s string) string { return replaceAll(s, p, j.Content) }), err
	case "CTC":
		return ctcDecoder(text(j.Pad, "<pad>"), text(j.Word, "|"), on(j.Cleanup, true)), nil
	}
	return nil, unsupported(path, "decoder", j.Type)
}

func checkStrip(path, content string, start, stop int) error {
	if utf8.RuneCountInString(content) != 1 || start < 0 || stop < 0 || start > 1<<10 || stop > 1<<10 {
		return fmt.Errorf("tokenizer: tokenizer.json: %s: Strip needs one character and counts from 0 to %d", path, 1<<10)
	}
	return nil
}

func each(f func(string) string) decoder {
	return func(tokens []string) []string {
		out := make([]string, len(tokens))
		for i, s := range tokens {
			out[i] = f(s)
		}
		return out
	}
}

func replaceAll(s string, p pattern, content string) string {
	var out strings.Builder
	last := 0
	eachMatch(p, []byte(s), func(lo, hi int) {
		out.WriteString(s[last:lo])
		out.WriteString(content)
		last = hi
	})
	out.WriteString(s[last:])
	return out.String()
}

// cleanup takes the spaces of English tokenization away.
func cleanup(s string) string {
	for _, r := range [][2]string{
		{" .", "."}, {" ?", "?"}, {" !", "!"}, {" ,", ","}, {" ' ", "'"}, {" n't", "n't"}, {" 'm", "'m"},
		{" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
	} {
		s = strings.ReplaceAll(s, r[0], r[1])
	}
	return s
}

func wordPieceDecoder(prefix string, clean bool) decoder {
	return func(tokens []string) []string {
		out := make([]string, len(tokens))
		for i, s := range tokens {
			if i > 0 {
				if rest, ok := strings.CutPrefix(s, prefix); ok {
					s = rest
				} else {
					s = " " + s
				}
			}
			if clean {
				s = cleanup(s)
			}
			out[i] = s
		}
		return out
	}
}

func byteLevelDecoder(tokens []string) []string {
	var b []byte
	for _, s := range tokens {
		if raw, ok := rawBytes(s); ok {
			b = append(b, raw...)
		} else {
			b = append(b, s...)
		}
	}
	return []string{lossy(b)}
}

// lossy puts U+FFFD for every longest part of b that begins a character and
// does not end it, and for every byte that begins none.
func lossy(b []byte) string {
	var out strings.Builder
	for len(b) > 0 {
		r, w := utf8.DecodeRune(b)
		if r == utf8.RuneError && w == 1 {
			w = max(partial(b), 1)
		}
		out.WriteRune(r)
		b = b[w:]
	}
	return out.String()
}

// partial is the length of the part of a character that b begins with.
func partial(b []byte) int {
	lo, hi, need := byte(0x80), byte(0xBF), 0
	switch c := b[0]; {
	case c >= 0xC2 && c <= 0xDF:
		need = 1
	case c >= 0xE0 && c <= 0xEF:
		need = 2
		if c == 0xE0 {
			lo = 0xA0
		} else if c == 0xED {
			hi = 0x9F
		}
	case c >= 0xF0 && c <= 0xF4:
		need = 3
		if c == 0xF0 {
			lo = 0x90
		} else if c == 0xF4 {
			hi = 0x8F
		}
	}
	n := 1
	for ; n <= need && n < len(b) && b[n] >= lo && b[n] <= hi; n++ {
		lo, hi = 0x80, 0xBF
	}
	return n
}

func metaspaceDecoder(mark string, keep bool) decoder {
	return func(tokens []string) []string {
		out := make([]string, len(tokens))
		for i, s := range tokens {
			if i == 0 && !keep { // a mark within the first token is one that was put there
				s = strings.ReplaceAll(s, mark, "")
			}
			out[i] = strings.ReplaceAll(s, mark, " ")
		}
		return out
	}
}

func bpeDecoder(suffix string) decoder {
	return func(tokens []string) []string {
		out := make([]string, len(tokens))
		for i, s := range tokens {
			space := " "
			if i == len(tokens)-1 {
				space = ""
			}
			out[i] = strings.ReplaceAll(s, suffix, space)
		}
		return out
	}
}

func byteFallbackDecoder(tokens []string) []string {
	var out []string
	var b []byte
	flush := func() {
		switch {
		case len(b) == 0:
		case utf8.Valid(b):
			out = append(out, string(b))
		default:
			for range b {
				out = append(out, "\uFFFD")
			}
		}
		b = b[:0]
	}
	for _, s := range tokens {
		if len(s) == 6 && strings.HasPrefix(s, "<0x") && s[5] == '>' {
			if v, err := strconv.ParseUint(s[3:5], 16, 8); err == nil {
				b = append(b, byte(v))
				continue
			}
		}
		flush()
		out = append(out, s)
	}
	flush()
	return out
}

func ctcDecoder(pad, word string, clean bool) decoder {
	return func(tokens []string) []string {
		var out []string
		for i, s := range tokens {
			if i > 0 && s == tokens[i-1] {
				continue
			}
			s = strings.ReplaceAll(s, pad, "")
			if clean {
				s = strings.ReplaceAll(cleanup(s), word, " ")
			}
			if s != "" {
				out = append(out, s)
			}
		}
		return out
	}
}
