package quantize

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/teacher"
)

// maskValue is where additive mask values begin: an activation this low is a
// masked score, not data.
const maskValue = -1e4

// Sample is one batch of inputs for calibration.
type Sample struct {
	// Inputs are the model's inputs by name; outside this module the type is called
	// predict.Tensor, and predict.Int64s makes one. Where "attention_mask" [B, S] is
	// among them and Mask is nil, it is the mask.
	Inputs map[string]*exec.Tensor
	// Mask tells real tokens (≠ 0) from padding, [B, S] with Rows = B and
	// Length = S; nil where nothing is padding.
	Mask         []int64
	Rows, Length int
}

// Samples streams calibration batches; it may be read more than once and must
// yield the same batches each time.
type Samples interface {
	// Samples calls yield for each batch in turn and stops at its first error,
	// which it returns.
	Samples(ctx context.Context, yield func(Sample) error) error
}

// SampleList is Samples from memory.
type SampleList []Sample

// Samples implements [Samples].
func (l SampleList) Samples(ctx context.Context, yield func(Sample) error) error {
	for _, s := range l {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := yield(s); err != nil {
			return err
		}
	}
	return nil
}

// FromCorpus is Samples from text, tokenized and batched once as opts says, in
// corpus order within each window of lengths; limit bounds the number of
// batches, 0 means all.
func FromCorpus(c corpus.Corpus, tok *corpus.Tokenizer, opts corpus.ViewOptions, limit int) (Samples, error) {
	view, err := corpus.NewTaskView(c, tok, opts)
	if err != nil {
		return nil, fmt.Errorf("quantize: calibration data: %w", err)
	}
	view = view.Sequential()
	n := view.Batches(0)
	if limit > 0 {
		n = min(n, limit)
	}
	return &viewSamples{view: view, batches: n}, nil
}

// viewSamples streams the first batches of a view.
type viewSamples struct {
	view    *corpus.View
	batches int
}

// Samples implements [Samples].
func (v *viewSamples) Samples(ctx context.Context, yield func(Sample) error) error {
	for i := range v.batches {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, err := v.view.Batch(0, i)
		if err != nil {
			return fmt.Errorf("quantize: calibration batch %d: %w", i, err)
		}
		in := teacher.Feed(b, []string{"input_ids", "attention_mask", "token_type_ids"})
		if err := yield(Sample{Inputs: in, Mask: b.Mask, Rows: b.B, Length: b.S}); err != nil {
			return err
		}
	}
	return nil
}

// normalize fills the mask from the inputs where it is not given.
func (s Sample) normalize() (Sample, error) {
	if s.Mask == nil {
		if t := s.Inputs["attention_mask"]; t != nil && len(t.Shape) == 2 && t.Type == onnx.Int64 {
			s.Mask, s.Rows, s.Length = t.I64, t.Shape[0], t.Shape[1]
		}
	}
	if s.Mask != nil && len(s.Mask) != s.Rows*s.Length {
		return s, fmt.Errorf("quantize: calibration sample: a mask of %d elements is not [%d %d]", len(s.Mask), s.Rows, s.Length)
	}
	return s, nil
}

// feed keeps the inputs that the model has.
func feed(m *onnx.Model, in map[string]*exec.Tensor) map[string]*exec.Tensor {
	out := make(map[string]*exec.Tensor, len(in))
	for _, v := range m.Graph.Inputs {
		if t := in[v.Name]; t != nil {
			out[v.Name] = t
		}
	}
	return out
}

// calibrate runs the samples through the float model and fixes the grid of
// every activation that a linear site reads. The activations are asked for as
// graph outputs, so that no fusion can swallow them.
func (p *plan) calibrate(ctx context.Context) error {
	var names []string
	for _, s := range p.sites {
		if !s.gather && !slices.Contains(names, s.input) {
			names = append(names, s.input)
		}
	}
	p.grids, p.ranges = map[string]Activation{}, map[string][2]float32{}
	if len(names) == 0 {
		return nil
	}
	model := withOutputs(p.model, names)
	session, err := exec.New(model, exec.Options{})
	if err != nil {
		return fmt.Errorf("quantize: calibration: %w", err)
	}
	calibrator := p.config.Calibrator
	if calibrator == nil {
		calibrator = MinMax{}
	}
	observers := make([]Observer, len(names))
	for i := range observers {
		observers[i] = calibrator.New()
	}
	batches := 0
	err = p.config.Calibration.Samples(ctx, func(s Sample) error {
		s, err := s.normalize()
		if err != nil {
			return err
		}
		values, err := session.Run(ctx, feed(model, s.Inputs), names...)
		if err != nil {
			return fmt.Errorf("quantize: calibration batch %d: %w", batches, err)
		}
		for i, name := range names {
			t := values[name]
			if t == nil || t.Type != onnx.Float {
				return fmt.Errorf("quantize: calibration: value %q is not a float tensor", name)
			}
			observers[i].Observe(s.real(t))
		}
		batches++
		p.config.progress("calibrate", batches, 0)
		return nil
	})
	if err != nil {
		return err
	}
	if batches == 0 {
		return fmt.Errorf("quantize: the calibration data is empty; give at least one batch")
	}
	for i, name := range names {
		lo, hi := observers[i].Range()
		if !(lo <= hi) || math.IsInf(float64(lo), 0) || math.IsInf(float64(hi), 0) {
			return fmt.Errorf("quantize: calibrator %s gave the range [%v, %v] for %q", calibrator.Name(), lo, hi, name)
		}
		p.ranges[name] = [2]float32{lo, hi}
		p.grids[name] = ActivationGrid(lo, hi)
	}
	return nil
}

// withOutputs returns m with further values declared as float outputs.
func withOutputs(m *onnx.Model, names []string) *onnx.Model {
	c := m.Clone()
	for _, name := range names {
		if !c.Graph.IsOutput(name) {
			c.Graph.Outputs = append(c.Graph.Outputs, &onnx.ValueInfo{Name: name, Type: onnx.Float})
		}
	}
	return c
}

// real returns the values of t that stand for real tokens: rows of padding are
// left out of [B, S, …] and [B·S, …], rows without any real token out of
// [B, …], and so are values that are not finite or are mask values.
func (s Sample) real(t *exec.Tensor) []float32 {
	out := make([]float32, 0, len(t.F32))
	keep := func(x []float32) {
		for _, v := range x {
			if v > maskValue && v <= math.MaxFloat32 {
				out = append(out, v)
			}
		}
	}
	rows, mask := s.rowMask(t.Shape)
	if mask == nil || rows == 0 || len(t.F32)%rows != 0 {
		keep(t.F32)
		return out
	}
	width := len(t.F32) / rows
	for r := range rows {
		if mask[r] {
			keep(t.F32[r*width : (r+1)*width])
		}
	}
	return out
}

// rowMask tells which of the leading rows of a shape are real; nil where the
// shape has no rows that the mask speaks of.
func (s Sample) rowMask(shape []int) (rows int, mask []bool) {
	if s.Mask == nil || len(shape) < 2 {
		return 0, nil
	}
	tokens := len(shape) >= 3 && shape[0] == s.Rows && shape[1] == s.Length
	flat := shape[0] == s.Rows*s.Length
	switch {
	case tokens || flat && s.Length > 1:
		mask = make([]bool, len(s.Mask))
		for i, v := range s.Mask {
			mask[i] = v != 0
		}
	case shape[0] == s.Rows:
		mask = make([]bool, s.Rows)
		for i, v := range s.Mask {
			if v != 0 {
				mask[i/s.Length] = true
			}
		}
	default:
		return 0, nil
	}
	return len(mask), mask
}
