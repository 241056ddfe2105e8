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

// object is the example as one line has it.
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
	more, err := e.annotationFields()
	return ordered.Object(append(fields, more...)...), err
}

// annotationFields are the members of spaCy's doc.to_json().
func (e *Example) annotationFields() (fields []ordered.Field, err error) {
	if e.Words == nil && e.Sentences == nil {
		return nil, nil
	}
	chars := charactersOf(e.Text)
	ents, rest, known := entities(e.Words)
	if known {
		items := make([]ordered.Raw, len(ents))
		for i, x := range ents {
			a, b, err := chars.span("entity", i, x.Span, 0)
			if err != nil {
				return nil, err
			}
			items[i] = ordered.Object(a, b, ordered.Pair("label", x.Entity))
		}
		fields = append(fields, ordered.Pair("ents", ordered.List(items...)))
	}
	if e.Sentences != nil {
		items, after := make([]ordered.Raw, len(e.Sentences)), 0
		for i, s := range e.Sentences {
			a, b, err := chars.span("sentence", i, s, after)
			if err != nil {
				return nil, err
			}
			items[i], after = ordered.Object(a, b), s.End
		}
		fields = append(fields, ordered.Pair("sents", ordered.List(items...)))
	}
	if e.Words != nil {
		items, after := make([]ordered.Raw, len(e.Words)), 0
		for i, w := range e.Words {
			a, b, err := chars.span("word", i, w.Span, after)
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
			items[i], after = ordered.Object(item...), w.End
		}
		fields = append(fields, ordered.Pair("tokens", ordered.List(items...)))
	}
	return fields, nil
}

// characters are the number of the character at each byte offset of a text, −1
// inside one.
type characters []int32

func charactersOf(text string) characters {
	out := make(characters, len(text)+1)
	for i := range out {
		out[i] = -1
	}
	for k, at := range offsets(text) {
		out[at] = int32(k)
	}
	return out
}

// span writes a span in characters; it must not begin before the byte after.
func (c characters) span(what string, i int, s Span, after int) (start, end ordered.Field, err error) {
	if s.Start < after || s.End < s.Start || s.End >= len(c) || c[s.Start] < 0 || c[s.End] < 0 {
		return start, end, fmt.Errorf("%s %d: span [%d,%d) is out of order, outside the text of %d bytes or inside a character", what, i, s.Start, s.End, len(c)-1)
	}
	return ordered.Pair("start", c[s.Start]), ordered.Pair("end", c[s.End]), nil
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
