package exec

import (
	"math/bits"

	"github.com/litekit/lite/onnx"
)

// block is a buffer of one element type. Tensors that share it (views) count in refs.
type block struct {
	refs  int
	class int
	stamp int // the run that last gave it back
	full  Tensor
}

// arena hands out buffers during one run at a time and keeps them for the next.
type arena struct {
	free [typeSlots][classes][]*block
	run  int
	// limit is the largest buffer in bytes.
	limit int
}

const (
	typeSlots = 7
	classes   = 8 * 48
	// keepRuns is for how many runs an unused buffer is kept.
	keepRuns = 16
)

func slot(t onnx.DataType) int {
	switch storage(t) {
	case onnx.Float:
		return 0
	case onnx.Double:
		return 1
	case onnx.Int64:
		return 2
	case onnx.Int32:
		return 3
	case onnx.Uint8:
		return 4
	case onnx.Int8:
		return 5
	}
	return 6
}

// sizeClass rounds n up to one of four to eight sizes between powers of two.
func sizeClass(n int) (class, size int) {
	if n <= 64 {
		return 0, 64
	}
	e := bits.Len(uint(n-1)) - 3
	q := (n + 1<<e - 1) >> e
	return min(e*8+q-4, classes-1), q << e
}

// take returns a tensor with undefined contents; n is the product of shape.
func (a *arena) take(t onnx.DataType, shape []int, n int) *Tensor {
	class, size := sizeClass(n)
	list := &a.free[slot(t)][class]
	var b *block
	if k := len(*list); k > 0 {
		b = (*list)[k-1]
		(*list)[k-1] = nil
		*list = (*list)[:k-1]
	} else {
		b = newBlock(t, class, size)
	}
	b.refs = 1
	out := &Tensor{Type: t, Shape: shape, mem: b}
	switch storage(t) {
	case onnx.Float:
		out.F32 = b.full.F32[:n:n]
	case onnx.Double:
		out.F64 = b.full.F64[:n:n]
	case onnx.Int64:
		out.I64 = b.full.I64[:n:n]
	case onnx.Int32:
		out.I32 = b.full.I32[:n:n]
	case onnx.Uint8:
		out.U8 = b.full.U8[:n:n]
	case onnx.Int8:
		out.I8 = b.full.I8[:n:n]
	case onnx.Bool:
		out.Bool = b.full.Bool[:n:n]
	}
	return out
}

func newBlock(t onnx.DataType, class, size int) *block {
	b := &block{class: class}
	b.full.Type = storage(t)
	switch storage(t) {
	case onnx.Float:
		b.full.F32 = make([]float32, size)
	case onnx.Double:
		b.full.F64 = make([]float64, size)
	case onnx.Int64:
		b.full.I64 = make([]int64, size)
	case onnx.Int32:
		b.full.I32 = make([]int32, size)
	case onnx.Uint8:
		b.full.U8 = make([]uint8, size)
	case onnx.Int8:
		b.full.I8 = make([]int8, size)
	case onnx.Bool:
		b.full.Bool = make([]bool, size)
	}
	return b
}

// release drops one reference to the tensor's buffer.
func (a *arena) release(t *Tensor) {
	if t == nil || t.mem == nil {
		return
	}
	b := t.mem
	b.refs--
	if b.refs == 0 {
		b.stamp = a.run
		list := &a.free[slot(b.full.Type)][b.class]
		*list = append(*list, b)
	}
}

// finish ends a run: buffers that the last runs did not use are left to the collector.
func (a *arena) finish() {
	for s := range a.free {
		for c := range a.free[s] {
			list := a.free[s][c]
			kept := list[:0]
			for _, b := range list {
				if b.stamp+keepRuns > a.run {
					kept = append(kept, b)
				}
			}
			clear(list[len(kept):])
			a.free[s][c] = kept
		}
	}
	a.run++
}
