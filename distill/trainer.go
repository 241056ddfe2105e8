package distill

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// Report says how a run went.
type Report struct {
	// Steps is the number of updates in all, Resumed the step a checkpoint let it go on from.
	Steps   int `json:"steps"`
	Resumed int `json:"resumed"`
	// Losses are the moving averages (0.98) of the unweighted terms at the end.
	Losses []NamedLoss `json:"losses"`
	// Tokens (without padding) were seen by this process in Seconds of training.
	Tokens  int64   `json:"tokens"`
	Seconds float64 `json:"seconds"`
}

// trainer is the state of a run.
type trainer struct {
	cfg     *Config
	model   *onnx.Model
	heads   *heads
	tok     *corpus.Tokenizer
	program *autodiff.Program
	params  []*Param
	first   [][]float32 // AdamW's moments
	second  [][]float32
	streams []*stream
	shapes  map[shapeKey]*Graph

	run      string // hash of everything the result depends on
	step     int
	steps    int
	kept     int       // the step of the last checkpoint, -1 without one
	values   []float64 // of the terms in this step, by index of Config.Loss
	averages []float64
	tokens   int64
	saved    time.Time
	report   *Report
}

// Run trains m under the configuration and returns the trained model; m is not
// changed. Heads that the losses need and m lacks are added.
//
// Errors: a configuration that cannot work, data that does not fit the model, a
// graph that has no gradient (the node is named), a loss that is not finite, a
// checkpoint of another run ([*CheckpointError]). When ctx ends, the state is
// saved first and the error wraps ctx's.
func Run(ctx context.Context, m *onnx.Model, c Config) (*onnx.Model, *Report, error) {
	if err := c.Validate(); err != nil {
		return nil, nil, err
	}
	t, err := newTrainer(m, &c)
	if err != nil {
		return nil, nil, err
	}
	defer t.close()
	if err := t.train(ctx); err != nil {
		removeEmpty(c.Checkpoint)
		return nil, nil, err
	}
	out, err := t.program.Model()
	if err != nil {
		return nil, nil, fmt.Errorf("distill: %w", err)
	}
	if !c.KeepHeads && len(t.heads.list) > 1 {
		if out, err = student.Keep(out, t.heads.primary); err != nil {
			return nil, nil, fmt.Errorf("distill: %w", err)
		}
	}
	return out, t.report, nil
}

// newTrainer gets everything ready but the teacher; see listen.
func newTrainer(m *onnx.Model, c *Config) (*trainer, error) {
	m, err := c.withHeads(m)
	if err != nil {
		return nil, err
	}
	if err := m.CheckRun(); err != nil {
		return nil, fmt.Errorf("distill: the student cannot run: %w", err)
	}
	t := &trainer{cfg: c, model: m, kept: -1, shapes: map[shapeKey]*Graph{}, values: make([]float64, len(c.Loss)), averages: make([]float64, len(c.Loss))}
	if t.heads, err = readHeads(m); err != nil {
		return nil, err
	}
	if t.tok, err = corpus.LoadTokenizer(m.Files); err != nil {
		return nil, fmt.Errorf("distill: the model's tokenizer: %w", err)
	}
	if p := student.ShapeOf(m.Config).Positions; p > 0 && c.MaxLength > p {
		return nil, fmt.Errorf("distill: maximum length %d exceeds the student's %d positions", c.MaxLength, p)
	}
	t.program, err = autodiff.New(m, autodiff.Options{Rows: t.heads.rows, Dropout: float32(c.Dropout)})
	if err != nil {
		return nil, fmt.Errorf("distill: %w", err)
	}
	t.params = t.program.Params()
	for _, p := range t.params {
		t.first = append(t.first, make([]float32, len(p.Value)))
		t.second = append(t.second, make([]float32, len(p.Value)))
	}
	for _, v := range []View{Clean, Masked} {
		s, err := c.newStream(v, t.heads, t.tok)
		if err != nil {
			return nil, err
		}
		if s != nil {
			t.streams = append(t.streams, s)
		}
	}
	t.startDecoder()
	t.steps = c.steps(t.streams[0].perEpoch())
	if t.run, err = t.fingerprint(); err != nil {
		return nil, err
	}
	return t, nil
}

// steps is the number of updates, given the batches of an epoch.
func (c *Config) steps(perEpoch int) int {
	if c.Steps > 0 {
		return c.Steps
	}
	return max(1, c.Epochs*perEpoch/c.Accumulate)
}

// listen lets the streams that want soft labels hear the teacher.
func (t *trainer) listen(ctx context.Context) error {
	for _, s := range t.streams {
		if s.taught() {
			if err := t.cfg.listen(ctx, s, t.heads, t.tok, t.steps*t.cfg.Accumulate); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *trainer) close() {
	for _, s := range t.streams {
		if s.teacher != nil {
			s.teacher.Close() // without a cache there is nothing to lose
		}
	}
}

// train runs the steps that are left.
func (t *trainer) train(ctx context.Context) error {
	if err := t.openCheckpoint(); err != nil {
		return err
	}
	if _, err := t.loadCheckpoint(); err != nil {
		return err
	}
	if t.step < t.steps {
		if err := t.listen(ctx); err != nil {
			return err
		}
	}
	start, resumed := time.Now(), t.step
	t.saved = start
	for t.step < t.steps {
		if err := ctx.Err(); err != nil {
			return t.interrupted(err)
		}
		norm, err := t.oneStep(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return t.interrupted(ctx.Err()) // the step is undone: it had changed no weight
			}
			return err
		}
		if t.cfg.Hook != nil {
			t.cfg.Hook(t.step, t.params)
		}
		if t.cfg.Progress != nil {
			t.cfg.Progress(Progress{
				Step: t.step, Steps: t.steps, Losses: t.losses(), Rate: t.cfg.rate(t.step-1, t.steps), Norm: norm,
				Tokens: t.tokens, Elapsed: time.Since(start), Resumed: resumed,
			})
		}
		if t.due() {
			if err := t.saveCheckpoint(); err != nil {
				t.cfg.warn(fmt.Errorf("%w; training goes on", err))
			}
		}
	}
	t.report = &Report{Steps: t.steps, Resumed: resumed, Losses: t.losses(), Tokens: t.tokens, Seconds: time.Since(start).Seconds()}
	if err := t.saveCheckpoint(); err != nil {
		t.cfg.warn(fmt.Errorf("%w; the training is complete all the same", err))
	}
	return nil
}

// interrupted saves the state before the run ends early.
func (t *trainer) interrupted(cause error) error {
	if err := t.saveCheckpoint(); err != nil && t.kept < 0 {
		return fmt.Errorf("distill: stopped at step %d of %d, and nothing could be kept: %w", t.step, t.steps, errors.Join(cause, err))
	} else if err != nil {
		return fmt.Errorf("distill: stopped at step %d of %d, which could not be saved; run the same command to go on from step %d: %w", t.step, t.steps, t.kept, errors.Join(cause, err))
	}
	if t.cfg.Checkpoint == "" {
		return fmt.Errorf("distill: stopped at step %d of %d: %w", t.step, t.steps, cause)
	}
	return fmt.Errorf("distill: stopped at step %d of %d, saved in %s; run the same command to go on: %w", t.step, t.steps, t.cfg.Checkpoint, cause)
}

// due reports whether it is time for a checkpoint.
func (t *trainer) due() bool {
	if n := t.cfg.CheckpointSteps; n > 0 && t.step%n == 0 {
		return true
	}
	every := t.cfg.CheckpointEvery
	if every <= 0 {
		every = time.Minute
	}
	if time.Since(t.saved) < every {
		return false
	}
	t.saved = time.Now()
	return true
}

// oneStep adds the gradients of the step's batches and updates the weights.
func (t *trainer) oneStep(ctx context.Context) (norm float64, err error) {
	t.program.ZeroGrad()
	clear(t.values)
	for micro := range t.cfg.Accumulate {
		k := t.step*t.cfg.Accumulate + micro
		for _, s := range t.streams {
			if err := t.accumulate(ctx, s, k); err != nil {
				return 0, err
			}
		}
	}
	if norm, err = t.update(); err != nil {
		return 0, err
	}
	t.average()
	t.step++
	return norm, nil
}

// accumulate runs batch k of a stream forward and backward.
func (t *trainer) accumulate(ctx context.Context, s *stream, k int) error {
	b, err := s.batch(k)
	if err != nil {
		return err
	}
	m := &Moment{Batch: b, Step: t.step, Steps: t.steps, stream: s}
	if s.taught() {
		if m.soft, err = s.logits(ctx, b); err != nil { // first: they tell the teacher's width
			return err
		}
	}
	g, err := t.compile(s, b)
	if err != nil {
		return err
	}
	feed, err := t.feed(g, m, k)
	if err != nil {
		return err
	}
	values, err := g.pass.Run(feed)
	if err != nil {
		return fmt.Errorf("distill: step %d, batch with the examples %s: %w", t.step+1, examples(b), err)
	}
	for i, v := range values {
		t.values[s.indices[i]] += float64(v) / float64(t.cfg.Accumulate)
	}
	for _, m := range b.Mask {
		t.tokens += m
	}
	return nil
}

// feed makes what a pass reads at batch k of the stream.
func (t *trainer) feed(g *Graph, m *Moment, k int) (feed autodiff.Feed, err error) {
	b, s := m.Batch, m.stream
	feed = autodiff.Feed{
		Inputs: map[string][]int64{"input_ids": b.IDs, "attention_mask": b.Mask, "token_type_ids": b.Types},
		Floats: map[string][]float32{}, Ints: map[string][]int32{},
		Seed: t.cfg.Seed<<1 | uint64(s.view), Step: uint64(k),
	}
	if b.R > 0 {
		feed.Inputs["rows"] = b.Rows
	}
	for _, name := range slices.Sorted(maps.Keys(g.ints)) {
		if feed.Ints[name], err = g.ints[name](m); err != nil {
			return feed, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(g.floats)) {
		if feed.Floats[name], err = g.floats[name](m); err != nil {
			return feed, err
		}
	}
	for _, term := range s.terms {
		feed.Weights = append(feed.Weights, float32(term.weight(t.step, t.steps)))
	}
	return feed, nil
}

// examples names the first examples of a batch, for messages.
func examples(b *corpus.Batch) string {
	const most = 8
	list := b.Index
	more := ""
	if len(list) > most {
		list, more = list[:most], " …"
	}
	return fmt.Sprint(list) + more
}

// average lets the moving averages follow the step's values, from the first on.
func (t *trainer) average() {
	for i, v := range t.values {
		if t.step == 0 {
			t.averages[i] = v
		} else {
			t.averages[i] += 0.02 * (v - t.averages[i])
		}
	}
}

// losses names the averages of the terms that count.
func (t *trainer) losses() []NamedLoss {
	var out []NamedLoss
	for i, term := range t.cfg.Loss {
		if term.Weight > 0 {
			out = append(out, NamedLoss{term.Loss.Name(), t.averages[i]})
		}
	}
	return out
}

// shapeKey is what a compiled graph depends on.
type shapeKey struct {
	view    View
	b, s, r int
}

// maxShapes bounds the graphs that are kept; batches are few shapes by design.
const maxShapes = 256

// compile returns the graph for a batch, from the cache if it is there.
func (t *trainer) compile(s *stream, b *corpus.Batch) (*Graph, error) {
	key := shapeKey{s.view, b.B, b.S, b.R}
	if g := t.shapes[key]; g != nil {
		return g, nil
	}
	if len(t.shapes) >= maxShapes {
		clear(t.shapes)
	}
	pass, err := t.program.NewPass(b.B, b.S, b.R)
	if err != nil {
		return nil, fmt.Errorf("distill: %w", err)
	}
	g := &Graph{pass: pass, b: b.B, r: b.R, heads: t.heads, masked: s.view == Masked, width: s.width,
		floats: map[string]func(*Moment) ([]float32, error){}, ints: map[string]func(*Moment) ([]int32, error){}}
	nodes := make([]*gorgonia.Node, len(s.terms))
	for i, term := range s.terms {
		if nodes[i], err = term.Loss.Build(g); err != nil {
			return nil, fmt.Errorf("distill: loss %s: %w", term.Loss.Name(), err)
		}
	}
	if err := pass.Compile(nodes); err != nil {
		return nil, fmt.Errorf("distill: %w", err)
	}
	t.shapes[key] = g
	return g, nil
}

// fingerprint hashes everything that the result depends on.
func (t *trainer) fingerprint() (string, error) {
	c := t.cfg
	h := sha256.New()
	fmt.Fprintf(h, "lite 2\n%s\n", t.model.Hash())
	if c.Teacher != nil {
		fmt.Fprintf(h, "teacher %s\n", c.Teacher.Hash())
	}
	for _, term := range c.Loss {
		fmt.Fprintf(h, "loss %T %+v %v %v\n", term.Loss, term.Loss, term.Weight, term.Ramp)
	}
	fmt.Fprintln(h, t.steps, c.Batch, c.MaxLength, c.LearningRate, c.Warmup, c.Decay, c.WeightDecay, c.ClipNorm, c.Accumulate, c.Dropout, c.Seed)
	fmt.Fprintf(h, "%q %q\n", t.heads.labels(student.KindPOS, nil), t.heads.labels(student.KindNER, nil))
	for _, name := range slices.Sorted(maps.Keys(t.model.Files)) {
		fmt.Fprintf(h, "%s %x\n", name, sha256.Sum256(t.model.Files[name]))
	}
	for _, data := range c.corpora(t.streams) {
		if err := hashCorpus(h, data); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// corpora lists what the streams read, each once.
func (c *Config) corpora(streams []*stream) (out []corpus.Corpus) {
	for _, s := range streams {
		switch {
		case s.view == Clean:
			out = append(out, c.Task)
		case c.Text != nil || len(out) == 0:
			out = append(out, c.text())
		}
	}
	return out
}

// hashCorpus feeds every example to the hash.
func hashCorpus(h io.Writer, c corpus.Corpus) error {
	var n [8]byte
	put := func(s string) {
		binary.LittleEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		io.WriteString(h, s)
	}
	for i := range c.Len() {
		e, err := c.At(i)
		if err != nil {
			return fmt.Errorf("distill: %w", err)
		}
		put(e.Text)
		put(e.Pair)
		put(e.Target)
		fmt.Fprint(h, e.Label, e.Sentences, len(e.Words))
		for _, w := range e.Words {
			fmt.Fprint(h, w.Span)
			put(w.POS)
			put(w.Entity)
		}
	}
	return nil
}
