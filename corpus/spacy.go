package corpus

import (
	"encoding/json"
	"fmt"
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/litekit/lite/corpus/tokenizer"
)

// docJSON is the annotated part of an object: spaCy's doc.to_json(), with
// offsets in characters. Tokens may carry "ner", a BIO tag, where "ents" cannot
// express the entities.
type docJSON struct {
	Ents []struct {
		Start int    `json:"start"`
		End   int    `json:"end"`
		Label string `json:"label"`
	} `json:"ents"`
	Sents []struct {
		Start int `json:"start"`
		End   int `json:"end"`
	} `json:"sents"`
	Tokens []struct {
		Start int     `json:"start"`
		End   int     `json:"end"`
		POS   string  `json:"pos"`
		NER   *string `json:"ner"`
	} `json:"tokens"`
}

// annotations fills Sentences and Words from spaCy's members.
func annotations(m map[string]json.RawMessage, e *Example) error {
	var d docJSON
	for _, f := range []struct {
		key string
		to  any
	}{{"ents", &d.Ents}, {"sents", &d.Sents}, {"tokens", &d.Tokens}} {
		if m[f.key] == nil || isStrings(m[f.key]) && f.key == "tokens" && string(m[f.key]) != "[]" {
			continue
		}
		if err := json.Unmarshal(m[f.key], f.to); err != nil {
			return fmt.Errorf("member %q: %w; it must be as spaCy's doc.to_json() writes it", f.key, err)
		}
	}
	if d.Ents == nil && d.Sents == nil && d.Tokens == nil {
		return nil
	}
	at := offsets(e.Text)
	if err := d.sentences(at, e); err != nil {
		return err
	}
	if err := d.words(at, e); err != nil {
		return err
	}
	if err := d.entities(at, e); err != nil {
		return err
	}
	for i, t := range d.Tokens {
		if t.NER != nil {
			e.Words[i].Entity = *t.NER
		}
	}
	return nil
}

// sentences fills Sentences.
func (d *docJSON) sentences(at []int, e *Example) (err error) {
	if d.Sents == nil {
		return nil
	}
	e.Sentences = make([]Span, len(d.Sents))
	after := 0
	for i, s := range d.Sents {
		if e.Sentences[i], err = byteSpan(at, "sents", i, s.Start, s.End, after); err != nil {
			return err
		}
		after = e.Sentences[i].End
	}
	return nil
}

// words fills Words with the tokens and their parts of speech.
func (d *docJSON) words(at []int, e *Example) (err error) {
	if d.Tokens == nil {
		return nil
	}
	e.Words = make([]Word, len(d.Tokens))
	after := 0
	for i, t := range d.Tokens {
		w := Word{POS: t.POS}
		if w.Span, err = byteSpan(at, "tokens", i, t.Start, t.End, after); err != nil {
			return err
		}
		after = w.End
		e.Words[i] = w
	}
	return nil
}

// entities gives the words the BIO tags of the entities. Where there are no
// tokens the words are those of [plainWords].
func (d *docJSON) entities(at []int, e *Example) error {
	if d.Ents == nil {
		return nil
	}
	if d.Tokens == nil {
		e.Words = plainWords(e.Text)
	}
	for i := range e.Words {
		e.Words[i].Entity = "O"
	}
	for i, x := range d.Ents {
		s, err := byteSpan(at, "ents", i, x.Start, x.End, 0)
		if err != nil {
			return err
		}
		if x.Label == "" {
			return fmt.Errorf("ents[%d] has no label", i)
		}
		tagEntity(e.Words, s, x.Label)
	}
	return nil
}

// byteSpan is the span in bytes of characters start to end, at being the offset
// of each character; it must not begin before the byte after.
func byteSpan(at []int, what string, i, start, end, after int) (Span, error) {
	if start < 0 || end < start || end >= len(at) {
		return Span{}, fmt.Errorf("%s[%d]: characters %d to %d are outside the text of %d characters", what, i, start, end, len(at)-1)
	}
	s := Span{Start: at[start], End: at[end]}
	if s.Start < after {
		return s, fmt.Errorf("%s[%d]: starts at character %d, before the one before it ends; sort them", what, i, start)
	}
	return s, nil
}

// tagEntity gives the words that a span touches the tags B-kind, I-kind …
func tagEntity(words []Word, s Span, kind string) {
	tag := "B-" + kind
	k, _ := slices.BinarySearchFunc(words, s.Start, func(w Word, at int) int { return w.End - at - 1 })
	for ; k < len(words) && words[k].Start < s.End; k++ {
		if words[k].Len() > 0 {
			words[k].Entity = tag
			tag = "I-" + kind
		}
	}
}

// offsets returns the byte offset of each character, and of the end.
func offsets(text string) []int {
	out := make([]int, 0, len(text)+1)
	for i := range text {
		out = append(out, i)
	}
	return append(out, len(text))
}

// plainWords splits text at white space, punctuation and Chinese characters.
func plainWords(text string) []Word {
	var out []Word
	start := -1
	flush := func(end int) {
		if start >= 0 {
			out = append(out, Word{Span: Span{Start: start, End: end}})
		}
		start = -1
	}
	for i, r := range text {
		switch {
		case unicode.IsSpace(r):
			flush(i)
		case tokenizer.IsPunct(r) || tokenizer.IsChinese(r):
			flush(i)
			start = i
			flush(i + utf8.RuneLen(r))
		case start < 0:
			start = i
		}
	}
	flush(len(text))
	return out
}
