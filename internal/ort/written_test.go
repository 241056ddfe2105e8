package ort_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/ort"
	"github.com/litekit/lite/internal/shared"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/quantize"
	"github.com/litekit/lite/student"
)

const (
	// The float logits of lite and of ONNX Runtime may differ by rounding only.
	tolerance = 1e-4
	// In int8 the last bit of a float may move an activation to the next step;
	// TestInt8DiffersByRoundingOnly shows where.
	stepTolerance = 0.02
)

var texts = []string{
	"a fine film", "the film is not fine , it is bad", "bad", "fine fine fine",
	"Unknown words here: Ωmega naïve 你好!", "not a bad film .", "",
}

// TestWrittenStudent checks a student with every kind of head that a student
// directory may hold: what lite writes is what the peers read.
func TestWrittenStudent(t *testing.T) {
	tok, err := corpus.NewWordPiece(strings.Fields("[PAD] [UNK] [CLS] [SEP] [MASK] a the film is not fine bad it ##s ##ly , . ! : you 你 好"), true)
	if err != nil {
		t.Fatal(err)
	}
	shape := student.Shape{Layers: 2, Hidden: 24, Heads: 3, FFN: 40, Vocab: tok.VocabSize(), Positions: 32}
	for _, tc := range []struct {
		name, task string
		head       student.Head
		embedding  int
		decoder    string
	}{
		{"classification", "text-classification", student.Classification([]string{"bad", "fine", "unsure"}), 0, ""},
		{"masked LM", "fill-mask", student.MaskedLM(), 0, ""},
		{"NER", "token-classification", student.NER([]string{"O", "B-PER", "I-PER"}), 0, ""},
		{"POS", "token-classification", student.POS([]string{"NOUN", "VERB", "ADJ"}), 0, ""},
		{"factorised classification", "text-classification", student.Classification([]string{"bad", "fine", "unsure"}), 16, ""},
		{"factorised masked LM", "fill-mask", student.MaskedLM(), 16, ""},
		{"factorised NER", "token-classification", student.NER([]string{"O", "B-PER", "I-PER"}), 32, ""},
		{"untied masked LM", "fill-mask", student.MaskedLM(), 16, student.Untied},
	} {
		t.Run(tc.name, func(t *testing.T) {
			shape := shape
			shape.Embedding, shape.Decoder = tc.embedding, tc.decoder
			m, err := student.New(shape, []student.Head{tc.head}, 7)
			if err != nil {
				t.Fatal(err)
			}
			widen(t, m)
			m.Files = tok.Files()
			in := texts
			if tc.task == "fill-mask" {
				in = []string{"a [MASK] film", "the film is [MASK]"}
			}
			dir := save(t, m)
			compare(t, dir, "model.onnx", tok, in)
			pipelines(t, dir, tc.task, tok, in)
		})
	}
}

// TestWrittenTeacher opens a real export whose directory has a vocabulary and no
// tokenizer.json, and writes it as lite does.
func TestWrittenTeacher(t *testing.T) {
	ort.Need(t)
	for _, tc := range []struct{ model, tokenizer, data string }{
		{"sst2-bert-L2-H128", "uncased-en", "sst2/dev.tsv"},
		{"zh-bert-chnsenticorp-L4-H128", "", "chnsenticorp/dev.tsv"},
	} {
		t.Run(tc.model, func(t *testing.T) {
			m, err := onnx.Open(shared.Path(t, "models", tc.model))
			if err != nil {
				t.Fatal(err)
			}
			tok, err := corpus.LoadTokenizer(m.Files)
			if err != nil {
				t.Fatal(err)
			}
			lines := sentences(t, shared.Path(t, "data", tc.data), 48)
			m.Files = tok.Files()
			dir := save(t, m)
			compare(t, dir, "model.onnx", tok, lines)
			pipelines(t, dir, "text-classification", tok, lines)

			if tc.tokenizer == "" {
				return
			}
			theirs, err := corpus.OpenTokenizer(shared.Path(t, "tokenizer", tc.tokenizer))
			if err != nil {
				t.Fatal(err)
			}
			m.Files = theirs.Files()
			pipelines(t, save(t, m), "text-classification", theirs, lines)
		})
	}
}

// TestWrittenExternalData: ONNX Runtime opens a model whose weights lie in a file
// of their own, also after that file was replaced.
func TestWrittenExternalData(t *testing.T) {
	ort.Need(t)
	tok, err := corpus.NewWordPiece(strings.Fields("[PAD] [UNK] [CLS] [SEP] [MASK] a the film is not fine bad it ##s ##ly , . ! : you 你 好"), true)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "written")
	for seed := range uint64(2) {
		m, err := student.New(student.Shape{Layers: 1, Hidden: 24, Heads: 3, FFN: 40, Vocab: tok.VocabSize(), Positions: 32}, []student.Head{student.Classification([]string{"bad", "fine"})}, seed)
		if err != nil {
			t.Fatal(err)
		}
		widen(t, m)
		m.Files = tok.Files()
		saved, err := m.SaveWith(dir, onnx.SaveOptions{ExternalData: true})
		if err != nil {
			t.Fatal(err)
		}
		if saved.Data != filepath.Join(dir, "onnx", "model.onnx_data") {
			t.Errorf("saved %+v", saved)
		}
		compare(t, dir, "model.onnx", tok, texts)
	}
}

// widen makes fresh weights large enough for the answers to differ from each
// other by more than rounding.
func widen(t *testing.T, m *onnx.Model) {
	t.Helper()
	for i, w := range m.Graph.Initializers {
		if w.Type != onnx.Float || len(w.Dims) != 2 || strings.Contains(w.Name, "embeddings_project") {
			continue // no LayerNorm stands between a projection and the layers' scores
		}
		v, err := w.Floats()
		if err != nil {
			t.Fatal(err)
		}
		v = slices.Clone(v)
		for j := range v {
			v[j] *= 8
		}
		m.Graph.Initializers[i] = onnx.NewFloats(w.Name, v, w.Dims...)
	}
}

// save writes m and what quantize makes of it into one directory.
func save(t *testing.T, m *onnx.Model) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "written")
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	small, _, err := quantize.Run(t.Context(), m, quantize.Default())
	if err != nil {
		t.Fatal(err)
	}
	if err := small.SaveAs(dir, "model_quantized.onnx"); err != nil {
		t.Fatal(err)
	}
	return dir
}

// compare holds the logits of the file in dir to ONNX Runtime's, one text at a
// time and all in one padded batch.
func compare(t *testing.T, dir, file string, tok *corpus.Tokenizer, in []string) {
	t.Helper()
	m, err := onnx.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	batches := []map[string]*exec.Tensor{batch(tok, in)}
	for _, text := range in {
		batches = append(batches, batch(tok, []string{text}))
	}
	feeds := make([]map[string]ort.Tensor, len(batches))
	for i, b := range batches {
		feeds[i] = map[string]ort.Tensor{}
		for _, info := range m.Graph.Inputs {
			x := b[info.Name]
			feeds[i][info.Name] = ort.Int64s(x.I64, x.Shape...)
		}
	}
	theirs := ort.Run(t, filepath.Join(dir, "onnx", file), feeds)
	for i, b := range batches {
		ours := logits(t, m, b)
		want := theirs[i][m.Graph.Outputs[0].Name]
		if !slices.Equal(ours.Shape, want.Shape) {
			t.Fatalf("batch %d: shape %v, ONNX Runtime %v", i, ours.Shape, want.Shape)
		}
		if d := distance(ours.F32, want.F32); !(d <= tolerance) {
			t.Errorf("batch %d: logits differ from ONNX Runtime's by %g", i, d)
		}
	}
}

// pipelines holds what transformers.js answers from the directory to our own
// tokenizer, logits and labels.
func pipelines(t *testing.T, dir, task string, tok *corpus.Tokenizer, in []string) {
	t.Helper()
	for i, ids := range ort.Tokens(t, dir, in) {
		if ours := tok.Encode(in[i]).IDs; !slices.Equal(ids, ours) {
			t.Errorf("%q: transformers.js reads the tokens %v, lite %v", in[i], ids, ours)
		}
	}
	for dtype, file := range map[string]string{"fp32": "model.onnx", "q8": "model_quantized.onnx"} {
		m, err := onnx.Open(filepath.Join(dir, "onnx", file))
		if err != nil {
			t.Fatal(err)
		}
		slack := map[string]float64{"fp32": tolerance, "q8": stepTolerance}[dtype]
		for i, answers := range ort.Pipeline(t, dir, task, in, dtype) {
			b := batch(tok, in[i:i+1])
			check := map[string]func(rows, []ort.Answer) string{
				"text-classification": classes, "fill-mask": masked, "token-classification": entities,
			}[task]
			if fault := check(rows{tok, m.Config.ID2Label, b["input_ids"].I64, logits(t, m, b), slack}, answers); fault != "" {
				t.Errorf("%s: %q: %s", dtype, in[i], fault)
			}
		}
	}
}
