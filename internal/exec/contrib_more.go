package exec

import (
	"fmt"
	"math"
	"slices"

	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// simplifiedNorm is SimplifiedLayerNormalization, which ONNX Runtime has in
// both domains: RMSNormalization under its first name.
func simplifiedNorm() operator {
	return operator{run: byReal(rmsNorm[float32], rmsNorm[float64]), inputs: 2, refuse: func(n *onnx.Node) string {
		if len(n.Outputs) > 1 && n.Outputs[1] != "" {
			return "output 1, the statistics"
		}
		return ""
	}}
}

// microsoftMoreOps are com.microsoft's operators that are standard ones with
// something added or laid out in another way.
func microsoftMoreOps() map[string]operator {
	return map[string]operator{
		"SimplifiedLayerNormalization":     simplifiedNorm(),
		"SkipSimplifiedLayerNormalization": {run: skipSimplifiedNorm, inputs: 3, refuse: refuseStatistics},
		"RotaryEmbedding":                  {run: msRotary, inputs: 4, refuse: refuseAttr("is_packed_batching")},
		"FusedConv":                        {run: fusedConv, inputs: 2, refuse: refuseActivation},
		"FusedGemm":                        {run: fusedGemm, prepare: prepareGemm, inputs: 2, refuse: refuseActivation},
		"NhwcMaxPool":                      {run: channelsLast(maxPool), inputs: 1},
		"TransposeMatMul":                  {run: fusedMatMul, inputs: 2},
		"Trilu":                            {run: trilu, inputs: 1}, "GatherND": {run: gatherND, inputs: 2}, "Range": {run: msRange, inputs: 2},
		"Pad": {run: pad, inputs: 2}, "ExpandDims": {run: expandDims, inputs: 2}, "CDist": {run: cdist, inputs: 2},
		"QEmbedLayerNormalization": {run: qEmbedLayerNorm, inputs: 1},
	}
}

// refuseAttr refuses a node whose flag is set.
func refuseAttr(name string) func(*onnx.Node) string {
	return func(n *onnx.Node) string {
		if n.Int(name, 0) != 0 {
			return "attribute " + name
		}
		return ""
	}
}

// refuseStatistics refuses the mean and deviation as outputs of a skip normalization.
func refuseStatistics(n *onnx.Node) string {
	for i := 1; i < min(3, len(n.Outputs)); i++ {
		if n.Outputs[i] != "" {
			return fmt.Sprintf("output %d, the statistics", i)
		}
	}
	return ""
}

// skipSimplifiedNorm is RMSNormalization(input + skip + bias); output 3 is the sum.
func skipSimplifiedNorm(c *call) error {
	if len(c.in[0].Shape) == 0 {
		return fmt.Errorf("the input is a scalar")
	}
	sum, err := c.skipSum(3)
	if err != nil {
		return err
	}
	node := *c.node
	if node.Attr("epsilon") == nil {
		node.Attrs = append(slices.Clone(node.Attrs), onnx.FloatAttr("epsilon", 1e-12))
	}
	in := c.inner(&node, sum, c.in[2])
	if err := rmsNorm[float32](in); err != nil {
		c.mem.release(sum)
		return err
	}
	c.out[0] = in.out[0]
	if c.wants(3) {
		c.out[3] = sum
	} else {
		c.mem.release(sum)
	}
	return nil
}

// skipSum is input 0 + input 1 + the bias, optional input i; it has the shape of input 0.
func (c *call) skipSum(i int) (*Tensor, error) {
	x, add := c.in[0], addOp()
	if _, err := c.floats(0); err != nil {
		return nil, err
	}
	if err := add.apply(c, x, c.in[1], false); err != nil {
		return nil, err
	}
	sum := c.out[0]
	c.out[0] = nil
	if b := c.arg(i); b != nil {
		if err := add.apply(c, sum, b, false); err != nil {
			return nil, err
		}
		c.mem.release(sum)
		sum = c.out[0]
		c.out[0] = nil
	}
	if !sameShape(sum.Shape, x.Shape) {
		return nil, fmt.Errorf("skip of shape %v and bias do not fit %v", c.in[1].Shape, x.Shape)
	}
	return sum, nil
}

// msRotary is com.microsoft's RotaryEmbedding: the standard one with the
// position ids [B, S], or the first position, as input 1 before the caches.
func msRotary(c *call) error {
	x, pos, cos := c.in[0], c.in[1], c.in[2]
	if len(cos.Shape) != 2 || len(x.Shape) != 3 && len(x.Shape) != 4 {
		return fmt.Errorf("an input of shape %v with caches of shape %v; three or four and two dimensions are needed", x.Shape, cos.Shape)
	}
	dim := int(c.node.Int("rotary_embedding_dim", 0))
	heads := c.node.Int("num_heads", 0)
	if len(x.Shape) == 3 && heads == 0 {
		if dim > 0 || cos.Shape[1] < 1 || x.Shape[2]%(2*cos.Shape[1]) != 0 {
			return fmt.Errorf("attribute num_heads is missing for an input of shape %v", x.Shape)
		}
		heads = int64(x.Shape[2] / (2 * cos.Shape[1]))
	}
	batch, length := x.Shape[0], x.Shape[len(x.Shape)-2]
	ids, err := c.ints(1)
	if err != nil {
		return err
	}
	if len(ids) == 1 && len(pos.Shape) < 2 {
		first := ids[0]
		ids = make([]int64, batch*length)
		for i := range ids {
			ids[i] = first + int64(i%length)
		}
		pos = Int64s(ids, batch, length)
	}
	node := *c.node
	node.Attrs = append(slices.DeleteFunc(slices.Clone(node.Attrs), func(a *onnx.Attribute) bool { return a.Name == "num_heads" }), onnx.IntAttr("num_heads", heads))
	in := c.inner(&node, x, cos, c.in[3], pos)
	err = rotary[float32](in)
	c.out[0] = in.out[0]
	return err
}

// fusedActs are the activations of FusedConv and FusedGemm by their parameters.
var fusedActs = map[string]func(p []float32) func(float64) float64{
	"Relu":     func([]float32) func(float64) float64 { return func(x float64) float64 { return max(x, 0) } },
	"Tanh":     func([]float32) func(float64) float64 { return math.Tanh },
	"Sigmoid":  func([]float32) func(float64) float64 { return sigmoid },
	"Softplus": func([]float32) func(float64) float64 { return softplus },
	"LeakyRelu": func(p []float32) func(float64) float64 {
		return func(x float64) float64 { return leakyRelu(x, param(p, 0, 0.01)) }
	},
	"Elu": func(p []float32) func(float64) float64 {
		return func(x float64) float64 { return elu(x, param(p, 0, 1)) }
	},
	"Clip": func(p []float32) func(float64) float64 {
		return func(x float64) float64 {
			return min(max(x, param(p, 0, -math.MaxFloat32)), param(p, 1, math.MaxFloat32))
		}
	},
	"HardSigmoid": func(p []float32) func(float64) float64 {
		return func(x float64) float64 { return min(max(param(p, 0, 0.2)*x+param(p, 1, 0.5), 0), 1) }
	},
}

func param(p []float32, i int, def float64) float64 {
	if i < len(p) {
		return float64(p[i])
	}
	return def
}

func refuseActivation(n *onnx.Node) string {
	if s := n.Str("activation", ""); s != "" && fusedActs[s] == nil {
		return fmt.Sprintf("activation %q", s)
	}
	return ""
}

// activateOut applies the node's activation to output 0.
func (c *call) activateOut(params []float32) error {
	s := c.node.Str("activation", "")
	if s == "" {
		return nil
	}
	out := c.out[0]
	if out.Type != onnx.Float {
		return errType(out.Type)
	}
	f := fusedActs[s](params)
	c.parallel(len(out.F32), grain/8, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			out.F32[i] = float32(f(float64(out.F32[i])))
		}
	})
	return nil
}

// fusedConv is act(Conv(X, W, B) + Z).
func fusedConv(c *call) error {
	in := c.inner(c.node, c.in[0], c.in[1], c.arg(2))
	if _, err := c.floats(0); err != nil {
		return err
	}
	if err := conv[float32](in); err != nil {
		return err
	}
	y := in.out[0]
	if c.out[0] = y; c.arg(3) != nil {
		z, err := c.floats(3)
		if err != nil {
			return err
		}
		if !sameShape(c.in[3].Shape, y.Shape) {
			return fmt.Errorf("a sum of shape %v for a result of shape %v", c.in[3].Shape, y.Shape)
		}
		kernel.Add(y.F32, y.F32, z)
	}
	var params []float32
	if a := c.node.Attr("activation_params"); a != nil {
		params = a.Floats
	}
	return c.activateOut(params)
}

// fusedGemm is act(Gemm(A, B, C)).
func fusedGemm(c *call) error {
	if err := gemm(c); err != nil {
		return err
	}
	var params []float32
	for _, name := range []string{"activation_alpha", "activation_beta", "activation_gamma"} {
		a := c.node.Attr(name)
		if a == nil {
			break
		}
		params = append(params, a.Float)
	}
	return c.activateOut(params)
}

// channelsLast runs an operator on an input [N, d…, C] whose output is laid out so, too.
func channelsLast(run func(*call) error) func(*call) error {
	return func(c *call) error {
		if err := c.needRank(0, 3); err != nil {
			return err
		}
		rank := len(c.in[0].Shape)
		first, last := []int{0, rank - 1}, []int{0}
		for d := 1; d < rank-1; d++ {
			first, last = append(first, d), append(last, d+1)
		}
		x, err := c.permuted(c.in[0], first)
		if err != nil {
			return err
		}
		defer c.mem.release(x)
		in := c.inner(c.node, slices.Concat([]*Tensor{x}, c.in[1:])...)
		if err := run(in); err != nil {
			return err
		}
		defer c.mem.release(in.out[0])
		c.out[0], err = c.permuted(in.out[0], append(last, 1))
		return err
	}
}

// msRange is Range with a step that may be omitted.
func msRange(c *call) error {
	in := c.inner(c.node, c.in[0], c.in[1], c.arg(2))
	if in.in[2] == nil {
		one, err := c.cast(Int64s([]int64{1}), c.in[0].Type)
		if err != nil {
			return err
		}
		defer c.mem.release(one)
		in.in[2] = one
	}
	err := rangeOf(in)
	c.out[0] = in.out[0]
	return err
}

// expandDims puts a dimension of one at the axis that input 1 names.
func expandDims(c *call) error {
	x := c.in[0]
	a, err := c.scalar(1, 0)
	if err != nil {
		return err
	}
	d, err := axis(a, len(x.Shape)+1)
	if err != nil {
		return err
	}
	c.view(0, x, slices.Insert(slices.Clone(x.Shape), d, 1))
	return nil
}

// cdist is the distance of each row of A [m, k] from each of B [n, k]: [m, n].
func cdist(c *call) error {
	a, err := c.floats(0)
	if err != nil {
		return err
	}
	b, err := c.floats(1)
	if err != nil {
		return err
	}
	as, bs := c.in[0].Shape, c.in[1].Shape
	if len(as) != 2 || len(bs) != 2 || as[1] != bs[1] {
		return fmt.Errorf("operands of shapes %v and %v; matrices of one width are needed", as, bs)
	}
	metric := c.node.Str("metric", "sqeuclidean")
	if metric != "sqeuclidean" && metric != "euclidean" {
		return fmt.Errorf("metric %q: %w", metric, ErrType)
	}
	out, err := c.output(0, onnx.Float, as[0], bs[0])
	if err != nil {
		return err
	}
	k, n := as[1], bs[0]
	c.parallel(as[0], max(1, grain/max(1, k*n)), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			for j := range n {
				sum := 0.0
				for t, v := range a[i*k : (i+1)*k] {
					d := float64(v) - float64(b[j*k+t])
					sum += d * d
				}
				if metric == "euclidean" {
					sum = math.Sqrt(sum)
				}
				out.F32[i*n+j] = float32(sum)
			}
		}
	})
	return nil
}

// qEmbedLayerNorm is EmbedLayerNormalization whose tables (inputs 2 to 6) are
// quantized; inputs 8 to 12 are their scales and 13 to 17 their zero points.
func qEmbedLayerNorm(c *call) error {
	in := make([]*Tensor, 8)
	for i := range in {
		in[i] = c.arg(i)
	}
	for i := 2; i < 7; i++ {
		if in[i] == nil {
			continue
		}
		d, err := c.dequantized(in[i], c.arg(i+6), c.arg(i+11), 1)
		if err != nil {
			return err
		}
		defer c.mem.release(d)
		in[i] = d
	}
	inner := c.inner(c.node, in...)
	err := embedLayerNorm(inner)
	copy(c.out, inner.out)
	return err
}
