package onnx_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
)

// TestEveryOperatorHasASchema: what package exec runs is known here, so that
// Check and Infer say what it would.
func TestEveryOperatorHasASchema(t *testing.T) {
	have, run := onnx.Schemas(), exec.Operators()
	if len(run) < 200 {
		t.Errorf("exec lists %d operators", len(run))
	}
	for _, op := range run {
		if !slices.Contains(have, op) {
			t.Errorf("%s runs and has no schema", op)
		}
	}
}

// microsoft makes a node that of ONNX Runtime's domain.
func microsoft(n *onnx.Node) *onnx.Node {
	n.Domain = "com.microsoft"
	return n
}

// TestInferMicrosoft: shapes in the symbol of the inputs x [batch, 4, 6] and
// y [batch, 8], and what does not fit them.
func TestInferMicrosoft(t *testing.T) {
	w := func(dims ...int64) *onnx.Tensor {
		n := int64(1)
		for _, d := range dims {
			n *= d
		}
		return onnx.NewFloats("w", make([]float32, n), dims...)
	}
	one := onnx.NewInt64s("i", []int64{1})
	grams := []*onnx.Attribute{onnx.StringAttr("mode", "TF"), onnx.IntAttr("min_gram_length", 1), onnx.IntAttr("max_gram_length", 1), onnx.IntAttr("max_skip_count", 0),
		onnx.IntsAttr("ngram_counts", 0), onnx.IntsAttr("pool_int64s", 5, 6)}
	type inits = []*onnx.Tensor
	for name, c := range map[string]struct {
		m    *onnx.Model
		want string // the shape of z, or a part of the fault after "!"
	}{
		"ExpandDims":             {graphOf(inits{one}, microsoft(op("ExpandDims", "x i", "z"))), "batch,1,4,6"},
		"ExpandDims beyond":      {graphOf(inits{onnx.NewInt64s("i", []int64{5})}, microsoft(op("ExpandDims", "x i", "z"))), "!the axis 5 is out of range"},
		"CDist":                  {graphOf(inits{w(3, 8)}, microsoft(op("CDist", "y w", "z"))), "batch,3"},
		"CDist of widths":        {graphOf(inits{w(3, 7)}, microsoft(op("CDist", "y w", "z"))), "!8 and 7"},
		"CDist metric":           {graphOf(inits{w(3, 8)}, microsoft(op("CDist", "y w", "z", onnx.StringAttr("metric", "cosine")))), "!cosine"},
		"Pad":                    {graphOf(inits{ints("p", 0, 1, 2, 0, 0, 1)}, microsoft(op("Pad", "x p", "z"))), "batch,5,9"},
		"Pad of few":             {graphOf(inits{ints("p", 0, 1)}, microsoft(op("Pad", "x p", "z"))), "!2 pads for 3 axes"},
		"Range":                  {graphOf(inits{one, onnx.NewInt64s("j", []int64{7})}, microsoft(op("Range", "i j", "z"))), "6"},
		"NhwcMaxPool":            {graphOf(nil, microsoft(op("NhwcMaxPool", "x", "z", onnx.IntsAttr("kernel_shape", 3)))), "batch,2,6"},
		"NhwcMaxPool of 2":       {graphOf(nil, microsoft(op("NhwcMaxPool", "x", "z", onnx.IntsAttr("kernel_shape", 3, 3)))), "!kernel_shape"},
		"FusedConv":              {graphOf(inits{w(2, 4, 3)}, microsoft(op("FusedConv", "x w", "z", onnx.StringAttr("activation", "Relu")))), "batch,2,4"},
		"FusedConv sum":          {graphOf(inits{w(2, 4, 3), onnx.NewFloats("b", make([]float32, 2), 2)}, microsoft(op("FusedConv", "x w b x", "z"))), "!2 and 4"},
		"FusedGemm":              {graphOf(inits{w(8, 3)}, microsoft(op("FusedGemm", "y w", "z", onnx.StringAttr("activation", "Relu")))), "batch,3"},
		"TransposeMatMul":        {graphOf(inits{w(4, 5)}, microsoft(op("TransposeMatMul", "x w", "z", onnx.IntAttr("transA", 1)))), "batch,6,5"},
		"GatherND":               {graphOf(inits{onnx.NewInt64s("i", []int64{0, 1, 1, 2}, 2, 2)}, microsoft(op("GatherND", "x i", "z"))), "2,6"},
		"Trilu":                  {graphOf(nil, microsoft(op("Trilu", "x", "z"))), "batch,4,6"},
		"TfIdfVectorizer":        {graphOf(inits{onnx.NewInt64s("i", []int64{5, 6}, 1, 2)}, op("TfIdfVectorizer", "i", "z", append(grams, onnx.IntsAttr("ngram_indexes", 3, 1))...)), "1,4"},
		"TfIdfVectorizer places": {graphOf(inits{ints("i", 5, 6)}, op("TfIdfVectorizer", "i", "z", append(grams, onnx.IntsAttr("ngram_indexes", 3, -1))...)), "!ngram_indexes"},
	} {
		c.m.Opsets = append(c.m.Opsets, onnx.Opset{Domain: "com.microsoft", Version: 1})
		if fault, ok := strings.CutPrefix(c.want, "!"); ok {
			if err := c.m.Check(); err == nil || !strings.Contains(err.Error(), fault) {
				t.Errorf("%s: %v; a fault with %q is wanted", name, err, fault)
			}
			continue
		}
		if err := c.m.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		f, err := c.m.Infer(nil)
		if err != nil {
			t.Fatal(err)
		}
		var parts []string
		dims, _ := f.Shape("z")
		for _, d := range dims {
			parts = append(parts, f.Text(d))
		}
		if got := strings.Join(parts, ","); got != c.want {
			t.Errorf("%s: shape [%s]; want [%s]", name, got, c.want)
		}
	}
}
