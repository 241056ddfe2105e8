package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// The words that make a student's shape from its teacher's.
const (
	halfDepth = "half-depth"
	halfWidth = "half-width"
)

// namesModel tells a --student that is a model from one that is a shape.
func namesModel(text string) bool {
	if strings.EqualFold(filepath.Ext(text), ".onnx") {
		return true
	}
	if _, err := student.ParseShape(text); err == nil {
		return false
	}
	_, err := os.Stat(text)
	return err == nil
}

// studentShape reads --student; from is the model that the words refer to, nil
// where there is none.
func studentShape(text string, from *onnx.Model) (student.Shape, error) {
	words := strings.Split(text, ",")
	if !slices.Contains(words, halfDepth) && !slices.Contains(words, halfWidth) {
		s, err := student.ParseShape(text)
		if err != nil {
			return s, misfit.Errorf("--student: %w; nor is there a model of that name", err)
		}
		return s, nil
	}
	if from == nil {
		return student.Shape{}, misfit.Errorf("--student %s: there is no model whose half it could be; give layers×width, such as 4x312x12", text)
	}
	s, err := student.Measure(from)
	if err != nil {
		return s, misfit.Errorf("--student %s: the teacher's sizes are not known (%w); give layers×width×heads×ffn, such as 4x312x12x1200", text, err)
	}
	var fields []string
	for _, w := range words {
		switch {
		case w == halfDepth:
			s = s.HalfDepth()
		case w == halfWidth:
			s = s.HalfWidth()
		case strings.Contains(w, "="):
			fields = append(fields, w)
		default:
			return s, misfit.Errorf("--student %s: %q cannot stand beside half-depth and half-width", text, w)
		}
	}
	if len(fields) == 0 {
		return s, nil
	}
	own, err := student.ParseShape(strings.Join(fields, ","))
	if err != nil {
		return s, misfit.Errorf("--student: %w", err)
	}
	return own.Or(s), nil
}
