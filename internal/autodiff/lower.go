package autodiff

import (
	"fmt"
	"slices"
	"strings"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// Output is the node of a graph output, or of a value that Options.Outputs
// names, whole or for the selected rows (Options.Rows). What it needs becomes
// part of the pass.
//
// The node's value may be read after [Pass.Run] where the pass was compiled
// without terms; training shares memory more tightly.
func (q *Pass) Output(name string) (*gorgonia.Node, error) {
	if q.compiled {
		return nil, fmt.Errorf("autodiff: output %q was asked for after Compile; ask before", name)
	}
	if !q.program.fused.IsOutput(name) {
		var have []string
		for _, o := range q.program.fused.Outputs {
			have = append(have, o.Name)
		}
		return nil, fmt.Errorf("autodiff: the program has no output %q; it has %s (name values inside the graph in Options.Outputs)", name, strings.Join(have, ", "))
	}
	if q.isRows(name) {
		return nil, fmt.Errorf("%w: it is %q, which has a row for each token", ErrPadding, name)
	}
	v, err := q.value(name)
	if err != nil {
		return nil, err
	}
	if v.dtype != tensor.Float32 {
		return nil, fmt.Errorf("autodiff: output %q is %v; losses read float32", name, v.dtype)
	}
	if !slices.Contains(q.asked, v) {
		q.asked = append(q.asked, v)
	}
	return v.node, nil
}

// value builds a value of the fused graph and what it depends on.
func (q *Pass) value(name string) (*value, error) {
	if v := q.byName[name]; v != nil {
		return v, nil
	}
	p := q.program
	var v *value
	var err error
	switch {
	case p.reads[name].param != nil:
		if r := p.reads[name]; r.flip {
			return nil, fmt.Errorf("autodiff: weight %q is tied and read by other than a linear layer", name)
		}
		v = q.param(p.reads[name].param)
	case p.consts[name] != nil:
		v, err = q.constantOf(name)
	case p.inputs[name] != nil:
		v, err = q.data.input(p.inputs[name])
	case p.nodes[name] == nil:
		return nil, fmt.Errorf("autodiff: the graph has no value %q", name)
	case !p.learned[name]:
		v, err = q.data.leaf(name)
	default:
		n := p.nodes[name]
		lower := p.lowerings[opName(n)]
		if lower == nil {
			return nil, fmt.Errorf("autodiff: node %s: no gradient for operator %s", nodeName(n), opName(n))
		}
		if q.pack != nil {
			if special, err := q.packedLowering(n); err != nil {
				return nil, err
			} else if special != nil {
				lower = special
			}
		}
		var out []*value
		if out, err = lower(q, n); err != nil {
			return nil, err
		}
		for i, o := range n.Outputs {
			if o != "" && i < len(out) {
				q.byName[o] = out[i]
			}
		}
		if v = q.byName[name]; v == nil {
			return nil, fmt.Errorf("autodiff: node %s: its output %q has no gradient", nodeName(n), name)
		}
	}
	if err == nil && q.isRows(name) && !p.learned[name] {
		v, err = q.packRows(name, v)
	}
	if err != nil {
		return nil, err
	}
	q.byName[name] = v
	return v, nil
}

// param is the leaf of a parameter.
func (q *Pass) param(x *Param) *value {
	if v := q.params[x]; v != nil {
		return v
	}
	shape := []int{1}
	if len(x.Dims) > 0 {
		shape = shape[:0]
		for _, d := range x.Dims {
			shape = append(shape, int(d))
		}
	}
	v := &value{label: x.Name, shape: shape, dtype: tensor.Float32, floats: x.Value}
	if !x.frozen {
		v.param, v.grad = x, &adjoint{of: v}
	}
	q.params[x] = q.input("param", v)
	return v
}

// constantOf is the leaf of a constant.
func (q *Pass) constantOf(name string) (*value, error) {
	t, err := q.data.example(name)
	if err != nil {
		return nil, err
	}
	v := &value{label: name, shape: slices.Clone(t.Shape)}
	if len(v.shape) == 0 {
		v.shape = []int{1}
		q.data.flat[v] = true
	}
	if err := v.take(t); err != nil {
		return nil, err
	}
	return q.input("const", v), nil
}

// float is value for what must be float32.
func (q *Pass) float(n *onnx.Node, i int) (*value, error) {
	if i >= len(n.Inputs) || n.Inputs[i] == "" {
		return nil, fmt.Errorf("autodiff: node %s: input %d is missing", nodeName(n), i)
	}
	v, err := q.value(n.Inputs[i])
	if err != nil {
		return nil, err
	}
	if v.dtype != tensor.Float32 {
		return nil, fmt.Errorf("autodiff: node %s: input %q is %v; want float32", nodeName(n), n.Inputs[i], v.dtype)
	}
	return v, nil
}

// optional is float for an input that may be absent.
func (q *Pass) optional(n *onnx.Node, i int) (*value, error) {
	if i >= len(n.Inputs) || n.Inputs[i] == "" {
		return nil, nil
	}
	return q.float(n, i)
}

// lowering builds the outputs of one node.
type lowering func(q *Pass, n *onnx.Node) ([]*value, error)

func one(v *value, err error) ([]*value, error) {
	if err != nil {
		return nil, err
	}
	return []*value{v}, nil
}

var acts = map[string]kernel.Act{
	fuse.ActNone: kernel.ActNone, fuse.ActGelu: kernel.ActGelu, fuse.ActGeluTanh: kernel.ActGeluTanh,
	fuse.ActRelu: kernel.ActRelu, fuse.ActTanh: kernel.ActTanh,
}

func lowerLinear(q *Pass, n *onnx.Node) ([]*value, error) {
	x, err := q.float(n, 0)
	if err != nil {
		return nil, err
	}
	act, ok := acts[n.Str("act", "")]
	if !ok {
		return nil, fmt.Errorf("autodiff: node %s: no gradient for activation %q", nodeName(n), n.Str("act", ""))
	}
	trans := n.Int("trans_b", 0) != 0
	var w *value
	if r := q.program.reads[n.Inputs[1]]; r.param != nil {
		w, trans = q.param(r.param), trans != r.flip
	} else if w, err = q.float(n, 1); err != nil {
		return nil, err
	}
	b, err := q.optional(n, 2)
	if err != nil {
		return nil, err
	}
	return one(q.linear(nodeName(n), x, w, b, act, trans))
}

// threeOrFour are the inputs of a node that needs three, what, and may have a fourth.
func (q *Pass) threeOrFour(n *onnx.Node, what string) (in [4]*value, err error) {
	for i := range in {
		if in[i], err = q.optional(n, i); err != nil {
			return in, err
		}
	}
	if in[0] == nil || in[1] == nil || in[2] == nil {
		return in, fmt.Errorf("autodiff: node %s: want %s", nodeName(n), what)
	}
	return in, nil
}

func lowerLayerNorm(q *Pass, n *onnx.Node) ([]*value, error) {
	in, err := q.threeOrFour(n, "an input, scale and bias")
	if err != nil {
		return nil, err
	}
	label, p := nodeName(n), q.program
	rate, key := q.dropping, uint64(p.index[n])+1
	if rate > 0 && in[3] != nil {
		// The residual is whichever operand no linear layer made.
		i := 0
		if !p.isLinear(n.Inputs[0]) && p.isLinear(n.Inputs[3]) {
			i = 3
		}
		if in[i], err = q.dropout(label, key, rate, in[i], q.isRows(n.Inputs[i])); err != nil {
			return nil, err
		}
	}
	y, err := q.layerNorm(label, in[0], in[1], in[2], in[3], n.Float("eps", 1e-5))
	if err == nil && rate > 0 && p.embedding[n] {
		y, err = q.dropout(label, key, rate, y, q.isRows(n.Outputs[0]))
	}
	return one(y, err)
}

func (p *Program) isLinear(name string) bool {
	n := p.nodes[name]
	return n != nil && (opName(n) == "lite.Linear" || opName(n) == "lite.GatherRows" && p.isLinear(n.Inputs[0]))
}

func lowerAttention(q *Pass, n *onnx.Node) ([]*value, error) {
	if q.pack != nil {
		// Which tokens are there says all that the bias does.
		c := *n
		c.Inputs = n.Inputs[:3]
		n = &c
	}
	in, err := q.threeOrFour(n, "query, key and value")
	if err != nil {
		return nil, err
	}
	return one(q.attention(nodeName(n), in[0], in[1], in[2], in[3], int(n.Int("heads", 1)), n.Float("scale", 1)))
}

func lowerGelu(q *Pass, n *onnx.Node) ([]*value, error) {
	act := kernel.ActGelu
	if n.Str("approximate", "none") == "tanh" {
		act = kernel.ActGeluTanh
	}
	return lowerActivation(act)(q, n)
}

func lowerActivation(act kernel.Act) lowering {
	return func(q *Pass, n *onnx.Node) ([]*value, error) {
		x, err := q.float(n, 0)
		if err != nil {
			return nil, err
		}
		return one(q.activation(nodeName(n), act, x))
	}
}

func lowerGatherRows(q *Pass, n *onnx.Node) ([]*value, error) {
	if q.R == 0 {
		return nil, fmt.Errorf("autodiff: node %s: the pass has no rows; give NewPass the number of rows, or ask for outputs that need none", nodeName(n))
	}
	x, err := q.float(n, 0)
	if err != nil {
		return nil, err
	}
	rows, err := q.value(n.Inputs[1])
	if err != nil {
		return nil, err
	}
	if x.rank() < 2 {
		return nil, fmt.Errorf("autodiff: node %s: rows of a value of shape %v; want [B,S,·]", nodeName(n), x.shape)
	}
	flat := append([]int{x.shape[0] * x.shape[1]}, x.shape[2:]...)
	if x, err = q.reshape(nodeName(n), x, flat...); err != nil {
		return nil, err
	}
	return one(q.gather(nodeName(n), x, rows, 0))
}
