package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode"
)

// post is what happens to the tokens of texts: what is put around them, and
// whether white space is taken off their offsets.
type post struct {
	single, pair []Part
	trim         bool // as byte-level models do
	prefixSpace  bool // with trim: the first space may be one that was put there
}

// plainPost puts nothing around texts.
func plainPost() post {
	return post{single: []Part{{Seq: 0}}, pair: []Part{{Seq: 0}, {Seq: 1, Type: 1}}}
}

func specialPart(id int32, kind int64) Part { return Part{Seq: -1, IDs: []int32{id}, Type: kind} }

// bert is [CLS] A [SEP] B [SEP].
func (p *post) bert(cls, sep int32) {
	p.single = []Part{specialPart(cls, 0), {Seq: 0}, specialPart(sep, 0)}
	p.pair = append(slices.Clone(p.single), Part{Seq: 1, Type: 1}, specialPart(sep, 1))
}

// roberta is <s> A </s></s> B </s>, all of type 0.
func (p *post) roberta(cls, sep int32) {
	p.single = []Part{specialPart(cls, 0), {Seq: 0}, specialPart(sep, 0)}
	p.pair = append(slices.Clone(p.single), specialPart(sep, 0), Part{Seq: 1}, specialPart(sep, 0))
}

// trimmed takes the white space of a byte-level token off its offsets. The
// space that was put before the text stands for its first character and so
// takes nothing off.
func (t *Tokenizer) trimmed(text string, s Span, id int32, first bool) Span {
	blank := func(r rune) bool { return r == byteRunes[' '] || unicode.IsSpace(r) }
	token := []rune(t.tokens[id])
	if t.added[id] { // it may have taken white space
		token = []rune(text[s.Start:s.End])
	}
	lead, trail := 0, 0
	for lead < len(token) && blank(token[lead]) {
		lead++
	}
	for trail < len(token) && blank(token[len(token)-1-trail]) {
		trail++
	}
	if lead > 0 && (first || s.Start == 0) && t.post.prefixSpace {
		lead--
	}
	// One character of white space is one of the text, whatever its bytes.
	for ; lead > 0 && s.Start < s.End; lead-- {
		s.Start += firstWidth(text[s.Start:s.End])
	}
	for ; trail > 0 && s.Start < s.End; trail-- {
		s.End -= lastWidth(text[s.Start:s.End])
	}
	return s
}

// templateJSON is an item of TemplateProcessing.
type templateJSON struct {
	Special *struct {
		ID   string `json:"id"`
		Type int64  `json:"type_id"`
	} `json:"SpecialToken"`
	Sequence *struct {
		ID   string `json:"id"`
		Type int64  `json:"type_id"`
	} `json:"Sequence"`
}

// postJSON has the members of all post-processors.
type postJSON struct {
	Type    string            `json:"type"`
	Sep     []any             `json:"sep"`
	Cls     []any             `json:"cls"`
	Trim    *bool             `json:"trim_offsets"`
	Prefix  *bool             `json:"add_prefix_space"`
	List    []json.RawMessage `json:"processors"`
	Single  []templateJSON    `json:"single"`
	Pair    []templateJSON    `json:"pair"`
	Special map[string]struct {
		IDs []int32 `json:"ids"`
	} `json:"special_tokens"`
}

// postJSON reads the post-processor of tokenizer.json into p. ids finds a
// special token.
func (p *post) read(m json.RawMessage, path string, ids map[string]int32) error {
	var j postJSON
	if err := decode(m, path, &j); err != nil {
		return err
	}
	switch j.Type {
	case "":
	case "Sequence":
		if len(j.List) > maxComponents {
			return fmt.Errorf("tokenizer: tokenizer.json: %s: %d processors; at most %d are supported", path, len(j.List), maxComponents)
		}
		for i, x := range j.List {
			if err := p.read(x, fmt.Sprintf("%s.processors[%d]", path, i), ids); err != nil {
				return err
			}
		}
	case "ByteLevel":
		p.trim, p.prefixSpace = on(j.Trim, true), on(j.Prefix, true)
	case "BertProcessing", "RobertaProcessing":
		cls, ok1 := tupleID(j.Cls)
		sep, ok2 := tupleID(j.Sep)
		if !ok1 || !ok2 {
			return fmt.Errorf(`tokenizer: tokenizer.json: %s: %s needs "cls" and "sep" as ["token", id]`, path, j.Type)
		}
		if j.Type == "BertProcessing" {
			p.bert(cls, sep)
			break
		}
		p.roberta(cls, sep)
		p.trim, p.prefixSpace = on(j.Trim, true), on(j.Prefix, true)
	case "TemplateProcessing":
		special := func(name string) ([]int32, bool) {
			if s, ok := j.Special[name]; ok {
				return s.IDs, true
			}
			id, ok := ids[name]
			return []int32{id}, ok
		}
		var err error
		if p.single, err = readTemplate(j.Single, special, 1); err != nil {
			return fmt.Errorf("tokenizer: tokenizer.json: %s.single: %w", path, err)
		}
		if p.pair, err = readTemplate(j.Pair, special, 2); err != nil {
			return fmt.Errorf("tokenizer: tokenizer.json: %s.pair: %w", path, err)
		}
	default:
		return unsupported(path, "post-processor", j.Type)
	}
	return nil
}

func readTemplate(items []templateJSON, special func(string) ([]int32, bool), texts int) ([]Part, error) {
	var out []Part
	seen := [2]int{}
	for _, it := range items {
		switch {
		case it.Special != nil:
			ids, ok := special(it.Special.ID)
			if !ok {
				return nil, fmt.Errorf("special token %q is in neither special_tokens nor the vocabulary", it.Special.ID)
			}
			out = append(out, Part{Seq: -1, IDs: ids, Type: it.Special.Type})
		case it.Sequence != nil && (it.Sequence.ID == "A" || it.Sequence.ID == "B"):
			seq := int(it.Sequence.ID[0] - 'A')
			seen[seq]++
			out = append(out, Part{Seq: seq, Type: it.Sequence.Type})
		default:
			return nil, errors.New("an item is neither SpecialToken nor Sequence A or B")
		}
	}
	if texts == 2 && len(items) == 0 { // a tokenizer that takes no pairs says so by an empty template
		return plainPost().pair, nil
	}
	if seen[0] != 1 || seen[1] != texts-1 {
		return nil, fmt.Errorf("each of the %d texts must occur once", texts)
	}
	return out, nil
}

func tupleID(t []any) (int32, bool) {
	if len(t) != 2 {
		return 0, false
	}
	f, ok := t[1].(float64)
	return int32(f), ok && f >= 0 && f < maxVocab
}

// check refuses ids outside the vocabulary.
func (p *post) check(vocab int) error {
	for _, parts := range [][]Part{p.single, p.pair} {
		for _, part := range parts {
			for _, id := range part.IDs {
				if id < 0 || int(id) >= vocab {
					return fmt.Errorf("tokenizer: the post-processor uses token id %d, but the vocabulary has %d entries", id, vocab)
				}
			}
		}
	}
	return nil
}
