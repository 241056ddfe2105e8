package autodiff

import (
	"slices"

	"gorgonia.org/tensor"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
)

// readsSize tells the nodes that read nothing of their input but its shape: what
// they compute has no gradient, and is the same for all batches of B×S.
func readsSize(n *onnx.Node) bool {
	op := opName(n)
	return (op == "Shape" || op == "Size") && len(n.Inputs) == 1 && len(n.Outputs) == 1
}

// sizeKey is a Shape or Size node's output in passes of B×S with R rows.
type sizeKey struct {
	name    string
	b, s, r int
}

// size is the output of a Shape or Size node whose input depends on parameters,
// always of the padded form. Values of rank 0 count as [1], as everywhere in a pass.
func (d *dataFeed) size(name string) (*exec.Tensor, error) {
	q, p := d.q, d.q.program
	key := sizeKey{name, q.B, q.S, q.R}
	if t := p.sizeOf[key]; t != nil {
		return t, nil
	}
	n := p.sizes[name]
	shape, err := d.paddedShape(n.Inputs[0])
	if err != nil {
		return nil, err
	}
	var t *exec.Tensor
	if opName(n) == "Size" {
		t = exec.Int64s([]int64{int64(volume(shape))})
	} else {
		lo := axisWithin(n.Int("start", 0), len(shape))
		hi := max(lo, axisWithin(n.Int("end", int64(len(shape))), len(shape)))
		dims := make([]int64, 0, hi-lo)
		for _, x := range shape[lo:hi] {
			dims = append(dims, int64(x))
		}
		t = exec.Int64s(dims, len(dims))
	}
	p.sizeOf[key] = t
	return t, nil
}

// axisWithin is a bound of Shape, which may count from the end, in [0, rank].
func axisWithin(a int64, rank int) int {
	if a < 0 {
		a += int64(rank)
	}
	return int(min(max(a, 0), int64(rank)))
}

// paddedShape is the shape of a learned value. Where this pass has not built the
// value, or builds it without padding, a padded pass that never runs is built up to
// there: a value of which only the shape is read is not to be computed.
func (d *dataFeed) paddedShape(name string) ([]int, error) {
	q := d.q
	if v := q.byName[name]; v != nil && q.pack == nil {
		return v.shape, nil
	}
	sketch := q
	if !q.sketch {
		if d.sketch == nil {
			s, err := q.program.NewForward(q.B, q.S, q.R)
			if err != nil {
				return nil, err
			}
			s.sketch, d.sketch = true, s
		}
		sketch = d.sketch
	}
	v, err := sketch.value(name)
	if err != nil {
		return nil, err
	}
	return v.shape, nil
}

// sizeLeaf is the leaf of a Shape or Size node, a constant of the pass.
func (d *dataFeed) sizeLeaf(name string) (*value, error) {
	t, err := d.size(name)
	if err != nil {
		return nil, err
	}
	v := &value{label: name, shape: slices.Clone(t.Shape), dtype: tensor.Int64, i64: t.I64}
	if len(v.shape) == 0 {
		v.shape = []int{1}
		d.flat[v] = true
	}
	d.leafs[name] = d.q.input("const", v)
	return v, nil
}

// addSizes adds to the inputs of the data session the shapes that required values
// are computed from.
func (d *dataFeed) addSizes(in map[string]*exec.Tensor) error {
	for name := range d.sizes {
		t, err := d.size(name)
		if err != nil {
			return err
		}
		in[name] = t
	}
	return nil
}

// settleSizes finds all shapes that runs are going to need, so that the sketch can go.
func (d *dataFeed) settleSizes() error {
	err := d.addSizes(map[string]*exec.Tensor{})
	d.sketch = nil
	return err
}
