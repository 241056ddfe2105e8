package fuse

import (
	"fmt"
	"testing"
	"time"

	"github.com/litekit/lite/onnx"
)

// One value that very many nodes read: fusing takes time that grows with their number.
func TestManyReaders(t *testing.T) {
	const n = 60_000
	g := &onnx.Graph{Inputs: []*onnx.ValueInfo{{Name: "x", Type: onnx.Float, HasShape: true}}}
	for i := range n {
		g.Nodes = append(g.Nodes, onnx.NewNode("Identity", "", []string{"x"}, []string{fmt.Sprint("i", i)}),
			onnx.NewNode("Relu", "", []string{fmt.Sprint("i", i)}, []string{fmt.Sprint("r", i)}))
	}
	g.Nodes = append(g.Nodes, onnx.NewNode("Exp", "", []string{fmt.Sprint("r", n-1)}, []string{"y"}))
	g.Outputs = []*onnx.ValueInfo{{Name: "y"}}
	start := time.Now()
	f, err := Fuse(&onnx.Model{IRVersion: 8, Opsets: []onnx.Opset{{Version: 17}}, Graph: g})
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Model.Graph.Nodes) != 2 {
		t.Errorf("%d nodes are left; 2 are needed", len(f.Model.Graph.Nodes))
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestReaders(t *testing.T) {
	var r *readers
	if r.count() != 0 || r.nodes() != nil {
		t.Error("no readers are some")
	}
	r.drop(nil)
	r = &readers{}
	nodes := make([]*onnx.Node, 40)
	for i := range nodes {
		nodes[i] = &onnx.Node{}
		r.add(nodes[i])
		r.add(nodes[i])
	}
	before := r.nodes()
	for i := 0; i < len(nodes); i += 2 {
		r.drop(nodes[i])
		r.drop(nodes[i])
	}
	if r.count() != 20 || len(before) != 40 || before[0] != nodes[0] {
		t.Errorf("%d readers are left, the list that was handed out starts with %p", r.count(), before[0])
	}
	r.add(nodes[0])
	if l := r.nodes(); len(l) != 21 || l[0] != nodes[1] || l[20] != nodes[0] {
		t.Errorf("the order changed: %d readers", len(l))
	}
}
