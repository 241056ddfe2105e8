package quantize

import (
	"context"
	"fmt"
	"slices"
	"unsafe"

	"github.com/litekit/lite/onnx"
)

// builder writes the quantized graph of a plan.
type builder struct {
	*plan
	out   *onnx.Model
	nodes []*onnx.Node
	used  map[string]bool
	// made maps what several sites share (a quantized activation, a weight, a
	// scale) to the names that hold it.
	made map[any][]string
	// tables holds the embedding tables that are int8 in this build.
	tables map[*onnx.Tensor]bool
}

// build quantizes every site but the excluded ones.
func (p *plan) build(ctx context.Context, excluded map[*site]bool) (*onnx.Model, *Report, error) {
	b := &builder{plan: p, out: p.model.Clone(), used: usedNames(p.model.Graph), made: map[any][]string{}, tables: map[*onnx.Tensor]bool{}}
	at := make(map[int]*site, len(p.sites))
	for _, s := range p.sites {
		if !excluded[s] {
			at[s.index] = s
			if s.gather {
				b.tables[s.weight.tensor] = true
			}
		}
	}
	for i, n := range b.out.Graph.Nodes {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		s := at[i]
		if s == nil {
			b.nodes = append(b.nodes, n)
			continue
		}
		if err := b.rewrite(s, n); err != nil {
			return nil, nil, err
		}
	}
	b.out.Graph.Nodes = b.nodes
	b.finish()
	return b.out, b.report(excluded), nil
}

// usedNames are the names of all values and nodes of the graph.
func usedNames(g *onnx.Graph) map[string]bool {
	used := map[string]bool{}
	for _, t := range g.Initializers {
		used[t.Name] = true
	}
	for _, v := range g.Inputs {
		used[v.Name] = true
	}
	var walk func(nodes []*onnx.Node)
	walk = func(nodes []*onnx.Node) {
		for _, n := range nodes {
			used[n.Name] = true
			for _, o := range n.Outputs {
				used[o] = true
			}
			for _, a := range n.Attrs {
				for _, sub := range append(slices.Clone(a.Graphs), a.Graph) {
					if sub == nil {
						continue
					}
					for _, t := range sub.Initializers {
						used[t.Name] = true
					}
					for _, v := range sub.Inputs {
						used[v.Name] = true
					}
					walk(sub.Nodes)
				}
			}
		}
	}
	walk(g.Nodes)
	return used
}

// name returns base, or base with a number if it is taken, and takes it.
func (b *builder) name(base string) string {
	name := base
	for i := 1; b.used[name]; i++ {
		name = fmt.Sprintf("%s_%d", base, i)
	}
	b.used[name] = true
	return name
}

// emit appends a node whose outputs have already been named.
func (b *builder) emit(op, name string, inputs, outputs []string, attrs ...*onnx.Attribute) {
	b.nodes = append(b.nodes, onnx.NewNode(op, b.name(name), inputs, outputs, attrs...))
}

// constant adds an initializer under a free name made of t's and returns it.
func (b *builder) constant(t *onnx.Tensor) string {
	t.Name = b.name(t.Name)
	b.out.Graph.Initializers = append(b.out.Graph.Initializers, t)
	return t.Name
}

// once returns the names made for key, making them the first time.
func (b *builder) once(key any, make func() []string) []string {
	if names, ok := b.made[key]; ok {
		return names
	}
	names := make()
	b.made[key] = names
	return names
}

func (b *builder) rewrite(s *site, n *onnx.Node) error {
	k := s.key(s.weight.table && b.tables[s.weight.tensor])
	q, err := b.quantized(k)
	if err != nil {
		return err
	}
	switch {
	case s.gather:
		b.gather(s, n, k, q)
	case b.config.Mode == Dynamic:
		b.dynamic(s, n, k, q)
	default:
		b.qdq(s, n, k, q)
	}
	return nil
}

// base names what belongs to a weight; constants without a name take the node's.
func (k weightKey) base(n *onnx.Node) string {
	name := k.tensor.Name
	if name == "" {
		name = n.Label() + "_weight"
	}
	if k.flip {
		name += "_transposed"
	}
	return name
}

type matrixKey struct {
	weightKey
	what string
}

// table returns the int8 tensor as stored.
func (b *builder) table(n *onnx.Node, k weightKey, q *Quantized) string {
	return b.once(matrixKey{k, "stored"}, func() []string {
		dims := slices.Clone(k.tensor.Dims)
		if k.flip {
			slices.Reverse(dims)
		}
		return []string{b.constant(&onnx.Tensor{Name: k.base(n) + "_quantized", Type: onnx.Int8, Dims: dims, Raw: bytesOf(q.Q)})}
	})[0]
}

// matrix returns the int8 [K, N] value that a linear layer multiplies by. A
// shared table is read through one Transpose, which every runtime folds when
// the model is loaded, so that the file holds it once.
func (b *builder) matrix(n *onnx.Node, k weightKey, q *Quantized) string {
	stored := b.table(n, k, q)
	if !k.rows {
		return stored
	}
	return b.once(matrixKey{k, "matrix"}, func() []string {
		out := b.name(stored + "_transposed")
		b.emit("Transpose", out, []string{stored}, []string{out}, onnx.IntsAttr("perm", 1, 0))
		return []string{out}
	})[0]
}

// scale returns the [N] (or scalar) scale of a linear layer, times factor.
func (b *builder) scale(n *onnx.Node, k weightKey, q *Quantized, factor float32) string {
	what := "scale"
	if factor != 1 {
		what = fmt.Sprintf("scale×%g", factor)
	}
	return b.once(matrixKey{k, what}, func() []string {
		v := slices.Clone(q.Scale)
		for i := range v {
			v[i] *= factor
		}
		return []string{b.constant(onnx.NewFloats(k.base(n)+"_scale", v, b.channelDims(len(v))...))}
	})[0]
}

// zero returns the zero point: [N] or scalar. Symmetric weights of one scale
// per channel still need only the scalar 0 in MatMulInteger, which spares the
// runtime a correction per column; DequantizeLinear wants one per channel.
func (b *builder) zero(n *onnx.Node, k weightKey, q *Quantized, perChannel bool) string {
	what, v := "zero", q.Zero
	if !perChannel {
		what, v = "scalar zero", []int8{0}
	}
	return b.once(matrixKey{k, what}, func() []string {
		var dims []int64
		if len(v) > 1 || perChannel && b.config.PerChannel {
			dims = []int64{int64(len(v))}
		}
		return []string{b.constant(onnx.NewInt8s(k.base(n)+"_zero_point", v, dims...))}
	})[0]
}

// channelDims is [n] for per-channel parameters, scalar otherwise.
func (b *builder) channelDims(n int) []int64 {
	if b.config.PerChannel {
		return []int64{int64(n)}
	}
	return nil
}

// bytesOf is the bytes of v where they lie.
func bytesOf(v []int8) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v))
}

// dynamic writes what ONNX Runtime's own quantizer writes for
// Y = X·W (+ bias): one DynamicQuantizeLinear per activation, then
//
//	Y = Cast(MatMulInteger(Xq, Wq, x_zero, w_zero)) · (x_scale · w_scale) + bias
func (b *builder) dynamic(s *site, n *onnx.Node, k weightKey, q *Quantized) {
	x := b.once("activation "+s.input, func() []string {
		names := []string{b.name(s.input + "_quantized"), b.name(s.input + "_scale"), b.name(s.input + "_zero_point")}
		b.emit("DynamicQuantizeLinear", s.input+"_QuantizeLinear", []string{s.input}, names)
		return names
	})
	label, result := n.Label(), n.Outputs[0]
	matrix := b.matrix(n, k, q)
	scale, zero := b.scale(n, k, q, s.alpha), b.zero(n, k, q, b.config.Asymmetric && !k.table)
	scales := b.name(label + "_scales_mul_output")
	integer := b.name(result + "_integer")
	cast := b.name(result + "_cast")
	product := result
	if s.bias != "" {
		product = b.name(result + "_product")
	}
	b.emit("Mul", label+"_scales_mul", []string{x[1], scale}, []string{scales})
	b.emit("MatMulInteger", label+"_quant", []string{x[0], matrix, x[2], zero}, []string{integer})
	b.emit("Cast", label+"_cast", []string{integer}, []string{cast}, onnx.IntAttr("to", int64(onnx.Float)))
	b.emit("Mul", label+"_output_scale_mul", []string{cast, scales}, []string{product})
	b.bias(s, label, product, result)
}

// bias adds a Gemm's bias to its product, if it has one.
func (b *builder) bias(s *site, label, product, result string) {
	if s.bias != "" {
		b.emit("Add", label+"_Add", []string{product, s.bias}, []string{result})
	}
}

// qdq writes Y = DQ(Q(X)) · DQ(W) (+ bias), in weight-only mode without the
// pair on X. A Gemm becomes MatMul and Add, the form that runtimes fuse
// without quantizing the bias.
func (b *builder) qdq(s *site, n *onnx.Node, k weightKey, q *Quantized) {
	x := s.input
	if b.config.Mode == Static {
		x = b.pair(s.input)
	}
	matrix := b.matrix(n, k, q)
	w := b.once(matrixKey{k, fmt.Sprintf("dequantized×%g", s.alpha)}, func() []string {
		out := b.name(k.base(n) + "_dequantized")
		var attrs []*onnx.Attribute
		if b.config.PerChannel {
			attrs = append(attrs, onnx.IntAttr("axis", 1))
		}
		b.emit("DequantizeLinear", out, []string{matrix, b.scale(n, k, q, s.alpha), b.zero(n, k, q, true)}, []string{out}, attrs...)
		return []string{out}
	})[0]
	label, result := n.Label(), n.Outputs[0]
	product := result
	if s.bias != "" {
		product = b.name(result + "_product")
	}
	if n.Op == "MatMul" {
		n.Inputs = []string{x, w}
		b.nodes = append(b.nodes, n)
		return
	}
	b.emit("MatMul", label+"_MatMul", []string{x, w}, []string{product})
	b.bias(s, label, product, result)
}

// pair returns DQ(Q(x)) on the calibrated grid of the activation.
func (b *builder) pair(x string) string {
	return b.once("activation "+x, func() []string {
		a := b.grids[x]
		scale := b.constant(onnx.NewFloats(x+"_scale", []float32{a.Scale}))
		zero := b.constant(onnx.NewUint8s(x+"_zero_point", []uint8{a.Zero}))
		quantized, back := b.name(x+"_QuantizeLinear_output"), b.name(x+"_DequantizeLinear_output")
		b.emit("QuantizeLinear", x+"_QuantizeLinear", []string{x, scale, zero}, []string{quantized})
		b.emit("DequantizeLinear", x+"_DequantizeLinear", []string{quantized, scale, zero}, []string{back})
		return []string{back}
	})[0]
}

// gather reads int8 rows: with one scale per row the row's scale is gathered
// too and multiplied in, so that a rare word with small values keeps its
// precision; with one scale per table DequantizeLinear follows. Only the rows
// read are ever dequantized.
func (b *builder) gather(s *site, n *onnx.Node, k weightKey, q *Quantized) {
	label, result := n.Label(), n.Outputs[0]
	rows := b.name(result + "_quantized")
	n.Inputs[0], n.Outputs[0] = b.table(n, k, q), rows
	b.nodes = append(b.nodes, n)
	if !b.config.PerChannel {
		b.emit("DequantizeLinear", label+"_DequantizeLinear", []string{rows, b.scale(n, k, q, 1), b.zero(n, k, q, true)}, []string{result})
		return
	}
	column := b.once(matrixKey{k, "row scale"}, func() []string {
		return []string{b.constant(onnx.NewFloats(k.base(n)+"_row_scale", q.Scale, int64(len(q.Scale)), 1))}
	})[0]
	scale, cast := b.name(result+"_scale"), b.name(result+"_cast")
	b.emit("Gather", label+"_scale", []string{column, s.input}, []string{scale})
	b.emit("Cast", label+"_cast", []string{rows}, []string{cast}, onnx.IntAttr("to", int64(onnx.Float)))
	b.emit("Mul", label+"_Mul", []string{cast, scale}, []string{result})
}

// finish drops the float weights that nothing reads any more, also where an
// old exporter listed them among the graph's inputs.
func (b *builder) finish() {
	g := b.out.Graph
	had := g.InitializerMap()
	g.Prune()
	has := g.InitializerMap()
	g.Inputs = slices.DeleteFunc(g.Inputs, func(v *onnx.ValueInfo) bool { return had[v.Name] != nil && has[v.Name] == nil })
}
