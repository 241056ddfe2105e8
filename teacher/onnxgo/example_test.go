package onnxgo_test

import (
	"fmt"
	"log"

	onnxgo "github.com/owulveryck/onnx-go"
	"gorgonia.org/tensor"

	"github.com/litekit/lite/onnx"
	lite "github.com/litekit/lite/teacher/onnxgo"
)

// A program for onnx-go, of which the first line of run is new.
func Example() {
	run := func(file []byte) (tensor.Tensor, error) {
		backend := lite.New() // was gorgonnx.NewGraph()
		model := onnxgo.NewModel(backend)
		if err := model.UnmarshalBinary(file); err != nil {
			return nil, err
		}
		x := tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]float32{-1, 2, 3, -4}))
		if err := model.SetInput(0, x); err != nil {
			return nil, err
		}
		if err := backend.Run(); err != nil {
			return nil, err
		}
		out, err := model.GetOutputTensors()
		if err != nil {
			return nil, err
		}
		return out[0], nil
	}

	m := &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 13}}, Graph: &onnx.Graph{
		Inputs:  []*onnx.ValueInfo{{Name: "x", Type: onnx.Float}},
		Outputs: []*onnx.ValueInfo{{Name: "y", Type: onnx.Float}},
		Nodes:   []*onnx.Node{onnx.NewNode("Relu", "", []string{"x"}, []string{"y"})},
	}}
	file, err := m.Encode() // os.ReadFile("model.onnx")
	if err != nil {
		log.Fatal(err)
	}
	y, err := run(file)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(y.Shape(), y.Data())
	// Output: (2, 2) [0 2 3 0]
}
