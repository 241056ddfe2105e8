package ort_test

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/litekit/lite/internal/demo"
	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/internal/modeltest"
	"github.com/litekit/lite/internal/ort"
	"github.com/litekit/lite/internal/shared"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/prune"
	"github.com/litekit/lite/quantize"
	"github.com/litekit/lite/student"
)

// halfTolerance is for graphs that compute in float16.
const halfTolerance = 5e-3

// base is an encoder that the variants are made of. All variants are made of the
// teacher of lite demo; of the real exports, which are written in other ways
// already, those that stand for an exporter.
type base struct {
	name string
	m    *onnx.Model
	some map[string]bool // variants, all where nil
}

func bases(t *testing.T) []base {
	t.Helper()
	dir := t.TempDir()
	if err := demo.UnpackTeacher(dir); err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := []base{{"demo", m, nil}}
	some := map[string]bool{"torch-11": true, "torch-14": true, "torch-17": true, "torch-17-sdpa": true}
	for _, name := range []string{"sst2-bert-L2-H128", "zh-bert-chnsenticorp-L4-H128", "mlm-random-L3-H64"} {
		if path, ok := shared.Find("models", name); ok {
			if m, err = onnx.Open(path); err != nil {
				t.Fatal(err)
			}
			out = append(out, base{name, m, some})
		}
	}
	return out
}

// variant is a model to compare.
type variant struct {
	name  string
	path  string
	m     *onnx.Model
	tol   float64
	vocab int
	orig  *onnx.Model // what it must compute too, nil where that does not hold
}

// variants writes every variant of every base, with external data, and the bases.
func variants(t *testing.T) (out []variant) {
	t.Helper()
	dir := t.TempDir()
	for _, b := range bases(t) {
		shape, err := student.Measure(b.m)
		if err != nil {
			t.Fatal(err)
		}
		add := func(name string, m *onnx.Model, o onnx.SaveOptions, tol float64, orig *onnx.Model) {
			path := filepath.Join(dir, b.name+"-"+name+".onnx")
			if _, err := m.SaveWith(path, o); err != nil {
				t.Fatal(err)
			}
			if m, err = onnx.Open(path); err != nil {
				t.Fatal(err)
			}
			out = append(out, variant{b.name + "/" + name, path, m, tol, shape.Vocab, orig})
		}
		add("original", b.m, onnx.SaveOptions{}, tolerance, nil)
		for _, v := range modeltest.Variants() {
			if b.some != nil && !b.some[v.Name] {
				continue
			}
			m := v.Make(t, b.m)
			tol := tolerance
			if v.Half {
				tol = halfTolerance
			}
			orig := b.m
			if v.Half || v.Name == "float16-weights" || v.Name == "bfloat16-weights" {
				orig = nil // of other weights
			}
			add(v.Name, m, onnx.SaveOptions{}, tol, orig)
			if b.some == nil && (v.Name == "torch-14" || v.Name == "float16-weights") {
				add(v.Name+"-external", m, onnx.SaveOptions{ExternalData: true}, tol, orig)
			}
		}
	}
	return out
}

// shapes are batches, their lengths, and the length of the last row.
var shapes = []struct{ batch, seq, last int }{{1, 1, 1}, {1, 9, 9}, {3, 16, 5}, {2, 33, 30}}

// feed is the part of in that m reads.
func feed(m *onnx.Model, in map[string]*exec.Tensor) map[string]*exec.Tensor {
	out := map[string]*exec.Tensor{}
	for _, v := range m.Graph.Inputs {
		if x := in[v.Name]; x != nil {
			out[v.Name] = x
		}
	}
	return out
}

// TestVariantsAgree holds lite, fused and node by node, to ONNX Runtime on every
// variant, and the variants to what they were made of.
func TestVariantsAgree(t *testing.T) {
	ort.Need(t)
	list := variants(t)
	if file, ok := shared.Find("models", "peer-int8", "tiny4_312.ortdyn.onnx"); ok {
		m, err := onnx.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, variant{"peer-int8", file, m, stepTolerance, 21128, nil})
	}
	list = append(list, optimized(t, list)...)
	agree(t, list)
}

// optimized are the graphs that ONNX Runtime itself writes of some variants.
func optimized(t *testing.T, list []variant) (out []variant) {
	t.Helper()
	dir := t.TempDir()
	var jobs []ort.Rewrite
	for _, v := range list {
		levels := map[string][]string{
			"demo/original": {"basic", "extended", "all"}, "demo/torch-11": {"extended"}, "demo/torch-14": {"basic", "extended"},
			"demo/torch-17-sdpa": {"extended"}, "demo/float16-graph": {"extended"}, "sst2-bert-L2-H128/original": {"extended"},
			"zh-bert-chnsenticorp-L4-H128/original": {"extended"}, "mlm-random-L3-H64/original": {"extended"}, "peer-int8": {"extended"},
		}[v.name]
		for _, level := range levels {
			to := filepath.Join(dir, fmt.Sprintf("%d.onnx", len(jobs)))
			jobs = append(jobs, ort.Rewrite{From: v.path, To: to, Level: level})
			v := v
			v.name, v.path = v.name+"-ort-"+level, to
			out = append(out, v)
		}
	}
	ort.Optimize(t, jobs)
	for i := range out {
		m, err := onnx.Open(out[i].path)
		if err != nil {
			t.Fatal(err)
		}
		out[i].m = m
	}
	return out
}

func agree(t *testing.T, list []variant) {
	var cases []ort.Case
	var inputs [][]map[string]*exec.Tensor
	for _, v := range list {
		c := ort.Case{Path: v.path}
		var ins []map[string]*exec.Tensor
		for _, s := range shapes {
			in := feed(v.m, modeltest.Inputs(v.vocab, s.batch, s.seq, s.last))
			theirs := map[string]ort.Tensor{}
			for name, x := range in {
				theirs[name] = ort.Int64s(x.I64, x.Shape...)
			}
			c.Batches = append(c.Batches, theirs)
			ins = append(ins, in)
		}
		cases, inputs = append(cases, c), append(inputs, ins)
	}
	// Of float16 graphs ONNX Runtime's own fusions change the answers by more than
	// rounding: those are held to the graph as it is written.
	answers := ort.Try(t, cases, len(shapes), "all", "basic")
	for i, v := range list {
		t.Run(v.name, func(t *testing.T) {
			var wants [][]float32
			level := 0
			if v.tol == halfTolerance {
				level = 1
			}
			for j, a := range answers[i][level] {
				if a.Err != nil {
					t.Fatalf("ONNX Runtime, batch %d: %v", j, a.Err)
				}
				wants = append(wants, wide(a.Outputs["logits"]))
			}
			if len(wants) != len(shapes) {
				t.Fatalf("%d answers of ONNX Runtime", len(wants))
			}
			for _, unfused := range []bool{false, true} {
				near(t, v.m, unfused, inputs[i], wants, v.tol)
			}
			if v.orig != nil {
				near(t, v.orig, false, inputs[i], wants, v.tol)
			}
		})
	}
}

// wide is the tensor in float32.
func wide(x ort.Tensor) []float32 {
	if x.F16 == nil {
		return x.F32
	}
	out := make([]float32, len(x.F16))
	for i, v := range x.F16 {
		out[i] = onnx.Float16ToFloat32(v)
	}
	return out
}

func near(t *testing.T, m *onnx.Model, unfused bool, inputs []map[string]*exec.Tensor, wants [][]float32, tol float64) {
	t.Helper()
	s, err := exec.New(m, exec.Options{Unfused: unfused})
	if err != nil {
		t.Errorf("unfused %v: %v", unfused, err)
		return
	}
	for j, in := range inputs {
		out, err := s.Run(context.Background(), in, "logits")
		if err != nil {
			t.Errorf("unfused %v: %v", unfused, err)
			return
		}
		if d := distance(out["logits"].F32, wants[j]); !(d <= tol) {
			t.Errorf("unfused %v, batch of %v: logits differ by %g", unfused, shapes[j], d)
		}
	}
}

// TestVariantsAreEncoders: whatever the spelling, fuse finds the same encoder in
// as many fused nodes, and models can be quantized, pruned and copied from.
func TestVariantsAreEncoders(t *testing.T) {
	for _, b := range bases(t) {
		want, wantNodes := detect(t, b.m)
		for _, v := range modeltest.Variants() {
			if b.some != nil && !b.some[v.Name] {
				continue
			}
			t.Run(b.name+"/"+v.Name, func(t *testing.T) {
				m := v.Make(t, b.m)
				if !v.Half {
					got, nodes := detect(t, m)
					if got != want || fmt.Sprint(nodes) != fmt.Sprint(wantNodes) {
						t.Errorf("found %s of %v, want %s of %v", got, nodes, want, wantNodes)
					}
				}
				surgery(t, m, v.Half)
			})
		}
	}
}

// detect describes the encoder in a few words and counts the fused nodes.
func detect(t *testing.T, m *onnx.Model) (string, map[string]int) {
	t.Helper()
	f, err := fuse.Fuse(m)
	if err != nil {
		t.Fatal(err)
	}
	nodes := map[string]int{}
	for _, n := range f.Model.Graph.Nodes {
		if n.Domain == fuse.Domain {
			nodes[n.Op+" "+n.Str("act", "")]++
		}
	}
	e, err := fuse.Detect(m)
	if err != nil {
		t.Errorf("%v", err)
		return "", nodes
	}
	l := e.Layers[0]
	return fmt.Sprintf("%d layers of %d heads × %d, %d → %d, pooler %v, %d linears of the head", len(e.Layers), l.Heads, l.HeadDim, l.Query.In, l.Up.Out, e.Pooler != nil, len(e.Head)), nodes
}

// surgery does to a variant what users do to models. Where that is refused, as in
// float16, the error must say why.
func surgery(t *testing.T, m *onnx.Model, half bool) {
	t.Helper()
	ctx := context.Background()
	refused := func(what string, err error) {
		t.Helper()
		switch {
		case !half && err != nil:
			t.Errorf("%s: %v", what, err)
		case half && (err == nil || !strings.Contains(err.Error(), "float16")):
			t.Errorf("%s: error %v; want one that tells of float16", what, err)
		}
	}
	small, report, err := quantize.Run(ctx, m, quantize.Default())
	refused("quantize", err)
	if err == nil && report.Quantized == 0 {
		t.Error("nothing was quantized")
	}
	pruned, err := prune.Config{Unit: prune.Heads, Sparsity: 0.5}.Apply(ctx, m)
	if !strings.HasSuffix(t.Name(), "/gemm-reshaped") {
		refused("prune", err)
	} else if err == nil || !strings.Contains(err.Error(), "between two Reshapes") {
		t.Errorf("prune: error %v; want one that tells of the Reshapes", err)
	}
	if half {
		_, _, err := student.Weights(m)
		refused("copy", err)
		return
	}
	shape, err := student.Measure(m)
	if err != nil {
		t.Errorf("measure: %v", err)
		return
	}
	shape.Layers = 1
	fresh, err := student.New(shape, []student.Head{student.Classification([]string{"a", "b"})}, 1)
	if err != nil {
		t.Fatal(err)
	}
	copied, err := student.Copy(fresh, m, []int{0})
	refused("copy", err)
	in := modeltest.Inputs(shape.Vocab, 2, 8, 5)
	for _, made := range []*onnx.Model{small, pruned, copied} {
		if made == nil {
			continue
		}
		out := modeltest.Run(t, made, feed(made, in))["logits"]
		for _, v := range out.F32 {
			if math.IsNaN(float64(v)) {
				t.Fatal("a logit is no number")
			}
		}
	}
}
