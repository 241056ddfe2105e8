package autodiff_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// BenchmarkStep is a training step without reading data and without a teacher:
// masked LM on 15% of the positions, divergence from given logits, AdamW.
func BenchmarkStep(b *testing.B) {
	for _, c := range []struct{ layers, hidden, heads, ffn, vocab, batch, seq int }{
		{4, 312, 12, 1200, 21128, 32, 128},
		{4, 256, 4, 1024, 8000, 32, 64},
	} {
		b.Run(fmt.Sprintf("%dx%d/V%d/%dx%d", c.layers, c.hidden, c.vocab, c.batch, c.seq), func(b *testing.B) {
			m, err := student.New(student.Shape{Layers: c.layers, Hidden: c.hidden, Heads: c.heads, FFN: c.ffn, Vocab: c.vocab, Positions: c.seq, Act: "gelu", Eps: 1e-12},
				[]student.Head{student.MaskedLM()}, 1)
			if err != nil {
				b.Fatal(err)
			}
			step, err := trainStep(m, c.batch, c.seq, c.vocab)
			if err != nil {
				b.Fatal(err)
			}
			if err := step(); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if err := step(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(c.batch*c.seq*b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

// trainStep returns a function that takes one step.
func trainStep(m *onnx.Model, batch, seq, vocab int) (func() error, error) {
	p, err := autodiff.New(m, autodiff.Options{Rows: []string{"logits"}})
	if err != nil {
		return nil, err
	}
	rows := batch * seq * 15 / 100
	q, err := p.NewPass(batch, seq, rows)
	if err != nil {
		return nil, err
	}
	logits, err := q.Output("logits")
	if err != nil {
		return nil, err
	}
	ce, err := autodiff.CrossEntropy(logits, q.Ints("tokens", rows), 0)
	if err != nil {
		return nil, err
	}
	kd, err := autodiff.KL(logits, q.Floats("teacher", rows, vocab), 2, nil)
	if err != nil {
		return nil, err
	}
	if err := q.Compile([]*gorgonia.Node{ce, kd}); err != nil {
		return nil, err
	}
	in := texts(batch, seq, vocab)
	picked, tokens := make([]int64, rows), make([]int32, rows)
	for i, v := range rand.New(rand.NewPCG(1, 1)).Perm(batch * seq)[:rows] {
		picked[i], tokens[i] = int64(v), int32(in["input_ids"][v])
	}
	for i := range in["attention_mask"] {
		in["attention_mask"][i] = 1
	}
	in["rows"] = picked
	f := autodiff.Feed{Inputs: in, Floats: map[string][]float32{"teacher": normals(rows*vocab, 2)}, Ints: map[string][]int32{"tokens": tokens}, Seed: 1}
	params := p.Params()
	first, second := make([][]float32, len(params)), make([][]float32, len(params))
	for i, x := range params {
		first[i], second[i] = make([]float32, len(x.Value)), make([]float32, len(x.Value))
	}
	return func() error {
		f.Step++
		p.ZeroGrad()
		if _, err := q.Run(f); err != nil {
			return err
		}
		for i, x := range params {
			kernel.SumSquares(x.Grad)
			kernel.AdamW(x.Value, x.Grad, first[i], second[i], 1e-4, 0.9, 0.999, 1e-8, 0.01, 1, int(f.Step))
		}
		return nil
	}, nil
}
