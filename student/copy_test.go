package student_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/modeltest"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// sources are real models in three exporters' spellings.
var sources = []struct {
	dir    string
	layers int
	head   func(m *onnx.Model) student.Head
}{
	{"sst2-bert-L2-H128", 2, func(m *onnx.Model) student.Head { return student.Classification(m.Config.ID2Label) }},
	{"zh-bert-chnsenticorp-L4-H128", 4, func(m *onnx.Model) student.Head { return student.Classification(m.Config.ID2Label) }},
	{"mlm-random-L3-H64", 3, func(*onnx.Model) student.Head { return student.MaskedLM() }},
}

func TestCopyOfAllLayersReproducesTheSource(t *testing.T) {
	for _, c := range sources {
		t.Run(c.dir, func(t *testing.T) {
			src := modeltest.Open(t, "models", c.dir)
			shape := student.ShapeOf(src.Config)
			dst := modeltest.New(t, shape, 1, c.head(src))
			before := dst.Hash()
			got, rep, err := student.CopyReport(dst, src, nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(rep.Fresh) > 0 || len(rep.Partial) > 0 || len(rep.Copied) != len(dst.Graph.Initializers) {
				t.Errorf("%d of %d copied, fresh %v, partial %v", len(rep.Copied), len(dst.Graph.Initializers), rep.Fresh, rep.Partial)
			}
			if dst.Hash() != before {
				t.Error("the student that was given has changed")
			}
			in := modeltest.Inputs(shape.Vocab, 2, 9, 4)
			if err := modeltest.Near(modeltest.Run(t, got, in)["logits"].F32, modeltest.Run(t, src, in)["logits"].F32, 1e-4); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWeights(t *testing.T) {
	for _, c := range sources {
		src := modeltest.Open(t, "models", c.dir)
		w, shape, err := student.Weights(src)
		if err != nil {
			t.Fatal(err)
		}
		want := student.ShapeOf(src.Config)
		if shape != want {
			t.Errorf("%s: shape %+v, config says %+v", c.dir, shape, want)
		}
		// The same names and sizes as a student of that shape has, and no more.
		made := modeltest.New(t, shape, 1, c.head(src)).Graph.InitializerMap()
		for name, x := range made {
			if w[name] == nil || !slices.Equal(w[name].Dims, x.Dims) || w[name].Name != name {
				t.Errorf("%s: %s is missing or of another size: %+v", c.dir, name, w[name])
			}
		}
		if len(w) != len(made) {
			t.Errorf("%s: %d weights, a student has %d", c.dir, len(w), len(made))
		}
	}
}

func TestCopyRoundTripOfAllHeads(t *testing.T) {
	src, dst := modeltest.New(t, tiny, 1, headSets["all"]...), modeltest.New(t, tiny, 2, headSets["all"]...)
	got, err := student.Copy(dst, src, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Hash() != src.Hash() {
		t.Error("a student that copies everything from its like is not its like")
	}
	// As well into a torch export, whose Gemm weights are [out,in].
	export := modeltest.Open(t, "models", "sst2-bert-L2-H128")
	shape := student.ShapeOf(export.Config)
	fresh := modeltest.New(t, shape, 3, student.Classification(export.Config.ID2Label))
	back, err := student.Copy(export, fresh, nil)
	if err != nil {
		t.Fatal(err)
	}
	in := modeltest.Inputs(shape.Vocab, 2, 7, 5)
	if err := modeltest.Near(modeltest.Run(t, back, in)["logits"].F32, modeltest.Run(t, fresh, in)["logits"].F32, 1e-4); err != nil {
		t.Error(err)
	}
}

func TestCopyOfChosenLayersAndSizes(t *testing.T) {
	deep := tiny
	deep.Layers = 5
	src := modeltest.New(t, deep, 1, headSets["all"]...)
	small := tiny
	small.Positions, small.FFN = 12, 32
	dst := modeltest.New(t, small, 2, student.Classification([]string{"a", "b", "c"}), student.POS(tags), student.NER(tags))
	got, rep, err := student.CopyReport(dst, src, []int{4, 1})
	if err != nil {
		t.Fatal(err)
	}
	w, from := got.Graph.InitializerMap(), src.Graph.InitializerMap()
	same := func(name, of string) {
		if string(w[name].Raw) != string(from[of].Raw) {
			t.Errorf("%s is not the source's %s", name, of)
		}
	}
	same("bert.encoder.layer.0.attention.self.query.weight", "bert.encoder.layer.4.attention.self.query.weight")
	same("bert.encoder.layer.1.output.LayerNorm.bias", "bert.encoder.layer.1.output.LayerNorm.bias")
	same("cls.pos.weight", "cls.pos.weight")
	same("bert.pooler.dense.weight", "bert.pooler.dense.weight")
	if p := w["bert.embeddings.position_embeddings.weight"].Raw; string(p) != string(from["bert.embeddings.position_embeddings.weight"].Raw[:len(p)]) {
		t.Error("the first positions were not copied")
	}
	fresh := map[string]string{}
	for _, k := range rep.Fresh {
		fresh[k.Name] = k.Reason
	}
	for name, want := range map[string]string{
		"bert.encoder.layer.0.intermediate.dense.weight": "size [24 32], the source has [24 40]",
		"classifier.weight": "labels differ",
		"cls.ner.weight":    "2 classes, the source has 5",
	} {
		if !strings.Contains(fresh[name], want) {
			t.Errorf("%s: %q, want %q", name, fresh[name], want)
		}
		if string(w[name].Raw) != string(dst.Graph.Initializer(name).Raw) {
			t.Errorf("%s did not stay fresh", name)
		}
	}
}

func TestCopyErrors(t *testing.T) {
	src := modeltest.New(t, tiny, 1)
	wide := tiny
	wide.Hidden, wide.Vocab = 48, 70
	heads := tiny
	heads.Heads = 4
	for want, c := range map[string]struct {
		dst    *onnx.Model
		layers []int
	}{
		"agrees with the source": {modeltest.New(t, wide, 1), nil},
		"one for each":           {modeltest.New(t, tiny, 1), []int{0}},
		"layers 0 to 1":          {modeltest.New(t, tiny, 1), []int{0, 2}},
		"no graph":               {&onnx.Model{}, nil},
		"no encoder":             {&onnx.Model{Graph: &onnx.Graph{}}, nil},
	} {
		if _, err := student.Copy(c.dst, src, c.layers); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	_, rep, err := student.CopyReport(modeltest.New(t, heads, 2), src, nil)
	if err != nil || !slices.ContainsFunc(rep.Fresh, func(k student.Kept) bool { return strings.Contains(k.Reason, "3 of 8") }) {
		t.Errorf("other heads: %v, %v", rep.Fresh, err)
	}
}

func TestKeep(t *testing.T) {
	m := modeltest.New(t, tiny, 1, headSets["all"]...)
	before := m.Hash()
	in := modeltest.Inputs(60, 2, 8, 5)
	all := modeltest.Run(t, m, in)
	got, err := student.Keep(m, "logits")
	if err != nil {
		t.Fatal(err)
	}
	if want := modeltest.New(t, tiny, 1, student.Classification(labels)); count(got) != count(want) {
		t.Errorf("%d parameters left, a classifier has %d", count(got), count(want))
	}
	if err := modeltest.Near(modeltest.Run(t, got, in)["logits"].F32, all["logits"].F32, 0); err != nil {
		t.Error(err)
	}
	if heads, err := student.HeadsOf(got.Config); err != nil || len(heads) != 1 || heads[0].Kind != student.KindClassification {
		t.Errorf("heads %v, %v", heads, err)
	}
	if m.Hash() != before {
		t.Error("the model that was given has changed")
	}
	tagger, err := student.Keep(m, "ner_logits", "pos_logits")
	if err != nil {
		t.Fatal(err)
	}
	if err := modeltest.Near(modeltest.Run(t, tagger, in)["ner_logits"].F32, all["ner_logits"].F32, 0); err != nil {
		t.Error(err)
	}
	for _, outputs := range [][]string{nil, {"nsp_logits"}} {
		if _, err := student.Keep(m, outputs...); err == nil || !strings.Contains(err.Error(), "mlm_logits") {
			t.Errorf("error %v does not list the outputs", err)
		}
	}
}

func TestWithHeads(t *testing.T) {
	// A pre-trained encoder becomes a classifier, and the encoder stays as it was.
	m := modeltest.New(t, tiny, 1, headSets["pretraining"]...)
	c, err := student.WithHeads(m, []student.Head{student.Classification(labels), student.MaskedLM()}, 9)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	in := modeltest.Inputs(60, 2, 8, 5)
	got := modeltest.Run(t, c, in)
	if err := modeltest.Near(got["mlm_logits"].F32, modeltest.Run(t, m, in)["logits"].F32, 0); err != nil {
		t.Errorf("the masked-LM head is another: %v", err)
	}
	if len(got["logits"].F32) != 2*3 || c.Config.Task() != onnx.SequenceClassification {
		t.Errorf("logits %v, task %v", got["logits"].Shape, c.Config.Task())
	}
	for _, src := range sources {
		m := modeltest.Open(t, "models", src.dir)
		head := src.head(m)
		c, err := student.WithHeads(m, []student.Head{head, student.POS(tags)}, 9)
		if err != nil {
			t.Errorf("%s: %v", src.dir, err)
			continue
		}
		if err := c.Check(); err != nil {
			t.Errorf("%s: %v", src.dir, err)
		}
		in := modeltest.Inputs(4000, 2, 8, 5)
		got := modeltest.Run(t, c, in)
		if err := modeltest.Near(got["logits"].F32, modeltest.Run(t, m, in)["logits"].F32, 1e-5); err != nil {
			t.Errorf("%s: the head it had is another: %v", src.dir, err)
		}
		if err := modeltest.Near(got["pos_logits"].F32, modeltest.RunORT(t, c, in)["pos_logits"], 1e-4); err != nil {
			t.Errorf("%s: ONNX Runtime differs: %v", src.dir, err)
		}
	}
}

func TestSafetensors(t *testing.T) {
	m := modeltest.New(t, tiny, 1, headSets["pretraining"]...)
	list, err := student.Safetensors(m)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(list, func(a, b *onnx.Tensor) int { return strings.Compare(a.Name, b.Name) }) || len(list) != len(m.Graph.Initializers) {
		t.Errorf("%d tensors in order %v", len(list), list)
	}
	for _, x := range list {
		stored := m.Graph.Initializer(x.Name)
		if x.Name == "bert.encoder.layer.1.intermediate.dense.weight" {
			if !slices.Equal(x.Dims, []int64{40, 24}) {
				t.Errorf("%s is %v", x.Name, x.Dims)
			}
			a, _ := x.Floats()
			b, _ := stored.Floats()
			for i := range 24 {
				for o := range 40 {
					if a[o*24+i] != b[i*40+o] {
						t.Fatalf("element %d,%d is not transposed", o, i)
					}
				}
			}
		}
		if strings.Contains(x.Name, "embeddings") && string(x.Raw) != string(stored.Raw) {
			t.Errorf("%s was changed", x.Name)
		}
	}
}

func TestCopyFromOtherEmbeddings(t *testing.T) {
	in := modeltest.Inputs(60, 2, 9, 5)
	t.Run("no token types", func(t *testing.T) {
		src := modeltest.New(t, tiny, 1, student.MaskedLM()).Clone()
		src.Graph.ReplaceInput("/bert/embeddings/Add_output_0", "/bert/embeddings/word_embeddings/Gather_output_0")
		src.Graph.Prune()
		src.Graph.Inputs = src.Graph.Inputs[:2]
		got, rep, err := student.CopyReport(modeltest.New(t, tiny, 2, student.MaskedLM()), src, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(rep.Zeroed, []string{"bert.embeddings.token_type_embeddings.weight"}) || len(rep.Fresh) > 0 {
			t.Errorf("zeroed %v, fresh %v", rep.Zeroed, rep.Fresh)
		}
		two := map[string]*exec.Tensor{"input_ids": in["input_ids"], "attention_mask": in["attention_mask"]}
		if err := modeltest.Near(modeltest.Run(t, got, in)["logits"].F32, modeltest.Run(t, src, two)["logits"].F32, 1e-5); err != nil {
			t.Error(err)
		}
	})
	t.Run("RoBERTa's positions", func(t *testing.T) {
		longer := tiny
		longer.Positions += 2
		src := modeltest.New(t, longer, 1)
		src.Config.ModelType, src.Config.PadTokenID = "roberta", 1
		got, rep, err := student.CopyReport(modeltest.New(t, tiny, 2), src, nil)
		if err != nil {
			t.Fatal(err)
		}
		const name = "bert.embeddings.position_embeddings.weight"
		want := src.Graph.Initializer(name).Raw[2*24*4:]
		if string(got.Graph.Initializer(name).Raw) != string(want) || !slices.Contains(rep.Copied, name) {
			t.Error("the rows from pad_token_id + 1 on were not taken")
		}
	})
}
