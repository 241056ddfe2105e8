package exec_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/ort"
	"github.com/litekit/lite/onnx"
)

// nodeTest is one node with its inputs (nil: omitted), to be run by both.
type nodeTest struct {
	name    string
	op      string // with its domain, "com.microsoft:Gelu"
	outputs int
	attrs   []*onnx.Attribute
	in      []*exec.Tensor
	// fed leaves out the run with constants: ONNX Runtime itself makes unsigned
	// weights of signed ones and then has no kernel.
	fed   bool
	exact bool // allow no step of difference in quantized values
	tol   float64
}

// short forms of the tensors and attributes of the tables
func fl(seed uint64, shape ...int) *exec.Tensor {
	return exec.Floats(sample(size(shape), seed), shape...)
}

func num(v ...float32) *exec.Tensor {
	if len(v) == 1 {
		return exec.Floats(v)
	}
	return exec.Floats(v, len(v))
}

func ub(seed uint64, shape ...int) *exec.Tensor {
	v := sample(size(shape), seed)
	return &exec.Tensor{Type: onnx.Uint8, Shape: shape, U8: fillOf(len(v), func(i int) uint8 { return uint8((v[i] + 1) * 127.9) })}
}

func sb(seed uint64, shape ...int) *exec.Tensor {
	v := sample(size(shape), seed)
	return &exec.Tensor{Type: onnx.Int8, Shape: shape, I8: fillOf(len(v), func(i int) int8 { return int8(v[i] * 127.9) })}
}

func u8(v ...uint8) *exec.Tensor {
	if len(v) == 1 {
		return &exec.Tensor{Type: onnx.Uint8, U8: v}
	}
	return &exec.Tensor{Type: onnx.Uint8, Shape: []int{len(v)}, U8: v}
}

func s8(v ...int8) *exec.Tensor {
	if len(v) == 1 {
		return &exec.Tensor{Type: onnx.Int8, I8: v}
	}
	return &exec.Tensor{Type: onnx.Int8, Shape: []int{len(v)}, I8: v}
}

func i32(v []int32, shape ...int) *exec.Tensor {
	return &exec.Tensor{Type: onnx.Int32, Shape: shape, I32: v}
}

func at(name string, v int64) *onnx.Attribute      { return onnx.IntAttr(name, v) }
func attrs(a ...*onnx.Attribute) []*onnx.Attribute { return a }
func ins(in ...*exec.Tensor) []*exec.Tensor        { return in }
func with(in []*exec.Tensor, more ...*exec.Tensor) []*exec.Tensor {
	return append(append([]*exec.Tensor{}, in...), more...)
}

// model is the node as a model; inputs from the first constant on are initializers.
func (n nodeTest) model(constant int, types []onnx.DataType) (*onnx.Model, map[string]*exec.Tensor) {
	feed := map[string]*exec.Tensor{}
	nd := node(n.op, nil, nil, n.attrs...)
	m := graph(nil, nil, nil, nd)
	m.Opsets = []onnx.Opset{{Version: 17}, {Domain: "com.microsoft", Version: 1}}
	for i, x := range n.in {
		name := ""
		if x != nil {
			name = fmt.Sprint("in", i)
		}
		nd.Inputs = append(nd.Inputs, name)
		switch {
		case x == nil:
		case i >= constant:
			m.Graph.Initializers = append(m.Graph.Initializers, toONNX(name, x))
		default:
			v := &onnx.ValueInfo{Name: name, Type: x.Type, HasShape: true}
			for _, d := range x.Shape {
				v.Dims = append(v.Dims, onnx.Dim{Known: true, Size: int64(d)})
			}
			m.Graph.Inputs = append(m.Graph.Inputs, v)
			feed[name] = x
		}
	}
	for i := range n.outputs {
		nd.Outputs = append(nd.Outputs, fmt.Sprint("out", i))
		o := &onnx.ValueInfo{Name: nd.Outputs[i]}
		if i < len(types) {
			o.Type = types[i]
		}
		m.Graph.Outputs = append(m.Graph.Outputs, o)
	}
	return m, feed
}

func toONNX(name string, x *exec.Tensor) *onnx.Tensor {
	t := &onnx.Tensor{Name: name, Type: x.Type}
	for _, d := range x.Shape {
		t.Dims = append(t.Dims, int64(d))
	}
	var err error
	for _, v := range []any{x.F32, x.F64, x.I64, x.I32, x.U8, x.I8, x.Bool} {
		if t.Raw, err = binary.Append(t.Raw, binary.LittleEndian, v); err != nil {
			panic(err)
		}
	}
	return t
}

// asInferred holds what package onnx says of a model to what a run of it gives.
func asInferred(t *testing.T, what string, m *onnx.Model, got map[string]*exec.Tensor) {
	t.Helper()
	if err := m.Check(); err != nil {
		t.Errorf("%s runs, and Check: %v", what, err)
	}
	f, err := m.Infer(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range got {
		if typ := f.Type(name); typ != x.Type && typ != onnx.Undefined {
			t.Errorf("%s: %s has type %v; %v was inferred", what, name, x.Type, typ)
		}
		dims, ok := f.Shape(name)
		if !ok {
			continue
		}
		same := len(dims) == len(x.Shape)
		for i := 0; same && i < len(dims); i++ {
			n, known := dims[i].Number()
			same = !known || n == int64(x.Shape[i])
		}
		if !same {
			t.Errorf("%s: %s has shape %v; %v was inferred", what, name, x.Shape, dims)
		}
	}
}

// againstORT runs every node with all inputs fed and with all but the first
// constant, fused and unfused, and compares each with ONNX Runtime.
func againstORT(t *testing.T, tests []nodeTest) {
	t.Helper()
	ort.Need(t)
	type try struct {
		test nodeTest
		what string
		got  []map[string]*exec.Tensor
		m    *onnx.Model
	}
	var tries []try
	var cases []ort.Case
	dir := t.TempDir()
	for _, n := range tests {
		for _, constant := range []int{len(n.in), 1} {
			if n.fed && constant == 1 {
				continue
			}
			tr := try{test: n, what: fmt.Sprintf("%s, %d inputs fed", n.name, constant)}
			var types []onnx.DataType
			for _, unfused := range []bool{true, false} {
				m, feed := n.model(constant, types)
				s, err := exec.New(m, exec.Options{Unfused: unfused})
				if err != nil {
					t.Errorf("%s: %v", tr.what, err)
					continue
				}
				got, err := s.Run(context.Background(), feed)
				if err != nil {
					t.Errorf("%s: %v", tr.what, err)
					continue
				}
				asInferred(t, tr.what, m, got)
				tr.got = append(tr.got, got)
				if types == nil {
					for _, o := range m.Graph.Outputs {
						types = append(types, got[o.Name].Type)
					}
				}
			}
			m, feed := n.model(constant, types)
			if len(types) == 0 {
				m, feed = n.model(constant, []onnx.DataType{onnx.Float, onnx.Float, onnx.Float, onnx.Float})
			}
			path := filepath.Join(dir, fmt.Sprintf("%d.onnx", len(tries)))
			if err := m.Save(path); err != nil {
				t.Fatal(err)
			}
			tr.m = m
			tries = append(tries, tr)
			cases = append(cases, ort.Case{Path: path, Batches: []map[string]ort.Tensor{toORT(feed)}})
		}
	}
	for i, a := range ort.Try(t, cases, 1, "all") {
		tr := tries[i]
		if err := a[0][0].Err; err != nil {
			t.Errorf("%s: ONNX Runtime: %v", tr.what, err)
			continue
		}
		for k, got := range tr.got {
			for _, o := range tr.m.Graph.Outputs {
				want, err := fromORT(a[0][0].Outputs[o.Name])
				if err != nil {
					t.Errorf("%s: %s: %v", tr.what, o.Name, err)
					continue
				}
				tol := tr.test.tol
				if tol == 0 {
					tol = 2e-5
				}
				err = closeTo(got[o.Name], want, tol)
				if tr.test.exact && err == nil {
					err = sameTensor(got[o.Name], want, 0, 0)
				}
				if err != nil {
					t.Errorf("%s, unfused %v: %s %v", tr.what, k == 0, o.Name, err)
				}
			}
		}
	}
}
