package student

import (
	"math"
	"strconv"
	"strings"

	"github.com/litekit/lite/onnx"
)

// builder appends nodes and parameters to a graph.
type builder struct {
	g      *onnx.Graph
	seed   uint64
	hidden int // H, for the range of fresh matrices
	opset  int64
}

// node appends a node whose only output is named after it, as torch's exporter does.
func (b *builder) node(op, name string, inputs []string, attrs ...*onnx.Attribute) string {
	return b.nodeTo(name+"_output_0", op, name, inputs, attrs...)
}

func (b *builder) nodeTo(output, op, name string, inputs []string, attrs ...*onnx.Attribute) string {
	b.g.Nodes = append(b.g.Nodes, onnx.NewNode(op, name, inputs, []string{output}, attrs...))
	return output
}

// constant appends a Constant node. Constants are nodes and parameters are
// initializers, so that the two can be told apart.
func (b *builder) constant(name string, t *onnx.Tensor) string {
	return b.node("Constant", name, nil, &onnx.Attribute{Name: "value", Type: onnx.AttrTensor, Tensor: t})
}

func (b *builder) scalar(name string, v float32) string {
	return b.constant(name, onnx.NewFloats("", []float32{v}))
}

func (b *builder) ints(name string, v ...int64) string {
	return b.constant(name, onnx.NewInt64s("", v, int64(len(v))))
}

// matrix adds a freshly drawn table or weight of a linear layer, vector a
// parameter that is constant.
func (b *builder) matrix(name string, sigma float64, in, out int) string {
	b.g.Initializers = append(b.g.Initializers, freshWeights(b.seed, name, sigma, int64(in), int64(out)))
	return name
}

func (b *builder) vector(name string, value float32, n int) string {
	b.g.Initializers = append(b.g.Initializers, constant(name, value, int64(n)))
	return name
}

// path turns a parameter's name into a node's: bert.encoder.x → /bert/encoder/x,
// with the number of a layer left joined to "layer" by a dot.
func path(param string) string {
	parts := strings.Split(param, ".")
	var s strings.Builder
	for i, p := range parts {
		sep := "/"
		if _, err := strconv.Atoi(p); err == nil && i > 0 {
			sep = "."
		}
		s.WriteString(sep + p)
	}
	return s.String()
}

// linear appends y = x·W + b with W [in,out]; the result is named output where that is not "".
func (b *builder) linear(param, x string, in, out int, output string) string {
	return b.linearOf(param, x, matrixRange(b.hidden), in, out, output)
}

func (b *builder) linearOf(param, x string, sigma float64, in, out int, output string) string {
	p := path(param)
	w := b.matrix(param+".weight", sigma, in, out)
	bias := b.vector(param+".bias", 0, out)
	y := b.node("MatMul", p+"/MatMul", []string{x, w})
	if output == "" {
		output = p + "/Add_output_0"
	}
	return b.nodeTo(output, "Add", p+"/Add", []string{bias, y})
}

func (b *builder) layerNorm(param, x string, n int, eps float32) string {
	gamma := b.vector(param+".weight", 1, n)
	beta := b.vector(param+".bias", 0, n)
	if b.opset < 17 {
		return b.primitiveNorm(path(param), x, gamma, beta, eps)
	}
	return b.node("LayerNormalization", path(param)+"/LayerNormalization", []string{x, gamma, beta},
		onnx.IntAttr("axis", -1), onnx.FloatAttr("epsilon", eps))
}

// primitiveNorm is LayerNorm as torch exports it to operator sets that lack it.
func (b *builder) primitiveNorm(p, x, gamma, beta string, eps float32) string {
	mean := b.node("ReduceMean", p+"/ReduceMean", []string{x}, onnx.IntsAttr("axes", -1))
	y := b.node("Sub", p+"/Sub", []string{x, mean})
	v := b.node("Pow", p+"/Pow", []string{y, b.scalar(p+"/Constant", 2)})
	v = b.node("ReduceMean", p+"/ReduceMean_1", []string{v}, onnx.IntsAttr("axes", -1))
	v = b.node("Add", p+"/Add", []string{v, b.scalar(p+"/Constant_1", eps)})
	v = b.node("Sqrt", p+"/Sqrt", []string{v})
	y = b.node("Div", p+"/Div", []string{y, v})
	y = b.node("Mul", p+"/Mul", []string{y, gamma})
	return b.node("Add", p+"/Add_1", []string{y, beta})
}

// activation appends act(x); p is the path of the module it belongs to.
func (b *builder) activation(act, p, x string) string {
	switch act {
	case "relu":
		return b.node("Relu", p+"/Relu", []string{x})
	case "gelu_tanh":
		return b.geluTanh(p, x)
	}
	// x·(1 + erf(x/√2))·½, in the order of nodes that ONNX Runtime fuses to Gelu.
	y := b.node("Div", p+"/Div", []string{x, b.scalar(p+"/Constant", math.Sqrt2)})
	y = b.node("Erf", p+"/Erf", []string{y})
	y = b.node("Add", p+"/Add", []string{y, b.scalar(p+"/Constant_1", 1)})
	y = b.node("Mul", p+"/Mul", []string{x, y})
	return b.node("Mul", p+"/Mul_1", []string{y, b.scalar(p+"/Constant_2", 0.5)})
}

// geluTanh appends ½x·(1 + tanh(√(2/π)·(x + 0.044715·x³))), as Hugging Face's
// NewGELUActivation is exported, which ONNX Runtime fuses to FastGelu.
func (b *builder) geluTanh(p, x string) string {
	half := b.node("Mul", p+"/Mul", []string{x, b.scalar(p+"/Constant", 0.5)})
	y := b.node("Pow", p+"/Pow", []string{x, b.scalar(p+"/Constant_1", 3)})
	y = b.node("Mul", p+"/Mul_1", []string{y, b.scalar(p+"/Constant_2", 0.044715)})
	y = b.node("Add", p+"/Add", []string{x, y})
	y = b.node("Mul", p+"/Mul_2", []string{y, b.scalar(p+"/Constant_3", float32(math.Sqrt(2/math.Pi)))})
	y = b.node("Tanh", p+"/Tanh", []string{y})
	y = b.node("Add", p+"/Add_1", []string{y, b.scalar(p+"/Constant_4", 1)})
	return b.node("Mul", p+"/Mul_3", []string{half, y})
}

func inputInfo(name string) *onnx.ValueInfo {
	return valueInfo(name, onnx.Int64, "batch", "sequence")
}

// valueInfo declares a tensor whose dimensions are symbols (string) or sizes (int).
func valueInfo(name string, typ onnx.DataType, dims ...any) *onnx.ValueInfo {
	v := &onnx.ValueInfo{Name: name, Type: typ, HasShape: true}
	for _, d := range dims {
		switch d := d.(type) {
		case string:
			v.Dims = append(v.Dims, onnx.Dim{Param: d})
		case int:
			v.Dims = append(v.Dims, onnx.Dim{Size: int64(d), Known: true})
		}
	}
	return v
}
