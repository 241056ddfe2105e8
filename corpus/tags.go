package corpus

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/litekit/lite/corpus/tokenizer"
)

var upos = []string{
	"ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X",
}

// UPOS returns the 17 universal part-of-speech tags of Universal Dependencies,
// in alphabetical order, which is the order of the ids.
func UPOS() []string { return slices.Clone(upos) }

// NERTags returns the BIO tags of a corpus: "O", then B-X and I-X of each
// entity type in alphabetical order. It is empty when nothing is annotated.
func NERTags(c Corpus) ([]string, error) {
	types := map[string]bool{}
	any := false
	for i := range c.Len() {
		e, err := c.At(i)
		if err != nil {
			return nil, err
		}
		for tag := range e.entities() {
			if tag == "" {
				continue
			}
			any = true
			if kind, ok := entityType(tag); ok {
				types[kind] = true
			} else if tag != "O" {
				return nil, fmt.Errorf("corpus: %s: entity tag %q is not O, B-… or I-…; convert the tags to BIO", e.Where(i), tag)
			}
		}
	}
	if !any {
		return nil, nil
	}
	out := []string{"O"}
	for _, kind := range slices.Sorted(maps.Keys(types)) {
		out = append(out, "B-"+kind, "I-"+kind)
	}
	return out, nil
}

// entities gives the tags of the words, or of the tokens.
func (e *Example) entities() iter.Seq[string] {
	return func(yield func(string) bool) {
		if e.Tokens != nil {
			for _, tag := range e.Tokens.Tags {
				if !yield(tag) {
					return
				}
			}
			return
		}
		for _, w := range e.Words {
			if !yield(w.Entity) {
				return
			}
		}
	}
}

// entityType returns X of B-X or I-X.
func entityType(tag string) (string, bool) {
	if (strings.HasPrefix(tag, "B-") || strings.HasPrefix(tag, "I-")) && len(tag) > 2 {
		return tag[2:], true
	}
	return "", false
}

// tagger turns word annotations into token labels.
type tagger struct{ pos, ner map[string]int16 }

func newTagger(pos, ner []string) (tagger, error) {
	t := tagger{map[string]int16{}, map[string]int16{}}
	for _, set := range []struct {
		tags []string
		ids  map[string]int16
		kind string
	}{{pos, t.pos, "POS"}, {ner, t.ner, "NER"}} {
		if len(set.tags) > 1<<14 {
			return t, fmt.Errorf("corpus: %d %s tags; at most %d are supported", len(set.tags), set.kind, 1<<14)
		}
		for i, s := range set.tags {
			if _, dup := set.ids[s]; dup || s == "" {
				return t, fmt.Errorf("corpus: %s tag %q at %d is empty or repeated; tags must be distinct", set.kind, s, i)
			}
			set.ids[s] = int16(i)
		}
	}
	return t, nil
}

// label appends one POS and one NER label for each piece: every piece inherits
// the part of speech of its word; the first piece of a B-X word is B-X and the
// others I-X; −1 where nothing is known. word receives the word of each piece,
// −1 outside words.
func (t tagger) label(words []Word, ps []tokenizer.Piece, pos, ner []int16, word []int32) ([]int16, []int16, []int32, error) {
	k, last := 0, -1
	for _, p := range ps {
		for k < len(words) && words[k].End <= int(p.Start) {
			k++
		}
		if k == len(words) || words[k].Start >= int(p.End) {
			pos, ner, word = append(pos, -1), append(ner, -1), append(word, -1)
			continue
		}
		w := words[k]
		a, b := int16(-1), int16(-1)
		if w.POS != "" && w.POS != "_" {
			id, ok := t.pos[w.POS]
			if !ok {
				return nil, nil, nil, fmt.Errorf("part-of-speech tag %q is not in the tag set; set POSTags to the set of this data", w.POS)
			}
			a = id
		}
		if w.Entity != "" {
			tag := w.Entity
			if kind, ok := entityType(tag); ok && k == last {
				tag = "I-" + kind
			}
			id, ok := t.ner[tag]
			if !ok {
				return nil, nil, nil, fmt.Errorf("entity tag %q is not in the tag set; set NERTags to the set of this data", tag)
			}
			b = id
		}
		pos, ner, word = append(pos, a), append(ner, b), append(word, int32(k))
		last = k
	}
	return pos, ner, word, nil
}
