package prune_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/internal/modeltest"
	"github.com/litekit/lite/internal/shared"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/prune"
	"github.com/litekit/lite/student"
)

// models are our own graph, with heads of every kind, and torch's of three opsets.
func models(t *testing.T) map[string]*onnx.Model {
	ms := map[string]*onnx.Model{"student": modeltest.New(t, tiny, 1, student.Classification(labels), student.MaskedLM(), student.POS(tags))}
	factorised := tiny
	factorised.Embedding, factorised.Decoder = 10, student.Untied
	ms["factorised"] = modeltest.New(t, factorised, 1, student.Classification(labels), student.MaskedLM(), student.POS(tags))
	for _, dir := range []string{"sst2-bert-L2-H128", "zh-bert-chnsenticorp-L4-H128", "mlm-random-L3-H64"} {
		if _, ok := shared.Find("models", dir); ok {
			ms[dir] = modeltest.Open(t, "models", dir)
		}
	}
	return ms
}

func apply(t *testing.T, c prune.Config, m *onnx.Model) (*onnx.Model, *prune.Report) {
	t.Helper()
	out, r, err := c.Run(context.Background(), m)
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Check(); err != nil {
		t.Fatal(err)
	}
	return out, r
}

func TestNothingToPruneChangesNothing(t *testing.T) {
	for name, m := range models(t) {
		for _, u := range prune.Units() {
			out, r := apply(t, prune.Config{Unit: u}, m)
			if out.Hash() != m.Hash() || r.ParamsAfter != r.ParamsBefore {
				t.Errorf("%s, %s: sparsity 0 changed the model", name, u)
			}
		}
	}
}

// Nodes out of order are no fault, as ONNX Runtime has it; a graph that cannot run is.
func TestOrderAndFaults(t *testing.T) {
	m := modeltest.New(t, tiny, 1, student.Classification(labels))
	c := prune.Config{Unit: prune.Neurons, Sparsity: 0.5}
	want, _ := apply(t, c, m)
	mixed := m.Clone()
	slices.Reverse(mixed.Graph.Nodes)
	got, _ := apply(t, c, mixed)
	if got.Parameters() != want.Parameters() {
		t.Errorf("%d parameters, %d of the model in order", got.Parameters(), want.Parameters())
	}
	bad := m.Clone()
	n := bad.Graph.Producers()[bad.Graph.Outputs[0].Name]
	n.Inputs[1] = bad.Graph.Inputs[0].Name
	_, _, err := c.Run(context.Background(), bad)
	if err == nil || !strings.Contains(err.Error(), "cannot run") || !strings.Contains(err.Error(), n.Label()) {
		t.Errorf("error %v", err)
	}
	if _, err := student.Copy(m, bad, nil); err == nil || !strings.Contains(err.Error(), "to copy from cannot run") {
		t.Errorf("error %v", err)
	}
	if copied, err := student.Copy(m, mixed, nil); err != nil || copied.Hash() != m.Hash() {
		t.Errorf("a copy of the model itself differs, or: %v", err)
	}
}

// given scores single heads and neurons 0 and everything else 1.
func given(enc [][2]int, heads map[int][]int, neurons map[int][]int) prune.Given {
	var s prune.Scores
	for l, size := range enc {
		h, n := make([]float32, size[0]), make([]float32, size[1])
		for i := range h {
			h[i] = 1
		}
		for i := range n {
			n[i] = 1
		}
		for _, i := range heads[l] {
			h[i] = 0
		}
		for _, i := range neurons[l] {
			n[i] = 0
		}
		s.Heads, s.Neurons = append(s.Heads, h), append(s.Neurons, n)
	}
	return prune.Given{Label: "test", Scores: s}
}

// silence sets the rows of the output matrices that carry a layer's head and neurons to zero.
func silence(t *testing.T, m *onnx.Model, layer, head, size int, neurons []int) *onnx.Model {
	t.Helper()
	c := m.Clone()
	clear := func(name string, rows []int) {
		w := c.Graph.Initializer(name)
		v, err := w.Floats()
		if err != nil {
			t.Fatal(err)
		}
		v = slices.Clone(v)
		n := int(w.Dims[1])
		for _, r := range rows {
			for i := range n {
				v[r*n+i] = 0
			}
		}
		c.Graph.SetInitializer(onnx.NewFloats(name, v, w.Dims...))
	}
	p := "bert.encoder.layer." + string(rune('0'+layer))
	rows := make([]int, size)
	for i := range rows {
		rows[i] = head*size + i
	}
	clear(p+".attention.output.dense.weight", rows)
	clear(p+".output.dense.weight", neurons)
	return c
}

func TestPruningWhatIsSilentChangesNothing(t *testing.T) {
	neurons := []int{0, 7, 8, 39}
	m := silence(t, modeltest.New(t, tiny, 1, student.Classification(labels), student.MaskedLM()), 1, 2, 8, neurons)
	size := [][2]int{{3, 40}, {3, 40}}
	in := modeltest.Inputs(60, 3, 11, 6)
	want := modeltest.Run(t, m, in)
	for _, c := range []struct {
		unit     prune.Unit
		sparsity float64
	}{{prune.Heads, 1. / 6}, {prune.Neurons, 4. / 80}} {
		out, r := apply(t, prune.Config{
			Unit: c.unit, Scope: prune.Global, Sparsity: c.sparsity,
			Criterion: given(size, map[int][]int{1: {2}}, map[int][]int{1: neurons}),
		}, m)
		got := modeltest.Run(t, out, in)
		for name, w := range want {
			if err := modeltest.Near(got[name].F32, w.F32, 1e-6); err != nil {
				t.Errorf("%s: %s: %v", c.unit, name, err)
			}
		}
		if l := r.Layers[1]; c.unit == prune.Heads && !slices.Equal(l.RemovedHeads, []int{2}) || c.unit == prune.Neurons && !slices.Equal(l.RemovedNeurons, neurons) {
			t.Errorf("%s: removed %+v", c.unit, l)
		}
		if r.ParamsAfter >= r.ParamsBefore {
			t.Errorf("%s: %d parameters, %d before", c.unit, r.ParamsAfter, r.ParamsBefore)
		}
	}
}

// TestSurgeryEqualsZeroing removes units from real exports and compares with
// the same model in which their output weights are zero.
func TestSurgeryEqualsZeroing(t *testing.T) {
	for name, m := range models(t) {
		t.Run(name, func(t *testing.T) {
			before := m.Hash()
			_, shape, err := student.Weights(m)
			if err != nil {
				t.Fatal(err)
			}
			var size [][2]int
			heads, neurons := map[int][]int{}, map[int][]int{}
			zeroed := m
			for l := range shape.Layers {
				size = append(size, [2]int{shape.Heads, shape.FFN})
				if l%2 == 1 { // uneven
					heads[l], neurons[l] = []int{1}, []int{2, 3, 17}
				}
			}
			removed := len(heads)
			// Zeroing by name works on a copy of the weights in our own graph.
			kind := student.Classification(m.Config.ID2Label)
			if name == "mlm-random-L3-H64" {
				kind = student.MaskedLM()
			}
			if name != "student" {
				if zeroed, err = student.Copy(modeltest.New(t, shape, 1, kind), m, nil); err != nil {
					t.Fatal(err)
				}
			}
			for l := range heads {
				zeroed = silence(t, zeroed, l, 1, shape.Hidden/shape.Heads, neurons[l])
			}
			in := modeltest.Inputs(shape.Vocab, 3, 11, 6)
			want := modeltest.Run(t, zeroed, in)["logits"].F32

			out, _ := apply(t, prune.Config{Unit: prune.Heads, Scope: prune.Global,
				Sparsity: float64(removed) / float64(shape.Heads*shape.Layers), Criterion: given(size, heads, nil)}, m)
			out, _ = apply(t, prune.Config{Unit: prune.Neurons, Scope: prune.Global,
				Sparsity: float64(3*removed) / float64(shape.FFN*shape.Layers), Criterion: given(sizes(t, out), nil, neurons)}, out)
			if err := modeltest.Near(modeltest.Run(t, out, in)["logits"].F32, want, 1e-4); err != nil {
				t.Errorf("not the model with these units at zero: %v", err)
			}
			if err := modeltest.Near(modeltest.RunORT(t, out, in)["logits"], want, 1e-4); err != nil {
				t.Errorf("ONNX Runtime: %v", err)
			}
			if m.Hash() != before {
				t.Error("the model that was given has changed")
			}
		})
	}
}

// sizes is heads and neurons per layer as config.json has them.
func sizes(t *testing.T, m *onnx.Model) [][2]int {
	t.Helper()
	l, err := student.ReadLite(m.Config)
	if err != nil {
		t.Fatal(err)
	}
	out := make([][2]int, m.Config.NumHiddenLayers)
	for i := range out {
		out[i] = [2]int{m.Config.NumAttentionHeads, m.Config.IntermediateSize}
		if l.AttentionHeads != nil {
			out[i][0] = l.AttentionHeads[i]
		}
		if l.IntermediateSizes != nil {
			out[i][1] = l.IntermediateSizes[i]
		}
	}
	return out
}

func TestStructuredPruningOfEveryModel(t *testing.T) {
	for name, m := range models(t) {
		t.Run(name, func(t *testing.T) {
			in := modeltest.Inputs(60, 2, 9, 5)
			for _, c := range []prune.Config{
				{Unit: prune.HeadsAndNeurons, Sparsity: 0.5},
				{Unit: prune.HeadsAndNeurons, Sparsity: 0.4, Scope: prune.Global, Normalize: true, Criterion: prune.Random{Seed: 3}},
				{Unit: prune.Layers, Sparsity: 0.5},
			} {
				before := m.Hash()
				out, r := apply(t, c, m)
				if m.Hash() != before {
					t.Error("the model that was given has changed")
				}
				got := modeltest.Run(t, out, in)["logits"].F32
				if err := modeltest.Near(got, modeltest.RunORT(t, out, in)["logits"], 1e-4); err != nil {
					t.Errorf("%s: ONNX Runtime differs: %v", c.Unit, err)
				}
				dir := t.TempDir()
				if fewer, shrunk := r.BytesBefore-r.BytesAfter, fileSize(t, dir, m)-fileSize(t, dir, out); fewer <= 0 || shrunk < fewer-int64(4096) {
					t.Errorf("%s: %d bytes of weights fewer, the file by %d", c.Unit, fewer, shrunk)
				}
				again, _ := apply(t, c, m)
				if again.Hash() != out.Hash() {
					t.Errorf("%s: two runs, two models", c.Unit)
				}
				// What was pruned can be pruned again.
				twice, _ := apply(t, prune.Config{Unit: prune.Neurons, Sparsity: 0.25}, out)
				modeltest.Run(t, twice, in)
			}
		})
	}
}

func fileSize(t *testing.T, dir string, m *onnx.Model) int64 {
	t.Helper()
	p := filepath.Join(dir, "m.onnx")
	if err := m.Save(p); err != nil {
		t.Fatal(err)
	}
	s, err := os.Stat(p)
	if err != nil {
		t.Fatal(err)
	}
	return s.Size()
}

func TestExactCountsAndLimits(t *testing.T) {
	s := tiny
	s.Hidden, s.Heads, s.FFN = 32, 8, 50
	m := modeltest.New(t, s, 1, student.MaskedLM())
	left := func(c prune.Config) (heads, neurons []int) {
		_, r := apply(t, c, m)
		for _, l := range r.Layers {
			heads, neurons = append(heads, l.Heads), append(neurons, l.Neurons)
		}
		return heads, neurons
	}
	h, n := left(prune.Config{Unit: prune.HeadsAndNeurons, Sparsity: 0.3})
	if !slices.Equal(h, []int{6, 6}) || !slices.Equal(n, []int{35, 35}) { // 2.4 → 2, 15
		t.Errorf("30%%: heads %v, neurons %v left", h, n)
	}
	h, n = left(prune.Config{Unit: prune.HeadsAndNeurons, Sparsity: 0.99})
	if !slices.Equal(h, []int{1, 1}) || !slices.Equal(n, []int{8, 8}) {
		t.Errorf("99%%: heads %v, neurons %v left", h, n)
	}
	h, n = left(prune.Config{Unit: prune.HeadsAndNeurons, Sparsity: 0.99, Scope: prune.Global, MinHeads: 3, MinNeurons: 11, NeuronMultiple: 4})
	if !slices.Equal(h, []int{3, 3}) || !slices.Equal(n, []int{12, 12}) {
		t.Errorf("limits: heads %v, neurons %v left", h, n)
	}
	h, _ = left(prune.Config{Unit: prune.Heads, Sparsity: 0.5, Scope: prune.Global, Criterion: given([][2]int{{8, 50}, {8, 50}}, map[int][]int{0: {0, 1, 2, 3, 4, 5, 6, 7}}, nil)})
	if !slices.Equal(h, []int{1, 7}) { // the layer keeps one; ties go by layer and position
		t.Errorf("global: heads %v left", h)
	}
}

func TestConfigJSON(t *testing.T) {
	s := tiny
	s.Layers, s.Hidden, s.Heads = 3, 32, 4
	m := modeltest.New(t, s, 1, student.MaskedLM())
	prunedHeads := func(m *onnx.Model) string { return string(m.Config.Extra["pruned_heads"]) }
	size := [][2]int{{4, 40}, {4, 40}, {4, 40}}
	out, _ := apply(t, prune.Config{Unit: prune.Heads, Scope: prune.Global, Sparsity: 3. / 12,
		Criterion: given(size, map[int][]int{0: {0, 2}, 2: {3}}, nil)}, m)
	if got := prunedHeads(out); got != `{"0":[0,2],"2":[3]}` {
		t.Errorf("pruned heads %s", got)
	}
	l, err := student.ReadLite(out.Config)
	if err != nil || !slices.Equal(l.AttentionHeads, []int{2, 4, 3}) || l.IntermediateSizes != nil || out.Config.NumAttentionHeads != 4 {
		t.Errorf("%+v, %v", l, err)
	}
	// A second pruning counts in the heads of the first model: of 1 and 3 goes 3.
	out, _ = apply(t, prune.Config{Unit: prune.Heads, Scope: prune.Global, Sparsity: 1. / 9,
		Criterion: given([][2]int{{2, 40}, {4, 40}, {3, 40}}, map[int][]int{0: {1}}, nil)}, out)
	if got := prunedHeads(out); got != `{"0":[0,2,3],"2":[3]}` {
		t.Errorf("pruned heads %s", got)
	}
	out, _ = apply(t, prune.Config{Unit: prune.Neurons, Sparsity: 0.5}, out)
	if out.Config.IntermediateSize != 20 {
		t.Errorf("intermediate size %d", out.Config.IntermediateSize)
	}
	out, _ = apply(t, prune.Config{Unit: prune.Layers, Drop: []int{1}}, out)
	if got := prunedHeads(out); got != `{"0":[0,2,3],"1":[3]}` || out.Config.NumHiddenLayers != 2 {
		t.Errorf("pruned heads %s in %d layers", got, out.Config.NumHiddenLayers)
	}
	l, err = student.ReadLite(out.Config)
	if err != nil || !slices.Equal(l.AttentionHeads, []int{1, 3}) || !slices.Equal(l.Heads, []student.Kind{student.KindMaskedLM}) {
		t.Errorf("%+v, %v", l, err)
	}
	if _, err := json.Marshal(out.Config); err != nil {
		t.Error(err)
	}
}

// TestPrunedEncoderUnderOtherHeads: what pruning leaves can be read, given other
// heads and exported.
func TestPrunedEncoderUnderOtherHeads(t *testing.T) {
	m := modeltest.New(t, tiny, 1, student.MaskedLM(), student.POS(tags))
	out, r := apply(t, prune.Config{Unit: prune.HeadsAndNeurons, Sparsity: 0.34, Scope: prune.Global, Criterion: prune.Random{Seed: 8}}, m)
	c, err := student.WithHeads(out, []student.Head{student.Classification(labels), student.MaskedLM()}, 1)
	if err != nil {
		t.Fatal(err)
	}
	in := modeltest.Inputs(60, 2, 9, 5)
	if err := modeltest.Near(modeltest.Run(t, c, in)["mlm_logits"].F32, modeltest.Run(t, out, in)["logits"].F32, 0); err != nil {
		t.Error(err)
	}
	list, err := student.Safetensors(c)
	if err != nil {
		t.Fatal(err)
	}
	dims := map[string][]int64{}
	for _, x := range list {
		dims[x.Name] = x.Dims
	}
	for i, l := range r.Layers {
		p := "bert.encoder.layer." + string(rune('0'+i))
		if got := dims[p+".attention.output.dense.weight"]; !slices.Equal(got, []int64{24, int64(8 * l.Heads)}) {
			t.Errorf("layer %d: attention output %v with %d heads", i, got, l.Heads)
		}
		if got := dims[p+".intermediate.dense.weight"]; !slices.Equal(got, []int64{int64(l.Neurons), 24}) {
			t.Errorf("layer %d: first feed-forward matrix %v with %d neurons", i, got, l.Neurons)
		}
	}
	if !slices.EqualFunc(sizes(t, c), r.Layers, func(s [2]int, l prune.LayerReport) bool { return s == [2]int{l.Heads, l.Neurons} }) {
		t.Errorf("config.json says %v", sizes(t, c))
	}
}

func TestDroppedLayers(t *testing.T) {
	s := tiny
	s.Layers = 4
	m := modeltest.New(t, s, 1) // its output is the last layer's
	in := modeltest.Inputs(60, 2, 7, 4)
	out, r := apply(t, prune.Config{Unit: prune.Layers, Drop: []int{3, 1}}, m)
	two := s
	two.Layers = 2
	want, err := student.Copy(modeltest.New(t, two, 2), m, []int{0, 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := modeltest.Near(modeltest.Run(t, out, in)["last_hidden_state"].F32, modeltest.Run(t, want, in)["last_hidden_state"].F32, 1e-6); err != nil {
		t.Error(err)
	}
	if r.Sparsity != 0.5 || !r.Layers[1].Dropped || !r.Layers[3].Dropped || r.Layers[2].Dropped || !strings.Contains(r.String(), "layer 3: dropped") {
		t.Errorf("report %+v", r)
	}
	out, _ = apply(t, prune.Config{Unit: prune.Layers, Sparsity: 0.5, Keep: student.First}, m)
	if want, err = student.Copy(modeltest.New(t, two, 2), m, []int{0, 1}); err != nil {
		t.Fatal(err)
	}
	if err := modeltest.Near(modeltest.Run(t, out, in)["last_hidden_state"].F32, modeltest.Run(t, want, in)["last_hidden_state"].F32, 1e-6); err != nil {
		t.Error(err)
	}
}
