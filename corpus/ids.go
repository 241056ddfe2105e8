package corpus

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/litekit/lite/corpus/tokenizer"
	"github.com/litekit/lite/internal/ordered"
)

// idsName is the member that holds token ids, as Hugging Face calls it.
const idsName = "input_ids"

// ignored is the label of a token that has none, as in PyTorch.
const ignored = -100

// errBlind is what is wrong with text where only ids can be read.
var errBlind = errors.New("it is text, and the model's tokenizer cannot be read; give token ids (input_ids), or a tokenizer that can be read")

// Tokenized reports whether a corpus holds token ids instead of text, by its
// first example.
func Tokenized(c Corpus) bool {
	if c == nil || c.Len() == 0 {
		return false
	}
	e, err := c.At(0)
	return err == nil && e.Tokens != nil
}

// fromIDs reads {"input_ids": [...]} with "token_type_ids", "attention_mask" (0
// is padding, which is left out) and "labels": one for the text, or one for each
// token.
func (l *loader) fromIDs(m map[string]json.RawMessage) (e Example, err error) {
	t := &Tokens{}
	if m[idsName] == nil {
		return e, fmt.Errorf("there is no member %q; the object has %q", idsName, keys(m))
	}
	if err := json.Unmarshal(m[idsName], &t.IDs); err != nil {
		return e, fmt.Errorf("member %q: %w; it must be an array of token ids", idsName, err)
	}
	for i, id := range t.IDs {
		if id < 0 || id > maxStoredID {
			return e, fmt.Errorf("member %q: id %d at %d; ids are from 0 to %d", idsName, id, i, maxStoredID)
		}
	}
	mask, err := bits(m, "attention_mask", len(t.IDs))
	if err != nil {
		return e, err
	}
	if t.Types, err = bits(m, "token_type_ids", len(t.IDs)); err != nil {
		return e, err
	}
	if err := l.idLabels(m, &e, t); err != nil {
		return e, err
	}
	if mask != nil {
		t.drop(mask)
	}
	if len(t.IDs) == 0 {
		return e, fmt.Errorf("member %q holds no token (what attention_mask leaves out does not count); remove the line", idsName)
	}
	e.Tokens = t
	return e, score(m, l.opts.Columns.Score, &e)
}

// bits reads an array of n numbers that are 0 or 1; nil where it is absent.
func bits(m map[string]json.RawMessage, key string, n int) ([]uint8, error) {
	if m[key] == nil || string(m[key]) == "null" {
		return nil, nil
	}
	var numbers []int
	if err := json.Unmarshal(m[key], &numbers); err != nil {
		return nil, fmt.Errorf("member %q: %w; it must be an array of 0 and 1", key, err)
	}
	if len(numbers) != n {
		return nil, fmt.Errorf("member %q has %d numbers for %d ids; there must be one for each", key, len(numbers), n)
	}
	out := make([]uint8, n)
	for i, x := range numbers {
		if x != 0 && x != 1 {
			return nil, fmt.Errorf("member %q: %d at %d; it must be 0 or 1", key, x, i)
		}
		out[i] = uint8(x)
	}
	return out, nil
}

// idLabels reads the label of the text, or the entity tags of its tokens.
func (l *loader) idLabels(m map[string]json.RawMessage, e *Example, t *Tokens) error {
	key := l.opts.Columns.Label
	if key == "" {
		key, _ = member(m, "label", "", labelNames[:8])
	}
	data := m[key]
	if data == nil {
		return nil
	}
	var list []json.RawMessage
	if json.Unmarshal(data, &list) != nil || list == nil {
		var err error
		if e.Target, err = labelText(data); err != nil {
			return fmt.Errorf("member %q: %w", key, err)
		}
		return nil
	}
	if len(list) != len(t.IDs) {
		return fmt.Errorf("member %q: %d tags for %d ids; there must be one for each, or one label for all", key, len(list), len(t.IDs))
	}
	t.Tags = make([]string, len(list))
	prev := "O"
	for i, x := range list {
		tag, err := l.idTag(x)
		if err != nil {
			return fmt.Errorf("member %q: tag %d: %w", key, i, err)
		}
		if tag == "" {
			continue
		}
		var ok bool
		if t.Tags[i], ok = toBIO(tag, prev); !ok {
			return fmt.Errorf("member %q: tag %d is %q; it must be O, B-… or I-…", key, i, tag)
		}
		prev = t.Tags[i]
	}
	return nil
}

// idTag reads a tag: a name, or a number of Options.Tags; "" for −100 and null.
func (l *loader) idTag(x json.RawMessage) (string, error) {
	var name string
	if json.Unmarshal(x, &name) == nil {
		return name, nil
	}
	var n int
	if err := json.Unmarshal(x, &n); err != nil {
		return "", fmt.Errorf("%.40s is no tag; it must be a name, or a number", x)
	}
	switch {
	case n == ignored:
		return "", nil
	case n < 0 || n >= len(l.opts.Tags):
		return "", fmt.Errorf("it is the number %d, but %d tag names are given; name the tags in the order of their numbers (--tags), or another member as the label", n, len(l.opts.Tags))
	}
	return l.opts.Tags[n], nil
}

// drop leaves out the tokens whose mask is 0.
func (t *Tokens) drop(mask []uint8) {
	n := 0
	for i, keep := range mask {
		if keep == 0 {
			continue
		}
		t.IDs[n] = t.IDs[i]
		if t.Types != nil {
			t.Types[n] = t.Types[i]
		}
		if t.Tags != nil {
			t.Tags[n] = t.Tags[i]
		}
		n++
	}
	t.IDs = t.IDs[:n]
	if t.Types != nil {
		t.Types = t.Types[:n]
	}
	if t.Tags != nil {
		t.Tags = t.Tags[:n]
	}
}

// hash feeds the ids to a hash; nothing for text.
func (t *Tokens) hash(h io.Writer) {
	if t == nil {
		return
	}
	var b [4]byte
	for _, id := range t.IDs {
		binary.LittleEndian.PutUint32(b[:], uint32(id))
		h.Write(b[:])
	}
	h.Write(t.Types)
}

// Check tells which id is outside a vocabulary of size ids, or whose types and
// tags are not one for each.
func (t *Tokens) Check(size int) error {
	n := len(t.IDs)
	if n == 0 || t.Types != nil && len(t.Types) != n || t.Tags != nil && len(t.Tags) != n {
		return fmt.Errorf("%d ids with %d types and %d tags; there must be one for each, and an id at least", n, len(t.Types), len(t.Tags))
	}
	for i, id := range t.IDs {
		if id < 0 || int(id) >= size || id > maxStoredID {
			return fmt.Errorf("id %d at %d is outside the model's vocabulary of %d; the ids are another tokenizer's", id, i, size)
		}
	}
	return nil
}

// addIDs appends ids as one sequence, cut to the maximum length.
func (v *View) addIDs(p *part, t *Tokens, q sequence) error {
	if err := t.Check(v.tok.VocabSize()); err != nil {
		return err
	}
	q.raw, q.pair, q.lo = true, false, int64(len(p.ids))
	tagged := t.Tags != nil && (v.denoise || v.opts.TokenLabels)
	if tagged {
		p.fillLabels()
	}
	for _, k := range keepIDs(t, v.opts.MaxLength, v.tok.IsSpecial) {
		flag := uint8(groupStart)
		if t.Types != nil && t.Types[k] == 1 {
			flag |= secondType
		}
		p.ids, p.flags = append(p.ids, t.IDs[k]), append(p.flags, flag)
		if !tagged {
			continue
		}
		ner := int16(-1)
		if tag := t.Tags[k]; tag != "" {
			var ok bool
			if ner, ok = v.tagger.ner[tag]; !ok {
				return fmt.Errorf("entity tag %q is not in the tag set; set NERTags to the set of this data", tag)
			}
		}
		p.pos, p.ner = append(p.pos, -1), append(p.ner, ner)
	}
	q.n = int32(len(p.ids) - int(q.lo))
	q.mid = q.n
	if v.denoise && !v.hasMaskable(p.ids[q.lo:]) {
		return nil
	}
	p.seqs = append(p.seqs, q)
	return nil
}

// keepIDs returns the places of the at most limit ids that stay: the longer of
// two segments loses tokens first, and a special token that ends one stays.
func keepIDs(t *Tokens, limit int, special func(int64) bool) []int {
	n := len(t.IDs)
	out := make([]int, 0, min(n, limit))
	keep := func(lo, hi, k int) {
		for i := lo; i < lo+k; i++ {
			out = append(out, i)
		}
		if k > 0 && k < hi-lo && special(int64(t.IDs[hi-1])) {
			out[len(out)-1] = hi - 1
		}
	}
	second := n
	for second > 0 && t.Types != nil && t.Types[second-1] == 1 {
		second--
	}
	a, b := tokenizer.Fit(second, n-second, limit, 0)
	keep(0, second, a)
	keep(second, n, b)
	return out
}

func listOf[T any](items []T) ordered.Raw {
	out := make([]ordered.Raw, len(items))
	for i, x := range items {
		out[i] = ordered.Value(x)
	}
	return ordered.List(out...)
}

// idsObject writes ids as fromIDs reads them.
func (e *Example) idsObject() (ordered.Raw, error) {
	t := e.Tokens
	fields := []ordered.Field{ordered.Pair(idsName, listOf(t.IDs))}
	if t.Types != nil {
		fields = append(fields, ordered.Pair("token_type_ids", listOf(t.Types)))
	}
	switch {
	case t.Tags != nil:
		fields = append(fields, ordered.Pair("labels", listOf(t.Tags)))
	case e.Target != "":
		fields = append(fields, ordered.Pair("label", e.Target))
	}
	if e.Score != nil {
		fields = append(fields, ordered.Pair("score", *e.Score))
	}
	return ordered.Object(fields...), nil
}
