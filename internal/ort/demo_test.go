package ort_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/ort"
	"github.com/litekit/lite/onnx"
)

// TestDemo holds every model of a finished `lite demo`, whose folder LITE_DEMO
// names, to ONNX Runtime and transformers.js on 500 of its documents.
func TestDemo(t *testing.T) {
	dir := os.Getenv("LITE_DEMO")
	if dir == "" {
		t.Skip("LITE_DEMO is not set; it names the folder of a finished lite demo")
	}
	ort.Need(t)
	dev, err := corpus.Open([]string{filepath.Join(dir, "dev.jsonl")}, corpus.Options{Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	var in []string
	for text := range corpus.Texts(dev) {
		in = append(in, text)
	}
	for name, file := range map[string]string{"teacher": "model.onnx", "alone": "model.onnx", "student": "model.onnx", "pruned": "model.onnx", "int8": "model_quantized.onnx"} {
		t.Run(name, func(t *testing.T) {
			m, err := onnx.Open(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			tok, err := corpus.LoadTokenizer(m.Files)
			if err != nil {
				t.Fatal(err)
			}
			dtype := "fp32"
			if name == "int8" {
				dtype = "q8"
				sameLabels(t, m, filepath.Join(dir, name, "onnx", file), tok, in)
			} else {
				compare(t, filepath.Join(dir, name), file, tok, in)
			}
			for i, answers := range ort.Pipeline(t, filepath.Join(dir, name), "text-classification", in[:50], dtype) {
				b := batch(tok, in[i:i+1])
				slack := map[string]float64{"fp32": tolerance, "q8": stepTolerance}[dtype]
				if fault := classes(rows{tok, m.Config.ID2Label, b["input_ids"].I64, logits(t, m, b), slack}, answers); fault != "" {
					t.Errorf("%q: %s", in[i], fault)
				}
			}
		})
	}
}

// sameLabels wants the int8 model's best class to be ONNX Runtime's on at least
// 99.5% of the texts.
func sameLabels(t *testing.T, m *onnx.Model, path string, tok *corpus.Tokenizer, in []string) {
	t.Helper()
	var batches []map[string]*exec.Tensor
	var feeds []map[string]ort.Tensor
	for _, text := range in {
		b := batch(tok, []string{text})
		feed := map[string]ort.Tensor{}
		for _, info := range m.Graph.Inputs {
			feed[info.Name] = ort.Int64s(b[info.Name].I64, b[info.Name].Shape...)
		}
		batches, feeds = append(batches, b), append(feeds, feed)
	}
	same := 0
	for i, out := range ort.Run(t, path, feeds) {
		if argmax(logits(t, m, batches[i]).F32) == argmax(out[m.Graph.Outputs[0].Name].F32) {
			same++
		}
	}
	if t.Logf("%d of %d labels are ONNX Runtime's", same, len(in)); 1000*same < 995*len(in) {
		t.Errorf("%d of %d labels are ONNX Runtime's", same, len(in))
	}
}

func argmax(v []float32) (top int) {
	for i, x := range v {
		if x > v[top] {
			top = i
		}
	}
	return top
}
