package fuse

import (
	"slices"

	"github.com/litekit/lite/onnx"
)

// node infers what is known of a node's outputs.
func (f *inference) node(n *onnx.Node) {
	if len(n.Outputs) == 0 || hasSubgraph(n) {
		return
	}
	f.typesOf(n)
	if s, ok := f.shapeOf(n); ok && n.Outputs[0] != "" {
		f.shape[n.Outputs[0]] = s
	}
	f.elements(n)
}

func (f *inference) setType(n *onnx.Node, t onnx.DataType) {
	for _, o := range n.Outputs {
		if o != "" && t != onnx.Undefined {
			f.types[o] = t
		}
	}
}

// typesOf sets the element types of the outputs.
func (f *inference) typesOf(n *onnx.Node) {
	switch n.Op {
	case "Cast":
		f.setType(n, onnx.DataType(n.Int("to", 0)))
	case "Shape", "Size", "ArgMax", "ArgMin", "NonZero":
		f.setType(n, onnx.Int64)
	case "Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "And", "Or", "Xor", "Not", "IsNaN", "IsInf":
		f.setType(n, onnx.Bool)
	case "ConstantOfShape":
		t := onnx.Float
		if a := n.Attr("value"); a != nil && a.Tensor != nil {
			t = a.Tensor.Type
		}
		f.setType(n, t)
	case "Where":
		f.setType(n, f.types[input(n, 1)])
	case "MatMulInteger":
		f.setType(n, onnx.Int32)
	case "DequantizeLinear":
		f.setType(n, f.types[input(n, 1)])
	case "QuantizeLinear":
		if t, ok := f.types[input(n, 2)]; ok {
			f.setType(n, t)
		} else {
			f.setType(n, onnx.Uint8)
		}
	case "DynamicQuantizeLinear":
		for i, t := range []onnx.DataType{onnx.Uint8, onnx.Float, onnx.Uint8} {
			if i < len(n.Outputs) && n.Outputs[i] != "" {
				f.types[n.Outputs[i]] = t
			}
		}
	case "EmbedLayerNormalization":
		f.setType(n, f.types[input(n, 2)])
	case "GatherND", "Gather", "Range", "Expand", "Reshape":
		f.setType(n, f.types[input(n, 0)])
	case "TopK", "Unique", "Loop", "If", "Scan", "SequenceAt", "OneHot", "RandomNormal", "RandomUniform", "EyeLike", "Bernoulli", "Multinomial", "CastLike":
	default:
		f.setType(n, f.types[input(n, 0)])
	}
}

// shapeOf infers the shape of the first output; other outputs are set by the case
// that knows them.
func (f *inference) shapeOf(n *onnx.Node) ([]dim, bool) {
	x, ok := f.shape[input(n, 0)]
	if n.Domain != "" && n.Domain != "ai.onnx" {
		return f.otherShape(n, x, ok)
	}
	switch n.Op {
	case "Cast", "Identity", "Dropout", "Relu", "Tanh", "Erf", "Sqrt", "Exp", "Log", "Neg", "Abs", "Sigmoid", "Softmax",
		"LogSoftmax", "Not", "IsNaN", "IsInf", "Gelu", "Clip", "Reciprocal", "Floor", "Ceil", "Round", "Sign", "CumSum",
		"LayerNormalization", "Softplus", "Trilu", "LeakyRelu", "Elu", "HardSigmoid", "HardSwish", "Sin", "Cos",
		"QuantizeLinear", "DequantizeLinear", "BatchNormalization", "ScatterND", "ScatterElements":
		return x, ok
	case "DynamicQuantizeLinear":
		for _, o := range n.Outputs[1:] {
			if o != "" {
				f.shape[o] = []dim{}
			}
		}
		return x, ok
	case "Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Mod", "And", "Or", "Xor", "Equal", "Greater", "Less",
		"GreaterOrEqual", "LessOrEqual", "Where", "Sum", "Mean", "PRelu":
		return f.broadcastAll(n)
	case "MatMul", "MatMulInteger":
		y, ok2 := f.shape[input(n, 1)]
		if !ok || !ok2 || len(x) < 2 || len(y) < 2 {
			return nil, false
		}
		lead := f.broadcast(x[:len(x)-2], y[:len(y)-2])
		return append(slices.Clone(lead), x[len(x)-2], y[len(y)-1]), true
	case "Gemm":
		y, ok2 := f.shape[input(n, 1)]
		if !ok || !ok2 || len(x) != 2 || len(y) != 2 {
			return nil, false
		}
		return []dim{x[n.Int("transA", 0)&1], y[1-n.Int("transB", 0)&1]}, true
	case "Shape":
		if !ok {
			return []dim{f.fresh()}, true
		}
		lo, hi := shapeRange(n, len(x))
		return []dim{known(int64(hi - lo))}, true
	case "Size":
		return []dim{}, true
	case "GatherElements":
		s, ok := f.shape[input(n, 1)]
		return s, ok
	case "ConstantOfShape":
		s, ok := f.ints[input(n, 0)]
		return s, ok
	case "Range":
		return f.rangeShape(n), true
	}
	return f.moveShape(n, x, ok)
}

// broadcastAll is the shape of an elementwise node of any number of operands.
func (f *inference) broadcastAll(n *onnx.Node) ([]dim, bool) {
	var out []dim
	for i := range n.Inputs {
		s, ok := f.shape[input(n, i)]
		if !ok {
			return nil, false
		}
		out = f.broadcast(out, s)
	}
	return out, true
}

// shapeRange is the part of the shape that a Shape node (opset 15) returns.
func shapeRange(n *onnx.Node, rank int) (lo, hi int) {
	at := func(name string, def int64) int {
		v := n.Int(name, def)
		if v < 0 {
			v += int64(rank)
		}
		return int(min(max(v, 0), int64(rank)))
	}
	lo, hi = at("start", 0), at("end", int64(rank))
	return lo, max(lo, hi)
}

func (f *inference) rangeShape(n *onnx.Node) []dim {
	a, okA := f.one(input(n, 0))
	b, okB := f.one(input(n, 1))
	d, okD := f.one(input(n, 2))
	switch {
	case okA && okB && okD && a.is(0) && d.is(1) && (b.sym != 0 || b.n >= 0):
		return []dim{b}
	case okA && okB && okD && a.sym+b.sym+d.sym == 0 && d.n != 0:
		return []dim{known(max(0, (b.n-a.n+d.n-sign(d.n))/d.n))}
	}
	return []dim{f.fresh()}
}

func sign(n int64) int64 {
	if n < 0 {
		return -1
	}
	return 1
}

// one is the element of an integer value of a single element.
func (f *inference) one(v string) (dim, bool) {
	if e, ok := f.ints[v]; ok && len(e) == 1 {
		return e[0], true
	}
	return dim{}, false
}

// moveShape infers the shapes of the operators that rearrange elements.
func (f *inference) moveShape(n *onnx.Node, x []dim, ok bool) ([]dim, bool) {
	if n.Op == "Concat" {
		return f.concatShape(n)
	}
	if n.Op == "Reshape" {
		return f.reshapeShape(n, x, ok)
	}
	if !ok {
		return nil, false
	}
	switch n.Op {
	case "Gather":
		idx, ok := f.shape[input(n, 1)]
		axis, inside := axisOf(n.Int("axis", 0), len(x))
		if !ok || !inside {
			return nil, false
		}
		return slices.Concat(x[:axis], idx, x[axis+1:]), true
	case "Transpose":
		return transposed(x, n.Ints("perm"))
	case "Flatten":
		axis := n.Int("axis", 1)
		if axis < 0 {
			axis += int64(len(x))
		}
		if axis < 0 || axis > int64(len(x)) {
			return nil, false
		}
		return []dim{f.product(x[:axis]), f.product(x[axis:])}, true
	case "Unsqueeze":
		return f.unsqueezed(n, x)
	case "Squeeze":
		return f.squeezed(n, x)
	case "Expand":
		if s, ok := f.ints[input(n, 1)]; ok {
			return f.broadcast(x, s), true
		}
	case "Slice":
		return f.sliceShape(n, x)
	case "Split":
		return f.splitShape(n, x)
	case "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSumSquare", "ReduceL2", "ReduceL1", "ArgMax", "ArgMin":
		return f.reduced(n, x)
	case "Tile":
		if r, ok := f.ints[input(n, 1)]; ok && len(r) == len(x) {
			out := make([]dim, len(x))
			for i := range x {
				out[i] = f.arith("Mul", x[i], r[i])
			}
			return out, true
		}
	}
	return nil, false
}

func axisOf(axis int64, rank int) (int, bool) {
	if axis < 0 {
		axis += int64(rank)
	}
	return int(axis), axis >= 0 && axis < int64(rank)
}

func transposed(x []dim, perm []int64) ([]dim, bool) {
	out := make([]dim, len(x))
	for i := range x {
		p := int64(len(x) - 1 - i)
		if perm != nil {
			if len(perm) != len(x) || perm[i] < 0 || perm[i] >= int64(len(x)) {
				return nil, false
			}
			p = perm[i]
		}
		out[i] = x[p]
	}
	return out, true
}

func (f *inference) concatShape(n *onnx.Node) ([]dim, bool) {
	var out []dim
	for i := range n.Inputs {
		x, ok := f.shape[input(n, i)]
		if !ok {
			return nil, false
		}
		axis, inside := axisOf(n.Int("axis", 0), len(x))
		if !inside || i > 0 && len(x) != len(out) {
			return nil, false
		}
		if i == 0 {
			out = slices.Clone(x)
			continue
		}
		out[axis] = f.arith("Add", out[axis], x[axis])
	}
	return out, out != nil
}

// reshapeShape applies ONNX's rules for 0 and -1.
func (f *inference) reshapeShape(n *onnx.Node, x []dim, ok bool) ([]dim, bool) {
	want, have := f.ints[input(n, 1)]
	if !have {
		if s, ok := f.shape[input(n, 1)]; ok && len(s) == 1 && s[0].sym == 0 && s[0].n >= 0 && s[0].n <= maxInts {
			out := make([]dim, s[0].n)
			for i := range out {
				out[i] = f.fresh()
			}
			return out, true
		}
		return nil, false
	}
	out, free := slices.Clone(want), -1
	for i, d := range want {
		switch {
		case d.is(0) && n.Int("allowzero", 0) == 0:
			if !ok || i >= len(x) {
				out[i] = f.fresh()
			} else {
				out[i] = x[i]
			}
		case d.is(-1):
			free = i
		}
	}
	if free >= 0 {
		rest := slices.Delete(slices.Clone(out), free, free+1)
		out[free] = f.fresh()
		if ok {
			if q, exact := f.quotient(x, rest); exact {
				out[free] = q
			}
		}
	}
	return out, true
}

// axes reads the axes of a node, an attribute before opset 13 (or 18), an input since.
func (f *inference) axes(n *onnx.Node, rank int) (axes []int64, given, ok bool) {
	axes = n.Ints("axes")
	given = n.Attr("axes") != nil
	if v := input(n, 1); v != "" {
		e, have := f.ints[v]
		if !have {
			return nil, true, false
		}
		if axes, have = numbers(e); !have {
			return nil, true, false
		}
		given = true
	}
	axes = slices.Clone(axes)
	for i := range axes {
		if axes[i] < 0 {
			axes[i] += int64(rank)
		}
		if axes[i] < 0 || axes[i] >= int64(rank) {
			return nil, given, false
		}
	}
	return axes, given, true
}

func (f *inference) unsqueezed(n *onnx.Node, x []dim) ([]dim, bool) {
	count := len(n.Ints("axes"))
	if v := input(n, 1); v != "" {
		count = len(f.ints[v])
	}
	axes, given, ok := f.axes(n, len(x)+count)
	if !ok || !given {
		return nil, false
	}
	out, k := make([]dim, len(x)+count), 0
	for i := range out {
		if slices.Contains(axes, int64(i)) {
			out[i] = known(1)
			continue
		}
		if k == len(x) {
			return nil, false
		}
		out[i] = x[k]
		k++
	}
	return out, true
}

func (f *inference) squeezed(n *onnx.Node, x []dim) ([]dim, bool) {
	axes, given, ok := f.axes(n, len(x))
	if !ok || !given {
		return nil, false
	}
	out := []dim{}
	for i, d := range x {
		if !slices.Contains(axes, int64(i)) {
			out = append(out, d)
		}
	}
	return out, true
}

func (f *inference) reduced(n *onnx.Node, x []dim) ([]dim, bool) {
	var axes []int64
	given, ok := true, true
	if n.Op == "ArgMax" || n.Op == "ArgMin" {
		a, inside := axisOf(n.Int("axis", 0), len(x))
		axes, ok = []int64{int64(a)}, inside
	} else {
		axes, given, ok = f.axes(n, len(x))
	}
	if !ok {
		return nil, false
	}
	if !given && n.Int("noop_with_empty_axes", 0) != 0 {
		return x, true
	}
	out := []dim{}
	for i, d := range x {
		switch {
		case given && len(axes) > 0 && !slices.Contains(axes, int64(i)):
			out = append(out, d)
		case n.Int("keepdims", 1) != 0:
			out = append(out, known(1))
		}
	}
	return out, true
}

// slicing is the normalised argument list of a Slice node, one entry per sliced axis.
type slicing struct {
	axes       []int64
	start, end []dim
	step       []int64
}

func (f *inference) slicing(n *onnx.Node, rank int) (slicing, bool) {
	var s slicing
	if n.Attr("starts") != nil {
		s.start, s.end, s.axes = knownDims(n.Ints("starts")), knownDims(n.Ints("ends")), slices.Clone(n.Ints("axes"))
	} else {
		var ok1, ok2 bool
		s.start, ok1 = f.ints[input(n, 1)]
		s.end, ok2 = f.ints[input(n, 2)]
		if !ok1 || !ok2 {
			return s, false
		}
		for i, dst := range map[int]*[]int64{3: &s.axes, 4: &s.step} {
			if v := input(n, i); v != "" {
				e, ok := numbers(f.ints[v])
				if !ok || f.ints[v] == nil {
					return s, false
				}
				*dst = e
			}
		}
	}
	if s.axes == nil {
		for i := range s.start {
			s.axes = append(s.axes, int64(i))
		}
	}
	if s.step == nil {
		s.step = slices.Repeat([]int64{1}, len(s.start))
	}
	if len(s.end) != len(s.start) || len(s.axes) != len(s.start) || len(s.step) != len(s.start) {
		return s, false
	}
	for i, a := range s.axes {
		k, inside := axisOf(a, rank)
		if !inside {
			return s, false
		}
		s.axes[i] = int64(k)
	}
	return s, true
}

func (f *inference) sliceShape(n *onnx.Node, x []dim) ([]dim, bool) {
	out := slices.Clone(x)
	s, ok := f.slicing(n, len(x))
	if !ok {
		if v := input(n, 3); v != "" { // only the sliced axes are in doubt
			if axes, ok := numbers(f.ints[v]); ok && f.ints[v] != nil {
				for _, a := range axes {
					if k, inside := axisOf(a, len(x)); inside {
						out[k] = f.fresh()
					}
				}
				return out, true
			}
		}
		for i := range out {
			out[i] = f.fresh()
		}
		return out, true
	}
	for i, a := range s.axes {
		out[a] = f.sliced(x[a], s.start[i], s.end[i], s.step[i])
	}
	return out, true
}

// sliced is the length of [start:end:step] of an axis of length d.
func (f *inference) sliced(d, start, end dim, step int64) dim {
	if start.is(0) && step == 1 {
		if end == d || end.sym == 0 && end.n >= 1<<31-1 {
			return d
		}
		if end.sym != 0 {
			return end
		}
	}
	if d.sym != 0 || start.sym != 0 || end.sym != 0 || step == 0 {
		return f.fresh()
	}
	lo, hi := clampSlice(d.n, start.n, end.n, step)
	if step > 0 {
		return known(max(0, (hi-lo+step-1)/step))
	}
	return known(max(0, (lo-hi-step-1)/-step))
}

// clampSlice brings start and end into the axis as ONNX's Slice does.
func clampSlice(n, start, end, step int64) (lo, hi int64) {
	if start < 0 {
		start += n
	}
	if end < 0 {
		end += n
	}
	if step > 0 {
		return min(max(start, 0), n), min(max(end, 0), n)
	}
	return min(max(start, 0), n-1), min(max(end, -1), n-1)
}

func (f *inference) splitShape(n *onnx.Node, x []dim) ([]dim, bool) {
	axis, ok := axisOf(n.Int("axis", 0), len(x))
	if !ok {
		return nil, false
	}
	sizes := knownDims(n.Ints("split"))
	if v := input(n, 1); v != "" {
		sizes = f.ints[v]
	}
	for i, o := range n.Outputs {
		s := slices.Clone(x)
		switch {
		case i < len(sizes):
			s[axis] = sizes[i]
		case x[axis].sym == 0 && len(sizes) == 0 && x[axis].n%int64(len(n.Outputs)) == 0:
			s[axis] = known(x[axis].n / int64(len(n.Outputs)))
		default:
			s[axis] = f.fresh()
		}
		if o != "" {
			f.shape[o] = s
		}
	}
	s, ok := f.shape[n.Outputs[0]]
	return s, ok
}

// otherShape covers the lite and com.microsoft domains.
func (f *inference) otherShape(n *onnx.Node, x []dim, ok bool) ([]dim, bool) {
	switch {
	case isLite(n, OpLayerNorm, OpGelu, OpAttention), isMS(n, "Gelu", "FastGelu", "BiasGelu", "QuickGelu", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization"):
		return x, ok
	case isLite(n, OpLinear, OpQLinear), isMS(n, "DynamicQuantizeMatMul"):
		w, ok2 := f.shape[input(n, 1)]
		if !ok || !ok2 || len(w) != 2 || len(x) < 2 {
			return nil, false
		}
		out := slices.Clone(x)
		out[len(x)-1] = w[1-n.Int("trans_b", 0)&1]
		return out, true
	case isLite(n, OpGatherRows):
		r, ok2 := f.shape[input(n, 1)]
		if !ok || !ok2 || len(x) == 0 {
			return nil, false
		}
		return append(slices.Clone(r), x[len(x)-1]), true
	case isMS(n, "EmbedLayerNormalization"):
		w, ok2 := f.shape[input(n, 2)]
		if !ok || !ok2 || len(w) != 2 {
			return nil, false
		}
		return append(slices.Clone(x), w[1]), true
	case isMS(n, "Attention"):
		b, ok2 := f.shape[input(n, 1)]
		if ok && ok2 && len(x) == 3 && len(b) == 2 && b[1].sym == 0 && n.Ints("qkv_hidden_sizes") == nil {
			return []dim{x[0], x[1], known(b[1].n / 3)}, true
		}
	}
	return nil, false
}
