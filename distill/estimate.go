package distill

import (
	"context"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/teacher"
)

// Estimate says what a run will take; see [Plan].
type Estimate struct {
	// Parameters are those of the model, heads for the losses included,
	// Trainable those that are trained, each once (a tied decoder is none).
	Parameters int64 `json:"parameters"`
	Trainable  int64 `json:"trainable"`
	// Steps are the updates, Batch and Accumulate what they see.
	Steps      int `json:"steps"`
	Batch      int `json:"batch"`
	Accumulate int `json:"accumulate"`
	// Examples are the sequences, and Tokens the tokens without padding, that all
	// steps see, on both views.
	Examples int64 `json:"examples"`
	Tokens   int64 `json:"tokens"`
	// Memory is what training holds, in bytes: weights, gradients, moments,
	// activations of the largest batch and what is fed to its losses, such as the
	// teacher's logits and hidden states (of two batches, where it is heard ahead of
	// the student), tokens and soft labels. The corpus, a teacher's session and the
	// Go runtime come on top; see Live.
	Memory int64 `json:"memory"`
	// Live is the most of the Go heap that will be in use, in bytes, with the
	// caller's own: measured after the steps that were tried, and what the graphs
	// of other shapes, what is fed in a step, and an evaluation will add.
	Live int64 `json:"live"`
	// Untouched is the part of it that no step writes to, in bytes: gradients of
	// tokens that do not occur. Systems that give memory page by page as it is
	// written do not count it.
	Untouched int64 `json:"untouched"`
	// Labels and Checkpoints are the bytes on disk.
	Labels      int64 `json:"labels"`
	Checkpoints int64 `json:"checkpoints"`
	// Labelling, Training and Evaluation are times in seconds.
	Labelling  float64 `json:"labelling_seconds"`
	Training   float64 `json:"training_seconds"`
	Evaluation float64 `json:"evaluation_seconds"`

	planning time.Duration // what Plan took
}

// Seconds is the whole time.
func (e *Estimate) Seconds() float64 { return e.Labelling + e.Training + e.Evaluation }

// Plan says what [Run] will take, without running it: it builds the model, lets the
// teacher label a few batches, and times a few steps, the largest batch among them,
// on copies. m is not changed, and nothing is written; soft labels that a
// cache holds already are not counted as such.
//
// Errors are those that Run would meet before its first step.
func Plan(ctx context.Context, m *onnx.Model, c Config) (*Estimate, error) {
	began := time.Now()
	checkpoint, cache := c.Checkpoint != "", c.cache() != ""
	c.Checkpoint, c.Cache, c.Log = "", "", ""
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c, err := c.fit(ctx, m)
	if err != nil {
		return nil, err
	}
	t, err := newTrainer(m, &c)
	if err != nil {
		return nil, err
	}
	defer t.close()
	e := &Estimate{Steps: t.steps, Batch: c.Batch, Accumulate: c.Accumulate, Parameters: t.model.Parameters()}
	for _, p := range t.params {
		e.Trainable += int64(len(p.Value))
	}
	s, err := t.survey()
	if err != nil {
		return nil, err
	}
	if err := t.planLabels(ctx, e); err != nil {
		return nil, err
	}
	if !cache {
		e.Labels = 0
	}
	if err := t.planSteps(ctx, e, s); err != nil {
		return nil, err
	}
	if err := t.planMemory(ctx, e, s); err != nil {
		return nil, err
	}
	if checkpoint {
		state := 4 * e.Trainable * int64(t.copies())
		e.Checkpoints = state * int64(max(1, c.KeepCheckpoints)+1) // the next is written before the last goes
	}
	err = t.planEvaluation(ctx, e)
	e.planning = time.Since(began)
	return e, err
}

// planMemory fills in what the training will hold.
func (t *trainer) planMemory(ctx context.Context, e *Estimate, s *survey) error {
	arena, fed, ahead, err := t.arena(ctx, s)
	if err != nil {
		return err
	}
	if t.overlaps() {
		fed += ahead
	}
	e.Memory = t.footprint(arena + fed)
	e.Live = heapInUse()
	if more := min(s.shapes, e.Steps*e.Accumulate, maxShapes) - len(t.shapes); more > 0 {
		graph, err := t.graphBytes(ctx, e.Live)
		if err != nil {
			return err
		}
		e.Live += graph * int64(more)
	}
	e.Live += fed
	e.Untouched = t.untouched(s)
	if t.cfg.measures() {
		e.Live += 4 * e.Trainable // the best weights
	}
	if t.cfg.Evaluate != nil {
		e.Live += 8 * e.Parameters // the model as it would be handed out, and a session
	}
	return nil
}

// copies is how many numbers of a checkpoint there are for each parameter.
func (t *trainer) copies() int {
	n := 3 // itself and two moments
	if t.cfg.EMA > 0 {
		n++
	}
	if t.cfg.measures() {
		n++
	}
	return n
}

// survey is what the batches of a run are like, by stream.
type survey struct {
	longest, fullest, usual []*corpus.Batch // of most positions, of most rows computed, of about the mean
	shapes                  int             // different ones
	ids                     map[int64]bool  // tokens that occur; nil where not all batches were looked at
	mean                    float64         // tokens of a batch, over those of the usual one
}

// maxSurvey bounds the batches that are looked at: of 50, which are sorted by length
// together, one is of the longest.
const maxSurvey = 512

// survey looks at the batches of the run, at most maxSurvey of them evenly.
func (t *trainer) survey() (*survey, error) {
	out := &survey{ids: map[int64]bool{}}
	var mean, usual float64
	for _, s := range t.streams {
		n := t.steps * t.cfg.Accumulate
		every := (n + maxSurvey - 1) / maxSurvey
		if every > 1 {
			out.ids = nil
		}
		seen := map[shapeKey]bool{}
		var long, full, near *corpus.Batch
		most := 0 // rows of full
		size := float64(s.source.Tokens()) / float64(s.perEpoch())
		epoch, before := 0, 0
		for k := 0; k < n; k += every {
			for k >= before+s.source.Batches(epoch) {
				before += s.source.Batches(epoch)
				epoch++
			}
			b, err := s.source.Batch(epoch, k-before)
			if err != nil {
				return nil, fmt.Errorf("distill: %w", err)
			}
			for _, id := range b.IDs {
				if out.ids != nil {
					out.ids[id] = true
				}
			}
			key := shapeKey{s.view, b.B, b.S, b.R, t.program.Tokens(b.B, b.S, inputsOf(b)), false}
			seen[key] = true
			if long == nil || b.S > long.S || b.S == long.S && b.R > long.R {
				long = b
			}
			if rows := key.computed(); full == nil || rows > most {
				full, most = b, rows
			}
			if near == nil || math.Abs(tokensOf(b)-size) < math.Abs(tokensOf(near)-size) {
				near = b
			}
		}
		mean, usual = mean+size, usual+tokensOf(near)
		out.longest, out.fullest, out.usual = append(out.longest, long), append(out.fullest, full), append(out.usual, near)
		out.shapes += len(seen)
	}
	out.mean = mean / usual
	return out, nil
}

// untouched is what of gradients no batch of the run writes to, in bytes of whole
// pages.
func (t *trainer) untouched(s *survey) (total int64) {
	vocabulary := t.tok.VocabSize()
	occurs := func(id int) bool { return s.ids[int64(id)] }
	if s.ids == nil {
		counts := make([]int, vocabulary)
		for _, x := range t.streams {
			if x.view == Masked {
				return 0 // masked tokens become random ones
			}
			for id, n := range x.source.TokenCounts(vocabulary) {
				counts[id] += n
			}
		}
		occurs = func(id int) bool { return counts[id] > 0 || t.tok.IsSpecial(int64(id)) }
	}
	page := pageSize() / 4
	for _, p := range t.params {
		if !p.Sparse() || int(p.Dims[0]) < vocabulary {
			continue
		}
		width, last, touched := int(p.Dims[1]), -1, 0
		for id := range vocabulary {
			if !occurs(id) {
				continue
			}
			from, to := max(id*width/page, last+1), ((id+1)*width-1)/page
			touched += max(0, to-from+1)
			last = max(last, to)
		}
		total += max(0, int64(4*len(p.Grad)-4*page*touched))
	}
	return total
}

// pageSize is what the system gives memory in at least, in bytes.
func pageSize() int {
	thp, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	if err == nil && strings.Contains(string(thp), "[always]") {
		return 2 << 20
	}
	return os.Getpagesize()
}

// tokensOf counts a batch's tokens without padding.
func tokensOf(b *corpus.Batch) float64 {
	var n int64
	for _, m := range b.Mask {
		n += m
	}
	return float64(n)
}

// planLabels lets the teacher label some batches of clean text and counts what
// all of them take.
func (t *trainer) planLabels(ctx context.Context, e *Estimate) error {
	const some = 64 // examples
	if err := t.listen(ctx, min(t.steps*t.cfg.Accumulate, max(1, some/t.cfg.Batch))); err != nil {
		return err
	}
	for _, s := range slices.Concat(t.streams, t.trial.streams) {
		if s.view != Clean {
			continue
		}
		for _, u := range s.tutors {
			e.Labelling += u.each.Seconds() * float64(u.batches)
			e.Labels += teacher.CacheSize(u.opts.Form, u.batches, u.lines, s.width)
		}
	}
	return nil
}

// planSteps times steps on the largest and on usual batches. The first of each
// also makes its graph.
func (t *trainer) planSteps(ctx context.Context, e *Estimate, s *survey) error {
	var compile, pass, update float64
	for _, batches := range [][]*corpus.Batch{s.longest, s.fullest, s.usual} {
		var first float64
		t.tidy()
		for round := range 3 {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("distill: stopped while the run was planned: %w", err)
			}
			start := time.Now()
			t.program.ZeroGrad()
			cleared := time.Now()
			for i, x := range t.streams {
				x.only = batches[i]
				err := t.accumulate(ctx, x, 0)
				x.only = nil
				if err != nil {
					return err
				}
			}
			ran := time.Now()
			if _, err := t.update(); err != nil {
				return err
			}
			p, u := ran.Sub(cleared).Seconds(), time.Since(ran).Seconds()+cleared.Sub(start).Seconds()
			switch round {
			case 0:
				first = p
			case 1:
				pass, update = p, u
			default:
				pass, update = min(pass, p), min(update, u)
			}
		}
		compile = max(0, first-pass)
	}
	for _, x := range t.streams {
		epochs := float64(e.Steps*e.Accumulate) / float64(x.perEpoch())
		e.Examples += int64(math.Round(epochs * float64(x.source.Len())))
		e.Tokens += int64(math.Round(epochs * float64(x.source.Tokens())))
	}
	e.Training = float64(e.Steps)*(pass*s.mean*float64(e.Accumulate)+update) + compile*float64(min(s.shapes, e.Steps))
	return nil
}

// planEvaluation times one evaluation.
func (t *trainer) planEvaluation(ctx context.Context, e *Estimate) error {
	if !t.cfg.measures() {
		return nil
	}
	start := time.Now()
	if _, err := t.measure(ctx); err != nil {
		return fmt.Errorf("distill: evaluation: %w", err)
	}
	e.Evaluation = time.Since(start).Seconds() * math.Ceil(float64(e.Steps)/float64(t.evalEvery()))
	return nil
}

// graphBytes is what the graph of a further shape takes of the heap, of which so
// much is in use.
func (t *trainer) graphBytes(ctx context.Context, inUse int64) (int64, error) {
	x := t.streams[0]
	t.tidy()
	for k := range min(t.steps*t.cfg.Accumulate, x.perEpoch()) {
		b, err := x.source.Batch(0, k)
		if err != nil {
			return 0, fmt.Errorf("distill: %w", err)
		}
		m, known := t.moment(x, b, 0, 0), len(t.shapes)
		if err := x.ask(ctx, m); err != nil {
			return 0, err
		}
		if _, err := t.compile(x, m); err != nil {
			return 0, err
		}
		if len(t.shapes) > known {
			return max(0, heapInUse()-inUse), nil
		}
	}
	return 0, nil
}

// arena is what the passes over the largest batches need, what a step holds beside
// them, and what the teacher says of a further one, in bytes.
func (t *trainer) arena(ctx context.Context, s *survey) (arena, fed, ahead int64, err error) {
	for i, x := range t.streams {
		for _, b := range []*corpus.Batch{s.longest[i], s.fullest[i]} {
			t.tidy()
			m := t.moment(x, b, 0, 0)
			if err := x.ask(ctx, m); err != nil { // it knows the shapes of what it says
				return 0, 0, 0, err
			}
			g, err := t.compile(x, m)
			if err != nil {
				return 0, 0, 0, err
			}
			arena, fed = max(arena, g.pass.Memory()), max(fed, g.heldBytes())
			if x.hears() {
				ahead = max(ahead, m.answerBytes())
			}
			if x.view != Masked {
				continue
			}
			look, err := t.glanceMemory(b)
			if err != nil {
				return 0, 0, 0, err
			}
			arena = max(arena, look)
		}
	}
	return arena, fed, ahead, nil
}

// footprint is what training holds beside an arena of that size, in bytes. It
// depends on the configuration, the data and the model alone.
func (t *trainer) footprint(arena int64) int64 {
	var trained int64
	for _, p := range t.params {
		trained += int64(len(p.Value))
	}
	total := arena + 4*trained*int64(t.copies()+1) // and the gradients
	total += 4 * t.model.Parameters()              // the model as it was; the result takes the place of the moments
	total += 2 << 20                               // batches made ahead, and their graphs
	for _, s := range t.streams {
		const perToken = 9 // as corpus keeps them; more than heldTokens goes to a file
		total += min(heldTokens, perToken*int64(s.source.Tokens()))
		if t.cfg.Task != nil {
			total += 4 * s.held(t.cfg.Task.Len())
		}
	}
	return total
}

// heldTokens is the most that a view keeps of tokens in memory, in bytes.
const heldTokens = 64 << 20

// fit makes training fit Config.MaxMemory: layers are computed again in the
// backward pass, which changes no bit; where that does not do, batches are halved,
// and twice as many make a step.
func (c Config) fit(ctx context.Context, m *onnx.Model) (Config, error) {
	if c.MaxMemory == 0 {
		return c, nil
	}
	need, ahead, err := c.need(ctx, m)
	if err != nil || need <= c.MaxMemory {
		c.cramped = need+ahead > c.MaxMemory
		return c, err
	}
	small := c
	small.Recompute = true
	for need, ahead, err = small.need(ctx, m); err == nil && need > c.MaxMemory; need, ahead, err = small.need(ctx, m) {
		least := small.Batch == 1
		if small.BatchTokens > 0 {
			least = small.BatchTokens < 2*small.MaxLength
		}
		if least || small.Accumulate > maxCount/2 {
			return c, unfit("training takes %d MB even in the smallest batches, and no more than %d MB are allowed; take a smaller student or shorter sequences", need>>20, c.MaxMemory>>20)
		}
		small.Batch, small.BatchTokens, small.Accumulate = (small.Batch+1)/2, small.BatchTokens/2, small.Accumulate*2
	}
	if err != nil {
		return c, err
	}
	small.cramped = need+ahead > c.MaxMemory
	what := "layers are computed again in the backward pass, which takes time and changes no bit"
	if small.Accumulate > c.Accumulate {
		size := fmt.Sprintf("%d examples", small.Batch)
		if c.BatchTokens > 0 {
			size = fmt.Sprintf("%d tokens", small.BatchTokens)
		}
		what += fmt.Sprintf("; batches are of %s, %d to an update", size, small.Accumulate)
	}
	c.decided("so that training fits in %d MB, %s", c.MaxMemory>>20, what)
	return small, nil
}

// need is the footprint of training without answers made ahead, and theirs: the
// first decides how training goes, and so depends on no number of threads.
func (c Config) need(ctx context.Context, m *onnx.Model) (need, ahead int64, err error) {
	c.Cache, c.Checkpoint, c.Labelling = "", "", nil
	t, err := newTrainer(m, &c)
	if err != nil {
		return 0, 0, err
	}
	defer t.close()
	s, err := t.survey()
	if err != nil {
		return 0, 0, err
	}
	if err := t.listen(ctx, 1); err != nil {
		return 0, 0, err
	}
	arena, fed, ahead, err := t.arena(ctx, s)
	return t.footprint(arena + fed), ahead, err
}

// decided tells of what a run settles by itself.
func (c *Config) decided(format string, args ...any) {
	if c.Decided != nil {
		c.Decided(fmt.Sprintf(format, args...))
	}
}

// heapInUse is the Go heap that is held, in bytes.
func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
