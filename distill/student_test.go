package distill_test

import (
	"context"
	"strings"
	"testing"

	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/internal/modeltest"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/quantize"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/teacher"
)

// A quantized teacher has no weights to start from, but sizes and logits.
func TestStudentOfAQuantizedTeacher(t *testing.T) {
	float := classifier(t, "2x32x2", 7)
	for _, perChannel := range []bool{true, false} {
		q := quantize.Default()
		q.PerChannel = perChannel
		teacher, err := q.Apply(context.Background(), float)
		if err != nil {
			t.Fatal(err)
		}
		shape, err := student.Measure(teacher)
		if err != nil {
			t.Fatal(err)
		}
		if want, _ := student.Measure(float); shape != want {
			t.Errorf("shape %s, want %s", shape, want)
		}
		m, report, err := distill.NewStudent(teacher, distill.Student{Shape: shape.HalfDepth()}, 1)
		if err != nil || report != nil {
			t.Fatalf("report %v, error %v", report, err)
		}
		c := everything(t)
		c.Teacher, c.Loss, c.Steps = teacher, c.Loss[:1], 1
		run(t, m, c)
		for _, s := range []distill.Student{{Layers: student.First}, {From: teacher}} {
			if _, _, err := distill.NewStudent(teacher, s, 1); err == nil || !strings.Contains(err.Error(), "float") {
				t.Errorf("error %v; the weights that were asked for are not there", err)
			}
		}

		// Where no encoder is found, config.json tells the sizes.
		odd := teacher.Clone()
		for _, n := range odd.Graph.Nodes {
			if n.Op == "Softmax" {
				n.Op = "LogSoftmax"
			}
		}
		if m, _, err = distill.NewStudent(odd, distill.Student{}, 1); err != nil {
			t.Fatal(err)
		}
		if got, _ := student.Measure(m); got != shape {
			t.Errorf("shape %s, want %s", got, shape)
		}
		odd.Config = odd.Config.Clone()
		odd.Config.HiddenSize = 0
		if _, _, err = distill.NewStudent(odd, distill.Student{}, 1); err == nil || !strings.Contains(err.Error(), "whole shape") {
			t.Errorf("error %v", err)
		}
	}
}

// foreign is a bare graph as another exporter spells it: without config and tokenizer.
func foreign(t *testing.T) *onnx.Model {
	m := modeltest.Variants()[1].Make(t, classifier(t, "1x16x2", 1))
	m.Config, m.Files = nil, nil
	return m
}

func TestStudentOfAnyonesMaking(t *testing.T) {
	c := everything(t)
	c.Loss, c.Steps = c.Loss[:2], 3
	graph := foreign(t)
	before := graph.Hash()
	m, report, err := distill.NewStudent(c.Teacher, distill.Student{Graph: graph}, 1)
	if err != nil || report != nil {
		t.Fatalf("report %v, error %v", report, err)
	}
	if shape, err := student.Measure(m); err != nil || shape.Layers != 1 || m.Config.HiddenSize != 16 || len(m.Config.ID2Label) != len(c.Teacher.Config.ID2Label) {
		t.Errorf("shape %v, error %v, config %+v", shape, err, m.Config)
	}
	out, _ := run(t, m, c)
	if graph.Hash() != before || graph.Config != nil || graph.Files != nil {
		t.Error("the graph that was given is changed")
	}
	if out.Hash() == m.Hash() {
		t.Error("nothing was trained")
	}
}

// A graph that cannot be trained is refused, by its node, before the teacher is asked.
func TestStudentWithoutAGradient(t *testing.T) {
	c := everything(t)
	c.Loss = c.Loss[:2]
	c.Labelling = func(int, int) { t.Error("the teacher was asked") }
	graph := foreign(t)
	out := graph.Graph.Outputs[0].Name
	for _, n := range graph.Graph.Nodes {
		for i, name := range n.Outputs {
			if name == out {
				n.Outputs[i] = "before"
			}
		}
	}
	graph.Graph.Nodes = append(graph.Graph.Nodes, &onnx.Node{Op: "Ceil", Name: "/odd/Ceil", Inputs: []string{"before"}, Outputs: []string{out}})
	m, _, err := distill.NewStudent(c.Teacher, distill.Student{Graph: graph}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err = distill.Run(context.Background(), m, c); err == nil || !strings.Contains(err.Error(), "/odd/Ceil") || !strings.Contains(err.Error(), "no gradient") {
		t.Errorf("error %v; want the node that has no gradient", err)
	}
}

// A model without a head makes a student without one, which gives its vectors.
func TestStudentOfAnEmbedding(t *testing.T) {
	bare, err := student.New(student.Shape{Layers: 2, Hidden: 32, Heads: 2, Vocab: tokenizer(t).VocabSize()}, nil, 3)
	if err != nil {
		t.Fatal(err)
	}
	bare.Files = tokenizer(t).Files()
	bare.Files[onnx.PoolingFile] = []byte(`{"pooling_mode_cls_token": true}`)
	bare.Files[onnx.ModulesFile] = []byte(`[{"type": "sentence_transformers.models.Normalize"}]`)
	for shape, width := range map[string]int{"1x32x2": 0, "1x16x2": 32} {
		s, err := student.ParseShape(shape)
		if err != nil {
			t.Fatal(err)
		}
		m, _, err := distill.NewStudent(bare, distill.Student{Shape: s}, 1)
		if err != nil {
			t.Fatal(err)
		}
		heads, err := student.HeadsOf(m.Config)
		if want := (student.Vector{Pooling: "cls", Normalize: true, Width: width}); err != nil || len(heads) != 1 || heads[0].Vector != want {
			t.Errorf("%s: heads %+v, %v", shape, heads, err)
		}
		if _, ok := m.Files[onnx.PoolingFile]; ok != (width == 0) {
			t.Errorf("%s: pooling file %v", shape, ok)
		}
		c := taught(t, bare, distill.VectorCosine{})
		c.LearningRate = 1e-3
		out, _ := run(t, m, c)
		dir := t.TempDir()
		if err := out.Save(dir); err != nil {
			t.Fatal(err)
		}
		back, err := onnx.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if teacher.TaskOf(back) != onnx.Embedding || len(back.Files) != len(out.Files) || back.Hash() != out.Hash() {
			t.Errorf("%s: read back as %v with %d files", shape, teacher.TaskOf(back), len(back.Files))
		}
	}
}
