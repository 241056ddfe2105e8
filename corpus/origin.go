package corpus

import (
	"fmt"
	"slices"
	"strings"
)

// Origin is where an example was read from. It says nothing about what the
// example is: hashes and written files leave it out.
type Origin struct {
	File string // as it was named; "" unknown
	N    int32  // line, row or item, from 1, at which the example begins
	Unit Unit
}

// Unit is what a file is counted in.
type Unit uint8

// The units. Paragraphs and Line are both counted in lines; the first has a text of
// several lines, each of which is a line of the file.
const (
	Line       Unit = iota // of a file of lines
	Paragraphs             // lines of a txt file, from the one where the text begins
	Row                    // of a Parquet file
	Item                   // of one JSON array
)

// String is such as "train.tsv: line 12"; "" where the origin is unknown.
func (o Origin) String() string {
	if o.File == "" {
		return ""
	}
	return fmt.Sprintf("%s: %s %d", o.File, o.Unit, o.N)
}

// String is "line", "row" or "item".
func (u Unit) String() string {
	switch u {
	case Row:
		return "row"
	case Item:
		return "item"
	}
	return "line"
}

// Where is what errors call example i of a corpus: where it was read from, or else
// its number from 0.
func (e *Example) Where(i int) string {
	if s := e.Origin.String(); s != "" {
		return s
	}
	return fmt.Sprintf("example %d", i)
}

// Excerpt is how the example's text begins, or its token ids, for messages.
func (e *Example) Excerpt() string {
	if e.Tokens != nil {
		return short(strings.Trim(fmt.Sprint(e.Tokens.IDs[:min(len(e.Tokens.IDs), 12)]), "[]"))
	}
	return short(e.Text)
}

// short cuts a text for a message.
func short(s string) string {
	const most = 60 // characters
	if r := []rune(s[:min(len(s), 4*most+4)]); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

// Where lists where examples of a corpus were read from, at most eight of them;
// numbers below 0, which stand for padding, are left out.
func Where(c Corpus, examples []int) string {
	const most = 8
	var b strings.Builder
	n, file, unit := 0, "", Line
	for _, i := range examples {
		if i < 0 {
			continue
		}
		if n++; n > most {
			b.WriteString(" …")
			break
		}
		var o Origin
		if e, err := c.At(i); err == nil {
			o = e.Origin
		}
		at := i
		switch {
		case n > 1 && o.File == file && o.Unit.String() == unit.String():
			b.WriteString(", ")
		case o.File == "":
			b.WriteString(strings.Repeat("; ", min(1, n-1)) + "example ")
		default:
			b.WriteString(strings.Repeat("; ", min(1, n-1)) + o.File + ": " + o.Unit.String() + " ")
		}
		if o.File != "" {
			at = int(o.N)
		}
		fmt.Fprint(&b, at)
		file, unit = o.File, o.Unit
	}
	return b.String()
}

// Place says what a row of a batch is made of.
type Place struct {
	Example int // its number, −1 on a padding row
	// Where is the place in the files, of a text in several sequences with the
	// sentence in which this one begins.
	Where string
	// Excerpt is how the text begins there.
	Excerpt string
}

// Place says where a row of batch k comes from, k counted over all epochs as by
// [View.Nth]. It reads and tokenizes the example again: it is for messages.
func (v *View) Place(k, row int) (Place, error) {
	none := Place{Example: -1}
	if k < 0 || v.Len() == 0 {
		return none, fmt.Errorf("corpus: batch %d does not exist", k)
	}
	per := v.Batches(0)
	seqs := v.plan(k / per).batch(k % per)
	if row < 0 || row >= len(seqs) {
		return none, nil
	}
	var w reader
	q, _, err := v.store.load(int(seqs[row]), &w)
	if err != nil {
		return none, err
	}
	e, err := v.corpus.At(int(q.example))
	if err != nil {
		return none, err
	}
	p := Place{Example: int(q.example), Where: e.Where(int(q.example)), Excerpt: e.Excerpt()}
	if e.Tokens != nil || q.pair || !v.denoise && !v.opts.TokenLabels {
		return p, nil
	}
	return p, v.sentence(&p, &e, int(seqs[row]), int(q.example))
}

// sentence completes the place of sequence n, which holds a part of example i.
func (v *View) sentence(p *Place, e *Example, n, i int) error {
	before := 0 // sequences of the example
	for ; before < n; before++ {
		var w reader
		q, _, err := v.store.load(n-before-1, &w)
		if err != nil {
			return err
		}
		if int(q.example) != i {
			break
		}
	}
	add := v.addTask
	if v.denoise {
		add = v.addSegments
	}
	var all part
	if err := add(&all, *e, i); err != nil || before >= len(all.seqs) {
		return err
	}
	lo := all.seqs[before].lo
	pieces := v.tok.Pieces(e.Text, nil)
	if int(lo) >= len(pieces) {
		return nil
	}
	sentences := e.Sentences
	if sentences == nil {
		sentences = SplitSentences(e.Text)
	}
	start := int(pieces[lo].Start)
	number, _ := slices.BinarySearchFunc(sentences, start, func(s Span, at int) int {
		if s.Start <= at {
			return -1
		}
		return 1
	})
	p.Excerpt = short(strings.TrimSpace(e.Text[start:]))
	switch {
	case len(sentences) < 2 || number < 1:
	case e.Origin.Unit == Paragraphs && e.Origin.File != "" && strings.Contains(e.Text, "\n"):
		o := e.Origin
		o.N += int32(strings.Count(e.Text[:start], "\n"))
		p.Where = fmt.Sprintf("%s (sentence %d of the document of line %d)", o, number, e.Origin.N)
	default:
		p.Where = fmt.Sprintf("%s, sentence %d", p.Where, number)
	}
	return nil
}
