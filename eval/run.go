package eval

import (
	"context"
	"fmt"
	"io"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/teacher"
)

// Run evaluates every head of m that the data can score: a classifier against
// the labels of data, tagging heads against its words' tags, masked language
// modelling and sentence order on the text itself with masks and swaps drawn
// from the seed. Which heads there are is read from config.json. Heads that the
// data has nothing for are skipped, and named in the result.
//
// Errors: those of [Check], a model that cannot run, a context that is done, no
// row at all for the primary head.
func Run(ctx context.Context, m *onnx.Model, data corpus.Corpus, opts Options) (*Result, error) {
	r, opts, err := newRunner(ctx, m, data, opts)
	if err != nil {
		return nil, err
	}
	if err := r.open(); err != nil {
		return nil, err
	}
	if err := r.run(); err != nil {
		return nil, err
	}
	if err := r.finish(); err != nil {
		return nil, err
	}
	if r.result.Bytes = opts.Bytes; opts.Bytes == 0 {
		if r.result.Bytes, err = encodedBytes(m); err != nil {
			return nil, fmt.Errorf("eval: %w", err)
		}
	}
	if len(opts.Latency) > 0 {
		if r.result.Latency, err = Latency(ctx, m, opts.Latency, opts.Timing); err != nil {
			return nil, err
		}
	}
	return r.result, nil
}

// Check tells what is wrong where [Run] could not score m on data: no head that
// the data fits, labels or tags that are not the model's, a metric that is none
// of the head's (*[MetricError]), no tokenizer. It reads labels and tags only
// and runs nothing, so that it can be asked before a long training.
func Check(m *onnx.Model, data corpus.Corpus, opts Options) error {
	_, _, err := newRunner(context.Background(), m, data, opts)
	return err
}

// newRunner decides what is scored, and how.
func newRunner(ctx context.Context, m *onnx.Model, data corpus.Corpus, opts Options) (*runner, Options, error) {
	if m == nil || m.Graph == nil {
		return nil, opts, fmt.Errorf("eval: the model has no graph")
	}
	if data == nil || data.Len() == 0 {
		return nil, opts, fmt.Errorf("eval: the data is empty")
	}
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, opts, err
	}
	heads, err := headsOf(m)
	if err != nil {
		return nil, opts, err
	}
	tok, err := opts.tokenizer(m, data)
	if err != nil {
		return nil, opts, err
	}
	opts.MaxLength = min(opts.MaxLength, teacher.MaxLength(m, opts.MaxLength))
	r := &runner{ctx: ctx, model: m, data: data, tok: tok, opts: opts,
		result: &Result{Task: heads[0].kind, Examples: data.Len(), Parameters: m.Parameters()}}
	return r, opts, r.prepare(heads)
}

// encodedBytes is the size of the .onnx file that the model makes.
func encodedBytes(m *onnx.Model) (int64, error) {
	return m.WriteTo(io.Discard)
}

// kind of pass over the data.
const (
	passTask    = "task"    // clean text and class labels
	passTags    = "tags"    // clean text, every token's tag
	passDenoise = "denoise" // masked text, masked tokens
	passOrder   = "order"   // masked text in two segments, their order
	passNext    = "next"    // masked text in two segments, the second often of another text
	passVectors = "vectors" // texts, and their embeddings
)

// pass is one way through the data and the heads scored on it.
type pass struct {
	name    string
	view    *corpus.View
	session *exec.Session
	vectors *teacher.Teacher // gives embeddings, pooled where the graph does not
	heads   []*scored
}

// scored is a head being scored.
type scored struct {
	head
	regression bool // the output is a number, not classes
	lead       bool // its predictions are kept and compared
	metrics    []Metric
	count      int
	known      int     // labels of the model itself, 0 unknown
	classes    []int32 // data class → model class, classification only
}

type runner struct {
	ctx    context.Context
	model  *onnx.Model
	data   corpus.Corpus
	tok    *corpus.Tokenizer
	opts   Options
	result *Result
	pos    []string // tags as they are numbered, see tagSets; nil without
	ner    []string
	passes []*pass
	done   []*scored
	before int // sequences of the batches before this one
}

// open makes the views and sessions of all passes.
func (r *runner) open() error {
	for _, p := range r.passes {
		if err := r.openPass(p); err != nil {
			return fmt.Errorf("eval: %w", err)
		}
	}
	return nil
}

func (r *runner) openPass(p *pass) error {
	vo := corpus.ViewOptions{BatchSize: r.opts.BatchSize, MaxLength: r.opts.MaxLength, Seed: r.opts.Seed, POSTags: r.pos, NERTags: r.ner}
	vo.Mask.Rate = r.opts.MaskRate
	var err error
	var view *corpus.View
	switch p.name {
	case passVectors:
		var data corpus.Corpus
		if data, err = r.vectorTexts(); err == nil {
			view, err = corpus.NewTaskView(data, r.tok, vo)
		}
	case passDenoise, passOrder, passNext:
		// Apart from masked language modelling, so that what that is measured
		// on does not depend on which other heads a model has.
		vo.SentencePairs, vo.NextSentence = p.name == passOrder, p.name == passNext
		view, err = corpus.NewDenoiseView(r.data, r.tok, vo)
	default:
		vo.TokenLabels = p.name == passTags
		view, err = corpus.NewTaskView(r.data, r.tok, vo)
	}
	if err != nil {
		return err
	}
	p.view = view.Sequential()
	if p.name == passVectors {
		p.vectors, err = teacher.New(r.model, teacher.Options{})
		return err
	}
	var rows []string
	for _, s := range p.heads {
		if s.token() {
			rows = append(rows, s.output)
		}
	}
	p.session, err = exec.New(r.model, exec.Options{Rows: rows, SkipPadding: true})
	return err
}

// token reports whether the head gives a row for each selected token.
func (s *scored) token() bool {
	switch s.kind {
	case student.KindClassification, student.KindSentenceOrder, student.KindNextSentence, student.KindRegression, student.KindEmbedding:
		return false
	}
	return true
}

// run goes through the passes.
func (r *runner) run() error {
	for _, p := range r.passes {
		if p.vectors != nil {
			if err := r.embed(p); err != nil {
				return err
			}
			continue
		}
		var inputs []string
		for _, v := range p.session.Inputs() {
			inputs = append(inputs, v.Name)
		}
		n := p.view.Batches(0)
		for i := range n {
			if err := r.ctx.Err(); err != nil {
				return err
			}
			b, err := p.view.Batch(0, i)
			if err != nil {
				return fmt.Errorf("eval: %w", err)
			}
			if err := r.batch(p, b, inputs); err != nil {
				return fmt.Errorf("eval: batch %d: %w", i, err)
			}
			if r.opts.Progress != nil {
				r.opts.Progress(p.name, i+1, n)
			}
		}
	}
	return nil
}

// batch runs one batch and scores every head of the pass.
func (r *runner) batch(p *pass, b *corpus.Batch, inputs []string) error {
	var outputs []string
	for _, s := range p.heads {
		if !s.token() || b.R > 0 {
			outputs = append(outputs, s.output)
		}
	}
	if len(outputs) == 0 {
		return nil
	}
	if p.name == passTags {
		if err := r.firstPieces(b); err != nil {
			return err
		}
	}
	defer func() { r.before += b.B }()
	values, err := p.session.Run(r.ctx, teacher.Feed(b, inputs), outputs...)
	if err != nil {
		return err
	}
	for _, s := range p.heads {
		t := values[s.output]
		if t == nil {
			continue
		}
		rows, keys, err := s.rows(b, t, r.before)
		if err != nil {
			return err
		}
		for _, g := range rows.Gold {
			if g >= 0 {
				s.count++
			}
		}
		for _, m := range s.metrics {
			m.Add(rows)
		}
		if s.lead {
			r.result.keep(rows, keys)
		}
	}
	return nil
}
