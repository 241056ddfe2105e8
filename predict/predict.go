package predict

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/teacher"
)

// Options says how texts are answered. The zero value is usable.
type Options struct {
	// Top is the number of answers for each text or mask, at most; 0 is all
	// classes of a classifier and 5 tokens for a mask.
	Top int
	// MaxLength is the most tokens of a text, special ones included; what is
	// beyond is cut off. 0, or more than the model takes, is as many as the
	// model takes, at most 512.
	MaxLength int
	// Batch is the number of texts run together, at most; 0 is 32. It changes
	// the answers in the last digits only, except where a dynamic int8 model
	// chooses its scales from a whole batch.
	Batch int
	// IDs answers token ids ([Text.Tokens]) alone, for models whose tokenizer
	// cannot be read.
	IDs bool
}

// Predictor runs the primary head of a model. It is safe for concurrent use.
type Predictor struct {
	opts    Options
	session *exec.Session
	vectors *teacher.Teacher // in place of session where the answers are vectors
	tok     *corpus.Tokenizer
	inputs  []string
	kind    student.Kind
	output  string
	labels  []string
}

// ErrNoMask is what the error of [Predictor.Fill] wraps where a text has
// nothing to fill in.
var ErrNoMask = errors.New("no mask")

// TextError is what the methods of [Predictor] return where one text is at fault:
// token ids that are not of the vocabulary or too many, a text without a mask, or
// one that the model answers with a number that is not finite.
type TextError struct {
	Text int // its place in the call, from 0
	Err  error
}

// Error counts texts from 1.
func (e *TextError) Error() string { return fmt.Sprintf("predict: text %d: %v", e.Text+1, e.Err) }

// Unwrap returns what is wrong with the text.
func (e *TextError) Unwrap() error { return e.Err }

// New prepares a model, which must come with its config.json and tokenizer
// (see [onnx.Open]).
//
// Errors: a config.json that does not tell what the model predicts, a tokenizer
// that is absent or not known, nodes that cannot be run,
// an input other than input_ids, attention_mask and token_type_ids.
func New(m *onnx.Model, opts Options) (*Predictor, error) {
	if m == nil || m.Graph == nil || len(m.Graph.Outputs) == 0 {
		return nil, errors.New("predict: the model has no outputs")
	}
	p := &Predictor{opts: opts}
	if limit := min(512, teacher.MaxLength(m, 512)); opts.MaxLength <= 0 || opts.MaxLength > limit {
		p.opts.MaxLength = limit
	}
	if opts.Batch <= 0 {
		p.opts.Batch = 32
	}
	err := p.setHead(m)
	if err != nil {
		return nil, err
	}
	if opts.IDs {
		if p.tok, err = teacher.IDTokenizer(m); err != nil {
			return nil, fmt.Errorf("predict: %w", err)
		}
		return p, p.open(m)
	}
	if len(m.Files) == 0 {
		return nil, errors.New("predict: no tokenizer beside the model; it needs tokenizer.json or vocab.txt in its directory")
	}
	if p.tok, err = corpus.LoadTokenizer(m.Files); err != nil {
		return nil, fmt.Errorf("predict: %w", err)
	}
	if err := p.open(m); err != nil {
		return nil, err
	}
	return p, nil
}

// setHead finds what the model predicts. One without a head gives vectors.
func (p *Predictor) setHead(m *onnx.Model) error {
	heads, err := student.HeadsOf(m.Config)
	if err != nil {
		return fmt.Errorf("predict: %w", err)
	}
	switch {
	case len(heads) > 0:
		p.kind, p.labels = heads[0].Kind, heads[0].Labels
		if p.output = heads[0].Output(true); !m.Graph.IsOutput(p.output) {
			p.output = m.Graph.Outputs[0].Name
		}
	case teacher.TaskOf(m) == onnx.Embedding:
		p.kind = student.KindEmbedding
	default:
		return errors.New("predict: what the model predicts is not known; its config.json needs \"architectures\" (…ForSequenceClassification, …ForTokenClassification, …ForMaskedLM or …Model)")
	}
	return nil
}

// open makes the session.
func (p *Predictor) open(m *onnx.Model) (err error) {
	if p.kind == student.KindEmbedding {
		if p.vectors, err = teacher.New(m, teacher.Options{}); err != nil {
			return fmt.Errorf("predict: %w", err)
		}
		return nil
	}
	opts := exec.Options{SkipPadding: true}
	if p.kind == student.KindMaskedLM {
		if p.tok.MaskID() < 0 {
			return errors.New("predict: the tokenizer has no mask token, which a masked language model needs")
		}
		opts.Rows = []string{p.output}
	}
	if p.session, err = exec.New(m, opts); err != nil {
		return fmt.Errorf("predict: %w", err)
	}
	for _, v := range p.session.Inputs() {
		switch v.Name {
		case "input_ids", "attention_mask", "token_type_ids", "rows":
			p.inputs = append(p.inputs, v.Name)
		default:
			return fmt.Errorf("predict: the model has an input %q; only input_ids, attention_mask and token_type_ids can be fed: export it without that input", v.Name)
		}
	}
	return nil
}

// Kind is what the primary head predicts, and so which method answers:
// Classify for classification, sop and nsp, Rate for regression, Embed and
// Compare for embedding, Fill for mlm, Tag for pos and ner.
func (p *Predictor) Kind() student.Kind { return p.kind }

// Labels names the classes or tags, nil for other heads and where config.json
// has none. The caller must not change it.
func (p *Predictor) Labels() []string { return p.labels }

// MaskToken is what marks a gap in a text for Fill, usually [MASK]; "" if the
// tokenizer has none.
func (p *Predictor) MaskToken() string { return p.tok.Token(p.tok.MaskID()) }

// Text is a text to answer, or a pair of them where Pair is not empty.
type Text struct {
	Text, Pair string
	// Tokens are ids in place of a text, special tokens included; Text is then
	// only what the answer calls them. A tagger answers for each token.
	Tokens *corpus.Tokens
}

// Texts makes single texts.
func Texts(texts ...string) []Text {
	out := make([]Text, len(texts))
	for i, t := range texts {
		out[i].Text = t
	}
	return out
}

// batch is some texts as the model reads them, and what it answered.
type batch struct {
	*corpus.Batch
	encoded []corpus.Encoding
	logits  []float32 // [B,C], [B,S,C], [R,V] or [B,H]
	n       int       // C, V or H
}

// row is one vector of logits, or the vector of a text.
func (b *batch) row(i int) []float32 { return b.logits[i*b.n : (i+1)*b.n] }

// each runs texts in batches; kinds are those whose answer the caller reads.
func (p *Predictor) each(ctx context.Context, method string, texts []Text, do func(b *batch, texts []Text) error, kinds ...student.Kind) error {
	if !slices.Contains(kinds, p.kind) {
		return fmt.Errorf("predict: %s wants a model whose head is one of %v, and this one's is %s", method, kinds, p.kind)
	}
	for from := 0; from < len(texts); from += p.opts.Batch {
		part := texts[from:min(len(texts), from+p.opts.Batch)]
		b, err := p.run(ctx, part)
		if e := (*TextError)(nil); errors.As(err, &e) {
			e.Text += from
		}
		if err != nil {
			return err
		}
		if err := do(b, part); err != nil {
			return err
		}
	}
	return nil
}

// run answers the texts of one batch.
func (p *Predictor) run(ctx context.Context, texts []Text) (*batch, error) {
	b, err := p.encode(texts)
	if err != nil {
		return nil, err
	}
	rows := b.B
	switch p.kind {
	case student.KindEmbedding:
		b.logits, err = p.vectors.Logits(ctx, b.Batch)
		if e := (*teacher.NotFiniteError)(nil); errors.As(err, &e) && e.Row >= 0 && e.Row < len(texts) {
			return nil, &TextError{e.Row, err}
		}
		if err != nil {
			return nil, fmt.Errorf("predict: %w", err)
		}
		b.n = p.vectors.Width()
		return b, nil
	case student.KindMaskedLM:
		if err := p.masks(b, texts); err != nil {
			return nil, err
		}
		rows = b.R
	case student.KindPOS, student.KindNER:
		rows = b.B * b.S
	}
	values, err := p.session.Run(ctx, teacher.Feed(b.Batch, p.inputs), p.output)
	if err != nil {
		return nil, fmt.Errorf("predict: %w", err)
	}
	t := values[p.output]
	if len(t.Shape) == 0 || t.Type != onnx.Float {
		return nil, fmt.Errorf("predict: output %s has shape %v of %v, not scores", p.output, t.Shape, t.Type)
	}
	b.logits, b.n = t.F32, t.Shape[len(t.Shape)-1]
	if b.n == 0 || len(b.logits) != rows*b.n {
		return nil, fmt.Errorf("predict: output %s has shape %v, which is not a row of scores for each of %d; is \"architectures\" in config.json right?", p.output, t.Shape, rows)
	}
	if len(p.labels) > 0 && len(p.labels) != b.n {
		return nil, fmt.Errorf("predict: output %s has %d classes, but config.json names %d labels for the %s head; make its id2label fit the model", p.output, b.n, len(p.labels), p.kind)
	}
	return b, nil
}

// encode makes a batch as long as its longest text.
func (p *Predictor) encode(texts []Text) (*batch, error) {
	b := &batch{Batch: &corpus.Batch{B: len(texts), S: 1}, encoded: make([]corpus.Encoding, len(texts))}
	for i, t := range texts {
		switch {
		case t.Tokens != nil:
			if err := p.ids(&b.encoded[i], t.Tokens); err != nil {
				return nil, &TextError{i, err}
			}
		case !p.tok.ReadsText():
			return nil, &TextError{i, errors.New("it is text, and Options.IDs asks for token ids")}
		default:
			b.encoded[i] = p.tok.EncodeMax(t.Text, t.Pair, p.opts.MaxLength)
		}
		b.S = max(b.S, b.encoded[i].Len())
	}
	b.IDs, b.Mask, b.Types = make([]int64, b.B*b.S), make([]int64, b.B*b.S), make([]int64, b.B*b.S)
	pad := max(p.tok.PadID(), 0)
	for i, e := range b.encoded {
		at := i * b.S
		copy(b.IDs[at:], e.IDs)
		copy(b.Types[at:], e.Types)
		for s := range b.S {
			if s < e.Len() {
				b.Mask[at+s] = 1
			} else {
				b.IDs[at+s] = pad
			}
		}
	}
	return b, nil
}

// ids are token ids as an encoding, in which each token that is not special is
// a word.
func (p *Predictor) ids(e *corpus.Encoding, t *corpus.Tokens) error {
	if err := t.Check(p.tok.VocabSize()); err != nil {
		return err
	}
	if n := len(t.IDs); n > p.opts.MaxLength {
		return fmt.Errorf("%d ids, and the model takes %d; cut them where they are made", n, p.opts.MaxLength)
	}
	for i, id := range t.IDs {
		kind, word := int64(0), i
		if t.Types != nil {
			kind = int64(t.Types[i])
		}
		if p.tok.IsSpecial(int64(id)) {
			word = -1
		}
		e.IDs, e.Tokens = append(e.IDs, int64(id)), append(e.Tokens, p.tok.Token(int64(id)))
		e.Types, e.Word = append(e.Types, kind), append(e.Word, word)
		e.Offsets, e.Seq = append(e.Offsets, corpus.Span{}), append(e.Seq, int(kind))
	}
	return nil
}

// masks selects the masked positions; each text must have one.
func (p *Predictor) masks(b *batch, texts []Text) error {
	for i, t := range texts {
		before := len(b.Rows)
		for s, id := range b.encoded[i].IDs {
			if id == p.tok.MaskID() {
				b.Rows = append(b.Rows, int64(i*b.S+s))
			}
		}
		if len(b.Rows) == before {
			return &TextError{i, fmt.Errorf("%w: write %s where a word is to be filled in, within the first %d tokens of %.60q", ErrNoMask, p.MaskToken(), p.opts.MaxLength, t.Text)}
		}
	}
	b.R = len(b.Rows)
	return nil
}
