package autodiff

import (
	"fmt"
	"math"
	"slices"

	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

func allLowerings() map[string]lowering {
	m := map[string]lowering{
		"lite.Linear": lowerLinear, "lite.LayerNorm": lowerLayerNorm, "lite.Attention": lowerAttention,
		"lite.Gelu": lowerGelu, "lite.GatherRows": lowerGatherRows,
		"Gelu": lowerGelu, "Relu": lowerActivation(kernel.ActRelu), "Tanh": lowerActivation(kernel.ActTanh),
		"Add": lowerArithmetic(opAdd), "Sub": lowerArithmetic(opSub), "Mul": lowerArithmetic(opMul), "Div": lowerArithmetic(opDiv),
		"Pow": lowerPow, "MatMul": lowerMatMul, "Gemm": lowerGemm, "Where": lowerWhere,
		"Softmax": lowerSoftmax(false), "LogSoftmax": lowerSoftmax(true),
		"Gather": lowerGather, "Identity": lowerSame, "Dropout": lowerSame, "Cast": lowerCast,
		"Reshape": lowerReshape, "Flatten": lowerFlatten, "Squeeze": lowerSqueeze, "Unsqueeze": lowerUnsqueeze,
		"Transpose": lowerTranspose, "Slice": lowerSlice, "Split": lowerSplit, "Concat": lowerConcat, "Expand": lowerExpand,
		"ReduceMean": lowerReduce(true), "ReduceSum": lowerReduce(false), "ReduceL2": lowerReduceL2,
		"ReduceMax": lowerReduceExtreme(1), "ReduceMin": lowerReduceExtreme(-1),
		"Clip": lowerClip, "Max": lowerExtreme(1), "Min": lowerExtreme(-1),
	}
	for op, f := range shaped() {
		m[op] = lowerShaped(f)
	}
	for _, u := range unaries() {
		m[u.name] = func(q *Pass, n *onnx.Node) ([]*value, error) {
			x, err := q.float(n, 0)
			if err != nil {
				return nil, err
			}
			return one(q.unary(nodeName(n), u, x))
		}
	}
	return m
}

// both reads the two float inputs of a node.
func (q *Pass) both(n *onnx.Node) (a, b *value, err error) {
	if a, err = q.float(n, 0); err == nil {
		b, err = q.float(n, 1)
	}
	return a, b, err
}

func lowerArithmetic(kind binaryKind) lowering {
	return func(q *Pass, n *onnx.Node) ([]*value, error) {
		a, b, err := q.both(n)
		if err != nil {
			return nil, err
		}
		return one(q.binary(nodeName(n), kind, a, b))
	}
}

func lowerPow(q *Pass, n *onnx.Node) ([]*value, error) {
	x, err := q.float(n, 0)
	if err != nil {
		return nil, err
	}
	t := q.program.consts[n.Inputs[1]]
	if t == nil || t.Len() != 1 {
		return nil, fmt.Errorf("autodiff: node %s: no gradient for a power whose exponent is not one constant", nodeName(n))
	}
	var e float64
	if f, err := t.Floats(); err == nil {
		e = float64(f[0])
	} else if i, err := t.Int64s(); err == nil {
		e = float64(i[0])
	} else {
		return nil, fmt.Errorf("autodiff: node %s: exponent: %w", nodeName(n), err)
	}
	return one(q.unary(nodeName(n), unary{
		name: "Pow",
		f:    func(x float64) float64 { return math.Pow(x, e) },
		df:   func(x, _ float64) float64 { return e * math.Pow(x, e-1) },
	}, x))
}

func lowerMatMul(q *Pass, n *onnx.Node) ([]*value, error) {
	a, b, err := q.both(n)
	if err != nil {
		return nil, err
	}
	return one(q.matmul(nodeName(n), a, b))
}

func lowerGemm(q *Pass, n *onnx.Node) ([]*value, error) {
	a, b, err := q.both(n)
	if err != nil {
		return nil, err
	}
	c, err := q.optional(n, 2)
	if err != nil {
		return nil, err
	}
	label := nodeName(n)
	if n.Float("alpha", 1) != 1 || n.Float("beta", 1) != 1 {
		return nil, fmt.Errorf("autodiff: node %s: no gradient for a Gemm with alpha or beta other than 1", label)
	}
	if n.Int("transA", 0) != 0 {
		if a, err = q.transpose(label, a, nil); err != nil {
			return nil, err
		}
	}
	bias := c
	if c != nil && (c.size() != c.width() || c.size() == 1) {
		bias = nil // a matrix, or a number for all: not the bias of a linear layer
	}
	y, err := q.linear(label, a, b, bias, kernel.ActNone, n.Int("transB", 0) != 0)
	if err == nil && c != bias {
		y, err = q.binary(label, opAdd, y, c)
	}
	return one(y, err)
}

func lowerSoftmax(log bool) lowering {
	return func(q *Pass, n *onnx.Node) ([]*value, error) {
		x, err := q.float(n, 0)
		if err != nil {
			return nil, err
		}
		axis := int64(-1)
		if q.program.opset < 13 {
			axis = 1
		}
		axis = n.Int("axis", axis)
		if axis < 0 {
			axis += int64(x.rank())
		}
		if int(axis) != x.rank()-1 {
			return nil, fmt.Errorf("autodiff: node %s: no gradient for %s over axis %d of %v; only the last one", nodeName(n), n.Op, axis, x.shape)
		}
		return one(q.softmax(nodeName(n), x, log))
	}
}

func lowerGather(q *Pass, n *onnx.Node) ([]*value, error) {
	x, err := q.float(n, 0)
	if err != nil {
		return nil, err
	}
	label := nodeName(n)
	axis := int(n.Int("axis", 0))
	if axis < 0 {
		axis += x.rank()
	}
	if t := q.program.consts[n.Inputs[1]]; t != nil && len(t.Dims) == 0 {
		id, err := t.Int64s()
		if err != nil {
			return nil, fmt.Errorf("autodiff: node %s: index: %w", label, err)
		}
		return one(q.pick(label, x, axis, id[0]))
	}
	ids, err := q.value(n.Inputs[1])
	if err != nil {
		return nil, err
	}
	y, err := q.gather(label, x, ids, axis)
	if err == nil && q.data.flat[ids] {
		y, err = q.reshape(label, y, slices.Delete(slices.Clone(y.shape), axis, axis+1)...)
	}
	return one(y, err)
}

func lowerSame(q *Pass, n *onnx.Node) ([]*value, error) { return one(q.float(n, 0)) }

func lowerCast(q *Pass, n *onnx.Node) ([]*value, error) {
	if to := onnx.DataType(n.Int("to", 0)); to != onnx.Float {
		return nil, fmt.Errorf("autodiff: node %s: no gradient for a Cast to %v", nodeName(n), to)
	}
	return lowerSame(q, n)
}

func lowerReshape(q *Pass, n *onnx.Node) ([]*value, error) {
	x, err := q.float(n, 0)
	if err != nil {
		return nil, err
	}
	to, err := q.listed(n, 1, "shape")
	if err != nil {
		return nil, err
	}
	shape, rest, known := make([]int, len(to)), -1, 1
	for i, d := range to {
		switch {
		case d == 0 && n.Int("allowzero", 0) == 0 && i < x.rank():
			shape[i] = x.shape[i]
		case d == -1 && rest < 0:
			rest = i
			continue
		case d >= 0:
			shape[i] = int(d)
		default:
			return nil, fmt.Errorf("autodiff: node %s: shape %v", nodeName(n), to)
		}
		known *= shape[i]
	}
	if rest >= 0 && known > 0 {
		shape[rest] = x.size() / known
	}
	return one(q.reshape(nodeName(n), x, shape...))
}

// listed reads integers from an input, or from an attribute where there is no
// such input; nil if both are absent.
func (q *Pass) listed(n *onnx.Node, i int, attr string) ([]int64, error) {
	if i < len(n.Inputs) && n.Inputs[i] != "" {
		v, err := q.data.ints(n.Inputs[i])
		if err != nil {
			return nil, fmt.Errorf("%w (%s of node %s)", err, attr, nodeName(n))
		}
		return v, nil
	}
	return n.Ints(attr), nil
}

func lowerFlatten(q *Pass, n *onnx.Node) ([]*value, error) {
	x, err := q.float(n, 0)
	if err != nil {
		return nil, err
	}
	axis := int(n.Int("axis", 1))
	if axis < 0 {
		axis += x.rank()
	}
	if axis < 0 || axis > x.rank() {
		return nil, fmt.Errorf("autodiff: node %s: axis %d of a value of shape %v", nodeName(n), axis, x.shape)
	}
	return one(q.reshape(nodeName(n), x, volume(x.shape[:axis]), volume(x.shape[axis:])))
}

// axisOf counts an axis from the front.
func axisOf(n *onnx.Node, axis int64, rank int) (int, error) {
	at := axis
	if at < 0 {
		at += int64(rank)
	}
	if at < 0 || at >= int64(rank) {
		return 0, fmt.Errorf("autodiff: node %s: axis %d of %d", nodeName(n), axis, rank)
	}
	return int(at), nil
}

// axesOf reads the axes of a node, counts them from the front and sorts them.
func (q *Pass) axesOf(n *onnx.Node, rank int) ([]int, error) {
	list, err := q.listed(n, 1, "axes")
	if err != nil {
		return nil, err
	}
	out := make([]int, len(list))
	for i, a := range list {
		if out[i], err = axisOf(n, a, rank); err != nil {
			return nil, err
		}
	}
	slices.Sort(out)
	return out, nil
}

func lowerSqueeze(q *Pass, n *onnx.Node) ([]*value, error) {
	x, err := q.float(n, 0)
	if err != nil {
		return nil, err
	}
	axes, err := q.axesOf(n, x.rank())
	if err != nil {
		return nil, err
	}
	var shape []int
	for i, d := range x.shape {
		if len(axes) == 0 && d == 1 || slices.Contains(axes, i) {
			continue
		}
		shape = append(shape, d)
	}
	return one(q.reshape(nodeName(n), x, shape...))
}

func lowerUnsqueeze(q *Pass, n *onnx.Node) ([]*value, error) {
	x, err := q.float(n, 0)
	if err != nil {
		return nil, err
	}
	list, err := q.listed(n, 1, "axes")
	if err != nil {
		return nil, err
	}
	axes, err := q.axesOf(n, x.rank()+len(list))
	if err != nil {
		return nil, err
	}
	shape := slices.Clone(x.shape)
	for _, a := range axes {
		if a > len(shape) {
			return nil, fmt.Errorf("autodiff: node %s: axes %v of a value of shape %v", nodeName(n), list, x.shape)
		}
		shape = slices.Insert(shape, a, 1)
	}
	return one(q.reshape(nodeName(n), x, shape...))
}

func lowerTranspose(q *Pass, n *onnx.Node) ([]*value, error) {
	x, err := q.float(n, 0)
	if err != nil {
		return nil, err
	}
	return one(q.transpose(nodeName(n), x, n.Ints("perm")))
}

func lowerSlice(q *Pass, n *onnx.Node) ([]*value, error) {
	x, err := q.float(n, 0)
	if err != nil {
		return nil, err
	}
	var list [4][]int64
	for i, attr := range []string{"starts", "ends", "axes", "steps"} {
		if list[i], err = q.listed(n, i+1, attr); err != nil {
			return nil, err
		}
	}
	for k, l := range list {
		if want := len(list[0]); len(l) != want && (k < 2 || l != nil) {
			return nil, fmt.Errorf("autodiff: node %s: slice %v of a value of shape %v: %d starts need as many ends, axes and steps", nodeName(n), list, x.shape, want)
		}
	}
	for i, start := range list[0] {
		number, step := int64(i), int64(1)
		if list[2] != nil {
			number = list[2][i]
		}
		if list[3] != nil {
			step = list[3][i]
		}
		axis, err := axisOf(n, number, x.rank())
		if err != nil {
			return nil, err
		}
		if step == 0 {
			return nil, fmt.Errorf("autodiff: node %s: slice %v of a value of shape %v: a step of 0", nodeName(n), list, x.shape)
		}
		from, count := sliceBounds(int64(x.shape[axis]), start, list[1][i], step)
		if x, err = q.slice(nodeName(n), x, axis, from, count, int(step)); err != nil {
			return nil, err
		}
	}
	return []*value{x}, nil
}

// sliceBounds is the first element and the number of elements of [start:end:step]
// of an axis of length d, by ONNX's rules.
func sliceBounds(d, start, end, step int64) (from, count int) {
	if start < 0 {
		start += d
	}
	if end < 0 && end >= -d {
		end += d
	}
	if step > 0 {
		start, end = min(max(start, 0), d), min(max(end, 0), d)
		if end <= start {
			return 0, 0
		}
		return int(start), int((end - start + step - 1) / step)
	}
	start, end = min(max(start, 0), d-1), min(max(end, -1), d-1)
	if start <= end {
		return 0, 0
	}
	return int(start), int((start - end - step - 1) / -step)
}

func lowerSplit(q *Pass, n *onnx.Node) ([]*value, error) {
	x, err := q.float(n, 0)
	if err != nil {
		return nil, err
	}
	sizes, err := q.listed(n, 1, "split")
	if err != nil {
		return nil, err
	}
	axis, err := axisOf(n, n.Int("axis", 0), x.rank())
	if err != nil {
		return nil, err
	}
	parts := len(n.Outputs)
	each := (x.shape[axis] + parts - 1) / parts
	out, at := make([]*value, parts), 0
	for i := range out {
		size := min(each, x.shape[axis]-at)
		if i < len(sizes) {
			size = int(sizes[i])
		}
		if out[i], err = q.slice(nodeName(n), x, axis, at, size, 1); err != nil {
			return nil, err
		}
		at += size
	}
	return out, nil
}

func lowerConcat(q *Pass, n *onnx.Node) ([]*value, error) {
	in := make([]*value, len(n.Inputs))
	for i := range in {
		var err error
		if in[i], err = q.float(n, i); err != nil {
			return nil, err
		}
	}
	axis := int(n.Int("axis", 0))
	if axis < 0 && len(in) > 0 {
		axis += in[0].rank()
	}
	return one(q.concat(nodeName(n), axis, in...))
}

func lowerExpand(q *Pass, n *onnx.Node) ([]*value, error) {
	x, err := q.float(n, 0)
	if err != nil {
		return nil, err
	}
	to, err := q.listed(n, 1, "shape")
	if err != nil {
		return nil, err
	}
	shape := make([]int, len(to))
	for i, d := range to {
		shape[i] = int(d)
	}
	return one(q.expand(nodeName(n), x, shape))
}

func lowerReduce(mean bool) lowering {
	return func(q *Pass, n *onnx.Node) ([]*value, error) {
		x, err := q.float(n, 0)
		if err != nil {
			return nil, err
		}
		axes, err := q.listed(n, 1, "axes")
		if err != nil {
			return nil, err
		}
		if len(axes) == 0 && n.Int("noop_with_empty_axes", 0) != 0 {
			return []*value{x}, nil
		}
		return one(q.reduce(nodeName(n), x, axes, n.Int("keepdims", 1) != 0, mean))
	}
}
