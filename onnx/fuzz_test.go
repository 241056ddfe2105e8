package onnx_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/litekit/lite/internal/shared"
	"github.com/litekit/lite/onnx"
)

// handMade is a small model with something of every kind that the reader knows.
func handMade(t testing.TB) []byte {
	t.Helper()
	body := &onnx.Graph{
		Name:    "then",
		Nodes:   []*onnx.Node{onnx.NewNode("Neg", "", []string{"h"}, []string{"t"})},
		Outputs: []*onnx.ValueInfo{{Name: "t", Type: onnx.Float}},
	}
	sparse := &onnx.SparseTensor{
		Values:  onnx.NewFloats("sp", []float32{1}, 1),
		Indices: onnx.NewInt64s("", []int64{2}, 1), Dims: []int64{4},
	}
	constant := onnx.NewNode("Constant", "c", nil, []string{"k"})
	constant.Attrs = []*onnx.Attribute{{Name: "value", Type: onnx.AttrTensor, Tensor: &onnx.Tensor{Type: onnx.String, Dims: []int64{2}, Strings: [][]byte{[]byte("a"), nil}}}}
	branch := onnx.NewNode("If", "if", []string{"b"}, []string{"y"})
	branch.Attrs = []*onnx.Attribute{
		{Name: "then_branch", Type: onnx.AttrGraph, Graph: body},
		{Name: "else_branch", Type: onnx.AttrGraph, Graph: body.Clone()},
	}
	call := onnx.NewNode("F", "call", []string{"x", ""}, []string{"h"})
	call.Domain = "own"
	call.Attrs = []*onnx.Attribute{
		{Name: "f", Type: onnx.AttrFloats, Floats: []float32{0, -1}},
		{Name: "i", Type: onnx.AttrInts, Ints: []int64{-1, 1 << 40}},
		{Name: "s", Type: onnx.AttrString, String: []byte("text"), Doc: "doc"},
	}
	m := &onnx.Model{
		IRVersion: 10, Producer: "test", Doc: "doc",
		Opsets:   []onnx.Opset{{Version: 17}, {Domain: "own", Version: 1}},
		Metadata: []onnx.Property{{Key: "k", Value: "v"}},
		Graph: &onnx.Graph{
			Name:  "g",
			Nodes: []*onnx.Node{constant, call, branch},
			Initializers: []*onnx.Tensor{
				onnx.NewFloats("w", []float32{1, 2}, 2), onnx.NewInt8s("q", []int8{-1}),
				{Name: "u4", Type: onnx.Uint4, Dims: []int64{3}, Raw: []byte{0x21, 3}},
			},
			Sparse: []*onnx.SparseTensor{sparse},
			Inputs: []*onnx.ValueInfo{
				{Name: "x", Type: onnx.Float, HasShape: true, Dims: []onnx.Dim{{Param: "n"}, {Size: 2, Known: true}, {}}},
				{Name: "b", Type: onnx.Bool, HasShape: true},
			},
			Outputs: []*onnx.ValueInfo{{Name: "y", Other: []byte{0x22, 0}}},
		},
		Functions: []*onnx.Function{{
			Name: "F", Domain: "own", Inputs: []string{"a"}, Outputs: []string{"b"}, Opsets: []onnx.Opset{{Version: 17}},
			Nodes: []*onnx.Node{onnx.NewNode("Exp", "e", []string{"a"}, []string{"b"})},
		}},
	}
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// addModels seeds a fuzz target with the hand-made model, parts of it and
// damaged copies, and, while fuzzing, with the shared node tests.
func addModels(f *testing.F) {
	data := handMade(f)
	f.Add(data)
	for k := 7; k < len(data); k += 61 {
		f.Add(data[:k])
		flipped := bytes.Clone(data)
		flipped[k] ^= 1 << (k % 8)
		f.Add(flipped)
	}
	dir, ok := shared.Find("conformance", "onnx-1.19-node")
	if !ok {
		return
	}
	for i, file := range modelFiles(f, dir) {
		if b, err := os.ReadFile(file); err == nil && len(b) < 2048 && i%4 == 0 {
			f.Add(b)
		}
	}
}

// FuzzDecode: whatever the bytes, Decode and Check return, and what was read is
// written so that it reads the same.
func FuzzDecode(f *testing.F) {
	addModels(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		before := bytes.Clone(data)
		a, err := onnx.Decode(data)
		if err != nil {
			return
		}
		_ = a.Check()
		written, err := a.Encode()
		if err != nil {
			t.Fatal(err)
		}
		b, err := onnx.Decode(written)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if !same(a, b) {
			t.Fatal("changed by writing and reading")
		}
		if again, err := b.Encode(); err != nil || !bytes.Equal(again, written) {
			t.Fatalf("written again, the bytes differ (%v)", err)
		}
		if a.Hash() != b.Hash() {
			t.Fatal("the hash changed")
		}
		c := a.Clone()
		_ = c.Parameters()
		c.Graph.Consumers()
		_ = c.Graph.Sort()
		c.Graph.Prune()
		if !bytes.Equal(data, before) {
			t.Fatal("the input was written to")
		}
	})
}

// FuzzConfig: config.json of any content is an error or is read, written and read the same.
func FuzzConfig(f *testing.F) {
	for _, s := range []string{
		`{}`, `[]`, ``, `{"hidden_size": 768.0, "model_type": "bert", "layer_norm_eps": 1e-12, "x": {"y": [1, null]}}`,
		`{"dim": 8, "n_layers": 0, "hidden_size": null, "activation": "gelu"}`,
		`{"id2label": {"0": "a", "2": "<b>"}, "label2id": {"a": 0}, "num_labels": 3}`,
		`{"label2id": {"a": 1e300}}`, `{"id2label": ["a", "b"]}`, `{"num_labels": 9e99}`, `{"num_labels": -1}`,
		`{"id2label": {"-1": "a"}}`, `{"id2label": {"01": "a", "1": "b"}}`, `{"architectures": ["BertForMaskedLM", ""]}`, "\xef\xbb\xbf{\"a\":\"\xff\"}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var a, b onnx.Config
		if a.UnmarshalJSON(data) != nil {
			return
		}
		_ = a.Task()
		_ = a.Clone()
		written, err := json.Marshal(&a)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.UnmarshalJSON(written); err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, written)
		}
		again, err := json.Marshal(&b)
		if err != nil || !bytes.Equal(again, written) {
			t.Fatalf("written again, the bytes differ (%v)\n%s\n%s", err, written, again)
		}
	})
}
