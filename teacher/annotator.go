package teacher

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/corpus/tokenizer"
	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// AnnotatorOptions says how an annotator reads text. The zero value is usable.
type AnnotatorOptions struct {
	// Tokenizer overrides the one that comes with the model.
	Tokenizer *corpus.Tokenizer
	// MaxLength is the most tokens run together; 0 is 256, or fewer where the
	// model has fewer positions. Longer texts are cut, between sentences where
	// that is possible.
	MaxLength int
}

// Annotator tags the words of raw text with a token classifier. It is safe for
// concurrent use.
type Annotator struct {
	session *exec.Session
	inputs  []string
	tok     *corpus.Tokenizer
	max     int
	heads   []tagHead
}

var _ corpus.Annotator = (*Annotator)(nil)

// tagHead is an output [B,S,C] that labels tokens.
type tagHead struct {
	output string
	kind   student.Kind
	labels []string
	joint  bool // B-NOUN, I-NOUN: part of speech and word boundaries at once
}

// NewAnnotator makes an annotator of a …ForTokenClassification model, or of
// one with the heads pos or ner in its entry "lite" of config.json. Whether a
// token classifier gives parts of speech or entities is decided by the form of
// its labels (see [TagKind]).
func NewAnnotator(m *onnx.Model, opts AnnotatorOptions) (*Annotator, error) {
	if m == nil || m.Graph == nil || len(m.Graph.Outputs) == 0 {
		return nil, fmt.Errorf("teacher: the annotator's model has no outputs")
	}
	a := &Annotator{tok: opts.Tokenizer}
	var err error
	if a.heads, err = tagHeads(m); err != nil {
		return nil, err
	}
	if a.tok == nil {
		if len(m.Files) == 0 {
			return nil, fmt.Errorf("teacher: the annotator's model comes without a tokenizer; open its directory (with tokenizer.json or vocab.txt), not the bare .onnx file")
		}
		if a.tok, err = corpus.LoadTokenizer(m.Files); err != nil {
			return nil, fmt.Errorf("teacher: the annotator's tokenizer: %w", err)
		}
	}
	if a.max = opts.MaxLength; a.max == 0 {
		a.max = 256
	}
	a.max = min(a.max, MaxLength(m, a.max))
	special := a.tok.Encode("")
	if need := special.Len() + 1; a.max < need {
		return nil, fmt.Errorf("teacher: the annotator's MaxLength is %d; special tokens and one token of text need %d", a.max, need)
	}
	a.session, a.inputs, err = open(m, nil)
	return a, err
}

func tagHeads(m *onnx.Model) ([]tagHead, error) {
	heads, err := student.HeadsOf(m.Config)
	if err != nil {
		return nil, fmt.Errorf("teacher: %w", err)
	}
	lite, err := student.ReadLite(m.Config)
	if m.Config != nil && err != nil {
		return nil, fmt.Errorf("teacher: %w", err)
	}
	var out []tagHead
	for i, h := range heads {
		if h.Kind != student.KindPOS && h.Kind != student.KindNER {
			continue
		}
		t := tagHead{output: h.Output(i == 0), kind: h.Kind, labels: h.Labels}
		if i == 0 && !m.Graph.IsOutput(t.output) {
			t.output = primary(m)
		}
		if !m.Graph.IsOutput(t.output) {
			continue
		}
		if len(lite.Heads) == 0 {
			if t.kind, t.joint, err = TagKind(t.labels); err != nil {
				return nil, err
			}
		}
		out = append(out, t)
	}
	if len(out) == 0 {
		return nil, misfit.Errorf("teacher: the annotator's model labels no tokens; config.json needs \"architectures\" with …ForTokenClassification and id2label")
	}
	return out, nil
}

// TagKind tells from the form of a token classifier's labels what they are.
// With "O" among them, or all of the form B-X and I-X (also S-, E-, L-, U-,
// M-), they are entity tags, KindNER; other names are parts of speech, KindPOS.
// joint is set where the X are universal parts of speech, so that the labels
// give word boundaries and parts of speech at once (Chinese taggers).
func TagKind(labels []string) (kind student.Kind, joint bool, err error) {
	if len(labels) == 0 {
		return "", false, fmt.Errorf("teacher: the token classifier's labels are not known; set id2label in config.json")
	}
	prefixed, universal, outside := 0, 0, false
	for i, l := range labels {
		if l == fmt.Sprintf("LABEL_%d", i) {
			return "", false, fmt.Errorf("teacher: the token classifier's labels are placeholders (%s); set id2label in config.json to the real ones", l)
		}
		if _, x, ok := cut(l); ok {
			prefixed++
			if slices.Contains(corpus.UPOS(), x) {
				universal++
			}
		}
		outside = outside || l == "O"
	}
	switch {
	case prefixed > 0 && universal == prefixed:
		return student.KindPOS, true, nil
	case outside || prefixed == len(labels):
		return student.KindNER, false, nil
	}
	return student.KindPOS, false, nil
}

// cut splits B-X into whether it begins a span, and X.
func cut(label string) (begins bool, kind string, ok bool) {
	p, x, ok := strings.Cut(label, "-")
	if !ok || x == "" || len(p) != 1 || !strings.Contains("BISELUM", p) {
		return false, "", false
	}
	return strings.Contains("BSU", p), x, true
}

// Annotate returns the words of text with their part of speech or entity tag,
// or both where the model has both heads. A word is what the tokenizer splits
// at white space and punctuation (in Chinese, a character) with the label of
// its first piece; labels that give word boundaries make longer words. Entity
// tags are made valid BIO: an I-X that continues nothing becomes B-X. Parts of
// speech are the model's labels as they are, universal ones or not.
func (a *Annotator) Annotate(text string) ([]corpus.Word, error) {
	e := a.tok.Encode(text)
	var first, last []int64 // special tokens around the text
	var pieces []int
	for i, seq := range e.Seq {
		switch {
		case seq >= 0:
			pieces = append(pieces, i)
		case len(pieces) == 0:
			first = append(first, e.IDs[i])
		default:
			last = append(last, e.IDs[i])
		}
	}
	if len(pieces) == 0 {
		return nil, nil
	}
	labels := make([][]string, len(a.heads))
	room := a.max - len(first) - len(last)
	for _, part := range chunks(text, &e, pieces, room) {
		ids := slices.Clone(first)
		for _, i := range part {
			ids = append(ids, e.IDs[i])
		}
		if err := a.tag(append(ids, last...), len(first), len(part), labels); err != nil {
			return nil, err
		}
	}
	for i, s := range e.Offsets { // tokens of sentencepiece cover the space before them
		if e.Seq[i] >= 0 {
			e.Offsets[i] = tokenizer.Trim(text, s)
		}
	}
	return a.words(&e, pieces, labels), nil
}

// chunks cuts the pieces into runs of at most room: at the last sentence start
// that leaves the run at least half full, else at the last start of a word.
func chunks(text string, e *corpus.Encoding, pieces []int, room int) [][]int {
	if len(pieces) <= room {
		return [][]int{pieces}
	}
	starts := map[int]bool{} // pieces that begin a sentence
	k := 0
	for _, s := range corpus.SplitSentences(text) {
		for k < len(pieces) && e.Offsets[pieces[k]].Start < s.Start {
			k++
		}
		starts[k] = true
	}
	var out [][]int
	for lo := 0; lo < len(pieces); {
		hi := min(lo+room, len(pieces))
		if hi < len(pieces) {
			at := hi
			for at > lo+room/2 && !starts[at] {
				at--
			}
			if !starts[at] {
				for at = hi; at > lo+1 && e.Word[pieces[at]] == e.Word[pieces[at-1]]; {
					at--
				}
			}
			if at > lo+room/2 {
				hi = at
			}
		}
		out = append(out, pieces[lo:hi])
		lo = hi
	}
	return out
}

// tag appends the labels of n tokens from position skip on to those of each head.
func (a *Annotator) tag(ids []int64, skip, n int, labels [][]string) error {
	b := &corpus.Batch{B: 1, S: len(ids), IDs: ids, Mask: make([]int64, len(ids)), Types: make([]int64, len(ids))}
	for i := range b.Mask {
		b.Mask[i] = 1
	}
	var names []string
	for _, h := range a.heads {
		names = append(names, h.output)
	}
	out, err := a.session.Run(context.Background(), Feed(b, a.inputs), names...)
	if err != nil {
		return fmt.Errorf("teacher: annotator: %w", err)
	}
	for k, h := range a.heads {
		t, c := out[h.output], len(h.labels)
		if t.Type != onnx.Float || len(t.F32) != b.S*c {
			return fmt.Errorf("teacher: annotator: output %s has shape %v where %d tokens and the %d labels of config.json are expected", h.output, t.Shape, b.S, c)
		}
		for i := skip; i < skip+n; i++ {
			row, best := t.F32[i*c:(i+1)*c], 0
			for j, x := range row {
				if x > row[best] {
					best = j
				}
			}
			labels[k] = append(labels[k], h.labels[best])
		}
	}
	return nil
}

// words joins pieces to words.
func (a *Annotator) words(e *corpus.Encoding, pieces []int, labels [][]string) []corpus.Word {
	var out []corpus.Word
	open := "" // type of the entity in progress
	for k := 0; k < len(pieces); {
		w := corpus.Word{Span: e.Offsets[pieces[k]]}
		next := k + 1
		for next < len(pieces) && e.Word[pieces[next]] == e.Word[pieces[k]] {
			w.End = max(w.End, e.Offsets[pieces[next]].End)
			next++
		}
		joined := false
		for h, head := range a.heads {
			l := labels[h][k]
			switch {
			case head.kind == student.KindNER:
				w.Entity, open = entity(l, open)
			case !head.joint:
				w.POS = l
			default:
				begins, x, ok := cut(l)
				w.POS = "X"
				if ok {
					w.POS = x
				}
				joined = ok && !begins && len(out) > 0 && out[len(out)-1].POS == x && out[len(out)-1].End == w.Start
			}
		}
		k = next
		if len(out) > 0 { // one character can normalize to two words
			w.Start = max(w.Start, out[len(out)-1].End)
		}
		if w.Len() <= 0 {
			continue
		}
		if joined && !strings.HasPrefix(w.Entity, "B-") {
			out[len(out)-1].End = w.End
			continue
		}
		out = append(out, w)
	}
	return out
}

// entity turns a label into a BIO tag beside the entity type in progress. A
// label without a prefix (PER among O) is a type that goes on while it repeats.
func entity(label, open string) (tag, next string) {
	if label == "O" || label == "" {
		return "O", ""
	}
	begins, x, ok := cut(label)
	if !ok {
		x = label
	}
	if begins || x != open {
		return "B-" + x, x
	}
	return "I-" + x, x
}
