package quantize_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/quantize"
)

// Sizes of the test model: V table rows, H hidden, F inner, C classes.
const (
	tinyV = 24
	tinyH = 8
	tinyF = 16
	tinyC = 3
)

// tiny is a small encoder with every form of weight that is quantized: a table
// that an embedding and, transposed, a decoder read; plain and transposed
// MatMul weights; a Gemm with transB, alpha and a bias. Padding is given
// values far outside those of real tokens. Row 0 of the table is huge.
func tiny(opset int64) *onnx.Model {
	r := rand.New(rand.NewPCG(1, 2))
	weight := func(name string, dims ...int64) *onnx.Tensor {
		n := int64(1)
		for _, d := range dims {
			n *= d
		}
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(r.NormFloat64()) * 0.4
			if name == "table" && i < tinyH {
				v[i] *= 5000
			}
		}
		return onnx.NewFloats(name, v, dims...)
	}
	g := &onnx.Graph{Name: "tiny", Initializers: []*onnx.Tensor{
		weight("table", tinyV, tinyH), weight("up.weight", tinyH, tinyF), weight("up.bias", tinyF), weight("down.weight", tinyH, tinyF),
		weight("cls.weight", tinyC, tinyH), weight("cls.bias", tinyC), onnx.NewFloats("one", []float32{1}), onnx.NewFloats("far", []float32{1e5}),
		onnx.NewInt64s("first.index", []int64{0})}}
	for _, name := range []string{"input_ids", "attention_mask"} {
		g.Inputs = append(g.Inputs, &onnx.ValueInfo{Name: name, Type: onnx.Int64, HasShape: true, Dims: []onnx.Dim{{Param: "batch"}, {Param: "sequence"}}})
	}
	for _, name := range []string{"logits", "scores", "probs"} {
		g.Outputs = append(g.Outputs, &onnx.ValueInfo{Name: name, Type: onnx.Float})
	}
	add := func(op, name, out string, in []string, attrs ...*onnx.Attribute) {
		g.Nodes = append(g.Nodes, onnx.NewNode(op, name, in, []string{out}, attrs...))
	}
	add("Gather", "embed", "x", []string{"table", "input_ids"})
	add("Cast", "cast", "m", []string{"attention_mask"}, onnx.IntAttr("to", int64(onnx.Float)))
	if opset < 13 {
		add("Unsqueeze", "unsqueeze", "m3", []string{"m"}, onnx.IntsAttr("axes", 2))
	} else {
		g.Initializers = append(g.Initializers, onnx.NewInt64s("axes", []int64{2}, 1))
		add("Unsqueeze", "unsqueeze", "m3", []string{"m", "axes"})
	}
	add("Sub", "away", "a", []string{"m3", "one"})
	add("Mul", "awayfar", "pad", []string{"a", "far"})
	add("Add", "padded", "xp", []string{"x", "pad"})
	add("MatMul", "up", "u", []string{"xp", "up.weight"})
	add("Add", "up_add", "ub", []string{"u", "up.bias"})
	add("Relu", "relu", "r", []string{"ub"})
	add("Transpose", "down_t", "down.t", []string{"down.weight"}, onnx.IntsAttr("perm", 1, 0))
	add("MatMul", "down", "d", []string{"r", "down.t"})
	add("Add", "residual", "s", []string{"x", "d"})
	add("Transpose", "tie", "table.t", []string{"table"}, onnx.IntsAttr("perm", 1, 0))
	add("MatMul", "decoder", "scores", []string{"s", "table.t"})
	add("Softmax", "softmax", "probs", []string{"scores"}, onnx.IntAttr("axis", 2))
	add("Gather", "first", "f", []string{"s", "first.index"}, onnx.IntAttr("axis", 1))
	add("Gemm", "classifier", "logits", []string{"f", "cls.weight", "cls.bias"}, onnx.IntAttr("transB", 1), onnx.FloatAttr("alpha", 0.5))
	m := &onnx.Model{IRVersion: 6, Producer: "test", Opsets: []onnx.Opset{{Version: opset}}, Graph: g}
	if opset >= 13 {
		m.IRVersion = 8
	}
	return m
}

// tinyRows are token sequences for tiny.
func tinyRows(n int, seed uint64) [][]int64 {
	r := rand.New(rand.NewPCG(seed, 9))
	rows := make([][]int64, n)
	for i := range rows {
		rows[i] = make([]int64, 2+r.IntN(5))
		for j := range rows[i] {
			rows[i][j] = 1 + r.Int64N(tinyV-1)
		}
	}
	return rows
}

// padded makes one sample of rows, padded with token 0 to length.
func padded(rows [][]int64, length int) quantize.Sample {
	ids, mask := make([]int64, len(rows)*length), make([]int64, len(rows)*length)
	for i, row := range rows {
		for j, id := range row {
			ids[i*length+j], mask[i*length+j] = id, 1
		}
	}
	return quantize.Sample{Inputs: map[string]*exec.Tensor{
		"input_ids": exec.Int64s(ids, len(rows), length), "attention_mask": exec.Int64s(mask, len(rows), length)}}
}

// singles makes one sample of each row, without padding.
func singles(rows [][]int64) quantize.SampleList {
	var list quantize.SampleList
	for _, r := range rows {
		list = append(list, padded([][]int64{r}, len(r)))
	}
	return list
}

// apply quantizes, and checks what must hold of every result.
func apply(t *testing.T, m *onnx.Model, c quantize.Config) (*onnx.Model, *quantize.Report) {
	t.Helper()
	before := m.Hash()
	out, report, err := quantize.Run(context.Background(), m, c)
	if err != nil {
		t.Fatal(err)
	}
	if m.Hash() != before {
		t.Fatal("the input model was changed")
	}
	if err := out.Check(); err != nil {
		t.Fatal(err)
	}
	return out, report
}

// execute runs a model on one sample.
func execute(t *testing.T, m *onnx.Model, in quantize.Sample, opts exec.Options) map[string]*exec.Tensor {
	t.Helper()
	s, err := exec.New(m, opts)
	if err != nil {
		t.Fatal(err)
	}
	feed := map[string]*exec.Tensor{}
	for _, v := range s.Inputs() {
		feed[v.Name] = in.Inputs[v.Name]
	}
	out, err := s.Run(context.Background(), feed)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
