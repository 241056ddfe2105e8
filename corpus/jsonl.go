package corpus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// readJSONL reads one object on each line (or one array of objects).
func (l *loader) readJSONL(t *textReader) error {
	first := true
	for n, line := range t.lines() {
		if l.full() {
			return nil
		}
		trimmed := strings.TrimSpace(line)
		if trimmed == "" {
			continue
		}
		if first && trimmed[0] == '[' {
			return l.readArray(t, line)
		}
		first = false
		if err := l.object(t.name, n, []byte(line)); err != nil {
			if err := l.bad(fmt.Errorf("corpus: %s: line %d: %w", t.name, n, err)); err != nil {
				return err
			}
		}
	}
	return t.err
}

// readArray reads an array of objects, one at a time; first is its first line.
func (l *loader) readArray(t *textReader, first string) error {
	d := json.NewDecoder(io.MultiReader(strings.NewReader(first+"\n"), t))
	fail := func(i int, err error) error {
		if t.err != nil {
			return t.err
		}
		return fmt.Errorf("corpus: %s: item %d: %w; write one object on each line", t.name, i, err)
	}
	if _, err := d.Token(); err != nil {
		return fail(1, err)
	}
	l.unit = Item
	for i := 1; d.More(); i++ {
		if l.full() {
			return nil
		}
		var m json.RawMessage
		t.taken = 0
		if err := d.Decode(&m); err != nil {
			return fail(i, err)
		}
		if err := l.object(t.name, i, m); err != nil {
			if err := l.bad(fmt.Errorf("corpus: %s: item %d: %w", t.name, i, err)); err != nil {
				return err
			}
		}
	}
	if _, err := d.Token(); err != nil {
		return fail(l.spool.len()+1, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("corpus: %s: line %d: text follows the array; write one object on each line", t.name, t.n)
	}
	return nil
}

func (l *loader) object(name string, n int, data []byte) error {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil {
		var se *json.SyntaxError
		if errors.As(err, &se) {
			return fmt.Errorf("byte %d: %w; each line must be one complete JSON object", se.Offset, err)
		}
		return fmt.Errorf("%w; each line must be one JSON object", err)
	}
	e, err := l.fromObject(m)
	if err != nil {
		return err
	}
	return l.add(name, n, e)
}

// member finds the member that holds a kind of data; key "" when absent.
func member(m map[string]json.RawMessage, kind, want string, usual []string) (key string, err error) {
	if want != "" {
		if _, ok := m[want]; !ok {
			return "", fmt.Errorf("there is no %s member %q; the object has %q", kind, want, keys(m))
		}
		return want, nil
	}
	for _, s := range usual {
		if _, ok := m[s]; ok {
			return s, nil
		}
	}
	return "", nil
}

func keys(m map[string]json.RawMessage) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// fromObject reads one object: token ids, arrays of words and tags, or a text
// with what goes with it.
func (l *loader) fromObject(m map[string]json.RawMessage) (Example, error) {
	cols, err := l.objectColumns(m)
	if err != nil {
		return Example{}, err
	}
	if cols.Text == idsName {
		return l.fromIDs(m)
	}
	if cols.Words != "" || cols.Text == "" && m["text"] == nil && (isStrings(m["tokens"]) || isStrings(m["words"])) {
		return l.fromArrays(m)
	}
	text, err := member(m, "text", cols.Text, textNames)
	if err != nil {
		return Example{}, err
	}
	if text == "" && m[idsName] != nil {
		return l.fromIDs(m)
	}
	if text == "" {
		return Example{}, fmt.Errorf("no text among the members %q; name the text column", keys(m))
	}
	e, err := l.fromText(m, text, cols)
	if err != nil {
		return e, err
	}
	if err := score(m, cols.Score, &e); err != nil {
		return e, err
	}
	return e, annotations(m, &e)
}

// objectColumns are the members that the options or the layout name.
func (l *loader) objectColumns(m map[string]json.RawMessage) (Columns, error) {
	if l.layout == nil {
		return l.opts.Columns, nil
	}
	c, ok := l.layout.columns(func(s string) bool { return m[s] != nil })
	switch {
	case ok && c.Label == "":
		c.Label = "label"
		return c, nil
	case ok:
		return c, nil
	case l.stated:
		return c, fmt.Errorf("the object has %q; layout %q wants the text in %q and its pair in %q", keys(m), l.opts.Layout, l.layout.text, l.layout.pair)
	}
	return l.opts.Columns, nil
}

// fromText reads the member text, its pair and its label.
func (l *loader) fromText(m map[string]json.RawMessage, text string, cols Columns) (e Example, err error) {
	pair, err := member(m, "pair", cols.Pair, pairNames)
	if err != nil {
		return e, err
	}
	label := ""
	if cols.Label != "" && m[cols.Label] != nil { // test rows often lack it
		label = cols.Label
	} else if cols.Label == "" {
		label, _ = member(m, "label", "", labelNames[:8])
	}
	if l.layout != nil && isStrings(m[text]) { // CSL's keywords
		var words []string
		if err := json.Unmarshal(m[text], &words); err != nil {
			return e, err
		}
		e.Text = strings.Join(words, " ")
	} else if err := str(m, text, &e.Text); err != nil {
		return e, err
	}
	if pair != "" && pair != text {
		if err := str(m, pair, &e.Pair); err != nil {
			return e, err
		}
	}
	if label == "" {
		return e, nil
	}
	if e.Target, err = labelText(m[label]); err != nil {
		return e, fmt.Errorf("member %q: %w", label, err)
	}
	if l.layout != nil && e.Target == "-" {
		e.Target = "" // annotators did not agree
	}
	return e, nil
}

// score reads the number to predict. Under its usual name it counts only where
// it is a number.
func score(m map[string]json.RawMessage, key string, e *Example) error {
	stated := key != ""
	if !stated {
		key = "score"
	}
	data, ok := m[key]
	if !ok || string(data) == "null" {
		return nil
	}
	var x float64
	if err := json.Unmarshal(data, &x); err != nil {
		if stated {
			return fmt.Errorf("member %q: %w; it must be a number", key, err)
		}
		return nil
	}
	e.Score = &x
	return nil
}

func str(m map[string]json.RawMessage, key string, to *string) error {
	if string(m[key]) == "null" {
		return fmt.Errorf("member %q is null; it must be a string", key)
	}
	if err := json.Unmarshal(m[key], to); err != nil {
		return fmt.Errorf("member %q: %w; it must be a string", key, err)
	}
	return nil
}

// labelText reads a label: a string, an integer or a bool; null and −1, which
// stand for "unknown" in test sets, are none.
func labelText(m json.RawMessage) (string, error) {
	if len(m) > 0 && m[0] == '"' { // the usual case, without a decoder
		var s string
		err := json.Unmarshal(m, &s)
		return s, err
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(m))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return "", err
	}
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case bool:
		return map[bool]string{false: "0", true: "1"}[v], nil
	case json.Number:
		s := strings.TrimSuffix(v.String(), ".0")
		if s == "-1" {
			s = ""
		}
		return s, nil
	}
	return "", fmt.Errorf("%.40s is not a label; it must be a string or an integer", m)
}

func isStrings(m json.RawMessage) bool {
	var s []string
	return m != nil && json.Unmarshal(m, &s) == nil && s != nil
}

// posNames are the usual names of the array of parts of speech.
var posNames = []string{"upos", "pos", "pos_tags"}

// fromArrays reads {"tokens": [...], "ner_tags": [...]}.
func (l *loader) fromArrays(m map[string]json.RawMessage) (Example, error) {
	cols := l.opts.Columns
	key, err := member(m, "words", cols.Words, []string{"tokens", "words"})
	if err != nil {
		return Example{}, err
	}
	var words []string
	if err := json.Unmarshal(m[key], &words); err != nil {
		return Example{}, fmt.Errorf("member %q: %w; it must be an array of strings", key, err)
	}
	e := fromWords(words)
	for _, set := range []struct {
		kind, want string
		usual      []string
		to         func(i int, tag string) bool
	}{
		{"POS", cols.POS, posNames, func(i int, tag string) bool { e.Words[i].POS = tag; return true }},
		{"label", cols.Label, []string{"ner_tags", "tags", "labels", "ner"}, func(i int, tag string) bool {
			prev := "O"
			if i > 0 {
				prev = e.Words[i-1].Entity
			}
			var ok bool
			e.Words[i].Entity, ok = toBIO(tag, prev)
			return ok
		}},
	} {
		key, err := member(m, set.kind, set.want, set.usual)
		if err != nil {
			return e, err
		}
		if key == "" {
			continue
		}
		tags, err := l.tagNames(m[key], set.kind)
		if err != nil {
			return e, fmt.Errorf("member %q: %w", key, err)
		}
		if len(tags) != len(words) {
			return e, fmt.Errorf("member %q: %d tags for %d words; there must be one for each", key, len(tags), len(words))
		}
		for i, tag := range tags {
			if !set.to(i, tag) {
				return e, fmt.Errorf("member %q: tag %d is %q; it must be O, B-… or I-…", key, i, tag)
			}
		}
	}
	return e, nil
}

// tagNames reads an array of tags: names, or numbers of Options.Tags.
func (l *loader) tagNames(m json.RawMessage, kind string) ([]string, error) {
	var numbers []int
	if json.Unmarshal(m, &numbers) != nil || kind != "label" {
		var tags []string
		err := json.Unmarshal(m, &tags)
		return tags, err
	}
	tags := make([]string, len(numbers))
	for i, n := range numbers {
		if n < 0 || n >= len(l.opts.Tags) {
			return nil, fmt.Errorf("tag %d is the number %d, but %d tag names are given; set Tags to the names in the order of their numbers", i, n, len(l.opts.Tags))
		}
		tags[i] = l.opts.Tags[n]
	}
	return tags, nil
}
