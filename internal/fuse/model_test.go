package fuse_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/internal/modeltest"
	"github.com/litekit/lite/onnx"
)

// models are the shared models with what they hold.
var models = []struct {
	file                 string
	layers, heads, width int
	linear               string
	pooler               bool
	head                 int
}{
	{"sst2-bert-L2-H128/model.onnx", 2, 2, 64, fuse.OpLinear, true, 1},
	{"zh-bert-chnsenticorp-L4-H128/model.onnx", 4, 2, 64, fuse.OpLinear, true, 1},
	{"mlm-random-L3-H64/model.onnx", 3, 4, 16, fuse.OpLinear, false, 2},
	{"peer-int8/tiny4_312.ortdyn.onnx", 4, 12, 26, fuse.OpQLinear, true, 1},
}

func TestSharedModels(t *testing.T) {
	for _, c := range models {
		t.Run(c.file, func(t *testing.T) {
			m := modeltest.Open(t, "models", c.file)
			f := mustFuse(t, m)
			count := map[string]int{}
			for _, n := range f.Model.Graph.Nodes {
				count[n.Op]++
				for _, o := range f.Origin[n] {
					if !slices.Contains(m.Graph.Nodes, o) {
						t.Errorf("origin of %s is not a node of the original", n.Label())
					}
				}
			}
			if count[fuse.OpAttention] != c.layers || count[fuse.OpLayerNorm] < 1+2*c.layers || count[c.linear] < 6*c.layers {
				t.Errorf("got %v for %d layers", count, c.layers)
			}
			for _, op := range []string{"Softmax", "Erf", "MatMul", "MatMulInteger", "Sqrt", "Reshape", "Constant", "Identity"} {
				if count[op] != 0 {
					t.Errorf("%d %s left", count[op], op)
				}
			}
			e, err := fuse.Detect(m)
			if err != nil {
				t.Fatal(err)
			}
			if len(e.Layers) != c.layers || (e.Pooler != nil) != c.pooler || len(e.Head) != c.head {
				t.Errorf("%d layers, pooler %v, %d heads", len(e.Layers), e.Pooler, len(e.Head))
			}
			for _, want := range []struct{ got, part string }{{e.Word, "word"}, {e.Position, "position"}} {
				if !strings.Contains(want.got, want.part) {
					t.Errorf("%s embeddings are %q", want.part, want.got)
				}
			}
			if !strings.Contains(e.Type, "type") && !strings.Contains(e.Type, "segment") {
				t.Errorf("type embeddings are %q", e.Type)
			}
			for _, l := range e.Layers {
				if l.Heads != c.heads || l.HeadDim != c.width || l.Query.MatMul == nil || l.Query.Add == nil || l.Up.Act != fuse.ActGelu {
					t.Errorf("layer %+v", l)
				}
				for _, w := range []string{l.Query.Weight, l.Down.Weight, l.Query.Bias, l.FFNNorm.Gamma} {
					if m.Graph.Initializer(w) == nil {
						t.Errorf("%q is no initializer of the original", w)
					}
				}
			}
		})
	}
}

// TestShapeRefs halves the heads of one layer and looks at what the graph then says.
func TestShapeRefs(t *testing.T) {
	for _, c := range models {
		t.Run(c.file, func(t *testing.T) {
			m := modeltest.Open(t, "models", c.file).Clone()
			e, err := fuse.Detect(m)
			if err != nil {
				t.Fatal(err)
			}
			l := e.Layers[0]
			keep := int64(c.heads / 2)
			for _, r := range slices.Concat(l.SplitShapes, l.MergeShapes) {
				v := map[fuse.ShapeKind]int64{fuse.HeadCount: keep, fuse.HeadSize: int64(c.width), fuse.HeadsTimesSize: keep * int64(c.width)}[r.Kind]
				if err := r.Set(m.Graph, v); err != nil {
					t.Fatal(err)
				}
			}
			halve(t, m, e)
			after, err := fuse.Detect(m)
			if err != nil {
				t.Fatal(err)
			}
			if got := after.Layers[0]; got.Heads != int(keep) || got.HeadDim != c.width {
				t.Errorf("layer 0 has %d heads of %d, want %d of %d", got.Heads, got.HeadDim, keep, c.width)
			}
			if got := after.Layers[1]; got.Heads != c.heads {
				t.Errorf("layer 1 has %d heads, want %d", got.Heads, c.heads)
			}
		})
	}
}

// halve gives the attention of layer 0 weights of half the heads (of zeros: only shapes matter here).
func halve(t *testing.T, m *onnx.Model, e *fuse.Encoder) {
	l := e.Layers[0]
	for i, lin := range []fuse.Linear{l.Query, l.Key, l.Value, l.Output} {
		w := *m.Graph.Initializer(lin.Weight)
		in, out := int64(lin.In), int64(lin.Out)/2
		if i == 3 {
			in, out = int64(lin.In)/2, int64(lin.Out)
		}
		w.Dims, w.Raw = []int64{in, out}, make([]byte, int(in*out)*w.Type.Size())
		w.Name = lin.Weight + "_half"
		m.Graph.SetInitializer(&w)
		lin.MatMul.Inputs[1] = w.Name
		if i < 3 {
			m.Graph.SetInitializer(onnx.NewFloats(lin.Bias+"_half", make([]float32, out), out))
			for k, v := range lin.Add.Inputs {
				if !slices.Contains(lin.MatMul.Outputs, v) && len(m.Graph.Consumers()[v]) > 0 && m.Graph.Producers()[v] == nil || m.Graph.Producers()[v] != nil && m.Graph.Producers()[v].Op == "Identity" {
					lin.Add.Inputs[k] = lin.Bias + "_half"
				}
			}
		}
	}
}

func TestDetectErrors(t *testing.T) {
	var none *fuse.NoEncoderError
	_, err := fuse.Detect(x8(14).weight("w", 8, 6).output("y", "B", "S", 6).node("MatMul x w -> y").model())
	if !errors.As(err, &none) || !strings.Contains(err.Error(), "no attention") || !strings.Contains(err.Error(), "1 Linear") {
		t.Errorf("a linear layer alone: %v", err)
	}
	_, err = fuse.Detect(attentions()[0].b.model())
	if !errors.As(err, &none) || !strings.Contains(err.Error(), "query") {
		t.Errorf("an attention alone: %v", err)
	}
	if _, err = fuse.Detect(nil); err == nil {
		t.Error("no model: no error")
	}
	bad := x8(14).output("y", "B", "S", 8).node("Relu z -> y").node("Relu x -> z").model()
	if _, err = fuse.Fuse(bad); err != nil && !strings.Contains(err.Error(), "topological") {
		t.Errorf("nodes out of order: %v", err)
	} else if err == nil {
		t.Error("nodes out of order: no error")
	}
}

func TestUntie(t *testing.T) {
	m := modeltest.Open(t, "models", "mlm-random-L3-H64/model.onnx")
	u := fuse.Untie(m)
	e, err := fuse.Detect(u)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := e.Layers[1].Query.Bias, "bert.encoder.layer.1.attention.self.query.bias"; got != want || u.Graph.Initializer(got) == nil {
		t.Errorf("query bias of layer 1 is %q, want the initializer %q", got, want)
	}
	sound(t, u)
	if ops(m) == ops(u) {
		t.Error("no Identity was removed")
	}
}
