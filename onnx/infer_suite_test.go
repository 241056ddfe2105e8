package onnx_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/onnxpb"
	"github.com/litekit/lite/internal/shared"
	"github.com/litekit/lite/onnx"
)

// proof holds an inference to what runs give.
type proof struct {
	values   int // compared
	types    int // of known type
	complete int // of a shape in which every length is a number or follows from the inputs'
	ran      int
}

// caseTensor reads a TensorProto as the one initializer of an empty model.
func caseTensor(path string) (*onnx.Tensor, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m, err := onnx.Decode(wire(func(m *onnxpb.Message) {
		m.Message(7, wire(func(g *onnxpb.Message) { g.Bytes(5, data) }))
	}).Encode())
	if err != nil {
		return nil, err
	}
	return m.Graph.Initializers[0], nil
}

// widened is the type that the executor holds elements of a type in.
func widened(t onnx.DataType) onnx.DataType {
	if t == onnx.Float16 || t == onnx.BFloat16 {
		return onnx.Float
	}
	return t
}

// environment binds the symbols that the inputs show to the lengths that are fed.
func environment(t *testing.T, f *onnx.Inference, feed map[string][]int64) map[onnx.Size]int64 {
	t.Helper()
	env := map[onnx.Size]int64{}
	for name, dims := range feed {
		if shape, ok := f.Shape(name); ok && len(shape) == len(dims) {
			f.Evaluate(shape, dims, env)
		}
	}
	return env
}

// compare checks one value. bound counts how many symbols were bound by the inputs.
func (p *proof) compare(f *onnx.Inference, name string, typ onnx.DataType, dims []int64, env map[onnx.Size]int64, exact bool) error {
	p.values++
	got := f.Type(name)
	if !exact {
		got = widened(got)
	}
	if got != onnx.Undefined {
		p.types++
		if got != typ {
			return fmt.Errorf("value %q has type %v; %v was inferred", name, typ, got)
		}
	}
	shape, ok := f.Shape(name)
	if !ok {
		return nil
	}
	if len(shape) != len(dims) {
		return fmt.Errorf("value %q has shape %v; %d axes were inferred", name, dims, len(shape))
	}
	before := len(env)
	have := f.Evaluate(shape, dims, env)
	for i := range dims {
		if have[i] >= 0 && have[i] != dims[i] {
			return fmt.Errorf("value %q has shape %v; axis %d was inferred to be %s, which is %d", name, dims, i, f.Text(shape[i]), have[i])
		}
	}
	if len(env) == before && !slices.Contains(have, -1) {
		p.complete++
	}
	return nil
}

// intermediate runs a model node by node and compares all its values.
func (p *proof) intermediate(t *testing.T, m *onnx.Model, f *onnx.Inference, feed map[string]*exec.Tensor, env map[onnx.Size]int64) error {
	s, err := exec.New(m, exec.Options{Unfused: true, MaxBytes: 64 << 20})
	if err != nil {
		return nil // not run at all
	}
	for n := range feed {
		if !slices.ContainsFunc(s.Inputs(), func(v *onnx.ValueInfo) bool { return v.Name == n }) {
			delete(feed, n)
		}
	}
	var names []string
	for _, n := range m.Graph.Nodes {
		for _, o := range n.Outputs {
			if o != "" && s.Has(o) {
				names = append(names, o)
			}
		}
	}
	got, err := s.Run(context.Background(), feed, names...)
	if err != nil {
		return errors.Join(errNotRun, err)
	}
	p.ran++
	for _, name := range names {
		dims := make([]int64, len(got[name].Shape))
		for i, d := range got[name].Shape {
			dims[i] = int64(d)
		}
		if err := p.compare(f, name, got[name].Type, dims, env, false); err != nil {
			return err
		}
	}
	return nil
}

var errNotRun = errors.New("not run")

// TestInferNodeSuite infers every case of ONNX's operator suite, and compares with
// the outputs that the suite gives and with every value in between that a run gives.
func TestInferNodeSuite(t *testing.T) {
	dirs := []string{}
	if list := os.Getenv("LITE_ONNX_SUITE"); list != "" {
		dirs = filepath.SplitList(list)
	} else {
		dirs = append(dirs, shared.Path(t, "conformance", "onnx-1.19-node"))
	}
	var given, fixed, between proof
	for _, dir := range dirs {
		cases, err := filepath.Glob(filepath.Join(dir, "*", "model.onnx"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range cases {
			if err := inferCase(t, filepath.Dir(path), &given, &fixed, &between); err != nil {
				t.Errorf("%s: %v", filepath.Base(filepath.Dir(path)), err)
			}
		}
	}
	t.Logf("outputs of the suite: %d, of known type %d, of complete shape %d", given.values, given.types, given.complete)
	t.Logf("with small inputs as constants: %d, of known type %d, of complete shape %d", fixed.values, fixed.types, fixed.complete)
	t.Logf("values that runs give: %d in %d cases, of known type %d, of complete shape %d", between.values, between.ran, between.types, between.complete)
	if os.Getenv("LITE_ONNX_SUITE") == "" && (given.complete < suiteComplete || fixed.complete < fixedComplete || between.complete < betweenComplete) {
		t.Errorf("shapes of only %d, %d and %d values are complete; %d, %d and %d were when this test was written",
			given.complete, fixed.complete, between.complete, suiteComplete, fixedComplete, betweenComplete)
	}
}

// inferCase checks and infers one case.
func inferCase(t *testing.T, dir string, given, fixed, between *proof) error {
	m, err := onnx.Open(filepath.Join(dir, "model.onnx"))
	if err != nil {
		return nil // the reader's tests say which these are
	}
	if err := m.Check(); err != nil {
		return fmt.Errorf("a false alarm: %w", err)
	}
	f, known := m.InferBlind(), m.Clone()
	feed, shapes := map[string]*exec.Tensor{}, map[string][]int64{}
	whole := true
	for i, in := range m.Graph.Inputs {
		x, err := caseTensor(filepath.Join(dir, "test_data_set_0", fmt.Sprintf("input_%d.pb", i)))
		if err != nil || x.Type == onnx.Undefined {
			whole = false
			continue
		}
		shapes[in.Name] = x.Dims
		if x.Name = in.Name; x.Len() <= 16 {
			known.Graph.SetInitializer(x)
		}
		if v, err := exec.FromONNX(x); err == nil {
			feed[in.Name] = v
		} else {
			whole = false
		}
	}
	env := environment(t, f, shapes)
	if err := known.Check(); err != nil {
		return fmt.Errorf("a false alarm, with inputs as constants: %w", err)
	}
	f2 := known.InferBlind()
	env2 := environment(t, f2, shapes)
	for i, o := range m.Graph.Outputs {
		y, err := caseTensor(filepath.Join(dir, "test_data_set_0", fmt.Sprintf("output_%d.pb", i)))
		if err != nil || y.Type == onnx.Undefined {
			continue // a sequence or an optional value
		}
		if o.Type == onnx.Undefined {
			continue
		}
		if err := given.compare(f, o.Name, y.Type, y.Dims, env, true); err != nil {
			return err
		}
		if err := fixed.compare(f2, o.Name, y.Type, y.Dims, env2, true); err != nil {
			return fmt.Errorf("inputs as constants: %w", err)
		}
	}
	if !whole {
		return nil
	}
	if err := between.intermediate(t, m, f, feed, env); err != nil && !errors.Is(err, errNotRun) {
		return err
	}
	return nil
}

// The counts when this test was written. What is missing depends on data (NonZero,
// Compress, Unique, NonMaxSuppression, Resize to a size that keeps the proportions, a
// Loop's rounds) or is of operators that nothing here runs.
const (
	suiteComplete   = 890
	fixedComplete   = 1054
	betweenComplete = 5427
	ortComplete     = 6039
)

// fed makes an input of the declared shape: lengths without a number get a small
// one by their name, numbers are small so that they can be indices and sizes.
func fed(v *onnx.ValueInfo) (*exec.Tensor, []int64) {
	shape, dims, n := []int{}, []int64{}, 1
	for _, d := range v.Dims {
		k := 2
		if d.Param != "" {
			h := fnv.New32a()
			h.Write([]byte(d.Param))
			k = 2 + int(h.Sum32()%3)
		}
		if d.Known && d.Size >= 0 {
			k = int(d.Size)
		}
		shape, dims, n = append(shape, k), append(dims, int64(k)), n*k
	}
	if n > 1<<22 {
		return nil, nil
	}
	values := make([]float32, n)
	ints := make([]int64, n)
	for i := range values {
		values[i], ints[i] = float32(i%7)/8-0.25, int64(i%2)
	}
	switch v.Type {
	case onnx.Float, onnx.Float16, onnx.BFloat16:
		return exec.Floats(values, shape...), dims
	case onnx.Int64:
		return exec.Int64s(ints, shape...), dims
	}
	raw := make([]byte, n*v.Type.Size())
	if v.Type.Size() > 0 && v.Type != onnx.Double {
		for i := range ints {
			raw[i*v.Type.Size()] = byte(ints[i])
		}
	}
	x, err := exec.FromONNX(&onnx.Tensor{Type: v.Type, Dims: dims, Raw: raw})
	if err != nil {
		return nil, nil
	}
	return x, dims
}

// misfits are the models of ONNX Runtime's tests that Check refuses, and why it is right.
// All of them were made for tests of rewriting, which look at the graph and do not run it.
var misfits = map[string]string{
	"whisper__oai_fp16_decoder_attention_no_past_split_bias.onnx":         "present_key_self is declared as the transpose of what is made",
	"whisper__oai_fp32_decoder_attention_no_past_split_bias.onnx":         "present_key_self is declared as the transpose of what is made",
	"fusion__attention_distilbert.onnx":                                   "a mask of 3 elements is reshaped to 1",
	"fusion__embed_layer_norm_format1.onnx":                               "index 1 into a table of one row",
	"fusion__embed_layer_norm_format7.onnx":                               "index 2 into a table of two rows",
	"fusion__fuse-matmul-bn-only-reshape.onnx":                            "parameters of 5 channels where there is 1",
	"fusion__fuse-matmul-bn-only-transpose.onnx":                          "parameters of 5 channels where there is 1",
	"fusion__reshape_fusion_concat_subgraph_mul.onnx":                     "6000 elements are reshaped to 120000",
	"fusion__reshape_fusion_concat_subgraph_not_triggered.onnx":           "an output of four axes is declared to have three",
	"fusion__reshape_fusion_multiple_values_in_initializer_tensor_1.onnx": "6000 elements are reshaped to 4000",
	"fusion__reshape_fusion_with_graph_inputs.onnx":                       "an output of two axes is declared to have three",
}

// structural are faults of models that ONNX Runtime mends as it reads them: nodes in
// another order, and its own operator set not imported.
func structural(line string) bool {
	return strings.Contains(line, "is made later, by") || strings.Contains(line, "operator set com.microsoft is not imported") || strings.Contains(line, "more faults")
}

// TestInferORTModels holds Check to ONNX Runtime's own test models, and the
// inference to what runs of them give.
func TestInferORTModels(t *testing.T) {
	var p proof
	seen := map[string]bool{}
	for _, path := range modelFiles(t, shared.Path(t, "conformance", "ort-models")) {
		m, err := onnx.Open(path)
		if err != nil {
			continue
		}
		name := filepath.Base(path)
		why := ""
		for k := range misfits {
			if strings.HasSuffix(name, k) {
				why, seen[k] = misfits[k], true
			}
		}
		var faults []string
		if err := m.Check(); err != nil {
			for _, line := range strings.Split(err.Error(), "\n") {
				if !structural(line) {
					faults = append(faults, line)
				}
			}
		}
		if (why == "") != (len(faults) == 0) {
			t.Errorf("%s: %q; the reason that is known: %q", name, faults, why)
		}
		if m.Graph.Sort() != nil {
			continue
		}
		f := m.InferBlind()
		feed, shapes := map[string]*exec.Tensor{}, map[string][]int64{}
		for _, in := range m.Graph.Inputs {
			if x, dims := fed(in); x != nil && m.Graph.Initializer(in.Name) == nil {
				feed[in.Name], shapes[in.Name] = x, dims
			}
		}
		if err := p.intermediate(t, m, f, feed, environment(t, f, shapes)); err != nil && !errors.Is(err, errNotRun) {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Logf("%d models run, %d values, of known type %d, of complete shape %d", p.ran, p.values, p.types, p.complete)
	if p.complete < ortComplete {
		t.Errorf("shapes of only %d values are complete; %d were when this test was written", p.complete, ortComplete)
	}
	for k := range misfits {
		if len(seen) > 0 && !seen[k] {
			t.Errorf("the list names %s, which is not there", k)
		}
	}
}

// TestInferModels: all lengths of the shared encoders are known, and Check finds nothing.
func TestInferModels(t *testing.T) {
	for _, path := range modelFiles(t, shared.Path(t, "models")) {
		m, err := onnx.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Check(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		f, err := m.Infer(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range m.Graph.Nodes {
			for _, o := range n.Outputs {
				v, ok := f.Value(o)
				if o == "" || ok && v.Type != onnx.Undefined && v.HasShape && !slices.ContainsFunc(v.Dims, func(d onnx.Dim) bool { return !d.Known && d.Param == "" }) {
					continue
				}
				t.Errorf("%s: node %s: %q is %+v", path, n.Label(), o, v)
			}
		}
	}
}
