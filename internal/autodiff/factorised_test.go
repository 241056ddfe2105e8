package autodiff_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

const (
	wordTable  = "bert.embeddings.word_embeddings.weight"
	ownDecoder = "cls.predictions.decoder.weight"
)

// factorised is tiny with embeddings of width e.
func factorised(t *testing.T, e int, decoder string) *onnx.Model {
	t.Helper()
	m, err := student.New(student.Shape{Layers: 2, Hidden: 12, Embedding: e, Heads: 3, FFN: 20, Vocab: 23, Positions: 16, Act: "gelu", Eps: 1e-5, Decoder: decoder},
		[]student.Head{student.Classification([]string{"a", "b", "c"}), student.MaskedLM(), student.POS([]string{"N", "V"}), student.NER([]string{"O", "B-X", "I-X"}), student.SentenceOrder()}, 3)
	if err != nil {
		t.Fatal(err)
	}
	return shaken(m, 0.2)
}

// The gradients of whole students with factorised embeddings, their decoder tied
// or not, are those of differences, with padding and without.
func TestFactorisedGradients(t *testing.T) {
	for _, c := range []struct {
		e       int
		decoder string
	}{{6, student.Tied}, {7, student.Untied}, {18, student.Untied}} {
		t.Run(fmt.Sprint(c.e, c.decoder), func(t *testing.T) {
			m := factorised(t, c.e, c.decoder)
			p := program(t, m, autodiff.Options{Rows: tokenHeads})
			f := allFeed(3, 5, 4)
			for name, w := range outputs(t, m, f.Inputs, 3, 5, "logits", "sop_logits") {
				near(t, name, forward(t, p, 3, 5, 0, name, f.Inputs), w.F32, 1e-5)
			}
			checkGrads(t, p, built(t, p, 3, 5, 4, allHeads(t, 3, 4)), f, 0.02)
			word, own := p.Param(wordTable), p.Param(ownDecoder)
			if (own != nil) != (c.decoder == student.Untied) {
				t.Fatalf("a decoder of its own: %v", own != nil)
			}
			// The table of an untied decoder is only looked up in.
			if sparse := autodiff.Touched(word) != nil; sparse != (own != nil) {
				t.Errorf("the table's gradient is sparse: %v", sparse)
			}

			const b, s, r = 24, 16, 40
			f = mixed(b, s, r)
			padded, packed := program(t, m, autodiff.Options{Rows: tokenHeads, Dropout: 0.1}), program(t, m, autodiff.Options{Rows: tokenHeads, Dropout: 0.1})
			want := run(t, built(t, padded, b, s, r, heads(t, b, r)), f)
			near(t, "losses without padding", run(t, packedPass(t, packed, b, s, r, f, heads(t, b, r)), f), want, 1e-5)
			for i, x := range packed.Params() {
				near(t, x.Name, x.Grad, padded.Params()[i].Grad, 2e-5)
			}
		})
	}
}

// A decoder that equals the table is trained with it, unless config.json says that
// it is its own.
func TestEqualDecodersAreTiedUnlessConfigSaysOtherwise(t *testing.T) {
	m := factorised(t, 6, student.Untied)
	v, err := m.Graph.Initializer(wordTable).Floats()
	if err != nil {
		t.Fatal(err)
	}
	flip := make([]float32, len(v))
	for i, x := range v {
		flip[i%6*23+i/6] = x
	}
	m.Graph.SetInitializer(onnx.NewFloats(ownDecoder, flip, 6, 23))
	bare := m.Clone()
	bare.Config = nil
	f := allFeed(3, 5, 4)
	for model, tied := range map[*onnx.Model]bool{m: false, bare: true} {
		p := program(t, model, autodiff.Options{Rows: tokenHeads})
		if got := p.Param(ownDecoder) == p.Param(wordTable); got != tied {
			t.Errorf("tied: %v, want %v", got, tied)
		}
		run(t, built(t, p, 3, 5, 4, allHeads(t, 3, 4)), f)
		step(p)
		trained, err := p.Model()
		if err != nil {
			t.Fatal(err)
		}
		w, _ := trained.Graph.Initializer(wordTable).Floats()
		d, _ := trained.Graph.Initializer(ownDecoder).Floats()
		back := make([]float32, len(w))
		for i := range w {
			back[i] = d[i%6*23+i/6]
		}
		if slices.Equal(back, w) != tied {
			t.Errorf("after a step table and decoder are equal: %v", !tied)
		}
	}
}
