package corpus

import (
	"fmt"
	"strconv"
	"strings"
)

// conlluDoc collects the sentences of one document.
type conlluDoc struct {
	text   strings.Builder
	e      Example
	space  string // what separates the next word from the text so far
	line   int    // first line
	gapped bool   // a paragraph starts with the next sentence
}

// readCoNLLU reads Universal Dependencies files (format 2): the text is put
// together from the words and SpaceAfter=No; each word carries its universal
// part of speech. Sentences from one "# newdoc" to the next are one example; in
// a file without it every sentence is one.
func (l *loader) readCoNLLU(t *textReader) error {
	p := &conlluParser{l: l, name: t.name}
	skip := false // the rest of a sentence with a bad line
	for n, line := range t.lines() {
		if l.full() {
			return nil
		}
		if skip = skip && strings.TrimSpace(line) != ""; skip {
			continue
		}
		if err := p.line(n, line); err != nil {
			if err := l.bad(fmt.Errorf("corpus: %s: line %d: %w", t.name, n, err)); err != nil {
				return err
			}
			skip = true
			p.dropSentence()
		}
		if p.err != nil {
			return p.err
		}
	}
	if t.err != nil {
		return t.err
	}
	p.endSentence()
	p.endDocument()
	return p.err
}

type conlluParser struct {
	l     *loader
	name  string
	err   error // of adding an example
	doc   *conlluDoc
	docs  bool // "# newdoc" was seen
	start int  // offset of the running sentence in the document, −1 none
	// before is the document as it was before that sentence.
	before struct {
		text, words int
		space       string
		gapped      bool
	}
	mwtTo int // last word of the running multiword token, 0 none
	mwt   struct {
		form       string
		start, end int
		at         int // where the next part is looked for
		spaceAfter bool
	}
}

func (p *conlluParser) line(n int, line string) error {
	switch {
	case strings.TrimSpace(line) == "":
		p.endSentence()
		if !p.docs {
			p.endDocument()
		}
		return nil
	case strings.HasPrefix(line, "#"):
		switch field, _, _ := strings.Cut(strings.TrimSpace(line[1:]), " "); field {
		case "newdoc":
			p.endSentence()
			p.endDocument()
			p.docs = true
		case "newpar":
			if p.doc != nil {
				p.doc.gapped = true
			}
		}
		return nil
	}
	f := strings.Split(line, "\t")
	if len(f) != 10 {
		return fmt.Errorf("%d columns instead of 10 separated by tabs; this is not CoNLL-U, or tabs became spaces", len(f))
	}
	return p.word(n, f)
}

func (p *conlluParser) word(n int, f []string) error {
	id, form, misc := f[0], f[1], f[9]
	if form == "" {
		return fmt.Errorf("column 2: the word is empty; write _ for an underscore")
	}
	if strings.Contains(id, ".") {
		return nil // an empty node is not in the text
	}
	if from, to, ok := strings.Cut(id, "-"); ok {
		a, err1 := strconv.Atoi(from)
		b, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil || a < 1 || b < a {
			return fmt.Errorf("column 1: %q is not a word range like 3-4", id)
		}
		p.begin(n)
		p.mwtTo = b
		p.mwt.form, p.mwt.spaceAfter = form, spaceAfter(misc)
		p.mwt.start = p.append(form)
		p.mwt.end, p.mwt.at = p.doc.text.Len(), p.mwt.start
		return nil
	}
	k, err := strconv.Atoi(id)
	if err != nil || k < 1 {
		return fmt.Errorf("column 1: %q is not a word number; it must be like 3, 3-4 or 3.1", id)
	}
	p.begin(n)
	w := Word{POS: strings.TrimPrefix(f[3], "_"), Entity: miscEntity(misc)}
	if k > p.mwtTo {
		p.mwtTo = 0
		w.Start = p.append(form)
		w.End = p.doc.text.Len()
		p.doc.e.Words = append(p.doc.e.Words, w)
		if spaceAfter(misc) {
			p.doc.space = " "
		}
		return nil
	}
	p.part(k, form, w)
	return nil
}

// part places word k of a multiword token: at its own letters where the forms
// make up the surface form ("did" + "n't"); otherwise the whole surface form
// ("du" = de + le) is one word with the tags of its first part.
func (p *conlluParser) part(k int, form string, w Word) {
	words := p.doc.e.Words
	rest := p.mwt.form[p.mwt.at-p.mwt.start:]
	switch {
	case strings.HasPrefix(rest, form) && (k < p.mwtTo || len(rest) == len(form)):
		w.Start, w.End = p.mwt.at, p.mwt.at+len(form)
		p.mwt.at = w.End
		p.doc.e.Words = append(words, w)
	case p.mwt.at == p.mwt.start && rest != "":
		w.Start, w.End = p.mwt.start, p.mwt.end
		p.mwt.at = p.mwt.end
		p.doc.e.Words = append(words, w)
	case len(words) > 0: // the parts differ from the surface: the last word takes the rest
		words[len(words)-1].End = p.mwt.end
		p.mwt.at = p.mwt.end
	}
	if k == p.mwtTo && p.mwt.spaceAfter {
		p.doc.space = " "
	}
}

// append adds form to the text and returns where it starts.
func (p *conlluParser) append(form string) int {
	d := p.doc
	d.text.WriteString(d.space)
	d.space = ""
	at := d.text.Len()
	if p.start < 0 {
		p.start = at
	}
	d.text.WriteString(form)
	return at
}

// begin opens a document and, before the first word, a sentence.
func (p *conlluParser) begin(n int) {
	if p.doc == nil {
		p.doc = &conlluDoc{line: n}
		p.start, p.mwtTo = -1, 0
	}
	if p.start < 0 {
		p.mark()
	}
	if p.start < 0 && p.doc.gapped && p.doc.text.Len() > 0 {
		p.doc.space = "\n"
	}
	if p.start < 0 {
		p.doc.gapped = false
	}
}

func (p *conlluParser) endSentence() {
	if p.doc == nil || p.start < 0 {
		return
	}
	if p.mwtTo > 0 && p.mwt.spaceAfter && p.doc.space == "" && p.mwt.end == p.doc.text.Len() {
		p.doc.space = " " // a multiword token whose parts are missing
	}
	p.doc.e.Sentences = append(p.doc.e.Sentences, Span{Start: p.start, End: p.doc.text.Len()})
	p.start, p.mwtTo = -1, 0
}

// mark remembers the document as it was before the running sentence.
func (p *conlluParser) mark() {
	p.before.text, p.before.words, p.before.space, p.before.gapped = p.doc.text.Len(), len(p.doc.e.Words), p.doc.space, p.doc.gapped
}

// dropSentence takes the words of the running sentence back.
func (p *conlluParser) dropSentence() {
	if p.doc == nil || p.start < 0 {
		return
	}
	d, text := p.doc, p.doc.text.String()[:p.before.text]
	d.text.Reset()
	d.text.WriteString(text)
	d.e.Words, d.space, d.gapped = d.e.Words[:p.before.words], p.before.space, p.before.gapped
	p.start, p.mwtTo = -1, 0
}

func (p *conlluParser) endDocument() {
	if p.doc != nil && len(p.doc.e.Sentences) > 0 {
		p.doc.e.Text = p.doc.text.String()
		p.err = p.l.add(p.name, p.doc.line, p.doc.e)
	}
	p.doc = nil
}

func spaceAfter(misc string) bool {
	for f := range strings.SplitSeq(misc, "|") {
		if f == "SpaceAfter=No" {
			return false
		}
	}
	return true
}

// miscEntity reads a BIO tag from the last column, as NER=B-PER.
func miscEntity(misc string) string {
	for f := range strings.SplitSeq(misc, "|") {
		tag, ok := strings.CutPrefix(f, "NER=")
		if _, bio := entityType(tag); ok && (bio || tag == "O") {
			return tag
		}
	}
	return ""
}
