package student_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/internal/modeltest"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

var headSets = map[string][]student.Head{
	"none":           nil,
	"classification": {student.Classification(labels)},
	"mlm":            {student.MaskedLM()},
	"ner":            {student.NER(ents)},
	"pretraining":    {student.MaskedLM(), student.POS(tags), student.NER(ents), student.SentenceOrder()},
	"all": {student.Classification(labels), student.MaskedLM(), student.POS(tags),
		student.NER(ents), student.SentenceOrder()},
}

func TestNewChecksAndRuns(t *testing.T) {
	in := modeltest.Inputs(60, 3, 11, 0) // the last row is padding throughout
	for name, heads := range headSets {
		for _, act := range []string{"gelu", "gelu_new", "relu"} {
			if act != "gelu" && name != "mlm" {
				continue
			}
			t.Run(name+"/"+act, func(t *testing.T) {
				s := tiny
				s.Act = act
				m := modeltest.New(t, s, 1, heads...)
				if err := m.Check(); err != nil {
					t.Fatal(err)
				}
				got, want := modeltest.Run(t, m, in), modeltest.RunORT(t, m, in)
				for _, o := range m.Graph.Outputs {
					if err := modeltest.Near(got[o.Name].F32, want[o.Name], 1e-5); err != nil {
						t.Errorf("%s differs from ONNX Runtime: %v", o.Name, err)
					}
				}
			})
		}
	}
}

func TestOutputsAndConfig(t *testing.T) {
	m := modeltest.New(t, tiny, 1, headSets["all"]...)
	var outs []string
	for _, o := range m.Graph.Outputs {
		s := o.Name
		for _, d := range o.Dims {
			if d.Known {
				s += fmt.Sprint(" ", d.Size)
			} else {
				s += " " + d.Param
			}
		}
		outs = append(outs, s)
	}
	want := []string{"logits batch 3", "mlm_logits batch sequence 60", "pos_logits batch sequence 2", "ner_logits batch sequence 5", "sop_logits batch 2"}
	if !slices.Equal(outs, want) {
		t.Errorf("outputs %q, want %q", outs, want)
	}
	c := m.Config
	if c.Task() != onnx.SequenceClassification || !slices.Equal(c.ID2Label, labels) || c.LayerNormEps != 1e-12 || c.HiddenAct != "gelu" {
		t.Errorf("config %+v", c)
	}
	var lite map[string]any
	if err := json.Unmarshal(c.Extra["lite"], &lite); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(lite); got != "map[heads:[classification mlm pos ner sop] ner_labels:[O B-PER I-PER B-LOC I-LOC] pos_labels:[NOUN VERB]]" {
		t.Errorf("lite entry %s", got)
	}
	heads, err := student.HeadsOf(c)
	if err != nil || fmt.Sprint(heads) != fmt.Sprint(headSets["all"]) {
		t.Errorf("heads read back: %v, %v", heads, err)
	}
	for set, task := range map[string]onnx.Task{"mlm": onnx.MaskedLM, "ner": onnx.TokenClassification, "pretraining": onnx.MaskedLM, "none": onnx.Unknown} {
		if got := modeltest.New(t, tiny, 1, headSets[set]...).Config.Task(); got != task {
			t.Errorf("task of %s: %v, want %v", set, got, task)
		}
	}
}

func TestHeadErrors(t *testing.T) {
	for want, heads := range map[string][]student.Head{
		"two mlm":         {student.MaskedLM(), student.MaskedLM()},
		"must come first": {student.MaskedLM(), student.Classification(labels)},
		"no labels":       {student.POS(nil)},
		"both \"a\"":      {student.NER([]string{"a", "b", "a"})},
		"is empty":        {student.Classification([]string{"x", " "})},
		"unknown head":    {{Kind: "nsq"}},
		"same layer":      {student.SentenceOrder(), student.NextSentence()},
		"takes no labels": {{Kind: student.KindMaskedLM, Labels: labels}},
	} {
		if _, err := student.New(tiny, heads, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

func count(m *onnx.Model) (n int64) {
	for _, t := range m.Graph.Initializers {
		n += int64(t.Len())
	}
	return n
}

func TestParameterCounts(t *testing.T) {
	s := tiny.Defaults()
	h, v := int64(s.Hidden), int64(s.Vocab)
	encoder := s.Params()
	if want := (60+20+2+2)*h + 2*(4*(h*h+h)+2*h*40+40+h+4*h); encoder != want {
		t.Errorf("formula gives %d, want %d", encoder, want)
	}
	pooler, transform := h*h+h, h*h+h+2*h
	for set, want := range map[string]int64{
		"none":           encoder,
		"classification": encoder + pooler + 3*h + 3,
		"mlm":            encoder + transform + v, // the decoder is tied
		"ner":            encoder + 5*h + 5,
		"all":            encoder + pooler + transform + v + (3+2+5+2)*(h+1),
	} {
		if got := count(modeltest.New(t, tiny, 1, headSets[set]...)); got != want {
			t.Errorf("%s: %d parameters, want %d", set, got, want)
		}
	}
	// Published sizes: TinyBERT 4×312 14.5M, BERT-base 110M, ELECTRA-small 14M, with
	// pooler (of ELECTRA a dense layer of that size before its classifier).
	for preset, want := range map[string]float64{"tinybert-4x312": 14.5e6, "bert-base": 109.5e6, "electra-small": 13.5e6} {
		p, err := student.ParseShape(preset + ",vocab=30522")
		if err != nil {
			t.Fatal(err)
		}
		p = p.Defaults()
		got := float64(p.Params()) + float64(p.Hidden)*float64(p.Hidden+1)
		if math.Abs(got-want) > 0.015*want {
			t.Errorf("%s has %.2fM parameters, published %.1fM", preset, got/1e6, want/1e6)
		}
	}
}

func TestSeed(t *testing.T) {
	hash := func(seed uint64, heads ...student.Head) string { return modeltest.New(t, tiny, seed, heads...).Hash() }
	first, again, other := hash(1, student.MaskedLM()), hash(1, student.MaskedLM()), hash(2, student.MaskedLM())
	if first != again {
		t.Error("one seed gives two models")
	}
	if first == other {
		t.Error("two seeds give one model")
	}
	a := modeltest.New(t, tiny, 3, headSets["none"]...).Graph.InitializerMap()
	b := modeltest.New(t, tiny, 3, headSets["all"]...).Graph.InitializerMap()
	for name, w := range a {
		if string(w.Raw) != string(b[name].Raw) {
			t.Errorf("%s depends on the heads", name)
		}
	}
}

// Embeddings have σ = 0.02, matrices the gain σ·√H of BERT-base, or σ = 0.02 in wider encoders.
func TestInitialValues(t *testing.T) {
	for hidden, matrix := range map[int]float64{64: 0.02 * math.Sqrt(12), 768: 0.02, 1024: 0.02} {
		m := modeltest.New(t, student.Shape{Layers: 1, Hidden: hidden, Heads: 1, FFN: 256, Vocab: 2000}, 5, student.MaskedLM())
		for _, w := range m.Graph.Initializers {
			v, err := w.Floats()
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case strings.HasSuffix(w.Name, "LayerNorm.weight"):
				allEqual(t, w.Name, v, 1)
			case strings.HasSuffix(w.Name, "bias"):
				allEqual(t, w.Name, v, 0)
			case strings.Contains(w.Name, "embeddings"):
				truncatedNormal(t, w.Name, v, 0.02)
			default:
				truncatedNormal(t, w.Name, v, matrix)
			}
		}
	}
}

func allEqual(t *testing.T, name string, v []float32, want float32) {
	t.Helper()
	for _, x := range v {
		if x != want {
			t.Fatalf("%s holds %v, want %v", name, x, want)
		}
	}
}

func truncatedNormal(t *testing.T, name string, v []float32, sigma float64) {
	t.Helper()
	sum, sq, n := 0.0, 0.0, float64(len(v))
	for _, x := range v {
		if math.Abs(float64(x)) > 2*sigma*(1+1e-6) {
			t.Fatalf("%s holds %v, beyond two standard deviations", name, x)
		}
		sum += float64(x)
		sq += float64(x) * float64(x)
	}
	// The normal distribution truncated at 2σ has 0.8796 of its deviation.
	want := 0.8796 * sigma
	if dev := math.Sqrt(sq / n); math.Abs(dev-want) > 4*want/math.Sqrt(2*n) || math.Abs(sum/n) > 4*want/math.Sqrt(n) {
		t.Errorf("%s: mean %v, deviation %v, want 0 and %v", name, sum/n, dev, want)
	}
}

func TestLayersHaveShapesOfTheirOwn(t *testing.T) {
	m := modeltest.New(t, tiny, 1, student.MaskedLM())
	readers := m.Graph.Consumers()
	for _, n := range m.Graph.Nodes {
		if n.Op == "Reshape" && len(readers[n.Inputs[1]]) != 1 {
			t.Errorf("the shape of %s is shared", n.Label())
		}
	}
}

// BenchmarkCheck checks a model of the size of BERT base, 438 MB of weights.
func BenchmarkCheck(b *testing.B) {
	m, err := student.New(student.Shape{Layers: 12, Hidden: 768, Vocab: 30522}, []student.Head{student.Classification(labels)}, 1)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := m.Check(); err != nil {
			b.Fatal(err)
		}
	}
}
