package autodiff

import (
	"fmt"
	"unsafe"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// value is a node of the Gorgonia graph together with its memory and the
// memory of its gradient.
type value struct {
	pass  *Pass
	label string
	node  *gorgonia.Node
	shape []int
	dtype tensor.Dtype

	// Where the elements are: a piece of the arena for what the pass computes,
	// or a slice for parameters, constants, fed data and foreign values. Of the
	// slices the one that dtype names is used.
	buf    *buffer
	floats []float32
	i64    []int64
	i32    []int32
	scalar *gorgonia.F32 // the value of a loss
	base   *value        // a view has the memory of another value

	param *Param // for a parameter
	// grad is where the gradient is gathered, nil if no parameter reaches the value.
	grad *adjoint
	// foreign values are made by Gorgonia's own operators; their slice is set
	// when an Op that reads them runs.
	foreign bool
	// shown values are read outside the Ops of this package, and so must be
	// tensors that Gorgonia knows, and live to the end of the run.
	shown bool
	// tokens says that the value is rows [N,·] of a packed pass for a loss to read.
	tokens bool
	dense  *tensor.Dense
}

// f32 is the memory of a float32 value.
func (v *value) f32() []float32 {
	switch {
	case v == nil:
		return nil
	case v.base != nil:
		return v.base.f32()
	case v.buf != nil:
		return v.buf.data()
	}
	return v.floats
}

// memory is the buffer that holds the value, nil for what is not in the arena.
func (v *value) memory() *buffer {
	for v.base != nil {
		v = v.base
	}
	return v.buf
}

func (v *value) size() int { return volume(v.shape) }

// width is the length of the last axis, rows the number of such vectors.
func (v *value) width() int { return v.shape[len(v.shape)-1] }

func (v *value) rows() int {
	if v.width() == 0 {
		return 0
	}
	return v.size() / v.width()
}

func (v *value) rank() int { return len(v.shape) }

// isScalar tells losses from values of the model, which all have a rank ≥ 1.
func (v *value) isScalar() bool { return len(v.shape) == 0 }

func volume(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// goType is Gorgonia's type of the value.
func (v *value) goType() hm.Type {
	if v.isScalar() {
		return v.dtype
	}
	return gorgonia.TensorType{Dims: len(v.shape), Of: v.dtype}
}

// out is what an Op returns to the tape machine for the value.
func (v *value) out() gorgonia.Value {
	switch {
	case v.scalar != nil:
		return v.scalar
	case v.shown:
		if v.dense == nil {
			v.dense = tensor.New(tensor.WithShape(v.shape...), tensor.WithBacking(v.f32()))
		}
		return v.dense
	}
	return envelope{v}
}

// envelope is the gorgonia.Value of what only Ops of this package read. It
// holds no memory of its own, so that a pass that is not running keeps nothing
// of the arena alive.
type envelope struct{ v *value }

func (e envelope) Shape() tensor.Shape { return e.v.shape }
func (e envelope) Size() int           { return e.v.size() }
func (e envelope) Dtype() tensor.Dtype { return e.v.dtype }
func (e envelope) Type() hm.Type       { return e.v.goType() }
func (e envelope) MemSize() uintptr    { return uintptr(e.v.size()) * e.v.dtype.Size() }

// Data returns the elements.
func (e envelope) Data() interface{} {
	switch e.v.dtype {
	case tensor.Int64:
		return e.v.i64
	case tensor.Int32:
		return e.v.i32
	}
	return e.v.f32()
}

// Uintptr returns the address of the first element.
func (e envelope) Uintptr() uintptr {
	switch e.v.dtype {
	case tensor.Int64:
		return uintptr(unsafe.Pointer(unsafe.SliceData(e.v.i64)))
	case tensor.Int32:
		return uintptr(unsafe.Pointer(unsafe.SliceData(e.v.i32)))
	}
	return uintptr(unsafe.Pointer(unsafe.SliceData(e.v.f32())))
}

// Format prints the type and shape.
func (e envelope) Format(s fmt.State, c rune) { fmt.Fprintf(s, "%v%v", e.v.goType(), e.v.shape) }

// floatsOf reads a float32 tensor or scalar that an operator of Gorgonia made.
func floatsOf(v gorgonia.Value) ([]float32, error) {
	switch t := v.(type) {
	case envelope:
		return t.v.f32(), nil
	case *tensor.Dense:
		if t.Dtype() != tensor.Float32 {
			return nil, fmt.Errorf("a tensor of %v, want float32", t.Dtype())
		}
		if t.RequiresIterator() {
			c, ok := t.Materialize().(*tensor.Dense)
			if !ok {
				return nil, fmt.Errorf("a view of %v that cannot be copied", t.Shape())
			}
			t = c
		}
		if t.Shape().IsScalar() {
			x, _ := t.ScalarValue().(float32)
			return []float32{x}, nil
		}
		return t.Float32s(), nil
	case *gorgonia.F32:
		return []float32{float32(*t)}, nil
	}
	return nil, fmt.Errorf("a value of type %T, want a float32 tensor", v)
}

// adjoint is the gradient of one value.
type adjoint struct {
	of *value
	// writers add to the adjoint, in the order in which they run.
	writers []*contribution
	// buf holds the gradient, unless it is a parameter's; alias is another
	// adjoint of the same size that holds it.
	buf   *buffer
	alias *adjoint
}

// contribution is what one backward Op adds to one adjoint.
type contribution struct {
	to *adjoint
	by *backward
	// first writers overwrite, the others add.
	first bool
	// shared says that the gradient is already there: the adjoint is the
	// writer's own adjoint, or the buffer that it gave.
	shared bool
}

// root follows aliases.
func (a *adjoint) root() *adjoint {
	for a.alias != nil {
		a = a.alias
	}
	return a
}

// data is the memory of the gradient.
func (a *adjoint) data() []float32 {
	if a.of.param != nil {
		return a.of.param.Grad
	}
	return a.root().buf.data()
}

// beta is 0 where the writer must overwrite and 1 where it must add.
func (c *contribution) beta() float32 {
	if c.first {
		return 0
	}
	return 1
}

func (c *contribution) data() []float32 { return c.to.data() }
