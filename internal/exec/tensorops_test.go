package exec_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
)

// runNode runs one node of the given opset over its inputs (nil: omitted).
func runNode(opset int64, n *onnx.Node, outputs int, in ...*exec.Tensor) ([]*exec.Tensor, error) {
	m := graph(nil, nil, nil, n)
	m.Opsets[0].Version = opset
	n.Inputs, n.Outputs = nil, nil
	feed := map[string]*exec.Tensor{}
	for i, x := range in {
		name := ""
		if x != nil {
			name = fmt.Sprint("in", i)
			m.Graph.Inputs = append(m.Graph.Inputs, &onnx.ValueInfo{Name: name, Type: x.Type})
			feed[name] = x
		}
		n.Inputs = append(n.Inputs, name)
	}
	for i := range outputs {
		n.Outputs = append(n.Outputs, fmt.Sprint("out", i))
		m.Graph.Outputs = append(m.Graph.Outputs, &onnx.ValueInfo{Name: n.Outputs[i]})
	}
	sess, err := exec.New(m, exec.Options{Unfused: true, MaxBytes: 64 << 20})
	if err != nil {
		return nil, err
	}
	got, err := sess.Run(context.Background(), feed)
	if err != nil {
		return nil, err
	}
	out := make([]*exec.Tensor, outputs)
	for i, name := range n.Outputs {
		out[i] = got[name]
	}
	return out, nil
}

func doubles(v []float32, shape ...int) *exec.Tensor {
	d := make([]float64, len(v))
	for i, x := range v {
		d[i] = float64(x)
	}
	return &exec.Tensor{Type: onnx.Double, Shape: shape, F64: d}
}

func size(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// plainConv is the definition of a convolution of [N, C, H, W].
func plainConv(x, w []float32, xs, ws []int, group int, stride, dil, pads []int) ([]float64, []int) {
	out := []int{xs[0], ws[0], 0, 0}
	for d := range 2 {
		out[2+d] = (xs[2+d]+pads[d]+pads[2+d]-(ws[2+d]-1)*dil[d]-1)/stride[d] + 1
	}
	y := make([]float64, size(out))
	for i := range y {
		ox, oy, m, n := i%out[3], i/out[3]%out[2], i/out[3]/out[2]%out[1], i/out[3]/out[2]/out[1]
		for c := range ws[1] {
			for k := range ws[2] * ws[3] {
				ky, kx := k/ws[3], k%ws[3]
				iy, ix := oy*stride[0]-pads[0]+ky*dil[0], ox*stride[1]-pads[1]+kx*dil[1]
				if iy < 0 || ix < 0 || iy >= xs[2] || ix >= xs[3] {
					continue
				}
				ch := m/(ws[0]/group)*ws[1] + c
				y[i] += float64(x[((n*xs[1]+ch)*xs[2]+iy)*xs[3]+ix]) * float64(w[((m*ws[1]+c)*ws[2]+ky)*ws[3]+kx])
			}
		}
	}
	return y, out
}

// TestConvAgainstDefinition also checks that ConvTranspose is the transpose:
// ⟨conv(x), y⟩ = ⟨x, convTranspose(y)⟩.
func TestConvAgainstDefinition(t *testing.T) {
	for i, c := range []struct {
		xs, ws            []int
		group             int
		stride, dil, pads []int
	}{
		{[]int{1, 1, 5, 4}, []int{1, 1, 3, 3}, 1, []int{1, 1}, []int{1, 1}, []int{0, 0, 0, 0}},
		{[]int{2, 4, 7, 6}, []int{6, 2, 3, 2}, 2, []int{2, 1}, []int{1, 2}, []int{1, 0, 2, 1}},
		{[]int{2, 3, 5, 9}, []int{3, 1, 1, 5}, 3, []int{1, 4}, []int{3, 1}, []int{0, 2, 0, 2}},
		{[]int{1, 8, 4, 4}, []int{5, 8, 1, 1}, 1, []int{1, 1}, []int{1, 1}, []int{0, 0, 0, 0}},
		{[]int{1, 2, 4, 4}, []int{2, 2, 2, 2}, 1, []int{3, 3}, []int{1, 1}, []int{4, 4, 4, 4}},
	} {
		x, w := sample(size(c.xs), 1), sample(size(c.ws), 2)
		want, shape := plainConv(x, w, c.xs, c.ws, c.group, c.stride, c.dil, c.pads)
		long := func(v []int) (out []int64) {
			for _, n := range v {
				out = append(out, int64(n))
			}
			return out
		}
		attrs := []*onnx.Attribute{onnx.IntAttr("group", int64(c.group)), onnx.IntsAttr("strides", long(c.stride)...),
			onnx.IntsAttr("dilations", long(c.dil)...), onnx.IntsAttr("pads", long(c.pads)...)}
		var y []float64
		for _, double := range []bool{false, true} {
			xt, wt := exec.Floats(x, c.xs...), exec.Floats(w, c.ws...)
			if double {
				xt, wt = doubles(x, c.xs...), doubles(w, c.ws...)
			}
			got, err := runNode(17, node("Conv", nil, nil, attrs...), 1, xt, wt)
			if err != nil {
				t.Fatalf("case %d: %v", i, err)
			}
			y = reals(got[0])
			if !slices.Equal(got[0].Shape, shape) || !near(y, want, 1e-4) {
				t.Errorf("case %d, double %v: %v %v; want %v %v", i, double, got[0].Shape, y, shape, want)
			}
		}
		other := sample(len(y), 3)
		extra := []int64{0, 0}
		for d := range extra {
			extra[d] = int64(c.xs[2+d]+c.pads[d]+c.pads[2+d]-(c.ws[2+d]-1)*c.dil[d]-1) % int64(c.stride[d])
		}
		back, err := runNode(17, node("ConvTranspose", nil, nil, append(attrs, onnx.IntsAttr("output_padding", extra...))...), 1,
			exec.Floats(other, shape...), exec.Floats(w, c.ws...))
		if err != nil {
			t.Fatalf("case %d: transpose: %v", i, err)
		}
		if !slices.Equal(back[0].Shape, c.xs) {
			t.Fatalf("case %d: transpose has shape %v; want %v", i, back[0].Shape, c.xs)
		}
		left, right := 0.0, 0.0
		for j, v := range y {
			left += v * float64(other[j])
		}
		for j, v := range back[0].F32 {
			right += float64(v) * float64(x[j])
		}
		if math.Abs(left-right) > 1e-4 {
			t.Errorf("case %d: the transpose gives %v; the convolution %v", i, right, left)
		}
	}
}

func near(got, want []float64, tol float64) bool {
	for i := range want {
		if len(got) != len(want) || !(math.Abs(got[i]-want[i]) <= tol) {
			return false
		}
	}
	return true
}

// TestTensorOperators checks small results that can be worked out by hand.
func TestTensorOperators(t *testing.T) {
	count := func(n int, shape ...int) *exec.Tensor {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(i)
		}
		return exec.Floats(v, shape...)
	}
	for _, c := range []struct {
		name  string
		opset int64
		node  *onnx.Node
		in    []*exec.Tensor
		want  []float64
	}{
		{"upsample 9 repeats", 9, node("Upsample", nil, nil), []*exec.Tensor{count(2, 1, 1, 1, 2), exec.Floats([]float32{1, 1, 2, 2}, 4)}, []float64{0, 0, 1, 1, 0, 0, 1, 1}},
		{"upsample 7 has scales as an attribute", 7, node("Upsample", nil, nil, &onnx.Attribute{Name: "scales", Type: onnx.AttrFloats, Floats: []float32{1, 3}}),
			[]*exec.Tensor{count(2, 1, 2)}, []float64{0, 0, 0, 1, 1, 1}},
		{"resize 10 shrinks upwards", 10, node("Resize", nil, nil), []*exec.Tensor{count(5, 1, 5), exec.Floats([]float32{1, 0.6}, 2)}, []float64{0, 2, 4}},
		{"group norm 18 has a scale for each group", 18, node("GroupNormalization", nil, nil, onnx.IntAttr("num_groups", 1), onnx.FloatAttr("epsilon", 0)),
			[]*exec.Tensor{exec.Floats([]float32{1, 3, 1, 3}, 1, 4), exec.Floats([]float32{2}, 1), exec.Floats([]float32{1}, 1)}, []float64{-1, 3, -1, 3}},
		{"group norm 21 has a scale for each channel", 21, node("GroupNormalization", nil, nil, onnx.IntAttr("num_groups", 1), onnx.FloatAttr("epsilon", 0)),
			[]*exec.Tensor{exec.Floats([]float32{1, 3, 1, 3}, 1, 4), exec.Floats([]float32{1, 2, 3, 4}, 4), exec.Floats([]float32{0, 0, 0, 5}, 4)}, []float64{-1, 2, -3, 9}},
		{"max unpool", 11, node("MaxUnpool", nil, nil, onnx.IntsAttr("kernel_shape", 2), onnx.IntsAttr("strides", 2)),
			[]*exec.Tensor{exec.Floats([]float32{5, 6}, 1, 1, 2), exec.Int64s([]int64{1, 2}, 1, 1, 2)}, []float64{0, 5, 6, 0}},
		{"reflect pad longer than the value", 18, node("Pad", nil, nil, onnx.StringAttr("mode", "reflect")),
			[]*exec.Tensor{count(3, 3), exec.Int64s([]int64{3, 3}, 2)}, []float64{1, 2, 1, 0, 1, 2, 1, 0, 1}},
		{"wrap pad of what a negative pad leaves", 19, node("Pad", nil, nil, onnx.StringAttr("mode", "wrap")),
			[]*exec.Tensor{count(4, 4), exec.Int64s([]int64{-1, 2}, 2)}, []float64{1, 2, 3, 1, 2}},
		{"linear rnn with lengths, backwards", 14, node("RNN", nil, nil, onnx.StringAttr("direction", "reverse"),
			&onnx.Attribute{Name: "activations", Type: onnx.AttrStrings, Strings: [][]byte{[]byte("Affine")}}),
			[]*exec.Tensor{exec.Floats([]float32{1, 10, 2, 20, 3, 30}, 3, 2, 1), exec.Floats([]float32{1}, 1, 1, 1), exec.Floats([]float32{0.5}, 1, 1, 1), nil,
				{Type: onnx.Int32, Shape: []int{2}, I32: []int32{3, 1}}}, []float64{2.75, 10, 3.5, 0, 3, 0}},
		{"attention over one key is its value", 23, node("Attention", nil, nil), []*exec.Tensor{count(4, 1, 2, 1, 2), count(2, 1, 1, 1, 2), exec.Floats([]float32{7, 8}, 1, 1, 1, 2)},
			[]float64{7, 8, 7, 8}},
		{"a short mask hides the keys beyond it (24)", 24, node("Attention", nil, nil), []*exec.Tensor{count(2, 1, 1, 1, 2), count(4, 1, 1, 2, 2), exec.Floats([]float32{7, 8, 1, 2}, 1, 1, 2, 2),
			exec.Floats([]float32{0}, 1, 1)}, []float64{7, 8}},
	} {
		got, err := runNode(c.opset, c.node, 1, c.in...)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !near(reals(got[0]), c.want, 1e-5) {
			t.Errorf("%s: %v; want %v", c.name, reals(got[0]), c.want)
		}
	}
}

// TestTensorOperatorErrors: bad attributes and shapes are errors that name the node.
func TestTensorOperatorErrors(t *testing.T) {
	x := func(shape ...int) *exec.Tensor { return exec.Floats(sample(size(shape), 1), shape...) }
	ints := func(v ...int64) *exec.Tensor { return exec.Int64s(v, len(v)) }
	for _, c := range []struct {
		node *onnx.Node
		in   []*exec.Tensor
		want string
	}{
		{node("Conv", nil, nil), []*exec.Tensor{x(1, 3, 4, 4), x(2, 2, 3, 3)}, "channels"},
		{node("Conv", nil, nil), []*exec.Tensor{x(1, 3, 2, 2), x(2, 3, 3, 3)}, "does not fit"},
		{node("Conv", nil, nil, onnx.IntsAttr("strides", 0, 1)), []*exec.Tensor{x(1, 3, 4, 4), x(2, 3, 3, 3)}, "strides"},
		{node("Conv", nil, nil, onnx.IntsAttr("pads", 1<<31, 1<<31, 1<<31, 1<<31)), []*exec.Tensor{x(1, 3, 4, 4), x(2, 3, 3, 3)}, "too large"},
		{node("Conv", nil, nil, onnx.IntAttr("group", -1)), []*exec.Tensor{x(1, 3, 4, 4), x(2, 3, 3, 3)}, "group"},
		{node("Conv", nil, nil, onnx.StringAttr("auto_pad", "MAYBE")), []*exec.Tensor{x(1, 3, 4, 4), x(2, 3, 3, 3)}, "auto_pad"},
		{node("ConvTranspose", nil, nil, onnx.IntsAttr("strides", 1<<31, 1<<31)), []*exec.Tensor{x(1, 3, 4, 4), x(3, 3, 3, 3)}, "too large"},
		{node("MaxPool", nil, nil), []*exec.Tensor{x(1, 1, 4)}, "kernel_shape"},
		{node("MaxPool", nil, nil, onnx.IntsAttr("kernel_shape", 2)), []*exec.Tensor{x(1, 1, 4, 4)}, "kernel"},
		{node("MaxUnpool", nil, nil, onnx.IntsAttr("kernel_shape", 2)), []*exec.Tensor{x(1, 1, 1), exec.Int64s([]int64{99}, 1, 1, 1)}, "outside"},
		{node("Resize", nil, nil, onnx.StringAttr("mode", "best")), []*exec.Tensor{x(4), nil, x(1)}, "mode"},
		{node("Resize", nil, nil), []*exec.Tensor{x(4), nil, nil, ints(1 << 30)}, "limit"},
		{node("GridSample", nil, nil), []*exec.Tensor{x(1, 1, 4, 4), x(1, 2, 2, 3)}, "do not fit"},
		{node("LSTM", nil, nil), []*exec.Tensor{x(2, 1, 3), x(1, 8, 2), x(1, 8, 2)}, "[1 8 3] is needed"},
		{node("GRU", nil, nil, onnx.StringAttr("direction", "up")), []*exec.Tensor{x(2, 1, 3), x(1, 6, 3), x(1, 6, 2)}, "direction"},
		{node("Attention", nil, nil), []*exec.Tensor{x(1, 2, 4), x(1, 2, 4), x(1, 2, 4)}, "q_num_heads"},
		{node("Attention", nil, nil), []*exec.Tensor{x(1, 3, 2, 4), x(1, 2, 2, 4), x(1, 2, 2, 4)}, "do not fit"},
		{node("Attention", nil, nil), []*exec.Tensor{x(1, 2, 2, 4), x(1, 2, 2, 4), x(1, 2, 2, 4), x(3, 3)}, "broadcast"},
		{node("NegativeLogLikelihoodLoss", nil, nil), []*exec.Tensor{x(2, 3), ints(0, 3)}, "class 3 of 3"},
		{node("DepthToSpace", nil, nil, onnx.IntAttr("blocksize", 2)), []*exec.Tensor{x(1, 3, 2, 2)}, "channels"},
		{node("Col2Im", nil, nil), []*exec.Tensor{x(1, 4, 3), ints(4, 4), ints(2, 2)}, "does not fit"},
		{node("RoiAlign", nil, nil), []*exec.Tensor{x(1, 1, 4, 4), exec.Floats([]float32{0, 0, 1e30, 1e30}, 1, 4), ints(0)}, "samples"},
		{node("Pad", nil, nil, onnx.StringAttr("mode", "edge")), []*exec.Tensor{x(0), ints(1, 1)}, "repeat"},
		{node("BatchNormalization", nil, nil), []*exec.Tensor{x(1, 2, 2), x(3), x(2), x(2), x(2)}, "one for each channel"},
	} {
		_, err := runNode(24, c.node, 1, c.in...)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.node.Name) || strings.Contains(err.Error(), "fault") {
			t.Errorf("%s: error is %v; want one that names the node and %q", c.node.Op, err, c.want)
		}
	}
}
