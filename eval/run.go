package eval

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/teacher"
)

// Run evaluates every head of m that the data can score: a classifier against
// the labels of data, tagging heads against its words' tags, masked language
// modelling and sentence order on the text itself with masks and swaps drawn
// from the seed. Which heads there are is read from config.json.
func Run(ctx context.Context, m *onnx.Model, data corpus.Corpus, opts Options) (*Result, error) {
	if m == nil || m.Graph == nil {
		return nil, fmt.Errorf("eval: the model has no graph")
	}
	if data == nil || data.Len() == 0 {
		return nil, fmt.Errorf("eval: the data is empty")
	}
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	heads, err := headsOf(m)
	if err != nil {
		return nil, err
	}
	tok, err := opts.tokenizer(m)
	if err != nil {
		return nil, err
	}
	opts.MaxLength = min(opts.MaxLength, positions(m, opts.MaxLength))
	r := &runner{ctx: ctx, model: m, data: data, tok: tok, opts: opts,
		result: &Result{Task: heads[0].kind, Examples: data.Len(), Parameters: parameters(m)}}
	if err := r.prepare(heads); err != nil {
		return nil, err
	}
	if err := r.run(); err != nil {
		return nil, err
	}
	r.finish()
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

// positions is the longest sequence that the model's config allows, def where it says nothing.
func positions(m *onnx.Model, def int) int {
	if m.Config == nil || m.Config.MaxPositionEmbeddings <= 0 {
		return def
	}
	n := m.Config.MaxPositionEmbeddings
	if strings.Contains(m.Config.ModelType, "roberta") {
		n -= 2 // its position ids start after the padding id
	}
	return n
}

// parameters counts the elements of float and 8-bit initializers of rank 1 and
// more; scales and zero points of a quantized model count as what they are.
func parameters(m *onnx.Model) (n int64) {
	for _, t := range m.Graph.Initializers {
		switch t.Type {
		case onnx.Float, onnx.Float16, onnx.BFloat16, onnx.Double, onnx.Int8, onnx.Uint8:
			n += int64(t.Len())
		}
	}
	return n
}

// encodedBytes is the size of the .onnx file that the model makes.
func encodedBytes(m *onnx.Model) (int64, error) {
	b, err := m.Encode()
	return int64(len(b)), err
}

// kind of pass over the data.
const (
	passTask    = "task"    // clean text and class labels
	passTags    = "tags"    // clean text, every token's tag
	passDenoise = "denoise" // masked text, masked tokens and their tags, sentence order
)

// pass is one way through the data and the heads scored on it.
type pass struct {
	name    string
	view    *corpus.View
	session *exec.Session
	heads   []*scored
}

// scored is a head being scored.
type scored struct {
	head
	metrics []Metric
	count   int
	classes []int32 // data class → model class, classification only
}

type runner struct {
	ctx    context.Context
	model  *onnx.Model
	data   corpus.Corpus
	tok    *corpus.Tokenizer
	opts   Options
	result *Result
	passes []*pass
	done   []*scored
}

// prepare decides which heads are scored in which pass.
func (r *runner) prepare(heads []head) error {
	var task, tags, denoise []*scored
	var why []string
	pos, ner, err := r.tagSets(heads)
	if err != nil {
		return err
	}
	for _, h := range heads {
		if len(r.opts.Heads) > 0 && !slices.Contains(r.opts.Heads, h.kind) {
			continue
		}
		s := &scored{head: h}
		switch h.kind {
		case student.KindClassification:
			if s.classes, err = classMap(r.data.Labels(), h.labels); err != nil {
				if h.primary {
					return err
				}
				why = append(why, err.Error())
				continue
			}
			task = append(task, s)
		case student.KindPOS, student.KindNER:
			set := map[student.Kind][]string{student.KindPOS: pos, student.KindNER: ner}[h.kind]
			if set == nil {
				why = append(why, fmt.Sprintf("the data has no %s tags", h.kind))
				continue
			}
			s.labels = set
			tags = append(tags, s)
		default:
			denoise = append(denoise, s)
		}
		if err := r.metricsOf(s); err != nil {
			return err
		}
		r.done = append(r.done, s)
	}
	if len(r.done) == 0 {
		return fmt.Errorf("eval: no head of the model can be scored on this data: %s", strings.Join(append(why, "heads are "+kinds(heads)), "; "))
	}
	for _, p := range []*pass{{name: passTask, heads: task}, {name: passTags, heads: tags}, {name: passDenoise, heads: denoise}} {
		if len(p.heads) == 0 {
			continue
		}
		if err := r.open(p, pos, ner); err != nil {
			return err
		}
		r.passes = append(r.passes, p)
	}
	return nil
}

func kinds(heads []head) string {
	var out []string
	for _, h := range heads {
		out = append(out, string(h.kind))
	}
	return strings.Join(out, ", ")
}

// metricsOf makes the metrics of a head.
func (r *runner) metricsOf(s *scored) error {
	names := map[student.Kind][]string{
		student.KindClassification: {"accuracy", "f1"}, student.KindMaskedLM: {"accuracy", "perplexity"},
		student.KindPOS: {"accuracy"}, student.KindNER: {"ner_f1", "accuracy"}, student.KindSentenceOrder: {"accuracy"},
	}[s.kind]
	if s.primary && len(r.opts.Metrics) > 0 {
		names = r.opts.Metrics
	}
	for _, name := range names {
		make, err := MetricByName(name)
		if err != nil {
			return err
		}
		s.metrics = append(s.metrics, make(s.labels))
	}
	return nil
}

// open makes the view and session of a pass.
func (r *runner) open(p *pass, pos, ner []string) error {
	vo := corpus.ViewOptions{BatchSize: r.opts.BatchSize, MaxLength: r.opts.MaxLength, Seed: r.opts.Seed, POSTags: pos, NERTags: ner}
	vo.Mask.Rate = r.opts.MaskRate
	var err error
	var view *corpus.View
	switch p.name {
	case passDenoise:
		vo.SentencePairs = slices.ContainsFunc(p.heads, func(s *scored) bool { return s.kind == student.KindSentenceOrder })
		view, err = corpus.NewDenoiseView(r.data, r.tok, vo)
	default:
		vo.TokenLabels = p.name == passTags
		view, err = corpus.NewTaskView(r.data, r.tok, vo)
	}
	if err != nil {
		return fmt.Errorf("eval: %w", err)
	}
	p.view = view.Sequential()
	var rows []string
	for _, s := range p.heads {
		if s.token() {
			rows = append(rows, s.output)
		}
	}
	if p.session, err = exec.New(r.model, exec.Options{Rows: rows}); err != nil {
		return fmt.Errorf("eval: %w", err)
	}
	return nil
}

// token reports whether the head gives a row for each selected token.
func (s *scored) token() bool {
	return s.kind != student.KindClassification && s.kind != student.KindSentenceOrder
}

// run goes through the passes.
func (r *runner) run() error {
	for _, p := range r.passes {
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
	values, err := p.session.Run(r.ctx, teacher.Feed(b, inputs), outputs...)
	if err != nil {
		return err
	}
	for _, s := range p.heads {
		t := values[s.output]
		if t == nil {
			continue
		}
		rows, keys, err := s.rows(b, t)
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
		if s.primary {
			r.result.keep(rows, keys)
		}
	}
	return nil
}

// rows pairs the head's scores with the batch's labels.
func (s *scored) rows(b *corpus.Batch, t *exec.Tensor) (Rows, []uint64, error) {
	var gold []int32
	switch s.kind {
	case student.KindClassification:
		gold = make([]int32, b.B)
		for i, g := range b.Labels {
			gold[i] = -1
			if g >= 0 && int(g) < len(s.classes) {
				gold[i] = s.classes[g]
			}
		}
	case student.KindSentenceOrder:
		gold = b.Order
	case student.KindMaskedLM:
		gold = b.MLM
	case student.KindPOS:
		gold = b.POS
	case student.KindNER:
		gold = b.NER
	}
	n := len(gold)
	if t.Type != onnx.Float || n == 0 || len(t.F32)%n != 0 || len(t.Shape) == 0 {
		return Rows{}, nil, fmt.Errorf("output %s has shape %v of %v, which is not a score vector for each of %d rows; is the config's \"architectures\" right?", s.output, t.Shape, t.Type, n)
	}
	r := Rows{Logits: t.F32, Classes: len(t.F32) / n, Gold: gold}
	if r.Classes != t.Shape[len(t.Shape)-1] {
		return Rows{}, nil, fmt.Errorf("output %s has shape %v where %d rows of scores are expected; is the config's \"architectures\" right?", s.output, t.Shape, n)
	}
	keys := make([]uint64, n)
	if s.token() {
		r.Group = make([]int, n)
	}
	for i := range n {
		if !s.token() {
			keys[i] = uint64(b.Index[i]) << 16
			continue
		}
		row := int(b.Rows[i]) / b.S
		r.Group[i] = row
		keys[i] = uint64(b.Index[row])<<16 | uint64(int(b.Rows[i])%b.S)
	}
	return r, keys, nil
}

// keep remembers the primary head's predictions.
func (res *Result) keep(r Rows, keys []uint64) {
	res.Classes = r.Classes
	r.each(func(i int, row []float32, gold int) {
		res.Predictions = append(res.Predictions, int32(Argmax(row)))
		res.Gold = append(res.Gold, int32(gold))
		res.Keys = append(res.Keys, keys[i])
		if r.Classes <= 64 {
			res.Logits = append(res.Logits, row...)
		}
	})
}
