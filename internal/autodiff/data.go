package autodiff

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"

	"gorgonia.org/tensor"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/onnx"
)

// dataFeed computes the values of a pass that depend on no parameter: masks,
// position ids, shapes. They are leaves of the Gorgonia graph.
type dataFeed struct {
	q     *Pass
	need  map[string]bool   // graph inputs that the pass depends on
	sizes map[string]bool   // shapes of learned values that it depends on
	names []string          // values to compute at each run
	leafs map[string]*value // those, and inputs that are read as they are
	flat  map[*value]bool   // values of rank 0
	// trial holds the values for an example of the inputs: shapes do not depend
	// on what the inputs hold.
	trial map[string]*exec.Tensor
	// sketch is a padded pass that tells shapes, nil until one is asked for.
	sketch *Pass
}

func newDataFeed(q *Pass) *dataFeed {
	return &dataFeed{q: q, need: map[string]bool{}, sizes: map[string]bool{}, leafs: map[string]*value{}, flat: map[*value]bool{}, trial: map[string]*exec.Tensor{}}
}

// shapeOf is the shape of a graph input in this pass.
func (d *dataFeed) shapeOf(in *onnx.ValueInfo) []int {
	if in.Name == fuse.RowsInput && len(d.q.program.opts.Rows) > 0 {
		return []int{d.q.R}
	}
	sizes := []int{d.q.B, d.q.S}
	if !in.HasShape {
		return sizes
	}
	out := make([]int, len(in.Dims))
	for i, x := range in.Dims {
		switch {
		case x.Known && x.Size >= 0:
			out[i] = int(x.Size)
		case i < len(sizes):
			out[i] = sizes[i]
		default:
			out[i] = 1
		}
	}
	return out
}

// tensorOf makes the tensor of a graph input from integers.
func tensorOf(in *onnx.ValueInfo, ids []int64, shape []int) (*exec.Tensor, error) {
	t := &exec.Tensor{Type: in.Type, Shape: shape}
	switch in.Type {
	case onnx.Int64, onnx.Undefined:
		return exec.Int64s(ids, shape...), nil
	case onnx.Int32:
		t.I32 = make([]int32, len(ids))
		for i, x := range ids {
			t.I32[i] = int32(x)
		}
	case onnx.Float:
		t.F32 = make([]float32, len(ids))
		for i, x := range ids {
			t.F32[i] = float32(x)
		}
	case onnx.Bool:
		t.Bool = make([]bool, len(ids))
		for i, x := range ids {
			t.Bool[i] = x != 0
		}
	default:
		return nil, fmt.Errorf("autodiff: input %q is %v; want int64, int32, bool or float32", in.Name, in.Type)
	}
	return t, nil
}

// example computes a value for inputs that hold 0, and 1 for masks.
func (d *dataFeed) example(name string) (*exec.Tensor, error) {
	if t := d.trial[name]; t != nil {
		return t, nil
	}
	p := d.q.program
	if t := p.consts[name]; t != nil {
		return exec.FromONNX(t)
	}
	if p.sizes[name] != nil {
		return d.size(name)
	}
	if p.data == nil || !p.data.Has(name) {
		return nil, fmt.Errorf("autodiff: value %q is needed to build the graph, but depends on parameters", name)
	}
	in := map[string]*exec.Tensor{}
	for _, v := range p.data.Inputs() {
		if p.sizes[v.Name] != nil {
			continue
		}
		shape := d.shapeOf(v)
		ids := make([]int64, volume(shape))
		if strings.Contains(v.Name, "mask") {
			for i := range ids {
				ids[i] = 1
			}
		}
		var err error
		if in[v.Name], err = tensorOf(v, ids, shape); err != nil {
			return nil, err
		}
	}
	asks := newDataFeed(d.q)
	asks.sketch = d.sketch
	asks.require(name)
	err := asks.addSizes(in)
	d.sketch = asks.sketch
	if err != nil {
		return nil, err
	}
	out, err := p.data.Run(context.Background(), in, name)
	if err != nil {
		return nil, fmt.Errorf("autodiff: for %d sequences of %d tokens: %w", d.q.B, d.q.S, err)
	}
	d.trial[name] = out[name]
	return out[name], nil
}

// ints evaluates a value that says how to build the graph: a shape, axes, slice
// bounds.
func (d *dataFeed) ints(name string) ([]int64, error) {
	t, err := d.example(name)
	if err != nil {
		return nil, err
	}
	if t.I64 != nil || t.Len() == 0 {
		return t.I64, nil
	}
	out := make([]int64, len(t.I32))
	for i, x := range t.I32 {
		out[i] = int64(x)
	}
	if len(out) != t.Len() {
		return nil, fmt.Errorf("autodiff: value %q is %v; want integers", name, t.Type)
	}
	return out, nil
}

// input is the leaf of a graph input that is read as it is.
func (d *dataFeed) input(in *onnx.ValueInfo) (*value, error) {
	if v := d.leafs[in.Name]; v != nil {
		return v, nil
	}
	if in.Type != onnx.Int64 && in.Type != onnx.Int32 && in.Type != onnx.Undefined {
		return nil, fmt.Errorf("autodiff: input %q is %v; only integer inputs can be read by trained nodes", in.Name, in.Type)
	}
	d.need[in.Name] = true
	v := &value{label: in.Name, shape: d.shapeOf(in), dtype: tensor.Int64}
	d.leafs[in.Name] = d.q.input("input", v)
	return v, nil
}

// leaf is the leaf of a computed value.
func (d *dataFeed) leaf(name string) (*value, error) {
	if v := d.leafs[name]; v != nil {
		return v, nil
	}
	if d.q.program.sizes[name] != nil {
		return d.sizeLeaf(name)
	}
	t, err := d.example(name)
	if err != nil {
		return nil, err
	}
	v := &value{label: name, shape: slices.Clone(t.Shape)}
	if len(v.shape) == 0 {
		v.shape = []int{1}
		d.flat[v] = true
	}
	if err := v.take(t); err != nil {
		return nil, err
	}
	d.names = append(d.names, name)
	d.require(name)
	d.leafs[name] = d.q.input("data", v)
	return v, nil
}

// require marks the inputs, and shapes of learned values, that a value depends on.
func (d *dataFeed) require(name string) {
	seen := map[string]bool{}
	var visit func(string)
	visit = func(name string) {
		if name == "" || seen[name] {
			return
		}
		seen[name] = true
		if d.q.program.sizes[name] != nil {
			d.sizes[name] = true
			return
		}
		if d.q.program.inputs[name] != nil {
			d.need[name] = true
		}
		if n := d.q.program.nodes[name]; n != nil {
			for _, in := range n.Inputs {
				visit(in)
			}
		}
	}
	visit(name)
}

// take makes a tensor's elements those of the value. Booleans become 0 and 1.
func (v *value) take(t *exec.Tensor) error {
	switch t.Type {
	case onnx.Float:
		v.dtype, v.floats = tensor.Float32, t.F32
	case onnx.Int64:
		v.dtype, v.i64 = tensor.Int64, t.I64
	case onnx.Int32:
		v.dtype, v.i32 = tensor.Int32, t.I32
	case onnx.Bool:
		v.dtype, v.floats = tensor.Float32, make([]float32, len(t.Bool))
		for i, b := range t.Bool {
			if b {
				v.floats[i] = 1
			}
		}
	default:
		return fmt.Errorf("autodiff: value %q is %v, which trained nodes cannot read", v.label, t.Type)
	}
	return nil
}

// run computes the values for what is fed.
func (d *dataFeed) run(ctx context.Context, feed Feed) error {
	in, err := d.tensors(feed)
	if err != nil {
		return err
	}
	for name, v := range d.leafs {
		if d.q.program.inputs[name] != nil {
			v.i64 = feed.Inputs[name]
		}
	}
	names := append(slices.Clone(d.names), d.q.needs()...)
	if len(names) == 0 {
		return nil
	}
	if err := d.addSizes(in); err != nil {
		return err
	}
	out, err := d.q.program.data.Run(ctx, in, names...)
	if err != nil {
		return fmt.Errorf("autodiff: %w", err)
	}
	if d.q.pack != nil {
		if err := d.q.pack.place(out[d.q.bias], out); err != nil {
			return err
		}
	}
	for _, name := range d.names {
		v, t := d.leafs[name], out[name]
		if t.Len() != v.size() || !d.flat[v] && !slices.Equal(t.Shape, v.shape) {
			return fmt.Errorf("autodiff: value %q has shape %v, and %v for the inputs that the pass was built with; its shape must not depend on what the inputs hold", name, t.Shape, v.shape)
		}
		if v.shown {
			copy(v.floats, t.F32)
			continue
		}
		if err := v.take(t); err != nil {
			return err
		}
	}
	return nil
}

// tensors checks the inputs and makes tensors of them.
func (d *dataFeed) tensors(feed Feed) (map[string]*exec.Tensor, error) {
	p := d.q.program
	known := map[string]bool{"input_ids": true, "attention_mask": true, "token_type_ids": true, fuse.RowsInput: true}
	names := make([]string, 0, len(feed.Inputs))
	for name := range feed.Inputs {
		if p.inputs[name] == nil && !known[name] {
			return nil, fmt.Errorf("autodiff: the model has no input %q", name)
		}
		names = append(names, name)
	}
	for name := range d.need {
		if _, ok := feed.Inputs[name]; !ok {
			return nil, fmt.Errorf("autodiff: input %q was not fed", name)
		}
	}
	sort.Strings(names)
	out := map[string]*exec.Tensor{}
	for _, name := range names {
		if !d.need[name] {
			continue
		}
		info, ids := p.inputs[name], feed.Inputs[name]
		shape := d.shapeOf(info)
		if len(ids) != volume(shape) {
			return nil, fmt.Errorf("autodiff: input %q was fed %d numbers; its shape is %v", name, len(ids), shape)
		}
		t, err := tensorOf(info, ids, shape)
		if err != nil {
			return nil, err
		}
		out[name] = t
	}
	return out, nil
}
