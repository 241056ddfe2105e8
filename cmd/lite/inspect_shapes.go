package main

import (
	"fmt"

	"github.com/litekit/lite/onnx"
)

// faults are what Check finds, one text each.
func faults(m *onnx.Model) []string {
	err := m.Check()
	if err == nil {
		return nil
	}
	var out []string
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range list.Unwrap() {
			out = append(out, e.Error())
		}
		return out
	}
	return []string{err.Error()}
}

// inferred lists the values that the nodes make, in their order, with what is
// known of their types and shapes. batch and seq above 0 stand for the open
// lengths of axis 0 and 1 of the inputs.
func inferred(m *onnx.Model, batch, seq int64) ([]valueOf, error) {
	if batch < 0 || seq < 0 {
		return nil, usagef("--batch and --seq count from 1")
	}
	sizes := map[string]int64{}
	for axis, flag := range []struct {
		name string
		n    int64
	}{{"--batch", batch}, {"--seq", seq}} {
		if flag.n == 0 {
			continue
		}
		names := openLengths(m.Graph, axis)
		if len(names) == 0 {
			return nil, fmt.Errorf("%s: axis %d of every input has a fixed length; leave it out", flag.name, axis)
		}
		for _, name := range names {
			sizes[name] = flag.n
		}
	}
	inf, err := m.Infer(sizes)
	if err != nil {
		return nil, err
	}
	out := []valueOf{}
	for _, n := range m.Graph.Nodes {
		for _, name := range n.Outputs {
			if name == "" {
				continue
			}
			v := valueOf{Name: name, Type: inf.Type(name).String(), Shape: []string{}}
			dims, ok := inf.Shape(name)
			if !ok {
				v.Shape = []string{"…"} // not even the rank is known
			}
			for _, d := range dims {
				v.Shape = append(v.Shape, inf.Text(d))
			}
			out = append(out, v)
		}
	}
	return out, nil
}

// openLengths are the symbols, as [onnx.Model.Infer] names them, of an axis of the inputs.
func openLengths(g *onnx.Graph, axis int) []string {
	var out []string
	for _, v := range g.Inputs {
		if g.Initializer(v.Name) != nil || axis >= len(v.Dims) || v.Dims[axis].Known && v.Dims[axis].Size >= 0 {
			continue
		}
		if d := v.Dims[axis]; d.Param != "" && !d.Known {
			out = append(out, d.Param)
		} else {
			out = append(out, fmt.Sprintf("%s.%d", v.Name, axis))
		}
	}
	return out
}
