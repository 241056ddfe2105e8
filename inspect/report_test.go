package inspect_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/inspect"
	"github.com/litekit/lite/internal/modeltest"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/prune"
	"github.com/litekit/lite/quantize"
	"github.com/litekit/lite/student"
)

var shape = student.Shape{Layers: 2, Hidden: 16, Heads: 2, FFN: 32, Vocab: 50, Positions: 24, Types: 2}.Defaults()

func run(t *testing.T, m *onnx.Model, o inspect.Options) *inspect.Report {
	t.Helper()
	r, err := inspect.Run(t.Context(), "m", m, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The parts of an encoder have the sizes that its shape says, together all weights.
func TestLayers(t *testing.T) {
	h, f := int64(16), int64(32)
	layer := 4*(h*h+h) + 2*h*f + f + h + 4*h
	factorised := shape
	factorised.Embedding, factorised.Decoder = 6, student.Untied
	for _, c := range []struct {
		name  string
		shape student.Shape
		head  student.Head
		want  map[string]int64
	}{
		{"factorised embeddings, own decoder", factorised, student.MaskedLM(), map[string]int64{
			"embeddings": (50+24+2)*6 + 2*6 + 6*h + h, "layer 0": layer, "layer 1": layer, "head": h*6 + 6 + 2*6 + 6*50 + 50}},
		{"classifier", shape, student.Classification([]string{"a", "b", "c"}), map[string]int64{
			"embeddings": (50+24+2)*h + 2*h, "layer 0": layer, "layer 1": layer, "pooler": h*h + h, "head": 3*h + 3}},
		{"masked LM, tied decoder", shape, student.MaskedLM(), map[string]int64{
			"embeddings": (50+24+2)*h + 2*h, "layer 0": layer, "layer 1": layer, "head": h*h + h + 2*h + 50}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := modeltest.New(t, c.shape, 1, c.head)
			r := run(t, m, inspect.Options{})
			var sum int64
			for _, w := range r.ByLayer {
				sum += w.Elements
				if want, ok := c.want[w.Name]; ok && w.Parameters != want {
					t.Errorf("%s has %d parameters, want %d", w.Name, w.Parameters, want)
				}
				delete(c.want, w.Name)
			}
			if len(c.want) > 0 || sum < r.Parameters {
				t.Errorf("missing %v; %d elements of %d parameters: %+v", c.want, sum, r.Parameters, r.ByLayer)
			}
			if a := r.Architecture; a == nil || a.Shape != c.shape || a.HeadSize != 8 || a.Layers != 2 || a.From != "structure" {
				t.Errorf("architecture %+v", r.Architecture)
			}
			if r.Faults != nil || r.Unsupported != nil || r.CannotRun != "" || r.NotTrainable != nil {
				t.Errorf("against it: %q %q %q %q", r.Faults, r.Unsupported, r.CannotRun, r.NotTrainable)
			}
		})
	}
}

// Layers keep their weights in a quantized graph, and the way it is quantized is told.
func TestQuantizedEncoder(t *testing.T) {
	m := modeltest.New(t, shape, 1, student.Classification([]string{"a", "b"}))
	for _, channel := range []bool{false, true} {
		c := quantize.Default()
		c.PerChannel = channel
		q, _, err := quantize.Run(t.Context(), m, c)
		if err != nil {
			t.Fatal(err)
		}
		r := run(t, q, inspect.Options{Batch: 2, Seq: 5})
		want := map[bool]string{false: "tensor", true: "channel"}[channel]
		if !slices.Contains(r.Quantization, inspect.Quantized{Scheme: "dynamic", Bits: 8, Type: "int8", Granularity: want, Nodes: 14}) {
			t.Errorf("per channel %v: %+v", channel, r.Quantization)
		}
		sizes := map[string]int64{}
		for _, w := range r.ByLayer {
			sizes[w.Name] = w.Bytes
		}
		if sizes["layer 0"] == 0 || sizes["layer 0"] != sizes["layer 1"] || sizes["layer 0"] > 4*2000 {
			t.Errorf("bytes %v", sizes)
		}
		if r.Memory == nil || r.Memory.From != "run" || r.Memory.Activations <= 0 {
			t.Errorf("memory %+v", r.Memory)
		}
		if !slices.ContainsFunc(r.NotTrainable, func(s string) bool { return strings.Contains(s, "weights are int8") }) {
			t.Errorf("not trainable: %q", r.NotTrainable)
		}
	}
}

// quantized makes a graph around one product.
func quantized(domain string, weights []*onnx.Tensor, nodes ...*onnx.Node) *onnx.Model {
	return &onnx.Model{IRVersion: 10, Opsets: []onnx.Opset{{Version: 21}, {Domain: "com.microsoft", Version: 1}}, Graph: &onnx.Graph{
		Name: domain, Inputs: []*onnx.ValueInfo{{Name: "x", Type: onnx.Float, HasShape: true, Dims: []onnx.Dim{{Param: "n"}, {Size: 32, Known: true}}}},
		Outputs: []*onnx.ValueInfo{{Name: "y", Type: onnx.Float}}, Initializers: weights, Nodes: nodes,
	}}
}

func TestSchemes(t *testing.T) {
	node := func(op, in, out string, attrs ...*onnx.Attribute) *onnx.Node {
		domain, name, ok := strings.Cut(op, ":")
		if !ok {
			domain, name = "", op
		}
		n := onnx.NewNode(name, "", strings.Fields(in), []string{out}, attrs...)
		n.Domain = domain
		return n
	}
	w := onnx.NewInt8s("w", make([]int8, 64), 32, 2)
	one, two := onnx.NewFloats("s", []float32{1}, 1), onnx.NewFloats("s", []float32{1, 1}, 2)
	zero := onnx.NewInt8s("z", []int8{0})
	packed := &onnx.Tensor{Name: "w", Type: onnx.Uint8, Dims: []int64{2, 1, 16}, Raw: make([]byte, 32)}
	int4 := &onnx.Tensor{Name: "w", Type: onnx.Int4, Dims: []int64{32, 2}, Raw: make([]byte, 32)}
	for name, c := range map[string]struct {
		m    *onnx.Model
		want string
	}{
		"weight-only": {quantized("a", []*onnx.Tensor{w, two}, node("DequantizeLinear", "w s", "f"), node("MatMul", "x f", "y")),
			"[{weight-only 8 int8 channel 1}]"},
		"int4 blocks": {quantized("b", []*onnx.Tensor{int4, onnx.NewFloats("s", make([]float32, 4), 2, 2)},
			node("DequantizeLinear", "w s", "f", onnx.IntAttr("axis", 0), onnx.IntAttr("block_size", 16)), node("MatMul", "x f", "y")),
			"[{weight-only 4 int4 block of 16 1}]"},
		"qdq": {quantized("c", []*onnx.Tensor{w, one, zero}, node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z", "d"),
			node("DequantizeLinear", "w s", "f"), node("MatMul", "d f", "y")), "[{qdq 8 int8 tensor 1}]"},
		"qoperator": {quantized("d", []*onnx.Tensor{w, two, zero, onnx.NewFloats("a", []float32{1})}, node("QuantizeLinear", "x a z", "q"),
			node("QLinearMatMul", "q a z w s z a z", "p"), node("DequantizeLinear", "p a z", "y")), "[{qoperator 8 int8 channel 1}]"},
		"MatMulNBits": {quantized("e", []*onnx.Tensor{packed, two}, node("com.microsoft:MatMulNBits", "x w s", "y",
			onnx.IntAttr("K", 32), onnx.IntAttr("N", 2), onnx.IntAttr("bits", 4), onnx.IntAttr("block_size", 32))), "[{weight-only 4 uint8 block of 32 1}]"},
		"float": {quantized("f", nil, node("Relu", "x", "y")), "[]"},
	} {
		r := run(t, c.m, inspect.Options{Batch: 1})
		if got := fmt.Sprint(r.Quantization); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if r.Memory == nil {
			t.Errorf("%s: no memory; %q %s", name, r.Unsupported, r.CannotRun)
		}
	}
}

// Where a run would take much memory none is made, and the shapes bound it.
func TestMemoryBound(t *testing.T) {
	m := quantized("m", nil, onnx.NewNode("Relu", "", []string{"x"}, []string{"r"}), onnx.NewNode("Neg", "", []string{"r"}, []string{"y"}))
	small := run(t, m, inspect.Options{Batch: 10}).Memory
	large := run(t, m, inspect.Options{Batch: 1 << 24}).Memory
	if small.From != "run" || large.From != "shapes" || large.Activations != 2*4*32<<24 || large.Note == "" {
		t.Errorf("small %+v, large %+v", small, large)
	}
	if open := run(t, m, inspect.Options{}).Memory; open.From != "" || !strings.Contains(open.Note, "n of x") {
		t.Errorf("open %+v", open)
	}
}

// Every fault of a broken model is told, none ends the inspection; a model
// without a graph has nothing to show.
func TestBroken(t *testing.T) {
	m := quantized("m", nil, onnx.NewNode("Nothing", "a", []string{"x"}, []string{"r"}), onnx.NewNode("Never", "b", []string{"r"}, []string{"y"}))
	if r := run(t, m, inspect.Options{Shapes: true}); len(r.Unsupported) != 2 || len(r.Shapes) != 2 || r.Memory != nil {
		t.Errorf("unsupported %q, shapes %v", r.Unsupported, r.Shapes)
	}
	m.Graph.Nodes[0].Inputs[0] = "y" // a cycle
	if r := run(t, m, inspect.Options{}); len(r.Faults) == 0 || r.CannotRun == "" || r.Nodes != 2 {
		t.Errorf("faults %q, cannot run %q", r.Faults, r.CannotRun)
	}
	if r := run(t, &onnx.Model{}, inspect.Options{}); len(r.Faults) == 0 || r.CannotRun == "" {
		t.Errorf("no graph: %+v", r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := inspect.Run(ctx, "m", modeltest.New(t, shape, 1, student.MaskedLM()), inspect.Options{Batch: 1, Seq: 4}); err == nil {
		t.Error("a cancelled inspection ends well")
	}
}

// The head size of a pruned model that is quantized statically is that of its
// projections, not hidden size by the heads that are left.
func TestHeadSizeOfPrunedStaticModels(t *testing.T) {
	m := modeltest.New(t, shape, 1, student.Classification([]string{"a", "b"}))
	pruned, err := prune.Config{Unit: prune.Heads, Sparsity: 0.5}.Apply(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := student.Measure(pruned); err != nil || l.Heads >= shape.Heads {
		t.Fatalf("not pruned: %v, %v", l, err)
	}
	c := quantize.Default()
	c.Mode = quantize.Static
	c.Calibration = quantize.SampleList{{Inputs: modeltest.Inputs(shape.Vocab, 2, 8, 5)}}
	small, err := c.Apply(t.Context(), pruned)
	if err != nil {
		t.Fatal(err)
	}
	a := run(t, small, inspect.Options{}).Architecture
	if a == nil || a.From != "config.json" || a.HeadSize != 8 || a.Heads*a.HeadSize == a.Hidden {
		t.Errorf("architecture %+v, want heads of 8", a)
	}
	// Without the products there is nothing to tell it by.
	for _, n := range small.Graph.Nodes {
		if n.Op == "Softmax" {
			n.Op = "LogSoftmax"
		}
	}
	if a := run(t, small, inspect.Options{}).Architecture; a == nil || a.HeadSize != 0 {
		t.Errorf("architecture %+v, want no head size", a)
	}
}
