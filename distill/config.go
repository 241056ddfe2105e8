package distill

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/teacher"
)

// Config says what to train on, under which losses and how. [Default] supplies
// the usual values; the zero value of a field means what its comment says.
type Config struct {
	// Teacher is the frozen model whose logits SoftLabels reads; nil trains without one.
	Teacher *onnx.Model
	// MoreTeachers are heard besides: soft labels are then the weighted mean of
	// all teachers' distributions, softened by the temperature of the loss;
	// scores and vectors their weighted mean. Classes are matched by their names.
	// Losses on values inside a teacher say which one by their field From.
	MoreTeachers []*onnx.Model
	// TeacherWeights are the teachers' shares of the soft labels, Teacher's first,
	// then those of MoreTeachers; they are divided by their sum. Nil gives each the
	// same. A teacher of weight 0 gives no labels, whatever its task: it is there
	// for losses on values inside it.
	TeacherWeights []float64
	// Student, where set, makes [Config.Apply] treat the model it is given as
	// the teacher and train this student of it. Run does not read it.
	Student *Student
	// Loss is the sum to minimise.
	Loss Sum
	// LearnWeights also learns how much each term counts, by its uncertainty
	// (Kendall, Gal, Cipolla, arXiv 1705.07115): instead of Σ w·L the run minimises
	// Σ w·(exp(−s)·L + s), with s = 0 at first and trained as weights are. They are no part
	// of the result; Report tells exp(−s).
	LearnWeights bool

	// Task feeds the losses on clean text (soft and hard labels of a classifier).
	Task corpus.Corpus
	// Text feeds the losses on masked text (denoising, POS, NER, sentence
	// order, soft labels of a masked language model); nil uses Task.
	Text corpus.Corpus

	// Epochs over Task (over Text, if only that is used). Default 3.
	Epochs int
	// Steps, if not 0, replaces Epochs.
	Steps int
	// Batch is the number of examples a step sees of each corpus. Default 32.
	Batch int
	// BatchTokens, if not 0, replaces Batch: a step sees as many sequences of
	// about one length as have that many tokens, padding included. Each batch
	// counts the same in the mean, however many sequences it has.
	BatchTokens int
	// MaxLength in tokens, special ones included. Default 128.
	MaxLength int
	// LearningRate at its peak. Default 5e-4.
	LearningRate float64
	// Warmup is the share of the steps with a rising rate, 0 to 1. Default 0.06.
	Warmup float64
	// Decay is the shape of the falling rate.
	Decay Decay
	// Optimizer is AdamW where it is not set.
	Optimizer Optimizer
	// LayerDecay, 0 to 1, is the factor by which each layer of the encoder learns
	// more slowly than the one above it; heads learn at the full rate, embeddings
	// at the least. 0 and 1 let all learn alike.
	LayerDecay float64
	// EMA, 0 to 1, is the share that a moving average of the weights keeps of
	// itself at a step, such as 0.999. The averages are what is evaluated and
	// what results. 0 takes the weights as they are.
	EMA float64
	// WeightDecay, not applied to biases and LayerNorm. Default 0.01.
	WeightDecay float64
	// ClipNorm bounds the norm of the whole gradient; 0 does not. Default 1.
	ClipNorm float64
	// Accumulate adds the gradients of that many batches to one step. Default 1.
	Accumulate int
	// Dropout probability, 0 to 1. Default 0.1.
	Dropout float64
	// Seed of data order, masking, dropout and fresh weights.
	Seed uint64
	// POSTags and NERTags are the classes of fresh tagging heads; nil takes the
	// universal tags and the entity types that occur in Text.
	POSTags, NERTags []string

	// KeepHeads keeps all heads in the result; otherwise only the primary one stays.
	KeepHeads bool

	// Cache is a directory for the teacher's labels, so that the next run need
	// not compute them; see package teacher, and [Label], which fills it alone.
	// Empty keeps those of whole texts beside the checkpoint until
	// [RemoveCheckpoint], or in memory only where there is none. Logits at masked
	// positions are many, since every epoch masks anew: they are computed as they
	// are needed, and kept only where Form says how, or where the cache has some.
	Cache string
	// Form is how labels are kept in Cache. The zero value takes the form in
	// which they are there already, and keeps new ones whole.
	Form teacher.Form
	// Checkpoint is the directory for checkpoints, empty for none. A run that
	// finds its own checkpoint there goes on from it. Training goes on where
	// one cannot be written; see Warn.
	Checkpoint string
	// CheckpointEvery is the time between checkpoints. Default one minute.
	CheckpointEvery time.Duration
	// CheckpointSteps, if not 0, also writes one every so many steps.
	CheckpointSteps int

	// KeepCheckpoints is the number of checkpoints that are kept, the older ones
	// for where the newest is damaged. Default 1.
	KeepCheckpoints int

	// Evaluate, if not nil, measures the model while it is trained: every
	// EvalEvery steps (0: once an epoch) and at the end. The weights with the
	// highest value are the result, or the lowest with LowerIsBetter. Training
	// stops where Patience evaluations in a row were no better than the best; 0
	// goes on. The function must depend on the model alone, and must not keep it.
	Evaluate      func(ctx context.Context, m *onnx.Model) (float64, error)
	EvalEvery     int
	Patience      int
	LowerIsBetter bool
	// DevLoss, in place of Evaluate, measures the losses of the run themselves on
	// these examples, which both views read: their weighted sum as the model would
	// be handed out, lower being better, without dropout and ramps, and with the
	// same masks each time.
	DevLoss corpus.Corpus
	// Metric names what Evaluate measures. EvaluateID is a text that differs where
	// Evaluate does (a hash of its data): checkpoints are then not gone on from.
	Metric, EvaluateID string
	// Evaluated, if not nil, is told of every evaluation.
	Evaluated func(e Evaluation, best bool)

	// Log is a file to which a line of JSON is appended for every step and every
	// evaluation; empty for none. After an interruption no step stands in it twice.
	Log string
	// Stage names the run in the log and in Progress, where it is one of several.
	Stage string

	// TimeBudget, if not 0, bounds the time of Run: a few steps are timed, and
	// training has as many, at most those of Epochs or Steps, as will fit, with the
	// whole schedule of the learning rate. When the teacher has labelled the texts,
	// the steps are planned once more by the time that is left. The number
	// depends on the machine; what results is that of Steps set to it (where
	// less than an epoch fits, but for rounding in labels). The plan stands beside the
	// checkpoint: a run that goes on keeps to it and has the whole time again.
	// Where steps take longer than was planned, training ends early; see
	// Report.OutOfTime.
	TimeBudget time.Duration
	// Recompute saves memory for time: what is inside the layers is computed again
	// in the backward pass, to the same bits.
	Recompute bool
	// MaxMemory, if not 0, bounds what training holds, in bytes, as
	// Estimate.Memory counts it: Recompute is set, and if need be the batch
	// halved and Accumulate doubled until it fits. The same settings and data
	// decide alike on every machine.
	MaxMemory int64
	// Decided, if not nil, is told in words what these two led to.
	Decided func(what string)

	// Progress, if not nil, is told of every step.
	Progress func(Progress)
	// Labelling, if not nil, is told how far the teacher has labelled Task.
	Labelling func(done, total int)
	// Notice, if not nil, is told what there is to know of the cache of labels:
	// that what it has does not fit and why, or that another run fills it.
	Notice func(string)
	// Warn, if not nil, is told of what the run survives: a checkpoint that
	// cannot be written, a full disk under the cache.
	Warn func(error)
	// Hook, if not nil, sees the parameters after every step: a pruning mask
	// or schedule. It must depend on the step and the parameters alone.
	Hook func(step int, params []*Param)

	// plan is that of TimeBudget.
	plan *timePlan
	// cramped says that within MaxMemory there is no room for what a teacher says
	// ahead of the student's step.
	cramped bool
}

// Decay is how the learning rate falls after the warm-up.
type Decay string

// The shapes of decay: to zero in a line, to zero in a half cosine, not at all.
const (
	Linear   Decay = "linear"
	Cosine   Decay = "cosine"
	Constant Decay = "constant"
)

// Bounds beyond which a number is a slip of the keyboard.
const (
	maxCount  = 1 << 30
	maxTokens = 1 << 20 // of a batch
)

// Default returns the usual settings; Loss and the corpora are the caller's.
func Default() Config {
	return Config{
		Epochs: 3, Batch: 32, MaxLength: 128, LearningRate: 5e-4, Warmup: 0.06, Decay: Linear,
		WeightDecay: 0.01, ClipNorm: 1, Accumulate: 1, Dropout: 0.1, CheckpointEvery: time.Minute,
	}
}

// Validate reports the first setting that cannot work, as a [*MisfitError].
func (c *Config) Validate() error { return misfit.Of(c.validate()) }

func (c *Config) validate() error {
	switch {
	case len(c.Loss) == 0:
		return errors.New("distill: no loss; add at least one term")
	case c.Task == nil && c.Text == nil:
		return errors.New("distill: no corpus to train on")
	case c.Epochs < 0 || c.Steps < 0 || c.Epochs+c.Steps == 0:
		return fmt.Errorf("distill: %d epochs and %d steps; neither may be negative, and one must be positive", c.Epochs, c.Steps)
	case c.Epochs > maxCount || c.Steps > maxCount || c.Accumulate > maxCount:
		return fmt.Errorf("distill: %d epochs, %d steps of %d batches; no more than %d of each make sense", c.Epochs, c.Steps, c.Accumulate, maxCount)
	case c.Batch <= 0 || c.Accumulate <= 0:
		return fmt.Errorf("distill: batch %d and accumulation %d must be positive", c.Batch, c.Accumulate)
	case c.MaxLength < 8:
		return fmt.Errorf("distill: maximum length %d is below 8 tokens", c.MaxLength)
	case c.BatchTokens != 0 && (c.BatchTokens < c.MaxLength || c.BatchTokens > maxTokens):
		return fmt.Errorf("distill: a batch of %d tokens; at least one sequence of %d must fit, and no more than %d tokens are run at once", c.BatchTokens, c.MaxLength, maxTokens)
	case c.Batch > maxTokens/c.MaxLength:
		return fmt.Errorf("distill: a batch of %d sequences of %d tokens is more than the %d tokens that are run at once; take a smaller batch and accumulate more of them", c.Batch, c.MaxLength, maxTokens)
	case c.CheckpointEvery < 0 || c.CheckpointSteps < 0:
		return fmt.Errorf("distill: checkpoints every %v and every %d steps; neither may be negative", c.CheckpointEvery, c.CheckpointSteps)
	case !(c.LearningRate >= 0) || math.IsInf(c.LearningRate, 0):
		return fmt.Errorf("distill: learning rate %v is not a number ≥ 0", c.LearningRate)
	case !(c.Warmup >= 0 && c.Warmup <= 1):
		return fmt.Errorf("distill: warm-up %v is a share of the steps, 0 to 1", c.Warmup)
	case !(c.WeightDecay >= 0 && c.WeightDecay < 1):
		return fmt.Errorf("distill: weight decay %v is outside [0, 1)", c.WeightDecay)
	case !(c.ClipNorm >= 0):
		return fmt.Errorf("distill: clipping norm %v is not a number ≥ 0", c.ClipNorm)
	case !(c.Dropout >= 0 && c.Dropout < 1):
		return fmt.Errorf("distill: dropout %v is outside [0, 1)", c.Dropout)
	case c.Decay != Linear && c.Decay != Cosine && c.Decay != Constant:
		return fmt.Errorf("distill: decay %q is none of linear, cosine, constant", c.Decay)
	}
	if c.TimeBudget < 0 || c.MaxMemory < 0 {
		return fmt.Errorf("distill: a time budget of %v and a bound of %d bytes; neither may be negative", c.TimeBudget, c.MaxMemory)
	}
	if err := c.checkOptimizer(); err != nil {
		return err
	}
	for i, t := range c.Loss {
		if t.Loss == nil {
			return fmt.Errorf("distill: term %d of the sum has no loss", i)
		}
		if err := c.checkTerm(t); err != nil {
			return err
		}
	}
	if err := c.checkTeachers(); err != nil {
		return err
	}
	if err := c.checkMasked(); err != nil {
		return err
	}
	switch {
	case len(c.Loss.of(Clean))+len(c.Loss.of(Masked)) == 0:
		return errors.New("distill: every loss has weight 0; give at least one a weight")
	case len(c.Loss.of(Clean)) > 0 && c.Task == nil:
		return fmt.Errorf("distill: the loss %s needs task data", c.Loss.of(Clean)[0].Loss.Name())
	}
	return nil
}

// checker is a loss that refuses settings outside their ranges.
type checker interface{ check() error }

// checkTerm refuses a weight or a ramp outside its range, and what checkLoss does.
func (c *Config) checkTerm(t Term) error {
	if !(t.Weight >= 0) || math.IsInf(t.Weight, 0) {
		return fmt.Errorf("distill: weight %v of %s is not a number ≥ 0", t.Weight, t.Loss.Name())
	}
	if !(t.Ramp >= 0 && t.Ramp <= 1) {
		return fmt.Errorf("distill: ramp %v of %s is a share of the steps, 0 to 1", t.Ramp, t.Loss.Name())
	}
	return c.checkLoss(t)
}

// checkLoss refuses the settings of a loss that are outside their ranges.
func (c *Config) checkLoss(t Term) error {
	if _, taught := t.Loss.(Taught); taught && t.Weight > 0 && c.Teacher == nil {
		return fmt.Errorf("distill: the loss %s needs a teacher", t.Loss.Name())
	}
	if _, inner := t.Loss.(Inner); inner && t.Weight > 0 && c.Teacher == nil {
		return fmt.Errorf("distill: the loss %s compares with a teacher, and there is none", t.Loss.Name())
	}
	if f, ok := t.Loss.(from); ok && t.Weight > 0 && (f.from() < 0 || f.from() > len(c.MoreTeachers)) {
		return fmt.Errorf("distill: the loss %s reads values inside teacher %d, and there are teachers 1 to %d; name another, or give more teachers", t.Loss.Name(), f.from()+1, len(c.MoreTeachers)+1)
	}
	if l, ok := t.Loss.(checker); ok {
		if err := l.check(); err != nil {
			return err
		}
	}
	switch l := t.Loss.(type) {
	case SoftLabels:
		return l.check()
	case HardLabels:
		if !(l.Smoothing >= 0 && l.Smoothing < 1) {
			return fmt.Errorf("distill: label smoothing %v is a share of the target, 0 up to but not 1", l.Smoothing)
		}
	case Denoise:
		if !(l.Mask >= 0 && l.Mask <= 1) {
			return fmt.Errorf("distill: mask rate %v is a share of the tokens, 0 to 1", l.Mask)
		}
		if err := l.masks().Check(); err != nil {
			return fmt.Errorf("distill: %w", err)
		}
	}
	return nil
}

// warn tells of an error that the run survives.
func (c *Config) warn(err error) {
	if c.Warn != nil {
		c.Warn(err)
	}
}

// text is the corpus of the masked view.
func (c *Config) text() corpus.Corpus {
	if c.Text != nil {
		return c.Text
	}
	return c.Task
}

// any is one of the corpora, which tells whether they hold text or token ids.
func (c *Config) any() corpus.Corpus {
	if c.Task != nil {
		return c.Task
	}
	return c.Text
}

// rate is the learning rate of a step (0-based) out of steps.
func (c *Config) rate(step, steps int) float64 {
	warm := int(c.Warmup * float64(steps))
	if step < warm {
		return c.LearningRate * float64(step+1) / float64(warm)
	}
	x := float64(step-warm) / float64(max(1, steps-warm))
	switch c.Decay {
	case Cosine:
		return c.LearningRate * 0.5 * (1 + math.Cos(math.Pi*x))
	case Constant:
		return c.LearningRate
	}
	return c.LearningRate * (1 - x)
}

// Progress is the state after a step.
type Progress struct {
	// Step counts from 1; Steps is the total.
	Step, Steps int
	// Stage is that of the configuration.
	Stage string
	// Losses are moving averages (0.98) of the unweighted terms, in the order of Config.Loss.
	Losses []NamedLoss
	// Rate is the learning rate, Norm the gradient's norm before clipping.
	Rate, Norm float64
	// Tokens is the number of tokens (padding left out) this run has seen.
	Tokens int64
	// Elapsed is the time since the run or its resumption began, Resumed the step it went on from.
	Elapsed time.Duration
	Resumed int
}

// NamedLoss is the value of one term.
type NamedLoss struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}
