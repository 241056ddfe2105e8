package quantize_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/quantize"
)

// configs are all modes with every combination of weight options.
func configs() []quantize.Config {
	var out []quantize.Config
	for _, mode := range []quantize.Mode{quantize.Dynamic, quantize.Static, quantize.WeightOnly} {
		for k := range 16 {
			out = append(out, quantize.Config{Mode: mode, PerChannel: k&1 != 0, Asymmetric: k&2 != 0, ReduceRange: k&4 != 0, Embeddings: k&8 == 0,
				Calibration: singles(tinyRows(30, 1))})
		}
	}
	return out
}

func label(c quantize.Config) string {
	return fmt.Sprintf("%s channel=%v asym=%v reduce=%v emb=%v", c.Mode, c.PerChannel, c.Asymmetric, c.ReduceRange, c.Embeddings)
}

// TestModesOnTinyModel runs every configuration at three opsets: valid, close
// to float, the same fused and node by node, the same bytes twice and on
// another number of threads.
func TestModesOnTinyModel(t *testing.T) {
	defer kernel.SetThreads(kernel.Threads())
	for _, opset := range []int64{11, 13, 17} {
		m := tiny(opset)
		in := padded(tinyRows(5, 7), 6)
		want := execute(t, m, in, exec.Options{})
		for _, c := range configs() {
			kernel.SetThreads(1)
			out, report := apply(t, m, c)
			kernel.SetThreads(3)
			again, _ := apply(t, m, c)
			if out.Hash() != again.Hash() {
				t.Fatalf("opset %d, %s: two runs differ", opset, label(c))
			}
			if n := 3; !c.Embeddings && report.Quantized != n || c.Embeddings && report.Quantized != n+2 {
				t.Errorf("opset %d, %s: %d nodes int8", opset, label(c), report.Quantized)
			}
			fused, plain := execute(t, out, in, exec.Options{}), execute(t, out, in, exec.Options{Unfused: true})
			for _, name := range []string{"logits", "scores"} {
				if d := apart(fused[name].F32, plain[name].F32); d > 1e-5 {
					t.Errorf("opset %d, %s: fused and unfused %s differ by %.2g", opset, label(c), name, d)
				}
			}
			// Row 0 of the table is far from the others on purpose: without a scale of
			// its own for each row they drown, and padding drowns dynamic activations.
			limit := 0.06
			if c.ReduceRange {
				limit = 0.12
			}
			if c.Mode != quantize.Dynamic && (c.PerChannel || !c.Embeddings) {
				if d := apart(fused["logits"].F32, want["logits"].F32); d > limit {
					t.Errorf("opset %d, %s: logits are %.2g from float", opset, label(c), d)
				}
			}
		}
	}
}

// apart is the root mean square difference relative to b's.
func apart(a, b []float32) float64 {
	var d, s float64
	for i := range b {
		d += math.Pow(float64(a[i]-b[i]), 2)
		s += math.Pow(float64(b[i]), 2)
	}
	return math.Sqrt(d / s)
}

// TestDynamicAgainstFormula computes the classifier by hand from the int8 weights.
func TestDynamicAgainstFormula(t *testing.T) {
	m := tiny(17)
	c := quantize.Config{PerChannel: true, OpTypes: []string{"Gemm"}}
	in := padded(tinyRows(1, 3), 6)
	out, _ := apply(t, m, c)
	got := execute(t, out, in, exec.Options{})["logits"].F32
	probe := m.Clone()
	probe.Graph.Outputs = append(probe.Graph.Outputs, &onnx.ValueInfo{Name: "f", Type: onnx.Float})
	f := execute(t, probe, in, exec.Options{})["f"].F32
	lo, hi := min(0, slices.Min(f)), max(0, slices.Max(f))
	sx := (hi - lo) / 255
	zx := math.RoundToEven(float64(-lo / sx))
	w, _ := m.Graph.Initializer("cls.weight").Floats()
	bias, _ := m.Graph.Initializer("cls.bias").Floats()
	for n := range tinyC {
		row := w[n*tinyH : (n+1)*tinyH]
		s := 0.0
		for _, v := range row {
			s = max(s, math.Abs(float64(v))/127)
		}
		acc := 0.0
		for k, v := range row {
			q := math.RoundToEven(float64(v) / s)
			x := min(255, max(0, math.RoundToEven(float64(f[k]/sx))+zx))
			acc += (x - zx) * q
		}
		want := 0.5*acc*s*float64(sx) + float64(bias[n])
		if math.Abs(want-float64(got[n])) > 1e-5*math.Max(1, math.Abs(want)) {
			t.Errorf("logit %d is %v; the formula gives %v", n, got[n], want)
		}
	}
}

// TestDynamicRunsInInt8Kernels: every linear layer is one fused int8 node.
func TestDynamicRunsInInt8Kernels(t *testing.T) {
	for _, c := range configs() {
		if c.Mode != quantize.Dynamic {
			continue
		}
		out, _ := apply(t, tiny(17), c)
		checkInt8Fusion(t, label(c), out)
	}
}

// checkInt8Fusion wants as many lite.QLinear nodes as the model has MatMulInteger, and nothing left over.
func checkInt8Fusion(t *testing.T, what string, m *onnx.Model) {
	t.Helper()
	f, err := fuse.Fuse(m)
	if err != nil {
		t.Fatal(err)
	}
	want, got := count(m, "MatMulInteger"), count(f.Model, fuse.OpQLinear)
	if want == 0 || got != want || count(f.Model, "MatMulInteger") != 0 || count(f.Model, "DynamicQuantizeLinear") != 0 {
		t.Errorf("%s: %d of %d int8 products are fused", what, got, want)
	}
}

func count(m *onnx.Model, op string) (n int) {
	for _, node := range m.Graph.Nodes {
		if node.Op == op {
			n++
		}
	}
	return n
}

// TestTiedTableIsStoredOnce: the decoder reads the embedding's int8 rows,
// whether tied by Transpose or, as torch exports it, a second initializer.
func TestTiedTableIsStoredOnce(t *testing.T) {
	second := tiny(17)
	table, _ := second.Graph.Initializer("table").Floats()
	tr := make([]float32, len(table))
	for r := range tinyV {
		for c := range tinyH {
			tr[c*tinyV+r] = table[r*tinyH+c]
		}
	}
	second.Graph.Initializers = append(second.Graph.Initializers, onnx.NewFloats("decoder.weight", tr, tinyH, tinyV))
	for _, n := range second.Graph.Nodes {
		if n.Name == "decoder" {
			n.Inputs[1] = "decoder.weight"
		}
	}
	for name, m := range map[string]*onnx.Model{"transpose": tiny(17), "second initializer": second} {
		for _, mode := range []quantize.Mode{quantize.Dynamic, quantize.Static, quantize.WeightOnly} {
			c := quantize.Default()
			c.Mode, c.Calibration = mode, singles(tinyRows(4, 1))
			out, _ := apply(t, m, c)
			tables := 0
			for _, w := range out.Graph.Initializers {
				if w.Len() == tinyV*tinyH {
					tables++
					if w.Type != onnx.Int8 {
						t.Errorf("%s, %s: %s is %s", name, mode, w.Name, w.Type)
					}
				}
			}
			if tables != 1 {
				t.Errorf("%s, %s: the table is stored %d times", name, mode, tables)
			}
		}
	}
	// With the embeddings left in float, an int8 decoder would only add to the file.
	_, report := apply(t, tiny(17), quantize.Config{PerChannel: true})
	for _, n := range report.Nodes {
		if n.Name == "decoder" && (n.Int8 || !strings.Contains(n.Why, "add to the file")) {
			t.Errorf("decoder: %+v", n)
		}
	}
}

// TestPaddingNeverEntersARange: padded and unpadded batches, in any order,
// with any number of threads, calibrate to the same model.
func TestPaddingNeverEntersARange(t *testing.T) {
	defer kernel.SetThreads(kernel.Threads())
	rows := tinyRows(12, 4)
	for _, cal := range []quantize.Calibrator{nil, quantize.MinMax{}, quantize.Percentile{P: 99}, quantize.MSE{}} {
		c := quantize.Default()
		c.Mode, c.Calibrator, c.Calibration = quantize.Static, cal, singles(rows)
		want, report := apply(t, tiny(11), c)
		for _, n := range report.Nodes {
			if n.Op != "Gather" && n.Int8 && (n.Low < -100 || n.High > 100 || n.Low == n.High) {
				t.Errorf("%s has range [%v, %v]", n.Name, n.Low, n.High)
			}
		}
		reversed := slices.Clone(rows)
		slices.Reverse(reversed)
		for i, samples := range []quantize.SampleList{
			{padded(rows, 7)}, {padded(rows[:5], 8), padded(rows[5:], 6)}, singles(reversed), {padded(reversed, 9)}} {
			kernel.SetThreads(1 + i)
			c.Calibration = samples
			got, _ := apply(t, tiny(11), c)
			if got.Hash() != want.Hash() {
				t.Errorf("calibrator %v, variant %d: another model", cal, i)
			}
		}
	}
}

// TestUpgradeKeepsTheFunction: opset 11 raised to 13 for QDQ still computes
// what the float model does where nothing but one node is int8.
func TestUpgradeKeepsTheFunction(t *testing.T) {
	for _, opset := range []int64{11, 12} {
		m := tiny(opset)
		out, _ := apply(t, m, quantize.Config{Mode: quantize.WeightOnly, PerChannel: true, NodesToInclude: []string{"classifier"}})
		if out.Opsets[0].Version != 13 || m.Opsets[0].Version != opset {
			t.Errorf("opset %d became %v", opset, out.Opsets)
		}
		in := padded(tinyRows(3, 2), 6)
		a, b := execute(t, m, in, exec.Options{Unfused: true}), execute(t, out, in, exec.Options{Unfused: true})
		if !slices.Equal(a["probs"].F32, b["probs"].F32) {
			t.Errorf("opset %d: softmax changed", opset)
		}
	}
	flat := tiny(11)
	for _, n := range flat.Graph.Nodes {
		if n.Op == "Softmax" {
			n.Attrs = []*onnx.Attribute{onnx.IntAttr("axis", 1)}
		}
	}
	flat.Graph.Outputs[1].HasShape, flat.Graph.Outputs[1].Dims = true, []onnx.Dim{{Param: "b"}, {Param: "s"}, {Param: "v"}}
	_, _, err := quantize.Run(context.Background(), flat, quantize.Config{Mode: quantize.WeightOnly})
	if err == nil || !strings.Contains(err.Error(), "flattens") || !strings.Contains(err.Error(), "dynamic mode") {
		t.Errorf("softmax over axis 1 of 3: error is %v", err)
	}
}

func TestReport(t *testing.T) {
	c := quantize.Default()
	var seen *quantize.Report
	c.OnReport = func(r *quantize.Report) { seen = r }
	c.NodesToExclude = []string{"re:^up$"}
	out, err := c.Apply(context.Background(), tiny(17))
	if err != nil || seen == nil {
		t.Fatal(err, seen)
	}
	if seen.Mode != quantize.Dynamic || seen.Quantized != 4 || seen.Float != 1 || len(seen.Nodes) != 5 || seen.BytesAfter >= seen.BytesBefore {
		t.Errorf("report %+v", seen)
	}
	var order []string
	for _, n := range seen.Nodes {
		order = append(order, n.Name)
		if n.Int8 == (n.Name == "up") || n.Int8 && (!(n.SQNR > 30) || n.Weight == "") || !n.Int8 && n.Why != "excluded by NodesToExclude" {
			t.Errorf("node %+v", n)
		}
	}
	if got := strings.Join(order, " "); got != "embed up down decoder classifier" {
		t.Errorf("nodes in the order %s", got)
	}
	if out.Graph.Initializer("up.weight") == nil || out.Graph.Initializer("table") != nil {
		t.Error("excluded weights stay float, replaced ones go")
	}
}
