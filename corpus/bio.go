package corpus

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// readBIO reads one token and its tag on each line, with a blank line between
// sentences: CoNLL-2003 and the like. The first column is the token and the
// last one the tag, unless Options.Columns gives numbers from 0. BIOES, BILOU
// and IOB1 tags are turned into BIO.
func (l *loader) readBIO(t *textReader) (err error) {
	s := bioSentence{l: l, name: t.name}
	if s.textCol, err = columnNumber(t.name, "text", l.opts.Columns.Text, 0); err != nil {
		return err
	}
	if s.tagCol, err = columnNumber(t.name, "label", l.opts.Columns.Label, -1); err != nil {
		return err
	}
	for n, line := range t.lines() {
		if l.full() {
			return nil
		}
		if strings.TrimSpace(line) == "" {
			if err := s.end(); err != nil {
				return err
			}
			s.skip = false
		} else if !s.skip {
			if err := s.token(n, line); err != nil {
				return err
			}
		}
	}
	if t.err != nil {
		return t.err
	}
	return s.end()
}

// bioSentence is the sentence being read.
type bioSentence struct {
	l               *loader
	name            string // of the file
	textCol, tagCol int    // tagCol −1 is the last one
	words, tags     []string
	start           int  // line of the first word
	skip            bool // the rest of a sentence with a bad line
}

// token reads line n.
func (s *bioSentence) token(n int, line string) error {
	f := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
	if len(f) > 0 && f[0] == "-DOCSTART-" {
		return s.end()
	}
	at := s.tagCol
	if at < 0 {
		at = len(f) - 1
	}
	if len(f) < 2 || s.textCol >= len(f) || at >= len(f) {
		return s.bad("line %d: %d columns; a token and its tag are needed, separated by a tab or a space", n, len(f))
	}
	prev := "O"
	if len(s.tags) > 0 {
		prev = s.tags[len(s.tags)-1]
	}
	tag, ok := toBIO(f[at], prev)
	if !ok {
		return s.bad("line %d, column %d: %q is not a BIO tag (O, B-PER, I-PER …); set the label column by its number from 0", n, at+1, f[at])
	}
	if len(s.words) == 0 {
		s.start = n
	}
	s.words, s.tags = append(s.words, f[s.textCol]), append(s.tags, tag)
	return nil
}

// bad drops the sentence.
func (s *bioSentence) bad(format string, args ...any) error {
	s.words, s.tags, s.skip = nil, nil, true
	return s.l.bad(fmt.Errorf("corpus: %s: "+format, append([]any{s.name}, args...)...))
}

// end adds the sentence, if it has words.
func (s *bioSentence) end() (err error) {
	if len(s.words) > 0 {
		e := fromWords(s.words)
		for i := range e.Words {
			e.Words[i].Entity = s.tags[i]
		}
		err = s.l.add(s.name, s.start, e)
	}
	s.words, s.tags = nil, nil
	return err
}

func columnNumber(name, kind, want string, def int) (int, error) {
	if want == "" {
		return def, nil
	}
	n, err := strconv.Atoi(want)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("corpus: %s: %s column %q: this format has no header, so give its number from 0", name, kind, want)
	}
	return n, nil
}

// toBIO turns a BIO, BIOES, BILOU or IOB1 tag into BIO; prev is the BIO tag of
// the token before.
func toBIO(tag, prev string) (string, bool) {
	if tag == "O" || tag == "o" {
		return "O", true
	}
	c, w := utf8.DecodeRuneInString(tag)
	if len(tag) < w+2 || tag[w] != '-' && tag[w] != '_' {
		return "", false
	}
	kind := tag[w+1:]
	switch c {
	case 'B', 'S', 'U':
		return "B-" + kind, true
	case 'I', 'E', 'M', 'L':
		if last, ok := entityType(prev); ok && last == kind {
			return "I-" + kind, true
		}
		return "B-" + kind, true
	}
	return "", false
}
