package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/teacher"
)

// predictor runs a model's primary head on texts.
type predictor struct {
	session   *exec.Session
	tok       *corpus.Tokenizer
	inputs    []string
	kind      student.Kind
	output    string
	labels    []string
	top       int
	maxLength int
}

func newPredictor(m *onnx.Model, p *predictFlags) (*predictor, error) {
	r := &predictor{top: p.top, kind: primaryKind(m), maxLength: min(512, teacher.MaxLength(m, 512))}
	if p.maxLength > 0 {
		r.maxLength = min(p.maxLength, r.maxLength)
	}
	heads, err := student.HeadsOf(m.Config)
	if err != nil {
		return nil, fmt.Errorf("--model: %w", err)
	}
	if len(m.Graph.Outputs) == 0 || len(heads) == 0 {
		return nil, fmt.Errorf("--model: what the model predicts is not known; its config.json needs \"architectures\" (…ForSequenceClassification, …ForTokenClassification or …ForMaskedLM)")
	}
	r.labels = heads[0].Labels
	if r.output = heads[0].Output(true); !m.Graph.IsOutput(r.output) {
		r.output = m.Graph.Outputs[0].Name
	}
	if len(m.Files) == 0 {
		return nil, fmt.Errorf("--model: no tokenizer beside the model; it needs tokenizer.json or vocab.txt in its directory")
	}
	if r.tok, err = corpus.LoadTokenizer(m.Files); err != nil {
		return nil, err
	}
	var opts exec.Options
	if r.kind == student.KindMaskedLM {
		if r.tok.MaskID() < 0 {
			return nil, fmt.Errorf("--model: the tokenizer has no mask token")
		}
		opts.Rows = []string{r.output}
	}
	if r.session, err = exec.New(m, opts); err != nil {
		return nil, err
	}
	for _, v := range r.session.Inputs() {
		r.inputs = append(r.inputs, v.Name)
	}
	return r, nil
}

// predict answers each example.
func (r *predictor) predict(ctx context.Context, examples []corpus.Example) ([]fmt.Stringer, error) {
	b, encoded := r.encode(examples)
	if r.kind == student.KindMaskedLM {
		if err := r.masks(b, examples); err != nil {
			return nil, err
		}
	}
	values, err := r.session.Run(ctx, teacher.Feed(b, r.inputs), r.output)
	if err != nil {
		return nil, err
	}
	t := values[r.output]
	if len(t.Shape) == 0 || t.Type != onnx.Float {
		return nil, fmt.Errorf("output %s has shape %v of %v, not scores", r.output, t.Shape, t.Type)
	}
	n := t.Shape[len(t.Shape)-1]
	rows := map[student.Kind]int{student.KindMaskedLM: b.R, student.KindPOS: b.B * b.S, student.KindNER: b.B * b.S}[r.kind]
	if rows == 0 {
		rows = b.B
	}
	if n == 0 || len(t.F32) != rows*n {
		return nil, fmt.Errorf("output %s has shape %v, which is not a row of scores for each of %d; is \"architectures\" in config.json right?", r.output, t.Shape, rows)
	}
	out := make([]fmt.Stringer, len(examples))
	for i, e := range examples {
		switch r.kind {
		case student.KindMaskedLM:
			out[i] = r.fills(b, i, e.Text, t.F32, n)
		case student.KindPOS, student.KindNER:
			out[i] = r.tags(encoded[i], e.Text, t.F32[i*b.S*n:(i+1)*b.S*n], n)
		default:
			out[i] = &labelled{Text: e.Text, Pair: e.Pair, Labels: r.best(t.F32[i*n:(i+1)*n], r.label)}
		}
	}
	return out, nil
}

// encode makes a batch as long as its longest text.
func (r *predictor) encode(examples []corpus.Example) (*corpus.Batch, []corpus.Encoding) {
	encoded := make([]corpus.Encoding, len(examples))
	b := &corpus.Batch{B: len(examples)}
	for i, e := range examples {
		encoded[i] = r.tok.EncodeMax(e.Text, e.Pair, r.maxLength)
		b.S = max(b.S, encoded[i].Len(), 1)
	}
	pad := max(r.tok.PadID(), 0)
	for _, e := range encoded {
		for s := range b.S {
			if s < e.Len() {
				b.IDs, b.Mask, b.Types = append(b.IDs, e.IDs[s]), append(b.Mask, 1), append(b.Types, e.Types[s])
			} else {
				b.IDs, b.Mask, b.Types = append(b.IDs, pad), append(b.Mask, 0), append(b.Types, 0)
			}
		}
	}
	return b, encoded
}

// masks selects the masked positions; each text must have one.
func (r *predictor) masks(b *corpus.Batch, examples []corpus.Example) error {
	mask := r.tok.MaskID()
	for i, e := range examples {
		before := len(b.Rows)
		for s := range b.S {
			if at := i*b.S + s; b.IDs[at] == mask && b.Mask[at] != 0 {
				b.Rows = append(b.Rows, int64(at))
			}
		}
		if len(b.Rows) == before {
			return usagef("no %s in the first %d tokens of %.60q: write it where a word is to be filled in", r.tok.Token(mask), r.maxLength, e.Text)
		}
	}
	b.R = len(b.Rows)
	return nil
}

func (r *predictor) label(i int) string {
	if i < len(r.labels) {
		return r.labels[i]
	}
	return fmt.Sprintf("LABEL_%d", i)
}

// scored is an answer and its probability.
type scored struct {
	Label string  `json:"label"`
	Score float64 `json:"score"`
}

// best returns the most probable answers of a row of logits.
func (r *predictor) best(row []float32, name func(int) string) []scored {
	top := slices.Max(row)
	sum := 0.0
	order := make([]int, len(row))
	for i, x := range row {
		sum += math.Exp(float64(x - top))
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(row[j], row[i]) })
	out := make([]scored, min(r.top, len(row)))
	for k := range out {
		out[k] = scored{name(order[k]), math.Exp(float64(row[order[k]]-top)) / sum}
	}
	return out
}

// labelled is a classifier's answer.
type labelled struct {
	Text   string   `json:"text"`
	Pair   string   `json:"pair,omitempty"`
	Labels []scored `json:"labels"`
}

func (l *labelled) String() string {
	text := l.Text
	if l.Pair != "" {
		text += "\t" + l.Pair
	}
	return join(l.Labels, " ") + "\t" + text
}

func join(list []scored, sep string) string {
	parts := make([]string, len(list))
	for i, s := range list {
		parts[i] = fmt.Sprintf("%s %.4f", s.Label, s.Score)
	}
	return strings.Join(parts, sep)
}

// filled is a masked LM's answer: one list for each mask.
type filled struct {
	Text  string     `json:"text"`
	Masks [][]scored `json:"masks"`
}

func (r *predictor) fills(b *corpus.Batch, example int, text string, logits []float32, n int) *filled {
	f := &filled{Text: text, Masks: [][]scored{}}
	for i, at := range b.Rows {
		if int(at)/b.S == example {
			f.Masks = append(f.Masks, r.best(logits[i*n:(i+1)*n], func(id int) string { return r.tok.Token(int64(id)) }))
		}
	}
	return f
}

func (f *filled) String() string {
	lines := []string{f.Text}
	for i, m := range f.Masks {
		lines = append(lines, fmt.Sprintf("  mask %d: %s", i+1, join(m, ", ")))
	}
	return strings.Join(lines, "\n")
}

// tagged is a tagger's answer; offsets are in characters.
type tagged struct {
	Text     string     `json:"text"`
	Words    []tagOf    `json:"words"`
	Entities []entityOf `json:"entities,omitempty"`
}

type tagOf struct {
	Text  string  `json:"text"`
	Start int     `json:"start"`
	End   int     `json:"end"`
	Tag   string  `json:"tag"`
	Score float64 `json:"score"`
}

type entityOf struct {
	Text  string `json:"text"`
	Start int    `json:"start"`
	End   int    `json:"end"`
	Type  string `json:"type"`
}

// tags reads the tag of each word at its first piece.
func (r *predictor) tags(e corpus.Encoding, text string, logits []float32, n int) *tagged {
	t := &tagged{Text: text, Words: []tagOf{}}
	var tags []string
	var spans []corpus.Span
	last := -1
	for i := range e.Len() {
		if e.Word[i] < 0 || e.Seq[i] != 0 {
			continue
		}
		if e.Word[i] == last {
			spans[len(spans)-1].End = e.Offsets[i].End
			continue
		}
		last = e.Word[i]
		best := r.best(logits[i*n:(i+1)*n], r.label)[0]
		t.Words = append(t.Words, tagOf{Tag: best.Label, Score: best.Score})
		tags, spans = append(tags, best.Label), append(spans, e.Offsets[i])
	}
	chars := func(s corpus.Span) (text_ string, start, end int) {
		start = utf8.RuneCountInString(text[:s.Start])
		return text[s.Start:s.End], start, start + utf8.RuneCountInString(text[s.Start:s.End])
	}
	for i := range t.Words {
		t.Words[i].Text, t.Words[i].Start, t.Words[i].End = chars(spans[i])
	}
	for _, x := range eval.Entities(tags) {
		o := entityOf{Type: x.Type}
		o.Text, o.Start, o.End = chars(corpus.Span{Start: spans[x.Start].Start, End: spans[x.End-1].End})
		t.Entities = append(t.Entities, o)
	}
	return t
}

func (t *tagged) String() string {
	parts := make([]string, len(t.Words))
	for i, w := range t.Words {
		parts[i] = w.Text + "/" + w.Tag
	}
	return strings.Join(parts, " ")
}
