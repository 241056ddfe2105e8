package quantize_test

import (
	"context"
	"math"
	"os"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/ort"
	"github.com/litekit/lite/internal/shared"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/quantize"
	"github.com/litekit/lite/student"
)

// classifier is a real model with its labelled data.
type classifier struct {
	name       string
	model      *onnx.Model
	tok        *corpus.Tokenizer
	train, dev corpus.Corpus
}

func openClassifier(t *testing.T, model, data string) classifier {
	t.Helper()
	m, err := onnx.Open(shared.Path(t, "models", model))
	if err != nil {
		t.Fatal(err)
	}
	c := classifier{name: model, model: m}
	if c.tok, err = corpus.LoadTokenizer(m.Files); err != nil {
		t.Fatal(err)
	}
	for file, to := range map[string]*corpus.Corpus{"train.tsv": &c.train, "dev.tsv": &c.dev} {
		if *to, err = corpus.Open([]string{shared.Path(t, "data", data, file)}, corpus.Options{Limit: 2000}); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func sst2(t *testing.T) classifier { return openClassifier(t, "sst2-bert-L2-H128", "sst2") }
func chinese(t *testing.T) classifier {
	return openClassifier(t, "zh-bert-chnsenticorp-L4-H128", "chnsenticorp")
}

// samples are n sentences of data, size at a time.
func (c classifier) samples(t *testing.T, data corpus.Corpus, n, size int) quantize.Samples {
	t.Helper()
	s, err := quantize.FromCorpus(corpus.Take(data, n), c.tok, corpus.ViewOptions{BatchSize: size, Window: -1}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// config is the default one in that mode, calibrated on the training text.
func (c classifier) config(t *testing.T, mode quantize.Mode) quantize.Config {
	q := quantize.Default()
	q.Mode = mode
	if mode == quantize.Static {
		q.Calibration = c.samples(t, c.train, 256, 16)
	}
	return q
}

var modes = []quantize.Mode{quantize.Dynamic, quantize.Static, quantize.WeightOnly}

// TestAccuracy keeps every mode within a point of the float model on labelled data.
func TestAccuracy(t *testing.T) {
	c := sst2(t)
	entries := []eval.Entry{{Name: "float", Model: c.model}}
	for _, mode := range modes {
		out, _ := apply(t, c.model, c.config(t, mode))
		entries = append(entries, eval.Entry{Name: string(mode), Model: out})
	}
	compareQuality(t, c, entries)
}

// TestAccuracyChinese does so for a model of opset 11, on part of the data.
func TestAccuracyChinese(t *testing.T) {
	c := chinese(t)
	n := 200
	if os.Getenv("LITE_QUANTIZE_FULL") != "" {
		n = c.dev.Len()
	}
	c.dev = corpus.Take(c.dev, n)
	entries := []eval.Entry{{Name: "float", Model: c.model}}
	for _, mode := range modes {
		out, _ := apply(t, c.model, c.config(t, mode))
		entries = append(entries, eval.Entry{Name: string(mode), Model: out})
	}
	compareQuality(t, c, entries)
}

func compareQuality(t *testing.T, c classifier, entries []eval.Entry) {
	t.Helper()
	table, err := eval.Compare(context.Background(), c.dev, eval.Options{}, entries...)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range table.Rows {
		t.Logf("%s %-12s accuracy %.4f, agreement %.4f, %8d bytes", c.name, r.Name, float64(r.Quality), float64(r.Agreement), r.Bytes)
		if r.Drop > 0.01 {
			t.Errorf("%s %s loses %.4f", c.name, r.Name, float64(r.Drop))
		}
		if r.Name != "float" && !(r.Ratio > 3) {
			t.Errorf("%s %s is only %.2f times smaller", c.name, r.Name, float64(r.Ratio))
		}
	}
}

// maskedLM is the model with random weights and a tied decoder, and token sequences for it.
func maskedLM(t *testing.T) (*onnx.Model, []quantize.Sample) {
	t.Helper()
	m, err := onnx.Open(shared.Path(t, "models", "mlm-random-L3-H64"))
	if err != nil {
		t.Fatal(err)
	}
	var list []quantize.Sample
	for i := range 24 {
		batch, length := 1+i%3, 3+i%14
		ids, mask, types := make([]int64, batch*length), make([]int64, batch*length), make([]int64, batch*length)
		for j := range ids {
			ids[j] = int64((i*7919 + j*104729 + 13) % 4000)
			if j%length < length-j/length {
				mask[j] = 1
			}
		}
		list = append(list, quantize.Sample{Inputs: map[string]*exec.Tensor{"input_ids": exec.Int64s(ids, batch, length),
			"attention_mask": exec.Int64s(mask, batch, length), "token_type_ids": exec.Int64s(types, batch, length)}})
	}
	return m, list
}

// TestRealGraphsFuse: every int8 product of our dynamic models runs in the int8
// kernel, and every mode computes the same fused and node by node.
func TestRealGraphsFuse(t *testing.T) {
	mlm, list := maskedLM(t)
	models := map[string]*onnx.Model{"mlm": mlm, "sst2": sst2(t).model, "zh": chinese(t).model, "factorised": factorised(t, sst2(t).model), "untied": untied(t)}
	for name, m := range models {
		for _, mode := range modes {
			c := quantize.Default()
			c.Mode, c.Calibration = mode, quantize.SampleList(list)
			out, report := apply(t, m, c)
			if report.Quantized < 10 {
				t.Errorf("%s %s: %d nodes are int8", name, mode, report.Quantized)
			}
			if mode == quantize.Dynamic {
				checkInt8Fusion(t, name, out)
			}
			a, b := execute(t, out, list[5], exec.Options{}), execute(t, out, list[5], exec.Options{Unfused: true})
			// A float that differs in its last bit may round to the neighbouring step in a later layer.
			if d := apart(a["logits"].F32, b["logits"].F32); !(d < 0.01) {
				t.Errorf("%s %s: fused and unfused differ by %.2g", name, mode, d)
			}
		}
	}
}

// factorised is a classifier with embeddings of a quarter of its width.
func factorised(t *testing.T, m *onnx.Model) *onnx.Model {
	t.Helper()
	shape := student.ShapeOf(m.Config)
	shape.Embedding = shape.Hidden / 4
	out, err := student.New(shape, []student.Head{student.Classification(m.Config.ID2Label)}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if out, err = student.Copy(out, m, nil); err != nil {
		t.Fatal(err)
	}
	return out
}

// untied is a masked language model with random weights and a decoder of its own.
func untied(t *testing.T) *onnx.Model {
	t.Helper()
	m, err := student.New(student.Shape{Layers: 2, Hidden: 32, Embedding: 20, Heads: 2, Vocab: 4000, Decoder: student.Untied}, []student.Head{student.MaskedLM()}, 1)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestORTAgreesOnSentences: ONNX Runtime accepts the file of each mode and
// gives our label to at least 99.5% of 500 sentences, one sentence in each run.
func TestORTAgreesOnSentences(t *testing.T) {
	ort.Need(t)
	c := sst2(t)
	in := collect(t, c.samples(t, c.dev, 500, 1))
	for _, mode := range modes {
		out, _ := apply(t, c.model, c.config(t, mode))
		withORT(t, string(mode), out, in, 0.995, 0.01)
	}
}

// TestORTAgreesOnVariants does so on fewer sentences for every option, and for
// the other models.
func TestORTAgreesOnVariants(t *testing.T) {
	ort.Need(t)
	c := sst2(t)
	in := collect(t, c.samples(t, c.dev, 48, 6))
	for _, q := range variants() {
		q.Calibration = c.samples(t, c.train, 64, 16)
		out, _ := apply(t, c.model, q)
		withORT(t, label(q), out, in, 0.97, 0.01)
	}
	small := factorised(t, c.model)
	for _, mode := range modes {
		out, _ := apply(t, small, c.config(t, mode))
		withORT(t, "factorised "+string(mode), out, in, 0.97, 0.01)
	}
	z := chinese(t)
	for _, mode := range modes {
		out, _ := apply(t, z.model, z.config(t, mode))
		withORT(t, "zh "+string(mode), out, collect(t, z.samples(t, z.dev, 32, 4)), 0.96, 0.01)
	}
	m, list := maskedLM(t)
	for _, q := range variants() {
		q.Calibration = quantize.SampleList(list)
		out, _ := apply(t, m, q)
		withORT(t, "mlm "+label(q), out, list, 0.97, 0.01)
		out, _ = apply(t, tiny(11), withTiny(q))
		withORT(t, "tiny "+label(q), out, []quantize.Sample{padded(tinyRows(4, 3), 6), padded(tinyRows(1, 4), 6)}, 0.97, 0.001)
	}
}

// variants are all modes with each option changed once from the default.
func variants() (out []quantize.Config) {
	for i, q := range configs() {
		if k := i % 16; k == 1 || k == 0 || k == 3 || k == 5 || k == 9 || k == 6 {
			out = append(out, q)
		}
	}
	return out
}

func withTiny(q quantize.Config) quantize.Config {
	q.Calibration = singles(tinyRows(30, 1))
	return q
}

func collect(t *testing.T, s quantize.Samples) (out []quantize.Sample) {
	t.Helper()
	if err := s.Samples(context.Background(), func(x quantize.Sample) error { out = append(out, x); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

// withORT wants the first output's best class of ONNX Runtime and ours to
// agree in that share of the rows, and the scores to differ by at most far of their size.
func withORT(t *testing.T, what string, m *onnx.Model, in []quantize.Sample, share, far float64) {
	t.Helper()
	var feeds []map[string]ort.Tensor
	for _, s := range in {
		f := map[string]ort.Tensor{}
		for _, v := range m.Graph.Inputs {
			x := s.Inputs[v.Name]
			f[v.Name] = ort.Int64s(x.I64, x.Shape...)
		}
		feeds = append(feeds, f)
	}
	session, err := exec.New(m, exec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	name := m.Graph.Outputs[0].Name
	same, rows := 0, 0
	var noise, signal float64
	for i, out := range ort.RunModel(t, m, feeds) {
		feed := map[string]*exec.Tensor{}
		for _, v := range m.Graph.Inputs {
			feed[v.Name] = in[i].Inputs[v.Name]
		}
		ours, err := session.Run(context.Background(), feed, name)
		if err != nil {
			t.Fatal(err)
		}
		a, b := ours[name].F32, out[name].F32
		if len(a) != len(b) {
			t.Fatalf("%s: %v here, %v there", what, ours[name].Shape, out[name].Shape)
		}
		n := ours[name].Shape[len(ours[name].Shape)-1]
		for r := 0; r < len(a); r += n {
			rows++
			if eval.Argmax(a[r:r+n]) == eval.Argmax(b[r:r+n]) {
				same++
			}
		}
		for k := range a {
			noise += math.Pow(float64(a[k])-float64(b[k]), 2)
			signal += math.Pow(float64(b[k]), 2)
		}
	}
	d := math.Sqrt(noise / signal)
	t.Logf("%s: %d of %d rows agree with ONNX Runtime; scores differ by %.2g", what, same, rows, d)
	if float64(same) < share*float64(rows) || !(d <= far) {
		t.Errorf("%s: %d of %d rows agree with ONNX Runtime; scores differ by %.2g", what, same, rows, d)
	}
}
