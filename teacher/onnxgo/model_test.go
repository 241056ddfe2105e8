package onnxgo_test

import (
	"context"
	"math"
	"os"
	"testing"

	onnxgo "github.com/owulveryck/onnx-go"
	"gorgonia.org/tensor"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/shared"
	"github.com/litekit/lite/onnx"
	lite "github.com/litekit/lite/teacher/onnxgo"
)

// TestModels: exporters' encoders, decoded by onnx-go, answer as the executor
// does to the file as package onnx reads it.
func TestModels(t *testing.T) {
	for _, name := range []string{"sst2-bert-L2-H128", "mlm-random-L3-H64", "zh-bert-chnsenticorp-L4-H128"} {
		t.Run(name, func(t *testing.T) { compare(t, shared.Path(t, "models", name, "model.onnx")) })
	}
}

func compare(t *testing.T, path string) {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := onnx.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	s, err := exec.New(ref, exec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := lite.New()
	m := onnxgo.NewModel(b)
	if err := m.UnmarshalBinary(data); err != nil {
		t.Fatal(err)
	}
	in := map[string]*exec.Tensor{}
	for i, v := range s.Inputs() {
		x := []int64{1, 1, 1, 1, 1, 0}
		if i == 0 {
			x = []int64{101, 2000, 2030, 102, 103, 0}
		}
		in[v.Name] = exec.Int64s(x, 2, 3)
		if err := m.SetInput(i, tensor.New(tensor.WithShape(2, 3), tensor.WithBacking(x))); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Run(); err != nil {
		t.Fatal(err)
	}
	want, err := s.Run(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	out, err := m.GetOutputTensors()
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range s.Outputs() {
		w, g := want[o.Name].F32, out[i].Data().([]float32)
		worst := 0.0
		for k := range min(len(w), len(g)) {
			worst = max(worst, math.Abs(float64(w[k]-g[k])))
		}
		if len(g) != len(w) || !(worst <= 1e-5) {
			t.Errorf("%s: %d elements, want %d; the worst differs by %g", o.Name, len(g), len(w), worst)
		}
	}
}
