package distill

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/teacher"
)

// Report says how a run went.
type Report struct {
	// Stage is [Config.Stage].
	Stage string `json:"stage,omitempty"`
	// Steps is the number of updates in all, Resumed the step a checkpoint let it go on from.
	Steps   int `json:"steps"`
	Resumed int `json:"resumed"`
	// Losses are the moving averages (0.98) of the unweighted terms at the end.
	Losses []NamedLoss `json:"losses"`
	// LearnedWeights are the factors of [Config.LearnWeights] at the end.
	LearnedWeights []NamedLoss `json:"learned_weights,omitempty"`
	// Evaluations are those of Config.Evaluate, Best the one whose weights
	// resulted; Stopped tells that patience ended the run before its time.
	Evaluations []Evaluation `json:"evaluations,omitempty"`
	Best        *Evaluation  `json:"best,omitempty"`
	Stopped     bool         `json:"stopped,omitempty"`
	// OutOfTime tells that Config.TimeBudget ended the run before its last step.
	OutOfTime bool `json:"out_of_time,omitempty"`
	// Tokens (without padding) were seen by this process in Seconds of training.
	Tokens  int64   `json:"tokens"`
	Seconds float64 `json:"seconds"`
}

// trainer is the state of a run.
type trainer struct {
	cfg     *Config
	model   *onnx.Model
	heads   *heads
	pair    *Pair
	tok     *corpus.Tokenizer
	program *autodiff.Program
	params  []*Param
	first   [][]float32 // the optimiser's moments
	second  [][]float32
	share   []float64   // of the learning rate, by parameter; nil for all alike
	mean    [][]float32 // moving averages of the weights; nil without
	best    [][]float32 // weights of the best evaluation; nil before the first
	watch   watch
	trial   trial // of Config.DevLoss
	log     *journal
	streams []*stream
	shapes  map[shapeKey]*Graph
	glances map[glanceKey]*glance
	encoder *fuse.Encoder // see anatomy
	// uncertainty are the logarithms of Config.LearnWeights; nil without.
	uncertainty *Param
	training    bool      // batches are asked for in their order, see answered
	ahead       *question // what is asked beside the step

	run      string // hash of everything the result depends on
	parts    []part // what that is
	release  func() // gives the checkpoint's directory back; nil without
	step     int
	steps    int
	kept     int       // the step of the last checkpoint, -1 without one
	newest   int       // the step that state.ckpt holds, -1 without a good one
	values   []float64 // of the terms in this step, by index of Config.Loss, and then what they report
	averages []float64
	weights  []float64 // of the terms in this step
	tokens   int64
	saved    time.Time
	deadline time.Time // of the time budget; zero without
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
	began := time.Now()
	if err := c.Validate(); err != nil {
		return nil, nil, err
	}
	c, err := c.fit(ctx, m)
	if err != nil {
		return nil, nil, err
	}
	if c, err = c.budget(ctx, m, time.Since(began)); err != nil {
		return nil, nil, err
	}
	t, err := newTrainer(m, &c)
	if err != nil {
		return nil, nil, err
	}
	defer t.close()
	if c.TimeBudget > 0 {
		t.deadline = began.Add(c.TimeBudget)
	}
	err = t.train(ctx)
	t.leave()
	if err != nil {
		removeEmpty(c.Checkpoint)
		return nil, nil, err
	}
	values := t.chosen()
	t.shed()
	out, err := t.result(values)
	if err != nil {
		return nil, nil, err
	}
	return out, t.report, nil
}

// shed lets go of what only training needs, so that the result takes its place.
func (t *trainer) shed() {
	t.forget()
	t.first, t.second, t.mean, t.best = nil, nil, nil, nil
	t.program.Release()
	clear(t.shapes)
	clear(t.glances)
	for _, s := range slices.Concat(t.trial.streams, t.streams) {
		s.ahead.Close()
		s.close()
		s.ahead, s.tutors, s.tapped = nil, nil, nil
	}
	t.tidy()
}

// manyParameters is from where memory is worth some milliseconds of tidying.
const manyParameters = 1 << 20

// tidy gives back what is no longer in use, before or after something large.
func (t *trainer) tidy() {
	n := 0
	for _, p := range t.params {
		n += len(p.Value)
	}
	if n >= manyParameters {
		debug.FreeOSMemory()
	}
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
	pair, err := c.pair(m)
	if err != nil {
		return nil, err
	}
	if m, err = pair.projected(m, c.Seed); err != nil {
		return nil, err
	}
	if c.DevLoss != nil {
		c.Metric, c.LowerIsBetter = LossMetric, true
	}
	t := &trainer{cfg: c, model: m, pair: pair, kept: -1, newest: -1, watch: watch{Best: -1}, shapes: map[shapeKey]*Graph{}, glances: map[glanceKey]*glance{}}
	t.values, t.averages = make([]float64, t.places()), make([]float64, t.places())
	if t.heads, err = readHeads(m); err != nil {
		return nil, err
	}
	if err := c.checkKinds(t.heads); err != nil {
		return nil, err
	}
	if t.tok, err = teacher.Tokenizer(m, c.any()); err != nil {
		return nil, fmt.Errorf("distill: the model's tokenizer: %w", err)
	}
	if err := c.checkTokens(pair, t.tok); err != nil {
		return nil, err
	}
	if p := student.ShapeOf(m.Config).Positions; p > 0 && c.MaxLength > p {
		return nil, unfit("maximum length %d exceeds the student's %d positions; shorten it (--max-length %d)", c.MaxLength, p, p)
	}
	opts, err := t.options()
	if err != nil {
		return nil, err
	}
	t.program, err = autodiff.New(m, opts)
	if err != nil {
		return nil, fmt.Errorf("distill: %w", err)
	}
	t.params = t.program.Params()
	t.learnWeights()
	for _, p := range t.params {
		t.first = append(t.first, make([]float32, len(p.Value)))
		t.second = append(t.second, make([]float32, len(p.Value)))
	}
	if t.share, err = c.layerRates(m, t.params); err != nil {
		return nil, err
	}
	if err := t.openStreams(); err != nil {
		return nil, err
	}
	if t.run, t.parts, err = t.fingerprint(); err != nil {
		return nil, err
	}
	return t, nil
}

// options are those of the differentiable program.
func (t *trainer) options() (opts autodiff.Options, err error) {
	c := t.cfg
	opts = autodiff.Options{Outputs: slices.Clone(t.pair.outputs()), Recompute: c.Recompute, Dropout: float32(c.Dropout)}
	if opts.Rows, err = c.selectRows(t.heads); err != nil {
		return opts, err
	}
	if c.Loss.looksInside() {
		e, err := t.anatomy()
		if err != nil {
			return opts, err
		}
		if h := lastHidden(e); !slices.Contains(opts.Outputs, h) {
			opts.Outputs = append(opts.Outputs, h)
		}
	}
	return opts, nil
}

// openStreams makes the streams that losses read, with their teachers, and what
// follows from the data: the decoder's first biases and the number of steps.
func (t *trainer) openStreams() error {
	c := t.cfg
	for _, v := range []View{Clean, Masked} {
		s, err := c.newStream(v, t.heads, t.tok)
		if err != nil {
			return err
		}
		if s != nil {
			s.taps = t.pair.taps(v)
			t.streams = append(t.streams, s)
		}
	}
	t.startDecoder()
	if c.EMA > 0 {
		for _, p := range t.params {
			t.mean = append(t.mean, slices.Clone(p.Value))
		}
	}
	t.steps = c.steps(t.streams[0].perEpoch())
	if c.plan != nil && c.plan.Steps > 0 {
		t.steps = c.plan.Steps // those of c are the ones whose texts are labelled
	}
	for _, s := range t.streams {
		if err := c.engage(s, t.heads, t.tok, t.model.Files, t.planned()*c.Accumulate); err != nil {
			return err
		}
	}
	return t.openTrial()
}

// planned is the number of steps whose texts are labelled: those of the run, but
// for a time budget, whose plan is made before and after.
func (t *trainer) planned() int {
	if t.cfg.plan != nil {
		return t.cfg.plan.Planned
	}
	return t.steps
}

// steps is the number of updates, given the batches of an epoch.
func (c *Config) steps(perEpoch int) int {
	if c.Steps > 0 {
		return c.Steps
	}
	return max(1, c.Epochs*perEpoch/c.Accumulate)
}

// listen lets the streams that want soft labels hear the teacher, on the first
// batches.
func (t *trainer) listen(ctx context.Context, batches int) error {
	for _, s := range t.streams {
		if err := t.cfg.listen(ctx, s, t.heads, batches); err != nil {
			return err
		}
		if err := t.cfg.openTaps(s); err != nil {
			return err
		}
	}
	return t.listenTrial(ctx, batches)
}

func (t *trainer) close() {
	t.forget()
	t.leave() // also where a loss of the caller's panics
	t.log.close()
	for _, s := range slices.Concat(t.trial.streams, t.streams) {
		s.ahead.Close()
		s.close()
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
	var err error
	if t.log, err = openJournal(t.cfg.Log, t.run, t.cfg.Stage, t.cfg.warn); err != nil {
		return err
	}
	// Losses on dev data want the teacher once more where the run was cut off
	// between its last step and what that is measured by.
	if t.step < t.steps && !t.exhausted() || t.cfg.DevLoss != nil && t.pending() {
		began := time.Now()
		if err := t.listen(ctx, t.planned()*t.cfg.Accumulate); err != nil {
			return err
		}
		if err := t.replan(time.Since(began)); err != nil {
			return err
		}
		t.tidy() // the teacher is gone
	}
	start, resumed := time.Now(), t.step
	t.saved, t.training = start, true
	late := false
	for {
		if t.pending() {
			if err := t.evaluate(ctx); err != nil {
				if ctx.Err() != nil {
					return t.interrupted(ctx.Err()) // it is made up for
				}
				return err
			}
		}
		if t.step >= t.steps || t.exhausted() {
			break
		}
		if late = t.outOfTime(start, resumed); late && t.step > resumed {
			break
		}
		if err := t.advance(ctx, start, resumed); err != nil {
			return err
		}
	}
	t.report = &Report{Stage: t.cfg.Stage, Steps: t.step, Resumed: resumed, Losses: t.losses(), LearnedWeights: t.learned(t.chosen()), Stopped: t.exhausted() && t.step < t.steps, OutOfTime: late, Tokens: t.tokens, Seconds: time.Since(start).Seconds()}
	t.evaluations(t.report)
	if err := t.saveCheckpoint(); err != nil {
		t.cfg.warn(fmt.Errorf("%w; the training is complete all the same", err))
	}
	return nil
}

// advance takes a step, tells of it, and saves the state where it is time.
func (t *trainer) advance(ctx context.Context, start time.Time, resumed int) error {
	if err := ctx.Err(); err != nil {
		return t.interrupted(err)
	}
	before := t.tokens
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
	t.follow()
	t.logStep(norm, t.tokens-before)
	if t.cfg.Progress != nil {
		t.cfg.Progress(Progress{
			Step: t.step, Steps: t.steps, Stage: t.cfg.Stage, Losses: t.losses(), Rate: t.cfg.rate(t.step-1, t.steps), Norm: norm,
			Tokens: t.tokens, Elapsed: time.Since(start), Resumed: resumed,
		})
	}
	if t.due() {
		if err := t.saveCheckpoint(); err != nil {
			t.cfg.warn(fmt.Errorf("%w; training goes on", err))
		}
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
