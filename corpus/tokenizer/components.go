package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode"
	"unicode/utf8"
)

// Bounds of how deep components are nested, and of how many stand in a list.
const (
	maxDepth      = 16
	maxComponents = 256
)

// readSequence reads the components of a Sequence, which stand in the member of
// that name.
func readSequence[T any](list []json.RawMessage, path, member string, depth int, read func(m json.RawMessage, path string, depth int) (T, error)) ([]T, error) {
	if depth > maxDepth || len(list) > maxComponents {
		return nil, fmt.Errorf("tokenizer: tokenizer.json: %s: too many %s", path, member)
	}
	all := make([]T, len(list))
	for i, x := range list {
		var err error
		if all[i], err = read(x, fmt.Sprintf("%s.%s[%d]", path, member, i), depth+1); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// decode reads a component; an absent one leaves to as it is.
func decode(m json.RawMessage, path string, to any) error {
	if len(m) == 0 {
		return nil
	}
	if err := json.Unmarshal(m, to); err != nil {
		return fmt.Errorf("tokenizer: tokenizer.json: %s: %w", path, err)
	}
	return nil
}

func unsupported(path, what, name string) error {
	return fmt.Errorf("tokenizer: tokenizer.json: %s: the %s %q is not known", path, what, name)
}

// on is a flag that may be absent.
func on(b *bool, usual bool) bool {
	if b == nil {
		return usual
	}
	return *b
}

// readPattern reads {"String": …} or {"Regex": …}.
func readPattern(m json.RawMessage, path string) (pattern, error) {
	var j struct {
		String *string
		Regex  *string
	}
	if err := decode(m, path, &j); err != nil {
		return nil, err
	}
	switch {
	case j.String != nil:
		return literal(*j.String), nil
	case j.Regex != nil:
		if *j.Regex == gpt2Pattern {
			return gpt2{}, nil
		}
		re, err := CompileRegexp(*j.Regex)
		if err != nil {
			return nil, fmt.Errorf("tokenizer: tokenizer.json: %s: %w", path, err)
		}
		return re, nil
	}
	return nil, fmt.Errorf(`tokenizer: tokenizer.json: %s: a pattern is {"String": …} or {"Regex": …}`, path)
}

// gpt2Pattern is the pattern that [gpt2Word] is written for.
const gpt2Pattern = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

type gpt2 struct{}

func (gpt2) find(b []byte, from int) (lo, hi int) {
	if from >= len(b) {
		return -1, -1
	}
	return from, gpt2Word(b, from)
}

// normalizerJSON has the members of all normalizers.
type normalizerJSON struct {
	Type     string            `json:"type"`
	List     []json.RawMessage `json:"normalizers"`
	Clean    *bool             `json:"clean_text"`
	Chinese  *bool             `json:"handle_chinese_chars"`
	Accents  *bool             `json:"strip_accents"`
	Lower    *bool             `json:"lowercase"`
	Left     *bool             `json:"strip_left"`
	Right    *bool             `json:"strip_right"`
	Pattern  json.RawMessage   `json:"pattern"`
	Content  string            `json:"content"`
	Prepend  string            `json:"prepend"`
	Charsmap *string           `json:"precompiled_charsmap"`
}

// readNormalizer reads the normalizer of tokenizer.json.
func readNormalizer(m json.RawMessage, path string, depth int) (normalizers, error) {
	var j normalizerJSON
	if err := decode(m, path, &j); err != nil {
		return nil, err
	}
	if f, ok := forms[j.Type]; ok {
		return normalizers{f}, nil
	}
	switch j.Type {
	case "":
		return nil, nil
	case "Sequence":
		all, err := readSequence(j.List, path, "normalizers", depth, readNormalizer)
		return slices.Concat(all...), err
	case "BertNormalizer":
		n := bertNormalizer{clean: on(j.Clean, true), chinese: on(j.Chinese, true), lower: on(j.Lower, true)}
		n.strip = on(j.Accents, n.lower)
		return normalizers{n}, nil
	case "Lowercase":
		return normalizers{lowercase{}}, nil
	case "StripAccents":
		return normalizers{eachRune(stripAccents)}, nil
	case "Nmt":
		return normalizers{eachRune(nmt)}, nil
	case "ByteLevel":
		return normalizers{byteLevelNormalizer{}}, nil
	case "Strip":
		return normalizers{strip{on(j.Left, true), on(j.Right, true)}}, nil
	case "Prepend":
		return normalizers{prepend(j.Prepend)}, nil
	case "Replace":
		p, err := readPattern(j.Pattern, path+".pattern")
		return normalizers{replace{p, j.Content}}, err
	case "Precompiled":
		if j.Charsmap == nil {
			return nil, nil
		}
		p, err := decodeCharsmap(*j.Charsmap)
		if err != nil {
			return nil, fmt.Errorf("tokenizer: tokenizer.json: %s: %w", path, err)
		}
		return normalizers{p}, nil
	}
	return nil, unsupported(path, "normalizer", j.Type)
}

// preTokenizerJSON has the members of all pre-tokenizers.
type preTokenizerJSON struct {
	Type       string            `json:"type"`
	List       []json.RawMessage `json:"pretokenizers"`
	Space      *bool             `json:"add_prefix_space"`
	Regex      *bool             `json:"use_regex"`
	Mark       *string           `json:"replacement"`
	Scheme     *string           `json:"prepend_scheme"`
	Split      *bool             `json:"split"`
	Behaviour  string            `json:"behavior"`
	Individual bool              `json:"individual_digits"`
	Pattern    json.RawMessage   `json:"pattern"`
	Invert     bool              `json:"invert"`
	Delimiter  string            `json:"delimiter"`
	Length     int               `json:"length"`
}

// how reads the behaviour of a splitter.
func (j *preTokenizerJSON) how(path string, usual behaviour) (behaviour, error) {
	if j.Behaviour == "" {
		return usual, nil
	}
	h, ok := behaviours[j.Behaviour]
	if !ok {
		return 0, unsupported(path, "behavior", j.Behaviour)
	}
	return h, nil
}

// readPreTokenizer reads the pre-tokenizer of tokenizer.json.
func readPreTokenizer(m json.RawMessage, path string, depth int) (preTokenizers, error) {
	var j preTokenizerJSON
	if err := decode(m, path, &j); err != nil {
		return nil, err
	}
	switch j.Type {
	case "":
		return nil, nil
	case "Sequence":
		all, err := readSequence(j.List, path, "pretokenizers", depth, readPreTokenizer)
		return slices.Concat(all...), err
	case "BertPreTokenizer":
		return preTokenizers{bertPreTokenizer{}}, nil
	case "ByteLevel":
		return preTokenizers{byteLevel{prefixSpace: on(j.Space, true), cuts: on(j.Regex, true)}}, nil
	case "Whitespace":
		return preTokenizers{whitespace{}}, nil
	case "WhitespaceSplit":
		return preTokenizers{whitespaceSplit}, nil
	case "UnicodeScripts":
		return preTokenizers{scripts{}}, nil
	case "Punctuation":
		h, err := j.how(path, isolated)
		return preTokenizers{splitter{pattern: class(IsPunct), how: h}}, err
	case "Digits":
		h := contiguous
		if j.Individual {
			h = isolated
		}
		return preTokenizers{splitter{pattern: class(isNumeric), how: h}}, nil
	case "CharDelimiterSplit":
		if utf8.RuneCountInString(j.Delimiter) != 1 {
			return nil, fmt.Errorf("tokenizer: tokenizer.json: %s: the delimiter %q is not one character", path, j.Delimiter)
		}
		return preTokenizers{splitter{pattern: literal(j.Delimiter), how: removed}}, nil
	case "Split":
		p, err := readPattern(j.Pattern, path+".pattern")
		if err != nil {
			return nil, err
		}
		h, err := j.how(path, removed)
		if err == nil && j.Behaviour == "" {
			err = errors.New("tokenizer: tokenizer.json: " + path + `: Split needs a "behavior"`)
		}
		return preTokenizers{splitter{p, h, j.Invert}}, err
	case "FixedLength":
		if j.Length < 1 {
			return nil, fmt.Errorf("tokenizer: tokenizer.json: %s: length is %d; it must be positive", path, j.Length)
		}
		return preTokenizers{fixedLength(j.Length)}, nil
	case "Metaspace":
		return readMetaspace(path, j.Mark, j.Scheme, j.Space, j.Split)
	}
	return nil, unsupported(path, "pre-tokenizer", j.Type)
}

func readMetaspace(path string, mark, scheme *string, space, split *bool) (preTokenizers, error) {
	m := metaspace{mark: "▁", cuts: on(split, true)}
	if mark != nil {
		if m.mark = *mark; utf8.RuneCountInString(m.mark) != 1 {
			return nil, fmt.Errorf("tokenizer: tokenizer.json: %s: the replacement %q is not one character", path, m.mark)
		}
	}
	switch {
	case scheme == nil:
		m.always = on(space, true)
	case *scheme == "always":
		m.always = true
	case *scheme == "first":
		m.first = true
	case *scheme != "never":
		return nil, unsupported(path, "prepend_scheme", *scheme)
	}
	return preTokenizers{m}, nil
}

// fixedLength cuts into pieces of so many characters.
type fixedLength int

func (n fixedLength) split(p *pretext) {
	p.each(func(b []byte, emit func(lo, hi int)) {
		lo, k := 0, 0
		for i := 0; i < len(b); {
			_, w := utf8.DecodeRune(b[i:])
			i += w
			if k++; k == int(n) {
				emit(lo, i)
				lo, k = i, 0
			}
		}
		emit(lo, len(b))
	})
}

func firstWidth(s string) int {
	_, w := utf8.DecodeRuneInString(s)
	return w
}

func lastWidth(s string) int {
	_, w := utf8.DecodeLastRuneInString(s)
	return w
}

// foldsCase reports whether a normalizer lower-cases.
func (ns normalizers) foldsCase() bool {
	var t, tmp text
	t.load("A", 0, 1)
	ns.run(&t, &tmp)
	for _, r := range string(t.b) {
		if unicode.IsUpper(r) {
			return false
		}
	}
	return true
}
