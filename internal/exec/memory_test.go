package exec_test

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/internal/modeltest"
	"github.com/litekit/lite/internal/shared"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/quantize"
	"github.com/litekit/lite/student"
)

// encoders are a small BERT with a classifier and a masked LM on it, in the
// forms that are met in use.
func encoders(t testing.TB) map[string]*onnx.Model {
	t.Helper()
	shape := student.Shape{Layers: 2, Hidden: 64, Heads: 4, FFN: 128, Vocab: 300, Positions: 128}
	m := modeltest.New(t, shape, 1, student.Classification([]string{"a", "b", "c"}), student.MaskedLM())
	out := map[string]*onnx.Model{"float": m}
	samples := quantize.SampleList{{Inputs: modeltest.Inputs(300, 2, 16, 9)}}
	for name, cfg := range map[string]quantize.Config{
		"dynamic": {Mode: quantize.Dynamic, PerChannel: true, Embeddings: true},
		"static":  {Mode: quantize.Static, PerChannel: true, Embeddings: true, Calibration: samples},
	} {
		q, err := cfg.Apply(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = q
	}
	return out
}

// resultAllocs is how often a run allocates for what it returns: twice for the
// map (itself and its first group of entries), and for each output a header, a
// shape and the elements.
func resultAllocs(outputs int) float64 { return float64(2 + 3*outputs) }

// TestSecondRunAllocatesItsOutputs: a run of a known shape takes from the heap
// the map of results and, for each, a header, a shape and the elements.
func TestSecondRunAllocatesItsOutputs(t *testing.T) {
	defer kernel.SetThreads(0)
	sessions := map[string]*exec.Session{}
	for name, m := range encoders(t) {
		sessions[name] = newSession(t, m, exec.Options{})
		sessions[name+" without padding"] = newSession(t, m, exec.Options{SkipPadding: true})
	}
	for name, sess := range sessions {
		for _, threads := range []int{1, 2} {
			kernel.SetThreads(threads)
			for _, shape := range [][2]int{{1, 16}, {4, 64}} {
				feed := modeltest.Inputs(300, shape[0], shape[1], shape[1]/2)
				got := fewestAllocs(func() { run(t, sess, feed) })
				if want := resultAllocs(len(sess.Outputs())); got != want {
					t.Errorf("%s, inputs %v, %d threads: a run allocates %v times; want %v", name, shape, threads, got, want)
				}
			}
		}
	}
}

// fewestAllocs is the least of a few counts: the collector may empty a pool of
// scratch between two runs, and what is made again then is not the run's doing.
func fewestAllocs(f func()) float64 {
	least := testing.AllocsPerRun(5, f)
	for range 4 {
		least = min(least, testing.AllocsPerRun(5, f))
	}
	return least
}

// TestOperatorsThatAllocate counts over ONNX's cases what a second run
// allocates beyond its outputs, by operator, and bounds how many do.
func TestOperatorsThatAllocate(t *testing.T) {
	dir := shared.Path(t, "conformance", "onnx-1.19-node")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	kernel.SetThreads(1)
	defer kernel.SetThreads(0)
	most, seen := map[string]float64{}, map[string]bool{}
	for _, e := range entries {
		if n, ok := caseAllocs(filepath.Join(dir, e.Name())); ok {
			op := caseOperator(filepath.Join(dir, e.Name()))
			seen[op] = true
			if n > 0 {
				most[op] = max(most[op], n)
			}
		}
	}
	t.Logf("%d of %d operators allocate in a second run: %s", len(most), len(seen), strings.Join(slices.Sorted(maps.Keys(most)), ", "))
	for _, op := range encoderOps {
		if most[op] > 0 {
			t.Errorf("%s, which encoders use, allocates %v times", op, most[op])
		}
	}
	if len(most) > allocatingOps {
		t.Errorf("%d operators allocate; %d did when this test was written", len(most), allocatingOps)
	}
}

// allocatingOps is how many operators allocate in a run of a known shape.
const allocatingOps = 65

// encoderOps are the operators of exported encoders.
var encoderOps = []string{"Add", "And", "Cast", "Concat", "DequantizeLinear", "Div", "DynamicQuantizeLinear", "Equal", "Erf", "Expand", "Flatten",
	"Gather", "Gelu", "Gemm", "Greater", "Identity", "LayerNormalization", "Less", "MatMul", "MatMulInteger", "Mul", "Neg", "Not", "Or", "Pow",
	"QuantizeLinear", "Range", "Reciprocal", "ReduceMean", "Relu", "Reshape", "Shape", "Sigmoid", "Slice", "Softmax", "Split", "Sqrt", "Squeeze",
	"Sub", "Tanh", "Transpose", "Unsqueeze", "Where"}

// caseAllocs runs a case and counts what it allocates beyond its outputs; false
// where it does not run, or reads uint64, which is converted to be compared.
func caseAllocs(dir string) (float64, bool) {
	data, err := os.ReadFile(filepath.Join(dir, "model.onnx"))
	if err != nil {
		return 0, false
	}
	m, err := onnx.Decode(data)
	if err != nil {
		return 0, false
	}
	ins, err := readTensors(dir, "input")
	if err != nil {
		return 0, false
	}
	s, err := exec.New(m, exec.Options{Unfused: true})
	if err != nil {
		return 0, false
	}
	feed := map[string]*exec.Tensor{}
	for i, in := range ins {
		name := m.Graph.Inputs[i].Name
		if !slices.ContainsFunc(s.Inputs(), func(d *onnx.ValueInfo) bool { return d.Name == name }) {
			continue
		}
		if feed[name], err = exec.FromONNX(in); err != nil || in.Type == onnx.Uint64 {
			return 0, false
		}
	}
	want := 2.0
	out, err := s.Run(context.Background(), feed)
	if err != nil || len(out) > 8 {
		return 0, false
	}
	for _, o := range out { // a scalar has no shape to copy, an empty value no elements
		want++
		if len(o.Shape) > 0 {
			want++
		}
		if o.Len() > 0 {
			want++
		}
	}
	got := testing.AllocsPerRun(3, func() { _, err = s.Run(context.Background(), feed) })
	return max(0, got-want), err == nil
}

// TestManyShapesShareMemory: a server that meets every length keeps one slab, as
// large as the largest shape needs.
func TestManyShapesShareMemory(t *testing.T) {
	sess := newSession(t, encoders(t)["float"], exec.Options{})
	run(t, sess, modeltest.Inputs(300, 4, 128, 128))
	run(t, sess, modeltest.Inputs(300, 4, 128, 128))
	want := exec.IdleBytes(sess)
	for length := 1; length <= 128; length++ {
		for range 2 {
			run(t, sess, modeltest.Inputs(300, 4, length, length))
		}
	}
	if got := exec.IdleBytes(sess); got > want+want/8 {
		t.Errorf("after 128 shapes the session keeps %d bytes, %d after the largest of them", got, want)
	}
}

// TestFailedRunsKeepNothing: runs that fail or are stopped leave the memory as it was.
func TestFailedRunsKeepNothing(t *testing.T) {
	m := graph(s("x", "ids:i64"), s("z"), nil, node("Exp", s("x"), s("y")), node("Gather", s("y", "ids"), s("z")))
	sess := newSession(t, m, exec.Options{})
	x := exec.Floats(make([]float32, 1<<16), 1<<16)
	good := map[string]*exec.Tensor{"x": x, "ids": exec.Int64s([]int64{3}, 1)}
	run(t, sess, good)
	run(t, sess, good)
	want := exec.IdleBytes(sess)
	for range 50 {
		if _, err := sess.Run(context.Background(), map[string]*exec.Tensor{"x": x, "ids": exec.Int64s([]int64{1 << 20}, 1)}); err == nil {
			t.Fatal("an index outside is no error")
		}
		if _, err := sess.Run(&countdown{context.Background(), 1}, good); err == nil {
			t.Fatal("a stopped run is no error")
		}
	}
	if got := exec.IdleBytes(sess); got != want {
		t.Errorf("%d bytes are kept after failures, %d before", got, want)
	}
	if got, want := fewestAllocs(func() { run(t, sess, good) }), resultAllocs(1); got != want {
		t.Errorf("a run after failures allocates %v times; want %v", got, want)
	}
}

// TestSizesThatDependOnData: values that are larger than in the run that was
// planned are found room for, and the plan grows.
func TestSizesThatDependOnData(t *testing.T) {
	m := graph(s("x"), s("z"), nil, node("NonZero", s("x"), s("at")), node("Cast", s("at"), s("f"), onnx.IntAttr("to", int64(onnx.Float))),
		node("Mul", s("f", "f"), s("q")), node("ReduceSum", s("q"), s("sum")), node("Add", s("sum", "x"), s("z")))
	sess := newSession(t, m, exec.Options{})
	for _, n := range []int{1, 700, 3, 900, 0, 899} {
		v := make([]float32, 1000)
		want := float32(0)
		for i := range n {
			v[i] = 1
			want += float32(i * i)
		}
		z := run(t, sess, map[string]*exec.Tensor{"x": exec.Floats(v, 1000)})["z"]
		if got := z.F32[999]; got < want*(1-1e-5) || got > want*(1+1e-5) {
			t.Errorf("%d elements: sum is %v; want %v", n, got, want)
		}
	}
}

func TestFootprint(t *testing.T) {
	for name, m := range encoders(t) {
		sess := newSession(t, m, exec.Options{})
		shapes := map[string][]int{}
		for _, in := range sess.Inputs() {
			shapes[in.Name] = []int{4, 64}
		}
		f, err := sess.Footprint(context.Background(), shapes)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %+v", name, f)
		results := 0
		for _, o := range run(t, sess, modeltest.Inputs(300, 4, 64, 64)) {
			results += 4 * o.Len()
		}
		// One hidden state [4, 64, 64] must be there, and what was planned is what is kept.
		if f.Activations < 4*4*64*64 || f.Results < results || f.Results > results+2*64 || f.Weights == 0 || f.Packed == 0 {
			t.Errorf("%s: %+v; the results are %d bytes", name, f, results)
		}
		if slab := f.Activations + f.Scratch; slab != exec.IdleBytes(sess) {
			t.Errorf("%s: planned %d bytes, %d are kept", name, slab, exec.IdleBytes(sess))
		}
		delete(shapes, "input_ids")
		if _, err := sess.Footprint(context.Background(), shapes); err == nil || !strings.Contains(err.Error(), `"input_ids"`) {
			t.Errorf("error is %v; want one that names the input", err)
		}
	}
}

// TestRoundsShareTheirMemory: a round of a Loop or Scan after the first few of
// its shape takes nothing from the heap.
func TestRoundsShareTheirMemory(t *testing.T) {
	scan := graph(s("s0", "x"), s("s", "all"), nil, node("Scan", s("s0", "x"), s("s", "all"), onnx.IntAttr("num_scan_inputs", 1),
		sub("body", s("sum", "row"), s("next", "copy"), node("Add", s("sum", "row"), s("next")), node("Neg", s("next"), s("copy")))))
	loop, sums := newSession(t, powers("Identity"), exec.Options{}), newSession(t, scan, exec.Options{})
	v := exec.Floats(make([]float32, 64), 64)
	for name, rounds := range map[string]func(n int){
		"Loop": func(n int) {
			run(t, loop, map[string]*exec.Tensor{"m": exec.Int64s([]int64{int64(n)}), "v0": v})
		},
		"Scan": func(n int) {
			run(t, sums, map[string]*exec.Tensor{"s0": v, "x": exec.Floats(make([]float32, 64*n), n, 64)})
		},
	} {
		few, many := fewestAllocs(func() { rounds(10) }), fewestAllocs(func() { rounds(400) })
		if many > few+4 {
			t.Errorf("%s: 10 rounds allocate %v times, 400 rounds %v", name, few, many)
		}
	}
}

// TestRoundsOfOtherShapes: values whose shape changes from round to round, and
// outputs that are what the body was given.
func TestRoundsOfOtherShapes(t *testing.T) {
	m := graph(s("m:i64", "v0", "w0"), s("v", "w", "u", "all"), nil, node("Loop", s("m", "", "v0", "w0", "v0"), s("v", "w", "u", "all"),
		sub("body", s("i", "go", "v", "w", "u"), s("go", "vv", "v", "w", "i"), node("Concat", s("v", "v"), s("vv"), onnx.IntAttr("axis", 0)))))
	sess := newSession(t, m, exec.Options{})
	for range 2 {
		got := run(t, sess, map[string]*exec.Tensor{"m": exec.Int64s([]int64{3}), "v0": exec.Floats([]float32{7}, 1), "w0": exec.Floats([]float32{9, 8}, 2)})
		for name, want := range map[string][]float32{"v": {7, 7, 7, 7, 7, 7, 7, 7}, "w": {7, 7, 7, 7}, "u": {7, 7}} {
			if x := got[name]; !slices.Equal(x.F32, want) || len(x.Shape) != 1 || x.Shape[0] != len(want) {
				t.Errorf("%s is %v of shape %v; want %v", name, x.F32, x.Shape, want)
			}
		}
		if x := got["all"]; !slices.Equal(x.I64, []int64{0, 1, 2}) {
			t.Errorf("the rounds are numbered %v", x)
		}
	}
}
