// Package inspect tells what is in a model: interface, weights by layer and by
// type, architecture, quantization, what keeps it from running or from being
// trained, the memory it needs. It shows what it can of any graph, also of one
// that is no encoder or is broken, and says what is wrong.
package inspect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// Report is what a model holds. Its JSON names are stable; docs/models.md has them.
type Report struct {
	Model       string            `json:"model"`
	IRVersion   int64             `json:"ir_version"`
	Producer    string            `json:"producer,omitempty"`
	Doc         string            `json:"doc,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	Opsets      map[string]int64  `json:"opsets"`
	Functions   []Function        `json:"functions,omitempty"`
	Inputs      []Value           `json:"inputs"`
	Outputs     []Value           `json:"outputs"`
	Parameters  int64             `json:"parameters"`
	WeightBytes int64             `json:"weight_bytes"`
	WeightTypes map[string]int64  `json:"weight_types"` // elements by type
	ByType      []Weights         `json:"weights_by_type"`
	// ByLayer is nil where the layers of an encoder were not found.
	ByLayer    []Weights      `json:"weights_by_layer,omitempty"`
	ByOperator []Weights      `json:"weights_by_operator"` // by the operator that reads them
	Nodes      int            `json:"nodes"`
	Operators  map[string]int `json:"operators"`
	// Architecture is nil where none was recognised; NoEncoder says why.
	Architecture *Architecture  `json:"architecture,omitempty"`
	NoEncoder    string         `json:"no_encoder,omitempty"`
	Pruned       *student.Lite  `json:"pruned,omitempty"` // sizes of each layer where they differ
	Task         onnx.Task      `json:"task"`
	Labels       []string       `json:"labels,omitempty"`
	Heads        []student.Head `json:"heads,omitempty"`
	Files        []string       `json:"files"`                // tokenizer files beside the model
	DataFiles    []string       `json:"data_files,omitempty"` // external data
	Quantization []Quantized    `json:"quantization"`
	// Damage is what could not be read of the model's files, where the caller
	// opened it by [onnx.OpenDamaged] and says so.
	Damage []string `json:"damage,omitempty"`
	// Faults is what [onnx.Model.Check] reports.
	Faults []string `json:"faults,omitempty"`
	// Unsupported lists what the executor has no operator or type for,
	// CannotRun what else keeps it from making a session.
	Unsupported []string `json:"unsupported,omitempty"`
	CannotRun   string   `json:"cannot_run,omitempty"`
	// NotTrainable lists what keeps the model from being trained.
	NotTrainable []string `json:"not_trainable,omitempty"`
	Memory       *Memory  `json:"memory,omitempty"` // nil where the model cannot run
	Shapes       []Value  `json:"shapes,omitempty"` // values between nodes, where asked for
}

// Value is an input, output or value between nodes. A length is a number, a
// symbol, an expression of symbols, or "?".
type Value struct {
	Name  string   `json:"name"`
	Type  string   `json:"type"`
	Shape []string `json:"shape"`
}

// Function is a function local to the model.
type Function struct {
	Name   string `json:"name"`
	Domain string `json:"domain"`
	Nodes  int    `json:"nodes"`
}

// Architecture is the shape of an encoder.
type Architecture struct {
	student.Shape
	// HeadSize is that of the first layer, 0 where it is not known.
	HeadSize int `json:"head_size,omitempty"`
	// From is "structure" or, where that says nothing, "config.json".
	From string `json:"from"`
}

// Options says what to look for.
type Options struct {
	// Batch and Seq stand for the open lengths of axes 0 and 1 of the inputs,
	// Sizes for others by their symbol. 0 leaves a length open.
	Batch, Seq int64
	Sizes      map[string]int64
	// Shapes lists the type and shape of every value that a node makes.
	Shapes bool
}

// Run inspects a model; name is what the report calls it. The error is that of
// options that do not fit the model, or of ctx: a model that is broken is
// reported, not an error. Where all lengths are known and it takes little
// memory, the model is run once, on zeros.
func Run(ctx context.Context, name string, m *onnx.Model, o Options) (*Report, error) {
	given := m
	if m.Graph == nil {
		m = m.Clone()
		m.Graph = &onnx.Graph{}
	}
	sizes, err := o.sizes(m.Graph)
	if err != nil {
		return nil, err
	}
	inf, err := m.Infer(sizes)
	if err != nil {
		return nil, err
	}
	r := &Report{
		Model: name, IRVersion: m.IRVersion, Producer: strings.TrimSpace(m.Producer + " " + m.ProducerVersion),
		Doc: cmp.Or(m.Doc, m.Graph.Doc), Opsets: map[string]int64{},
		Inputs: values(m.Graph.Inputs, m.Graph), Outputs: values(m.Graph.Outputs, nil),
		Parameters: m.Parameters(), WeightTypes: map[string]int64{},
		Nodes: len(m.Graph.Nodes), Operators: map[string]int{}, Task: m.Config.Task(),
		Files: slices.Sorted(maps.Keys(m.Files)), DataFiles: m.DataFiles, Faults: Faults(given),
	}
	r.describe(m)
	r.weigh(m)
	r.Quantization = schemes(m.Graph)
	r.NotTrainable = autodiff.Untrainable(given)
	if err := r.try(ctx, given, inf); err != nil {
		return nil, err
	}
	if o.Shapes {
		r.Shapes = inferred(m.Graph, inf)
	}
	return r, nil
}

// describe fills in what the file and config.json say of themselves.
func (r *Report) describe(m *onnx.Model) {
	for _, p := range slices.Concat(m.Metadata, m.Graph.Metadata) {
		if r.Metadata == nil {
			r.Metadata = map[string]string{}
		}
		r.Metadata[p.Key] = p.Value
	}
	for _, o := range m.Opsets {
		r.Opsets[cmp.Or(o.Domain, "ai.onnx")] = o.Version
	}
	for _, f := range m.Functions {
		r.Functions = append(r.Functions, Function{Name: f.Name, Domain: f.Domain, Nodes: len(f.Nodes)})
	}
	for _, n := range m.Graph.Nodes {
		r.Operators[operator(n)]++
	}
	if m.Config != nil {
		r.Labels = m.Config.ID2Label
	}
	r.Heads, _ = student.HeadsOf(m.Config) // a config that is odd has no heads to show
	shape, err := student.Measure(m)
	if err != nil {
		r.NoEncoder = err.Error()
		return
	}
	r.Architecture = &Architecture{Shape: shape, From: "config.json"}
	if enc, err := fuse.Detect(m); err == nil && len(enc.Layers) > 0 {
		r.Architecture.HeadSize, r.Architecture.From = enc.Layers[0].HeadDim, "structure"
	}
	heads := shape.Heads
	if l, err := student.ReadLite(m.Config); err == nil && len(l.AttentionHeads)+len(l.IntermediateSizes) > 0 {
		r.Pruned = &l
		if len(l.AttentionHeads) > 0 {
			heads = l.AttentionHeads[0]
		}
	}
	if r.Architecture.HeadSize == 0 {
		r.Architecture.HeadSize = headSize(m.Graph, heads)
	}
}

func operator(n *onnx.Node) string {
	if n.Domain == "" || n.Domain == "ai.onnx" {
		return n.Op
	}
	return n.Domain + "." + n.Op
}

// try makes a session: whether the model runs, and in how much memory.
func (r *Report) try(ctx context.Context, m *onnx.Model, inf *onnx.Inference) error {
	s, err := exec.New(m, exec.Options{})
	if u := (*exec.UnsupportedError)(nil); errors.As(err, &u) {
		r.Unsupported = u.Items
		return nil
	} else if err != nil {
		r.CannotRun = err.Error()
		return nil
	}
	r.Memory, err = memory(ctx, s, m, inf)
	return err
}

// Faults are what [onnx.Model.Check] finds, one text each.
func Faults(m *onnx.Model) []string {
	err := m.Check()
	if err == nil {
		return nil
	}
	var out []string
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range list.Unwrap() {
			out = append(out, e.Error())
		}
		return out
	}
	return []string{err.Error()}
}

// values describes inputs or outputs; weights listed among the inputs of g are left out.
func values(list []*onnx.ValueInfo, g *onnx.Graph) []Value {
	out := []Value{}
	for _, v := range list {
		if g != nil && g.Initializer(v.Name) != nil {
			continue
		}
		o := Value{Name: v.Name, Type: v.Type.String(), Shape: []string{}}
		for _, d := range v.Dims {
			if d.Known {
				o.Shape = append(o.Shape, fmt.Sprint(d.Size))
			} else {
				o.Shape = append(o.Shape, cmp.Or(d.Param, "?"))
			}
		}
		out = append(out, o)
	}
	return out
}
