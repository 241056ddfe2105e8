package quantize_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/quantize"
)

// int8Products counts what of a model is int8, embeddings too.
func int8Products(m *onnx.Model) int {
	n := count(m, "MatMulInteger")
	for _, node := range m.Graph.Nodes {
		if node.Name == "embed" && node.Inputs[0] != "table" {
			n++
		}
	}
	return n
}

// TestBudget: each int8 node costs a hundredth; the search keeps as many as
// the budget allows and leaves the most sensitive ones out.
func TestBudget(t *testing.T) {
	for _, calibrated := range []bool{false, true} {
		for allowed := 0; allowed <= 5; allowed++ {
			c := quantize.Default()
			if calibrated {
				c.Calibration = singles(tinyRows(3, 1))
			}
			c.MaxDrop, c.Metric = eval.Absolute(float64(allowed)/100), "accuracy"
			evaluations := 0
			c.Evaluate = func(_ context.Context, m *onnx.Model) (float64, error) {
				evaluations++
				return 0.9 - float64(int8Products(m))/100, nil
			}
			m := tiny(17)
			before := m.Hash()
			out, report, err := quantize.Run(context.Background(), m, c)
			if out == nil || report == nil || report.Budget == nil || m.Hash() != before {
				t.Fatalf("allowed %d: %v, %+v", allowed, err, report)
			}
			if e := out.Check(); e != nil {
				t.Fatal(e)
			}
			b := report.Budget
			if allowed == 0 { // one node is always left: the float model is not an answer
				var be *eval.BudgetError
				if !errors.Is(err, quantize.ErrBudget) || !errors.As(err, &be) || b.Met || int8Products(out) != 1 {
					t.Errorf("allowed 0: error %v, %+v, %d int8", err, b, int8Products(out))
				}
				continue
			}
			if err != nil || !b.Met || int8Products(out) != allowed || len(b.Excluded) != 5-allowed || evaluations != b.Evaluations || evaluations > 7 {
				t.Errorf("allowed %d: error %v, %d int8, %+v", allowed, err, int8Products(out), b)
			}
			byName := map[string]quantize.NodeReport{}
			for _, n := range report.Nodes {
				byName[n.Name] = n
			}
			worst := math.Inf(-1)
			for _, name := range b.Excluded {
				if n := byName[name]; n.Int8 || !(float64(n.Sensitivity) >= worst) || n.Why == "" {
					t.Errorf("allowed %d: %s was left out as %+v after sensitivity %v", allowed, name, n, worst)
				} else {
					worst = float64(n.Sensitivity)
				}
			}
			for _, n := range report.Nodes {
				if n.Int8 && float64(n.Sensitivity) < worst {
					t.Errorf("allowed %d: %s is more sensitive than the nodes left out", allowed, n.Name)
				}
			}
		}
	}
}

// TestBudgetLowerIsBetter: a perplexity may rise, not fall, by the budget.
func TestBudgetLowerIsBetter(t *testing.T) {
	c := quantize.Default()
	c.MaxDrop, c.Metric = eval.Relative(0.25), "perplexity"
	c.Evaluate = func(_ context.Context, m *onnx.Model) (float64, error) { return 10 + float64(int8Products(m)), nil }
	out, report, err := quantize.Run(context.Background(), tiny(17), c)
	if err != nil || int8Products(out) != 2 || float64(report.Budget.Baseline) != 10 || float64(report.Budget.Value) != 12 {
		t.Errorf("error %v, report %+v", err, report.Budget)
	}
}

func TestBudgetErrors(t *testing.T) {
	broken := errors.New("no data")
	for name, c := range map[string]struct {
		evaluate func(context.Context, *onnx.Model) (float64, error)
		want     string
	}{
		"fails":        {func(context.Context, *onnx.Model) (float64, error) { return 0, broken }, "evaluating the float model: no data"},
		"not a number": {func(context.Context, *onnx.Model) (float64, error) { return math.NaN(), nil }, "is not a number"},
		"fails later": {func(_ context.Context, m *onnx.Model) (float64, error) {
			if int8Products(m) > 0 {
				return 0, broken
			}
			return 1, nil
		}, "with 0 nodes in float: no data"},
	} {
		q := quantize.Default()
		q.MaxDrop, q.Evaluate = eval.Absolute(0.1), c.evaluate
		if out, _, err := quantize.Run(context.Background(), tiny(17), q); err == nil || out != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func TestErrors(t *testing.T) {
	half := tiny(17)
	for i, w := range half.Graph.Initializers {
		if w.Type == onnx.Float && len(w.Dims) == 2 {
			half.Graph.Initializers[i] = &onnx.Tensor{Name: w.Name, Type: onnx.Float16, Dims: w.Dims, Raw: make([]byte, 2*w.Len())}
		}
	}
	bare := tiny(17)
	bare.Graph.Nodes = slices.DeleteFunc(bare.Graph.Nodes, func(n *onnx.Node) bool { return n.Op == "MatMul" || n.Op == "Gemm" || n.Op == "Gather" })
	nan := tiny(17)
	nan.Graph.SetInitializer(onnx.NewFloats("cls.weight", slices.Repeat([]float32{float32(math.NaN())}, tinyC*tinyH), tinyC, tinyH))
	dynamic, _ := apply(t, tiny(17), quantize.Default())
	static, _ := apply(t, tiny(17), quantize.Config{Mode: quantize.Static, Calibration: singles(tinyRows(2, 1))})
	only := func(names ...string) quantize.Config { return quantize.Config{Embeddings: true, NodesToInclude: names} }
	empty := quantize.Config{Mode: quantize.Static, Calibration: quantize.SampleList{}}
	wrong := quantize.Sample{Inputs: padded(tinyRows(2, 1), 6).Inputs, Mask: []int64{1}, Rows: 2, Length: 6}
	for _, c := range []struct {
		name   string
		model  *onnx.Model
		config quantize.Config
		want   []string
	}{
		{"no graph", &onnx.Model{}, quantize.Default(), []string{"no graph"}},
		{"nothing", bare, quantize.Default(), []string{"nothing to quantize", "no MatMul, Gemm or embedding"}},
		{"all excluded", tiny(17), quantize.Config{NodesToExclude: []string{"re:."}}, []string{"nothing to quantize", "excluded by NodesToExclude"}},
		{"float16", half, quantize.Default(), []string{"nothing to quantize", "embed: ", "table", "float16, not float32"}},
		{"not finite", nan, only("classifier"), []string{"classifier", "cls.weight", "element 0 is NaN"}},
		{"dynamic again", dynamic, quantize.Default(), []string{"already quantized", "start from the float model"}},
		{"static again", static, quantize.Default(), []string{"already quantized", "QuantizeLinear"}},
		{"unknown node", tiny(17), quantize.Config{NodesToExclude: []string{"embed", "/nowhere/MatMul"}}, []string{"NodesToExclude", "/nowhere/MatMul", "lite inspect"}},
		{"unknown expression", tiny(17), only("up", "re:^zz"), []string{"NodesToInclude", "re:^zz"}},
		{"bad expression", tiny(17), only("re:("), []string{"NodesToInclude", `"re:("`, "regular expression"}},
		{"operator", tiny(17), quantize.Config{OpTypes: []string{"Conv"}}, []string{`"Conv"`, "MatMul, Gemm, Gather"}},
		{"mode", tiny(17), quantize.Config{Mode: "int4"}, []string{`"int4"`, "dynamic, static or weight-only"}},
		{"opset", tiny(10), quantize.Default(), []string{"opset 10", "export it again"}},
		{"no calibration", tiny(17), quantize.Config{Mode: quantize.Static}, []string{"Calibration", "dynamic mode"}},
		{"empty calibration", tiny(17), empty, []string{"calibration data is empty"}},
		{"mask", tiny(17), quantize.Config{Mode: quantize.Static, Calibration: quantize.SampleList{wrong}}, []string{"mask of 1 elements", "[2 6]"}},
		{"budget without evaluation", tiny(17), quantize.Config{MaxDrop: eval.Absolute(0.1)}, []string{"MaxDrop and Evaluate"}},
	} {
		out, err := c.config.Apply(context.Background(), c.model)
		if err == nil || out != nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		for _, want := range append(c.want, "quantize: ") {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q does not say %q", c.name, err, want)
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := quantize.Run(ctx, tiny(17), quantize.Default()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: error is %v", err)
	}
}
