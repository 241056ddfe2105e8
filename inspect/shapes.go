package inspect

import (
	"fmt"
	"maps"

	"github.com/litekit/lite/onnx"
)

// sizes are the numbers that stand for the symbols of the inputs.
func (o Options) sizes(g *onnx.Graph) (map[string]int64, error) {
	if o.Batch < 0 || o.Seq < 0 {
		return nil, fmt.Errorf("inspect: batch %d, sequence %d: they count from 1", o.Batch, o.Seq)
	}
	sizes := map[string]int64{}
	for axis, given := range []struct {
		name string
		n    int64
	}{{"batch", o.Batch}, {"sequence", o.Seq}} {
		if given.n == 0 {
			continue
		}
		names := openLengths(g, axis)
		if len(names) == 0 {
			return nil, fmt.Errorf("inspect: %s %d: axis %d of every input has a fixed length; leave it out", given.name, given.n, axis)
		}
		for _, name := range names {
			sizes[name] = given.n
		}
	}
	maps.Copy(sizes, o.Sizes)
	return sizes, nil
}

// inferred lists the values that the nodes make, in their order, with what is
// known of their types and shapes.
func inferred(g *onnx.Graph, inf *onnx.Inference) []Value {
	out := []Value{}
	for _, n := range g.Nodes {
		for _, name := range n.Outputs {
			if name == "" {
				continue
			}
			v := Value{Name: name, Type: inf.Type(name).String(), Shape: []string{}}
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
	return out
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
