package corpus

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/litekit/lite/internal/ordered"
)

// WriteJSONL writes a corpus in the annotated format, one object on each line:
// spaCy's doc.to_json() (text, ents, sents, tokens; offsets in characters) with
// "pair" and "label". Reading it back gives the same examples; give the reader
// c.Labels() where the order of the classes is not the sorted one.
func WriteJSONL(w io.Writer, c Corpus) error {
	b := bufio.NewWriter(w)
	labels := c.Labels()
	for i := range c.Len() {
		e, err := c.At(i)
		if err != nil {
			return err
		}
		if e.Target == "" && e.Label >= 0 && e.Label < len(labels) {
			e.Target = labels[e.Label]
		}
		o, err := e.object()
		if err != nil {
			return fmt.Errorf("corpus: %s: %w", e.Where(i), err)
		}
		b.Write(o)
		b.WriteByte('\n')
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("corpus: writing examples: %w", err)
	}
	return nil
}

func (e *Example) object() (ordered.Raw, error) {
	if !utf8.ValidString(e.Text) || !utf8.ValidString(e.Pair) || !utf8.ValidString(e.Target) {
		return nil, fmt.Errorf("text %.40q is not UTF-8 and cannot be written as JSON", e.Text)
	}
	if e.Tokens != nil {
		return e.idsObject()
	}
	fields := []ordered.Field{ordered.Pair("text", e.Text)}
	if e.Pair != "" {
		fields = append(fields, ordered.Pair("pair", e.Pair))
	}
	if e.Target != "" {
		fields = append(fields, ordered.Pair("label", e.Target))
	}
	if e.Score != nil {
		fields = append(fields, ordered.Pair("score", *e.Score))
	}
	if e.Words == nil && e.Sentences == nil {
		return ordered.Object(fields...), nil
	}
	chars := make([]int32, len(e.Text)+1) // byte offset → character; −1 inside one
	for i := range chars {
		chars[i] = -1
	}
	for k, at := range offsets(e.Text) {
		chars[at] = int32(k)
	}
	span := func(what string, i int, s Span, after int) (a, b ordered.Field, err error) {
		if s.Start < after || s.End < s.Start || s.End > len(e.Text) || chars[s.Start] < 0 || chars[s.End] < 0 {
			return a, b, fmt.Errorf("%s %d: span [%d,%d) is out of order, outside the text of %d bytes or inside a character", what, i, s.Start, s.End, len(e.Text))
		}
		return ordered.Pair("start", chars[s.Start]), ordered.Pair("end", chars[s.End]), nil
	}
	ents, rest, known := entities(e.Words)
	if known {
		var items []ordered.Raw
		for i, x := range ents {
			a, b, err := span("entity", i, x.Span, 0)
			if err != nil {
				return nil, err
			}
			items = append(items, ordered.Object(a, b, ordered.Pair("label", x.Entity)))
		}
		fields = append(fields, ordered.Pair("ents", ordered.List(items...)))
	}
	if e.Sentences != nil {
		var items []ordered.Raw
		after := 0
		for i, s := range e.Sentences {
			a, b, err := span("sentence", i, s, after)
			if err != nil {
				return nil, err
			}
			items, after = append(items, ordered.Object(a, b)), s.End
		}
		fields = append(fields, ordered.Pair("sents", ordered.List(items...)))
	}
	if e.Words != nil {
		var items []ordered.Raw
		after := 0
		for i, w := range e.Words {
			a, b, err := span("word", i, w.Span, after)
			if err != nil {
				return nil, err
			}
			item := []ordered.Field{ordered.Pair("id", i), a, b}
			if w.POS != "" {
				item = append(item, ordered.Pair("pos", w.POS))
			}
			if rest[i] {
				item = append(item, ordered.Pair("ner", w.Entity))
			}
			items, after = append(items, ordered.Object(item...)), w.End
		}
		fields = append(fields, ordered.Pair("tokens", ordered.List(items...)))
	}
	return ordered.Object(fields...), nil
}

// entities finds the entity spans of BIO tags, and the words whose tag does not
// follow from them. known tells whether any word has a tag.
func entities(words []Word) (ents []Word, rest []bool, known bool) {
	kind := ""
	for _, w := range words {
		known = known || w.Entity != ""
		k, ok := entityType(w.Entity)
		switch {
		case ok && w.Len() > 0 && w.Entity[0] == 'B':
			ents = append(ents, Word{Span: w.Span, Entity: k})
		case ok && w.Len() > 0 && k == kind:
			ents[len(ents)-1].End = w.End
		default:
			k = ""
		}
		kind = k
	}
	decoded := slices.Clone(words)
	for i := range decoded {
		decoded[i].Entity = ""
		if known {
			decoded[i].Entity = "O"
		}
	}
	for _, x := range ents {
		tagEntity(decoded, x.Span, x.Entity)
	}
	rest = make([]bool, len(words))
	for i := range words {
		rest[i] = decoded[i].Entity != words[i].Entity
	}
	return ents, rest, known
}
