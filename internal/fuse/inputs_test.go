package fuse_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/onnx"
)

// Every operator that the inference knows, with any number of inputs of any
// kind, with and without attributes and outputs: Fuse returns.
func TestOperatorsWithWrongInputs(t *testing.T) {
	var ops []string
	files, err := filepath.Glob("../../onnx/infer_*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, "clean.go", "shaperefs.go") {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`"([A-Z][A-Za-z0-9]+)"`).FindAllStringSubmatch(string(src), -1) {
			ops = append(ops, m[1])
		}
	}
	slices.Sort(ops)
	ops = slices.Compact(ops)
	if len(ops) < 100 {
		t.Fatalf("only %d operators found", len(ops))
	}
	kinds := []string{"one", "none", "some", "huge", "minus", "f", "x", "shape", "m", ""}
	attrs := [][]*onnx.Attribute{
		nil,
		{onnx.IntAttr("axis", 7), onnx.IntsAttr("axes", 5, -9), onnx.IntsAttr("perm", 0, 0, 9), onnx.IntsAttr("starts", -1), onnx.IntsAttr("ends", 1<<62), onnx.IntAttr("to", 99), onnx.IntAttr("num_outputs", -1)},
		{onnx.IntAttr("axis", -1<<63), onnx.IntsAttr("axes"), onnx.IntsAttr("perm", -1), onnx.IntAttr("start", -1<<63), onnx.IntAttr("end", 1<<62), onnx.IntAttr("to", 7), onnx.IntsAttr("split", -1, 1<<62)},
	}
	for _, op := range ops {
		for k := range 5 {
			for i := range len(kinds) {
				in := make([]string, k)
				for j := range in {
					in[j] = kinds[(i+j*(1+i%3))%len(kinds)]
				}
				for a, list := range attrs {
					try(t, op, in, 1+(i+a)%3, list)
				}
			}
		}
	}
}

// try fuses a graph in which the node's outputs are values, shapes and sizes.
func try(t *testing.T, op string, in []string, outs int, attrs []*onnx.Attribute) {
	b := newBuilder(17).input("x", onnx.Float, "n", 3).input("m", onnx.Float, -4)
	b.ints("one", 1).ints("none").ints("some", 0, -1, 3).ints("huge", 1<<62, 1<<62).ints("minus", -5).float("f", 2)
	b.node("Shape x -> shape")
	n := onnx.NewNode(op, "n", in, []string{"y", "z", "w"}[:outs], attrs...)
	b.g.Nodes = append(b.g.Nodes, n)
	b.node("Reshape x y -> r").node("Add r y -> s").node("Expand x y -> e").node("Shape y -> q").node("ConstantOfShape q -> c")
	for _, o := range []string{"y", "r", "s", "e", "c"} {
		b.output(o)
	}
	defer func() {
		if r := recover(); r != nil {
			t.Errorf("%s of %q, %d attributes: panic: %v", op, in, len(attrs), r)
		}
	}()
	m := b.model()
	if f, err := fuse.Fuse(m); err == nil {
		_, _ = fuse.SelectRows(f.Model, []string{"y"})
		_, _ = fuse.Detect(m)
	}
}

// The declared length of a shape that a Reshape reads may be negative.
func TestNegativeShapeLength(t *testing.T) {
	b := newBuilder(17).input("x", onnx.Float, "n", 3).input("to", onnx.Int64, -27)
	b.node("Reshape x to -> y").output("y")
	if _, err := fuse.Fuse(b.model()); err != nil {
		t.Error(err)
	}
}
