package exec_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/shared"
	"github.com/litekit/lite/onnx"
)

// fuzzSeeds are small models of the operators that compute shapes and sizes,
// where a hostile graph does its harm.
func fuzzSeeds(t testing.TB) [][]byte {
	ints := func(name string, v ...int64) *onnx.Tensor { return onnx.NewInt64s(name, v, int64(len(v))) }
	w := onnx.NewFloats("w", sample(6, 1), 2, 3)
	models := []*onnx.Model{
		graph(s("x"), s("y"), []*onnx.Tensor{w}, node("MatMul", s("x", "w"), s("m")), node("Softmax", s("m"), s("y"), onnx.IntAttr("axis", -1))),
		graph(s("x"), s("y"), []*onnx.Tensor{ints("to", 0, -1, 1)}, node("Reshape", s("x", "to"), s("r")), node("Transpose", s("r"), s("y"), onnx.IntsAttr("perm", 2, 0, 1))),
		graph(s("x"), s("y"), []*onnx.Tensor{ints("to", 3, 1, 2, 2)}, node("Expand", s("x", "to"), s("e")), node("ReduceSum", s("e"), s("y"))),
		graph(nil, s("y:i64"), []*onnx.Tensor{onnx.NewInt64s("a", []int64{0}), onnx.NewInt64s("b", []int64{9}), onnx.NewInt64s("c", []int64{2})}, node("Range", s("a", "b", "c"), s("y"))),
		graph(s("x"), s("y"), []*onnx.Tensor{ints("st", -1), ints("en", -9), ints("ax", 0), ints("by", -2)}, node("Slice", s("x", "st", "en", "ax", "by"), s("y"))),
		graph(s("x"), s("y"), []*onnx.Tensor{ints("i", 1, -1)}, node("Gather", s("x", "i"), s("g"), onnx.IntAttr("axis", 1)), node("Concat", s("g", "g"), s("y"), onnx.IntAttr("axis", 0))),
		graph(s("x"), s("y"), []*onnx.Tensor{ints("r", 2, 1)}, node("Tile", s("x", "r"), s("t")), node("Split", s("t"), s("y", "z"), onnx.IntAttr("axis", 0))),
		graph(s("x"), s("y"), []*onnx.Tensor{ints("p", 1, 0, 0, 2)}, node("Pad", s("x", "p"), s("y"))),
		graph(s("x"), s("v", "i:i64"), []*onnx.Tensor{ints("k", 1)}, node("TopK", s("x", "k"), s("v", "i"))),
		graph(s("x"), s("y"), nil, node("Shape", s("x"), s("n")), node("ConstantOfShape", s("n"), s("o")), node("Where", s("c", "x", "o"), s("y")), node("Cast", s("x"), s("c"), onnx.IntAttr("to", 9))),
		graph(s("x"), s("y"), nil, node("DynamicQuantizeLinear", s("x"), s("q", "sc", "z")), node("DequantizeLinear", s("q", "sc", "z"), s("y"))),
	}
	var out [][]byte
	for _, m := range models {
		m.Graph.Name = "g"
		b, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		half, flipped := bytes.Clone(b[:len(b)/2]), bytes.Clone(b)
		flipped[len(b)/3] ^= 4
		out = append(out, b, half, flipped)
	}
	dir, ok := shared.Find("conformance", "onnx-1.19-node")
	if !ok {
		return out
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*", "model.onnx"))
	for _, file := range files {
		if b, err := os.ReadFile(file); err == nil && len(b) < 4096 {
			out = append(out, b)
		}
	}
	return out
}

// tiny makes an input that fits the declaration, 2 where it leaves a size open.
func tiny(decl *onnx.ValueInfo) *exec.Tensor {
	shape, n := []int{2, 2}, 4
	if decl.HasShape {
		shape, n = nil, 1
		for _, d := range decl.Dims {
			k := 2
			if d.Known {
				k = int(min(max(d.Size, 0), 16))
			}
			shape = append(shape, k)
			if n *= k; n > 1<<12 {
				return nil
			}
		}
	}
	t := &onnx.Tensor{Name: decl.Name, Type: decl.Type, Raw: make([]byte, (n*decl.Type.Bits()+7)/8)}
	for _, k := range shape {
		t.Dims = append(t.Dims, int64(k))
	}
	if decl.Type == onnx.Float {
		t = onnx.NewFloats(decl.Name, sample(n, 3), t.Dims...)
	}
	out, err := exec.FromONNX(t)
	if err != nil {
		return nil
	}
	return out
}

// FuzzExec: any graph is an error or runs, in little memory and time.
func FuzzExec(f *testing.F) {
	for _, b := range fuzzSeeds(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<13 {
			return
		}
		m, err := onnx.Decode(data)
		if err != nil || len(m.Graph.Nodes) > 64 {
			return
		}
		runTiny(t, m)
	})
}

// runTiny runs a model, fused and not, within 64 KiB for a value and three seconds.
func runTiny(t *testing.T, m *onnx.Model) {
	start := time.Now()
	for _, unfused := range []bool{false, true} {
		sess, err := exec.New(m, exec.Options{MaxBytes: 1 << 16, Unfused: unfused})
		if err != nil {
			noFault(t, err)
			continue
		}
		feed := map[string]*exec.Tensor{}
		for _, in := range sess.Inputs() {
			if x := tiny(in); x != nil {
				feed[in.Name] = x
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		out, err := sess.Run(ctx, feed)
		cancel()
		if err != nil {
			noFault(t, err)
			continue
		}
		for name, x := range out {
			if x.Len() < 0 || x.Len() > 1<<16 {
				t.Fatalf("output %q has shape %v, more than the limit allows", name, x.Shape)
			}
		}
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Fatalf("it took %v", took)
	}
}

// noFault fails where the error is a fault of an operator that the session
// caught: the operator should have refused its inputs.
func noFault(t *testing.T, err error) {
	if strings.Contains(err.Error(), "fault: ") {
		t.Fatal(err)
	}
}

// FuzzExecGraph damages the structure of a model, which changes of bytes
// seldom reach: three bytes of the program are one change.
func FuzzExecGraph(f *testing.F) {
	var models []*onnx.Model
	var nodes []*onnx.Node
	for _, b := range fuzzSeeds(f) {
		if m, err := onnx.Decode(b); err == nil && len(m.Graph.Nodes) > 0 {
			models = append(models, m)
			nodes = append(nodes, m.Graph.Nodes...)
		}
	}
	for i := range models {
		f.Add(uint16(i), []byte{byte(i), 0, byte(3 * i)})
	}
	f.Fuzz(func(t *testing.T, which uint16, program []byte) {
		m := models[int(which)%len(models)].Clone()
		for k := 0; k+3 <= len(program) && k < 24; k += 3 {
			change(m.Graph, nodes, program[k], program[k+1], int64(int8(program[k+2])))
		}
		runTiny(t, m)
	})
}

// change makes one change to a graph: at says where, v to what. The operators
// of the nodes given are put in place of others.
func change(g *onnx.Graph, nodes []*onnx.Node, kind, at byte, v int64) {
	n := g.Nodes[int(at)%len(g.Nodes)]
	switch kind % 9 {
	case 8:
		other := nodes[(int(at)<<8|int(uint8(v)))%len(nodes)]
		n.Op, n.Domain = other.Op, other.Domain
		if v%2 == 0 {
			n.Attrs = other.Clone().Attrs
		}
	case 0:
		n.Inputs = n.Inputs[:int(uint8(v))%(len(n.Inputs)+1)]
	case 1:
		n.Outputs = n.Outputs[:int(uint8(v))%(len(n.Outputs)+1)]
	case 2: // another size, also one that overflows
		for _, a := range n.Attrs {
			a.Int, a.Ints = v<<(uint(at)%60), append(slices.Clone(a.Ints), v)
		}
	case 3:
		for _, a := range n.Attrs {
			a.Ints, a.Int = slices.Repeat([]int64{v}, max(0, len(a.Ints)-int(at&1))), v
		}
	case 4:
		if k := len(n.Inputs); k > 0 {
			n.Inputs[int(uint8(v))%k] = n.Inputs[int(at)%k]
		}
	case 5: // a weight of other dimensions
		if k := len(g.Initializers); k > 0 {
			old := g.Initializers[int(at)%k]
			w := *old
			w.Dims = []int64{int64(len(w.Raw)) / max(1, int64(w.Type.Size()))}
			if v%2 == 0 {
				w.Dims = append([]int64{1}, w.Dims...)
			}
			g.SetInitializer(&w)
		}
	case 6: // other numbers in it
		if k := len(g.Initializers); k > 0 {
			w := *g.Initializers[int(at)%k]
			w.Raw = bytes.Repeat([]byte{byte(v), 0xff * byte(at&1)}, len(w.Raw)/2+1)[:len(w.Raw)]
			g.SetInitializer(&w)
		}
	case 7:
		if k := len(g.Inputs); k > 0 {
			in := g.Inputs[int(at)%k]
			if v%2 == 0 {
				in.Type = onnx.DataType(uint8(v) % 27)
			} else {
				in.HasShape, in.Dims = true, slices.Repeat([]onnx.Dim{{Size: v / 2 & 3, Known: true}}, int(uint8(v)>>4)%6)
			}
		}
	}
}
