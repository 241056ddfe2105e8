package student_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/litekit/lite/internal/modeltest"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// projectedEarly puts a projection from 8 values before the LayerNorm: of the word
// embeddings alone, or of the sum of all tables.
func projectedEarly(t *testing.T, sum bool) *onnx.Model {
	t.Helper()
	m := modeltest.New(t, tiny, 1, student.MaskedLM())
	g := m.Graph
	values := func(n int, scale float32) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = scale * float32((i*i+3*i)%17-8)
		}
		return v
	}
	// The decoder keeps a table of its own, which the narrow one cannot be tied to.
	const word = "bert.embeddings.word_embeddings.weight"
	old := *g.Initializer(word)
	old.Name = "cls.predictions.table"
	g.Initializers = append(g.Initializers, &old,
		onnx.NewFloats("early.weight", values(8*24, 0.02), 8, 24), onnx.NewFloats("early.bias", values(24, 0.03), 24))
	narrow := []string{word}
	behind := "/bert/embeddings/word_embeddings/Gather"
	if sum {
		narrow = append(narrow, "bert.embeddings.position_embeddings.weight", "bert.embeddings.token_type_embeddings.weight")
		behind = "/bert/embeddings/Add_1"
	}
	for i, name := range narrow {
		rows := int(g.Initializer(name).Dims[0])
		g.SetInitializer(onnx.NewFloats(name, values(rows*8, 0.05+0.01*float32(i)), int64(rows), 8))
	}
	at := slices.IndexFunc(g.Nodes, func(n *onnx.Node) bool { return n.Name == behind })
	if at < 0 {
		t.Fatalf("no node %s", behind)
	}
	from := g.Nodes[at].Outputs[0]
	for _, n := range g.Nodes {
		for i, in := range n.Inputs {
			switch {
			case in == from:
				n.Inputs[i] = "early"
			case in == word && n.Op == "Transpose":
				n.Inputs[i] = old.Name
			}
		}
	}
	g.Nodes = slices.Insert(g.Nodes, at+1,
		onnx.NewNode("MatMul", "early/MatMul", []string{from, "early.weight"}, []string{"early/product"}),
		onnx.NewNode("Add", "early/Add", []string{"early.bias", "early/product"}, []string{"early"}))
	return m
}

// A projection before the LayerNorm is seen through: sizes are the tables', and a
// student with plain tables that is made of it answers the same.
func TestProjectionBeforeTheLayerNorm(t *testing.T) {
	in := modeltest.Inputs(60, 2, 9, 5)
	for _, sum := range []bool{false, true} {
		t.Run(fmt.Sprintf("sum=%v", sum), func(t *testing.T) {
			m := projectedEarly(t, sum)
			got, err := student.Measure(m)
			if err != nil || got.Vocab != 60 || got.Types != tiny.Defaults().Types || got.Positions != tiny.Defaults().Positions || got.Hidden != 24 || got.Embedding != 0 {
				t.Fatalf("measured %v (%v), want %v", got, err, tiny.Defaults())
			}
			want := modeltest.Run(t, m, in)["logits"].F32
			shape := got
			shape.Decoder = student.Untied
			made, rep, err := student.CopyReport(modeltest.New(t, shape, 2, student.MaskedLM()), m, nil)
			if err != nil || len(rep.Fresh) > 0 {
				t.Fatalf("copied: %v, fresh %v", err, rep.Fresh)
			}
			if err := modeltest.Near(modeltest.Run(t, made, in)["logits"].F32, want, 1e-4); err != nil {
				t.Error(err)
			}
			if _, err := student.Copy(m, made, nil); err == nil {
				t.Error("a model with such a projection was copied into")
			}
		})
	}
	// Behind the LayerNorm it is that of factorised embeddings.
	if got, err := student.Measure(modeltest.New(t, factorised(8, ""), 1, student.MaskedLM())); err != nil || got.Vocab != 60 || got.Types != 2 || got.Embedding != 8 {
		t.Errorf("measured %v, %v", got, err)
	}
}
