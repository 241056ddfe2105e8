package exec_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
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
	for i, file := range files {
		if b, err := os.ReadFile(file); err == nil && len(b) < 1024 && i%3 == 0 {
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
		start := time.Now()
		for _, unfused := range []bool{false, true} {
			sess, err := exec.New(m, exec.Options{MaxBytes: 1 << 16, Unfused: unfused})
			if err != nil {
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
				continue
			}
			for name, x := range out {
				if x.Len() < 0 || x.Len() > 1<<16 {
					t.Fatalf("output %q has shape %v, more than the limit allows", name, x.Shape)
				}
			}
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Fatalf("%d bytes took %v", len(data), took)
		}
	})
}
