package distill_test

import (
	"context"
	"strings"
	"testing"

	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/quantize"
	"github.com/litekit/lite/student"
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
