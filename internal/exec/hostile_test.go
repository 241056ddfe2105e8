package exec_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
)

// Functions in a file of a few KB that expand to any number of nodes, bytes of
// names or bodies: each is an error that names a node, soon and in little memory.
func TestHostileFunctions(t *testing.T) {
	call := func(name, fn, in, out string, attrs ...*onnx.Attribute) *onnx.Node {
		n := node("own:"+fn, s(in), s(out), attrs...)
		n.Name = name
		return n
	}
	function := func(name string, nodes ...*onnx.Node) *onnx.Function {
		return &onnx.Function{Name: name, Domain: "own", Inputs: s("a"), Outputs: s("b"), Nodes: nodes, Opsets: []onnx.Opset{{Version: 17}}}
	}
	long := strings.Repeat("n", 1<<16)
	refer := func(nodes ...*onnx.Node) *onnx.Graph {
		return &onnx.Graph{Name: "body", Nodes: nodes, Outputs: []*onnx.ValueInfo{{Name: nodes[len(nodes)-1].Outputs[0]}}}
	}
	reference := func(out string) *onnx.Node {
		return node("If", s("a"), s(out),
			&onnx.Attribute{Name: "then_branch", RefName: "g", Type: onnx.AttrGraph}, &onnx.Attribute{Name: "else_branch", RefName: "g", Type: onnx.AttrGraph})
	}
	for name, build := range map[string]func() []*onnx.Function{
		"itself": func() []*onnx.Function { return []*onnx.Function{function("F0", call("n", "F0", "a", "b"))} },
		"doubling": func() (out []*onnx.Function) {
			for i := range 50 {
				out = append(out, function(fmt.Sprint("F", i), call("n", fmt.Sprint("F", i+1), "a", "c"), call("m", fmt.Sprint("F", i+1), "c", "b")))
			}
			return append(out, function("F50", node("Relu", s("a"), s("b"))))
		},
		"names": func() (out []*onnx.Function) {
			for i := range 16 {
				out = append(out, function(fmt.Sprint("F", i), call(long, fmt.Sprint("F", i+1), "a", "c"), call("m", fmt.Sprint("F", i+1), "c", "b")))
			}
			return append(out, function("F16", node("Relu", s("a"), s("b"))))
		},
		"bodies": func() (out []*onnx.Function) {
			for i := range 50 {
				g := &onnx.Attribute{Name: "g", Type: onnx.AttrGraph, Graph: refer(reference("c"), reference("d"))}
				out = append(out, function(fmt.Sprint("F", i), call("n", fmt.Sprint("F", i+1), "a", "b", g)))
			}
			return append(out, function("F50", reference("b")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := graph(s("x"), s("y"), nil, call("top", "F0", "x", "y"))
			m.Opsets = append(m.Opsets, onnx.Opset{Domain: "own", Version: 1})
			m.Functions = build()
			start := time.Now()
			_, err := exec.New(m, exec.Options{})
			if err == nil || !strings.Contains(err.Error(), "node ") || !strings.Contains(err.Error(), "over") {
				t.Errorf("error %v", err)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}
