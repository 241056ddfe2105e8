package inspect_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/litekit/lite/inspect"
	"github.com/litekit/lite/onnx"
)

// A model that declares an output wrongly and adds what does not fit has two faults;
// the lengths of its values follow the batch, and there is no sequence to give.
func TestFaultsAndShapes(t *testing.T) {
	list := func(name string, dims ...onnx.Dim) *onnx.ValueInfo {
		return &onnx.ValueInfo{Name: name, Type: onnx.Float, HasShape: true, Dims: dims}
	}
	four := onnx.Dim{Size: 4, Known: true}
	m := &onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 17}}, Graph: &onnx.Graph{
		Inputs:       []*onnx.ValueInfo{list("x", onnx.Dim{}, four)},
		Outputs:      []*onnx.ValueInfo{list("y", four), list("z")},
		Initializers: []*onnx.Tensor{onnx.NewFloats("w", make([]float32, 3), 3)},
		Nodes: []*onnx.Node{
			onnx.NewNode("Relu", "", []string{"x"}, []string{"y"}), onnx.NewNode("Add", "sum", []string{"y", "w"}, []string{"z"}),
		},
	}}
	found := inspect.Faults(m)
	if len(found) != 2 || !strings.Contains(found[0], `"y" is declared as [4]`) || !strings.Contains(found[1], "node sum (Add)") {
		t.Errorf("faults %q", found)
	}
	m.Graph.Nodes, m.Graph.Outputs = m.Graph.Nodes[:1], []*onnx.ValueInfo{{Name: "y", Type: onnx.Float}}
	if found := inspect.Faults(m); found != nil {
		t.Errorf("faults %q", found)
	}
	for batch, want := range map[int64]string{0: "x.0", 5: "5"} {
		r, err := inspect.Run(t.Context(), "m", m, inspect.Options{Batch: batch, Shapes: true})
		if err != nil || !reflect.DeepEqual(r.Shapes, []inspect.Value{{"y", "float32", []string{want, "4"}}}) {
			t.Errorf("batch %d: %+v, %v", batch, r, err)
		}
	}
	if _, err := inspect.Run(t.Context(), "m", m, inspect.Options{Seq: 7}); err == nil || !strings.Contains(err.Error(), "sequence 7: axis 1") {
		t.Errorf("error %v", err)
	}
}
