package prune

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// Unit is what is removed as a whole.
type Unit string

// The units.
const (
	// Weights are single elements of linear weights; they become zero.
	Weights Unit = "weights"
	// Heads are attention heads.
	Heads Unit = "heads"
	// Neurons are columns of the first and rows of the second feed-forward matrix.
	Neurons Unit = "neurons"
	// HeadsAndNeurons removes the same fraction of both.
	HeadsAndNeurons Unit = "heads+neurons"
	// Layers are whole encoder layers.
	Layers Unit = "layers"
)

// Units lists the units.
func Units() []Unit { return []Unit{Weights, Heads, Neurons, HeadsAndNeurons, Layers} }

// Scope is the set within which scores are compared and the fraction is counted.
type Scope string

// The scopes.
const (
	// PerLayer takes the same fraction of every layer (of every matrix, for weights).
	PerLayer Scope = "layer"
	// Global takes the lowest scores of the whole encoder, so that layers may differ.
	Global Scope = "global"
	// PerOutput takes the same fraction of the weights of every output unit, as Wanda
	// does (Sun et al. 2024); for Weights only.
	PerOutput Scope = "output"
)

// Pattern is n:m sparsity: N of every M consecutive weights along the input
// dimension are zero. The zero Pattern is unstructured.
type Pattern struct{ N, M int }

// ParsePattern reads "2:4"; "" is unstructured.
func ParsePattern(s string) (Pattern, error) {
	var p Pattern
	if s == "" {
		return p, nil
	}
	var rest string
	if n, _ := fmt.Sscanf(s, "%d:%d%s", &p.N, &p.M, &rest); n != 2 || p.check() != nil {
		return Pattern{}, fmt.Errorf("prune: pattern %q; write zeros:group with 0 < zeros < group, such as 2:4 or 4:8", s)
	}
	return p, nil
}

func (p Pattern) check() error {
	if p != (Pattern{}) && (p.N <= 0 || p.M <= p.N || p.M > 1024) {
		return fmt.Errorf("prune: pattern %d:%d; the zeros must be fewer than the group, and the group at most 1024", p.N, p.M)
	}
	return nil
}

// Compensation is how what stays makes up for the heads or neurons that go. With x
// the context or the activations before the removed rows, split into what is
// kept (k) and gone (g), the matrix that follows adds x_g·W_g less.
type Compensation string

// The compensations.
const (
	// NoCompensation leaves the rest as it was.
	NoCompensation Compensation = ""
	// MeanCompensation adds E[x_g]·W_g to the bias.
	MeanCompensation Compensation = "mean"
	// LinearCompensation adds A to W_k and c to the bias, the ridge regression
	// of x_g·W_g on x_k: (Cov_kk + λI)·A = Cov_kg·W_g, c = E[x_g]·W_g − E[x_k]·A,
	// λ = 0.01 of the mean diagonal. It is the layer-wise least squares of
	// Kwon et al. 2022 with a matrix in place of their mask.
	// It keeps 4·(H² + F²) bytes per layer while it measures.
	LinearCompensation Compensation = "linear"
)

// Config says what to prune. It is a step: model to model.
type Config struct {
	// Unit is what is removed. Required.
	Unit Unit
	// Criterion scores what there is; the lowest scores go. Nil: Magnitude. Unused for Layers.
	Criterion Criterion
	// Sparsity is the fraction to remove, 0 ≤ Sparsity < 1, of the model as it
	// is given. The count is rounded to the nearest whole number. With a
	// Pattern it must be zero or N/M.
	Sparsity float64
	// Scope is where scores compete. Empty: PerLayer. Unused for Layers.
	Scope Scope
	// Normalize divides the head or neuron scores of each layer by their L2 norm before
	// they compete globally (Michel et al. 2019, after Molchanov et al. 2017).
	Normalize bool
	// Pattern is the n:m pattern, for Weights.
	Pattern Pattern
	// Embeddings includes the word embedding (and a decoder tied to it), for Weights.
	Embeddings bool
	// MinHeads is the number of heads every layer keeps. Zero: 1.
	MinHeads int
	// MinNeurons is the number of neurons every layer keeps. Zero: 8.
	MinNeurons int
	// NeuronMultiple makes the neurons left in each layer a multiple of it, by
	// removing fewer. Zero: 1. Kernels like 8 or 16.
	NeuronMultiple int
	// Compensation lets what stays make up for what goes, on the criterion's
	// calibration data; it needs the Activation criterion and a unit of heads or neurons.
	Compensation Compensation
	// Drop names the layers to remove, counted from 0, for Layers; then
	// Sparsity must be zero. Without it, Keep chooses.
	Drop []int
	// Keep chooses the layers that stay when Sparsity says how many go. Nil:
	// evenly spread, first and last included.
	Keep student.Layers
}

// Name says what the step does, in a word.
func (c Config) Name() string { return "prune" }

// Apply returns a pruned copy of m. See [Config.Run] for the errors.
func (c Config) Apply(ctx context.Context, m *onnx.Model) (*onnx.Model, error) {
	out, _, err := c.Run(ctx, m)
	return out, err
}

// Run is Apply with a report.
//
// Errors: a configuration that contradicts itself or lies outside its ranges,
// a model that cannot run or in which no encoder is found, weights that are not float32 (prune
// before quantizing), scores that do not fit the model or are not numbers,
// and what the criterion reports. Where MinHeads, MinNeurons or NeuronMultiple
// leave less to remove than Sparsity asks, as much as they allow is removed;
// the report says what was reached.
func (c Config) Run(ctx context.Context, m *onnx.Model) (*onnx.Model, *Report, error) {
	c = c.defaults()
	if err := c.check(); err != nil {
		return nil, nil, misfit.Of(err)
	}
	if m == nil || m.Graph == nil {
		return nil, nil, fmt.Errorf("prune: the model has no graph")
	}
	if err := m.CheckRun(); err != nil {
		return nil, nil, fmt.Errorf("prune: the model cannot run: %w", err)
	}
	m, err := fuse.LiftWeights(m)
	if err != nil {
		return nil, nil, fmt.Errorf("prune: %w", err)
	}
	// The encoder is described in terms of the copy, whose nodes may be changed.
	out := m.Clone()
	enc, err := fuse.Detect(out)
	if err != nil {
		return nil, nil, fmt.Errorf("prune: no encoder found: %w", err)
	}
	if len(enc.Layers) == 0 {
		return nil, nil, fmt.Errorf("prune: the model has no encoder layers to prune")
	}
	r := newReport(c.Unit, m, enc)
	switch c.Unit {
	case Weights:
		err = c.weights(ctx, m, out, enc, r)
	case Layers:
		err = c.layers(out, enc, r)
	default:
		err = c.structure(ctx, m, out, enc, r)
	}
	if err != nil {
		return nil, nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	r.finish(out)
	return out, r, nil
}

func (c Config) defaults() Config {
	if c.Criterion == nil {
		c.Criterion = Magnitude{}
	}
	if c.Scope == "" {
		c.Scope = PerLayer
	}
	if c.MinHeads == 0 {
		c.MinHeads = 1
	}
	if c.MinNeurons == 0 {
		c.MinNeurons = 8
	}
	if c.NeuronMultiple == 0 {
		c.NeuronMultiple = 1
	}
	if c.Keep == nil {
		c.Keep = student.Spread
	}
	return c
}

func (c Config) check() error {
	if !slices.Contains(Units(), c.Unit) {
		names := make([]string, 0, 5)
		for _, u := range Units() {
			names = append(names, string(u))
		}
		return fmt.Errorf("prune: unknown unit %q; the units are %s", c.Unit, strings.Join(names, ", "))
	}
	if math.IsNaN(c.Sparsity) || c.Sparsity < 0 || c.Sparsity >= 1 {
		return fmt.Errorf("prune: sparsity %v; it must be at least 0 and less than 1", c.Sparsity)
	}
	if !slices.Contains([]Scope{PerLayer, Global, PerOutput}, c.Scope) {
		return fmt.Errorf("prune: unknown scope %q; the scopes are layer, global, output", c.Scope)
	}
	if c.MinHeads < 1 || c.MinNeurons < 1 || c.NeuronMultiple < 1 {
		return fmt.Errorf("prune: MinHeads %d, MinNeurons %d and NeuronMultiple %d must be at least 1", c.MinHeads, c.MinNeurons, c.NeuronMultiple)
	}
	if err := c.Pattern.check(); err != nil {
		return err
	}
	return c.checkUnit()
}

// checkUnit refuses options that mean nothing for the unit.
func (c Config) checkUnit() error {
	if c.Unit != Weights && (c.Pattern != Pattern{} || c.Embeddings || c.Scope == PerOutput) {
		return fmt.Errorf("prune: a pattern, embeddings and the scope \"output\" are for the unit weights, not %s", c.Unit)
	}
	if c.Unit != Layers && len(c.Drop) > 0 {
		return fmt.Errorf("prune: layers to drop are named for the unit layers, not %s", c.Unit)
	}
	if len(c.Drop) > 0 && c.Sparsity != 0 {
		return fmt.Errorf("prune: both layers to drop %v and a sparsity of %v are given; give one", c.Drop, c.Sparsity)
	}
	if p := c.Pattern; p.M > 0 && c.Sparsity != 0 && c.Sparsity != float64(p.N)/float64(p.M) {
		return fmt.Errorf("prune: the pattern %d:%d is a sparsity of %v, not %v; leave the sparsity out", p.N, p.M, float64(p.N)/float64(p.M), c.Sparsity)
	}
	if !slices.Contains([]Compensation{NoCompensation, MeanCompensation, LinearCompensation}, c.Compensation) {
		return fmt.Errorf("prune: unknown compensation %q; use mean or linear, or leave it empty", c.Compensation)
	}
	if _, ok := c.Criterion.(compensator); c.Compensation != NoCompensation && (!ok || c.Unit == Weights || c.Unit == Layers) {
		return fmt.Errorf("prune: compensation needs the activation criterion and the unit heads, neurons or heads+neurons; it has %s and %s", c.Criterion.Name(), c.Unit)
	}
	return nil
}

// quota is the number of n units that a sparsity removes.
func quota(n int, sparsity float64) int { return int(math.Round(float64(n) * sparsity)) }
