package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/internal/synth"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

func documents(seed uint64, n int) corpus.Corpus {
	o := synth.Default(seed, n)
	o.Focus = 0.95 // easy: a tiny teacher must learn it in seconds
	return corpus.FromExamples(synth.Documents(o), synth.Topics())
}

// teach trains a small teacher on labels.
func teach(t *testing.T, training distill.Config) *onnx.Model {
	tok, err := corpus.NewWordPiece(synth.Vocabulary(), true)
	if err != nil {
		t.Fatal(err)
	}
	m, err := distill.NewModel(student.Shape{Layers: 2, Hidden: 32, Heads: 4}, student.Classification(synth.Topics()), tok, 1)
	if err != nil {
		t.Fatal(err)
	}
	training.Loss = distill.Sum{distill.Scale(1, distill.HardLabels{})}
	m, _, err = distill.Run(context.Background(), m, training)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestCompress(t *testing.T) {
	ctx, dev := context.Background(), documents(2, 200)
	training := distill.Default()
	training.Task, training.MaxLength, training.LearningRate, training.Dropout, training.Epochs = documents(1, 400), 64, 4e-3, 0, 6
	base := teach(t, training)
	small, err := compress(ctx, base, training, student.Shape{Layers: 1}, dev)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "small")
	if err := small.SaveAs(dir, "model_quantized.onnx"); err != nil {
		t.Fatal(err)
	}
	opened, err := onnx.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	table, err := eval.Compare(ctx, dev, eval.Options{MaxLength: 64}, eval.Entry{Name: "base", Model: base}, eval.Entry{Name: "small", Model: opened})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", table)
	if a := float64(table.Rows[0].Quality); a < 0.6 {
		t.Errorf("the teacher has accuracy %.3f: too little to lose", a)
	}
	sizes, err := student.ReadLite(opened.Config)
	if err != nil {
		t.Fatal(err)
	}
	if heads := sizes.AttentionHeads; len(heads) != 1 || heads[0] != 3 {
		t.Errorf("layers of %v heads, want one of 3", heads)
	}
	if r := float64(table.Rows[1].Ratio); r < 3 {
		t.Errorf("%.1f times smaller, want 3 at least", r)
	}
}

// A bare .onnx file has neither config.json nor tokenizer: an error says so.
func TestBareFile(t *testing.T) {
	tok, err := corpus.NewWordPiece(synth.Vocabulary(), true)
	if err != nil {
		t.Fatal(err)
	}
	m, err := distill.NewModel(student.Shape{Layers: 1, Hidden: 16, Heads: 2}, student.Classification(synth.Topics()), tok, 1)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	bare, text := filepath.Join(dir, "bare.onnx"), filepath.Join(dir, "text.tsv")
	if _, err := m.SaveWith(bare, onnx.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(text, []byte("text\tlabel\ngood\ta\nbad\tb\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	err = run(context.Background(), bare, text, text, filepath.Join(dir, "out"))
	if err == nil || !strings.Contains(err.Error(), "no tokenizer") || !strings.Contains(err.Error(), bare) {
		t.Errorf("error %v, want one that names the file and the tokenizer", err)
	}
}
