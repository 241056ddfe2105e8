package exec_test

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/litekit/lite/internal/ort"
	"github.com/litekit/lite/onnx"
)

// guesser makes inputs for a model that nobody described: from the declared
// types and dimensions, from what the graph does with an input, and from names.
type guesser struct {
	m         *onnx.Model
	weights   map[string]*onnx.Tensor
	consumers map[string][]*onnx.Node
	dims      map[string][]int64 // of weights and of inputs that are declared in full
}

// scheme is one deterministic way of guessing.
type scheme struct {
	batch, seq, other int  // sizes of symbols called so, and of all others
	distinct          bool // symbols of unknown meaning get sizes of their own
	rank              int  // of inputs of unknown rank
	full              bool // masks and lengths without padding
	positive          bool // floats above 0
	positional        bool // unnamed sizes by their place: batch, sequence, rest
}

// schemes are tried in turn; the first two that ONNX Runtime takes count.
var schemes = []scheme{
	{batch: 2, seq: 6, other: 4, distinct: true, rank: 3, positional: true},
	{batch: 1, seq: 5, other: 4, rank: 2, full: true, positive: true},
	{batch: 4, seq: 4, other: 4, rank: 2, positive: true},
	{batch: 2, seq: 3, other: 1, rank: 1, full: true},
	{batch: 1, seq: 1, other: 1, rank: 4, full: true},
	{batch: 2, seq: 8, other: 8, rank: 4, positional: true},
	{batch: 3, seq: 16, other: 2, rank: 0, full: true, positive: true},
	{batch: 2, seq: 2, other: 2, rank: 5},
}

func newGuesser(m *onnx.Model) *guesser {
	g := &guesser{m: m, weights: m.Graph.InitializerMap(), consumers: m.Graph.Consumers(), dims: map[string][]int64{}}
	for name, w := range g.weights {
		g.dims[name] = w.Dims
	}
	for _, in := range m.Graph.Inputs {
		if in.HasShape && !slices.ContainsFunc(in.Dims, func(d onnx.Dim) bool { return !d.Known || d.Size < 0 }) {
			for _, d := range in.Dims {
				g.dims[in.Name] = append(g.dims[in.Name], d.Size)
			}
		}
	}
	return g
}

// maxElements is the size of inputs above which a model is left out.
var maxElements = 1 << 21

var errTooLarge = errors.New("too large for a test")

// feed makes the inputs of one scheme.
func (g *guesser) feed(s scheme, seed uint64) (map[string]ort.Tensor, error) {
	out, total := map[string]ort.Tensor{}, 0
	symbols := map[string]int{}
	for _, in := range g.m.Graph.Inputs {
		if g.weights[in.Name] != nil {
			continue
		}
		if in.Type == onnx.Undefined {
			return nil, fmt.Errorf("input %q is no tensor", in.Name)
		}
		h := fnv.New64a()
		h.Write([]byte(in.Name))
		r := rand.New(rand.NewPCG(seed, h.Sum64()))
		shape := g.shape(s, in, symbols)
		if total += size(shape); total > maxElements {
			return nil, fmt.Errorf("input %q of shape %v: %w", in.Name, shape, errTooLarge)
		}
		t, err := g.fill(r, in, shape, s)
		if err != nil {
			return nil, err
		}
		out[in.Name] = t
	}
	return out, nil
}

func (g *guesser) shape(s scheme, in *onnx.ValueInfo, symbols map[string]int) []int {
	dims := in.Dims
	if !in.HasShape {
		dims = make([]onnx.Dim, s.rank)
	}
	shape := make([]int, len(dims))
	for i, d := range dims {
		hint := 0
		if i == len(dims)-1 && (!d.Known || d.Size < 0) {
			hint = g.width(in.Name, 0)
		}
		switch {
		case d.Known && d.Size >= 0:
			shape[i] = int(d.Size)
		case d.Param != "":
			if symbols[d.Param] == 0 && hint > 0 {
				symbols[d.Param] = hint
			}
			shape[i] = symbolSize(s, d.Param, symbols)
		case hint > 0:
			shape[i] = hint
		case s.positional && i == 0 && len(dims) > 1:
			shape[i] = s.batch
		case s.positional && i == 1:
			shape[i] = s.seq
		default:
			shape[i] = s.other
		}
	}
	return shape
}

// symbolSize gives a symbol its size, a sum of symbols that of its terms.
func symbolSize(s scheme, name string, symbols map[string]int) int {
	if n := symbols[name]; n > 0 {
		return n
	}
	if terms := strings.Split(name, "+"); len(terms) > 1 {
		sum := 0
		for _, term := range terms {
			sum += symbolSize(s, strings.TrimSpace(term), symbols)
		}
		return sum
	}
	low, n := strings.ToLower(name), s.other
	switch {
	case strings.Contains(low, "total"):
		n = s.seq + 3
	case strings.Contains(low, "past"):
		n = 3
	case low == "b" || low == "n" || strings.Contains(low, "batch"):
		n = s.batch
	case low == "s" || strings.Contains(low, "seq") || strings.Contains(low, "length"):
		n = s.seq
	case s.distinct:
		n += len(symbols)
	}
	symbols[name] = n
	return n
}

// through are operators that hand an input on as it is.
var through = []string{"Cast", "Identity", "Unsqueeze", "Squeeze", "Dropout", "Flatten", "QuantizeLinear", "DequantizeLinear"}

// width is the size of a value's last dimension, as the weights that meet it tell; 0 where they do not.
func (g *guesser) width(value string, depth int) int {
	for _, n := range g.consumers[value] {
		at := slices.Index(n.Inputs, value)
		other := func(i int) []int64 {
			if i < len(n.Inputs) {
				return g.dims[n.Inputs[i]]
			}
			return nil
		}
		switch {
		case (n.Op == "MatMul" || n.Op == "Gemm" || n.Op == "Attention") && at == 0:
			if d := other(1); len(d) >= 2 {
				if n.Int("transB", 0) != 0 {
					return int(d[len(d)-1])
				}
				return int(d[len(d)-2])
			}
		case slices.Contains([]string{"Add", "Sub", "Mul", "Div", "LayerNormalization", "BiasGelu", "FastGelu"}, n.Op) && at < 2:
			if d := other(1 - at); len(d) > 0 && d[len(d)-1] > 1 {
				return int(d[len(d)-1])
			}
		case n.Op == "SkipLayerNormalization" && at < 2:
			if d := other(2); len(d) == 1 {
				return int(d[0])
			}
		case slices.Contains([]string{"Cast", "Identity", "Dropout", "QuantizeLinear", "DequantizeLinear"}, n.Op) && at == 0 && depth < 8:
			if w := g.width(n.Outputs[0], depth+1); w > 0 {
				return w
			}
		}
	}
	return 0
}

// bound is what an integer input must stay below, since it picks rows of a
// table; 0 where nothing says so and 1 where the table's size is not known.
func (g *guesser) bound(value string, depth int) int64 {
	least := int64(0)
	note := func(n int64) {
		if n > 0 && (least == 0 || n < least) {
			least = n
		}
	}
	table := func(n *onnx.Node, i int, axis int64) int64 {
		if t := g.weights[n.Inputs[i]]; t != nil && len(t.Dims) > 0 {
			if axis < 0 {
				axis += int64(len(t.Dims))
			}
			if axis >= 0 && axis < int64(len(t.Dims)) {
				return t.Dims[axis]
			}
		}
		return 1
	}
	for _, n := range g.consumers[value] {
		at := slices.Index(n.Inputs, value)
		switch {
		case strings.HasPrefix(n.Op, "Gather") && at == 1:
			note(table(n, 0, n.Int("axis", 0)))
		case n.Op == "EmbedLayerNormalization" && (at < 2 || at == 8):
			i := map[int]int{0: 2, 1: 4, 8: 3}[at]
			if n.Inputs[i] != "" {
				note(table(n, i, 0))
			}
		case n.Op == "OneHot" && at == 0:
			note(2)
		case slices.Contains(through, n.Op) && at == 0 && depth < 8, n.Op == "Reshape" && at == 0 && depth < 8:
			note(g.bound(n.Outputs[0], depth+1))
		}
	}
	return least
}

// role is the operator and place at which a value is read first.
func (g *guesser) role(value string) string {
	for len(g.consumers[value]) > 0 {
		n := g.consumers[value][0]
		if n.Op != "Cast" && n.Op != "Identity" {
			return fmt.Sprint(n.Op, ":", slices.Index(n.Inputs, value))
		}
		value = n.Outputs[0]
	}
	return ""
}

// integers are the values of an integer input of n elements, rows of the last dimension.
func (g *guesser) integers(r *rand.Rand, in *onnx.ValueInfo, shape []int, s scheme) []int64 {
	n := size(shape)
	v := make([]int64, n)
	row := 1
	if len(shape) > 0 {
		row = max(shape[len(shape)-1], 1)
	}
	each := func(f func(i int) int64) []int64 {
		for i := range v {
			v[i] = f(i)
		}
		return v
	}
	low := strings.ToLower(in.Name)
	if special := map[string]int64{"max_length": int64(s.seq) + 4, "min_length": 1, "num_beams": 2, "num_return_sequences": 1}; special[low] > 0 {
		return each(func(int) int64 { return special[low] })
	}
	switch role := g.role(in.Name); {
	case role == "Reshape:1":
		return each(func(i int) int64 {
			if i == n-1 {
				return -1
			}
			return 0
		})
	case role == "Expand:1" || role == "Tile:1" || role == "Slice:4":
		return each(func(int) int64 { return 1 })
	case role == "Slice:2":
		return each(func(int) int64 { return 1 << 30 })
	case role == "Slice:1" || role == "Pad:1":
		return v
	case role == "Slice:3" || strings.HasSuffix(role, "queeze:1"):
		return each(func(i int) int64 { return int64(i) })
	case strings.Contains(low, "mask"):
		return each(func(i int) int64 {
			if s.full || i%row < row-i/row%row || i%row == 0 {
				return 1
			}
			return 0
		})
	case strings.Contains(low, "length") || strings.Contains(low, "count"):
		return each(func(i int) int64 { return int64(max(1, s.seq-i)) })
	}
	limit := g.bound(in.Name, 0)
	switch {
	case strings.Contains(low, "position") && (limit == 0 || int64(row) <= limit):
		return each(func(i int) int64 { return int64(i % row) })
	case limit > 0:
		return each(func(int) int64 { return r.Int64N(limit) })
	case s.positive:
		return each(func(int) int64 { return 1 })
	}
	return each(func(int) int64 { return r.Int64N(2) })
}

// fill makes the elements of an input.
func (g *guesser) fill(r *rand.Rand, in *onnx.ValueInfo, shape []int, s scheme) (ort.Tensor, error) {
	n := size(shape)
	t := ort.Tensor{Shape: shape}
	real := func(int) float32 {
		v := r.Float32()*2 - 1
		if s.positive {
			v = v/2 + 0.75
		}
		return v
	}
	if len(shape) == 2 && min(shape[0], shape[1]) >= 32 { // a weight: sums of its rows stay small
		scale := float32(1 / math.Sqrt(float64(shape[0])))
		plain := real
		real = func(i int) float32 { return plain(i) * scale }
	}
	low := strings.ToLower(in.Name)
	switch {
	case strings.Contains(low, "mask"):
		real = func(i int) float32 {
			row := 1
			if len(shape) > 0 {
				row = max(shape[len(shape)-1], 1)
			}
			if s.full || i%row < row-i/row%row {
				return 1
			}
			return 0
		}
	case strings.Contains(low, "penalty"):
		real = func(int) float32 { return 1 }
	case strings.Contains(low, "scale"):
		real = func(int) float32 { return 0.01 + r.Float32()/20 }
	}
	switch in.Type {
	case onnx.Float:
		t.F32 = fillOf(n, real)
	case onnx.Float16:
		t.F16 = fillOf(n, func(i int) uint16 { return onnx.Float32ToFloat16(real(i)) })
	case onnx.Double:
		t.F64 = fillOf(n, func(i int) float64 { return float64(real(i)) })
	case onnx.Uint8:
		t.U8 = fillOf(n, func(int) uint8 { return uint8(r.IntN(256)) })
	case onnx.Int8:
		t.I8 = fillOf(n, func(int) int8 { return int8(r.IntN(256) - 128) })
	case onnx.Uint16:
		t.U16 = fillOf(n, func(int) uint16 { return uint16(r.IntN(1 << 16)) })
	case onnx.Int16:
		t.I16 = fillOf(n, func(int) int16 { return int16(r.IntN(1<<16) - 1<<15) })
	case onnx.Bool:
		t.Bool = fillOf(n, func(int) bool { return s.full || r.IntN(2) == 1 })
	case onnx.String:
		t.Str = fillOf(n, func(int) string { return fmt.Sprint("word", r.IntN(10)) })
	case onnx.Int64:
		t.I64 = g.integers(r, in, shape, s)
	case onnx.Int32:
		v := g.integers(r, in, shape, s)
		t.I32 = fillOf(n, func(i int) int32 { return int32(min(v[i], 1<<30)) })
	case onnx.Uint32:
		v := g.integers(r, in, shape, s)
		t.U32 = fillOf(n, func(i int) uint32 { return uint32(v[i]) })
	case onnx.Uint64:
		v := g.integers(r, in, shape, s)
		t.U64 = fillOf(n, func(i int) uint64 { return uint64(v[i]) })
	default:
		return t, fmt.Errorf("input %q of type %d, which ONNX Runtime for Node cannot be given", in.Name, in.Type)
	}
	return t, nil
}

func fillOf[T any](n int, f func(i int) T) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = f(i)
	}
	return out
}
