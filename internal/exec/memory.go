package exec

import (
	"math"
	"slices"
	"unsafe"

	"github.com/litekit/lite/onnx"
)

// memory is what one run works in: the bytes of its values, and the headers,
// shapes and calls around them. It is kept for later runs, so that a run of a
// known shape takes nothing from the heap but what it returns.
//
// Bytes come from regions. The first is the slab: where the shape has been run
// before, a layout says where in it each value goes. Advice is all that a
// layout is: a place is taken only if it is free. A value that is larger than
// it was (its shape depends on data), or whose place is still in use, goes to
// the smallest free gap, and a new region is added where there is none; the next
// run then starts with a slab that holds as much, and makes a new layout.
type memory struct {
	limit int // the largest value in bytes
	// loose puts every value on the heap by itself: constants outlive the run.
	loose bool
	done  <-chan struct{} // closed when the run is to stop

	regions []region
	need    int // bytes that the next slab must have
	recent  [2]int
	runs    int

	blocks  pool[block]
	tensors pool[Tensor]
	sizes   vectors[int] // shapes
	calls   pool[call]   // these are for one step at a time
	args    vectors[*Tensor]
	flags   vectors[bool]
	loops   pool[broadcast]
	temps   []*Tensor // scratch of the step

	products pool[product2]
	folds    pool[over]

	plan      *layout // where values go, nil where the shape is new
	pending   []spot  // of the current step
	recording *recording
	outgrown  bool // a value is larger than planned
}

// block is the memory of one value. Tensors that share it (views) count in refs.
type block struct {
	refs   int
	region int // ownHeap: not in a region
	span
	record int // number in the recording
}

const ownHeap = -1

// span is a range of bytes in a region.
type span struct{ at, end int }

// region is one piece of memory and which spans of it are in use, in order.
type region struct {
	mem  []uint64
	live []span
}

const (
	// lineBytes is what the places of values are multiples of.
	lineBytes = 64
	// regionBytes is the least that a run adds to its memory at a time.
	regionBytes = 1 << 16
	// maxGrowth bounds the memory that is added in advance of need.
	maxGrowth = 64 << 20
	// keepRuns is after how many runs a slab shrinks that was never more than
	// a quarter full.
	keepRuns = 256
)

func (r *region) size() int { return 8 * len(r.mem) }

// search is where at lies, or would lie, in the spans in use.
func (r *region) search(at int) int {
	i, _ := slices.BinarySearchFunc(r.live, at, func(s span, at int) int { return s.at - at })
	return i
}

// claim takes the span if it is free.
func (r *region) claim(s span) bool {
	if s.end > r.size() {
		return false
	}
	i := r.search(s.at)
	if i > 0 && r.live[i-1].end > s.at || i < len(r.live) && r.live[i].at < s.end {
		return false
	}
	r.live = slices.Insert(r.live, i, s)
	return true
}

// gap is the smallest free span of at least n bytes and its size; best is the
// size to beat.
func (r *region) gap(n, best int) (at, size int) {
	at, size = -1, best
	from := 0
	for i := 0; i <= len(r.live); i++ {
		to := r.size()
		if i < len(r.live) {
			to = r.live[i].at
		}
		if g := to - from; g >= n && g < size {
			at, size = from, g
		}
		if i < len(r.live) {
			from = r.live[i].end
		}
	}
	return at, size
}

// start makes the memory ready for a run: where the last one needed more than
// the slab, or the layout needs more, there is a new slab.
func (m *memory) start(plan *layout, done <-chan struct{}) {
	m.plan, m.done, m.pending, m.outgrown = plan, done, nil, false
	need := m.need
	if plan != nil {
		need = max(need, plan.size)
	}
	m.reserve(need)
}

// reserve replaces the regions by one slab unless there is one of that size.
func (m *memory) reserve(need int) {
	m.need = need
	if len(m.regions) == 1 && m.regions[0].size() >= need || len(m.regions) == 0 && need == 0 {
		return
	}
	if len(m.regions) == 0 {
		m.regions = make([]region, 1)
	}
	clear(m.regions[1:])
	m.regions = m.regions[:1]
	m.regions[0].mem = nil // before the new one is made: both need not fit
	m.regions[0].mem = make([]uint64, need/8)
}

// begin is called before step i.
func (m *memory) begin(i int) {
	m.endStep()
	if m.recording != nil {
		m.recording.step = i
	}
	if m.plan != nil {
		m.pending = m.plan.step(i)
	}
}

// finish ends a run: all values are gone, the memory stays. A run that went
// over the slab makes the next one larger; a slab that has been far too large
// for long is given up.
func (m *memory) finish() {
	m.endStep()
	if len(m.regions) > 1 {
		m.need = max(m.need, m.bytes())
	}
	used := 0
	if m.plan != nil {
		used = m.plan.size
	} else if len(m.regions) > 0 {
		used = m.regions[0].size() / 2 // not known: as if it had been needed
	}
	m.recent[0] = max(m.recent[0], used)
	if m.runs++; m.runs%keepRuns == 0 {
		if most := max(m.recent[0], m.recent[1]); m.bytes() > 4*most {
			m.regions, m.need = nil, most
		}
		m.recent = [2]int{0, m.recent[0]}
	}
	for i := range m.regions {
		m.regions[i].live = m.regions[i].live[:0]
	}
	m.plan, m.pending, m.recording, m.done = nil, nil, nil, nil
	m.blocks.reset()
	m.tensors.reset()
	m.sizes.reset()
}

// endStep takes back what was for one step only.
func (m *memory) endStep() {
	m.calls.reset()
	m.args.reset()
	m.flags.reset()
	m.loops.reset()
	m.products.reset()
	m.folds.reset()
	for _, t := range m.temps {
		m.release(t)
	}
	clear(m.temps)
	m.temps = m.temps[:0]
}

// bytes is how much memory the regions are.
func (m *memory) bytes() int {
	n := 0
	for i := range m.regions {
		n += m.regions[i].size()
	}
	return n
}

// take returns a tensor with undefined contents; n is the product of shape.
func (m *memory) take(t onnx.DataType, shape []int, n int) *Tensor {
	out, b := m.tensors.next(), m.blocks.next()
	out.Type, out.Shape, out.mem = t, m.shape(shape), b
	b.refs, b.region, b.record = 1, ownHeap, -1
	bytes := n * storage(t).Size()
	if m.recording != nil {
		b.record = m.recording.taken(roundBytes(bytes))
	}
	if m.loose || !m.locate(b, roundBytes(bytes)) {
		out.allocate(n)
		return out
	}
	out.overlay(unsafe.Pointer(&m.regions[b.region].mem[b.at/8]), n)
	if poison {
		p := unsafe.Slice((*byte)(unsafe.Pointer(&m.regions[b.region].mem[b.at/8])), bytes)
		for i := range p {
			p[i] = 0xFE
		}
	}
	if out.Bool != nil {
		clear(out.Bool) // any other byte than 0 and 1 is no bool
	}
	return out
}

// poison, which tests set, fills what is taken with a pattern, so that an
// operator that leaves elements unwritten is found out.
var poison bool

// locate finds a place for a block; false means that it is to be on the heap:
// it is empty, or will be handed to the caller.
func (m *memory) locate(b *block, bytes int) bool {
	if len(m.pending) > 0 {
		p := m.pending[0]
		m.pending = m.pending[1:]
		if p.at == ownHeap {
			return false
		}
		m.outgrown = m.outgrown || bytes > p.bytes
		b.span = span{p.at, p.at + bytes}
		if 0 < bytes && bytes <= p.bytes && m.regions[0].claim(b.span) {
			b.region = 0
			return true
		}
	}
	if bytes == 0 {
		return false
	}
	best := math.MaxInt
	for i := range m.regions {
		if at, size := m.regions[i].gap(bytes, best); at >= 0 {
			b.region, b.span, best = i, span{at, at + bytes}, size
		}
	}
	if b.region == ownHeap {
		size := max(bytes, regionBytes, min(m.bytes(), maxGrowth))
		m.regions = append(m.regions, region{mem: make([]uint64, size/8)})
		b.region, b.span = len(m.regions)-1, span{0, bytes}
	}
	return m.regions[b.region].claim(b.span)
}

func roundBytes(n int) int { return (n + lineBytes - 1) &^ (lineBytes - 1) }

// release drops one reference to the tensor's memory.
func (m *memory) release(t *Tensor) {
	if t == nil || t.mem == nil {
		return
	}
	b := t.mem
	if b.refs--; b.refs > 0 {
		return
	}
	if b.record >= 0 && m.recording != nil {
		m.recording.released(b.record)
	}
	if b.region != ownHeap {
		r := &m.regions[b.region]
		i := r.search(b.at)
		r.live = slices.Delete(r.live, i, i+1)
	}
}

// shape is a copy of dims that lives as long as the run.
func (m *memory) shape(dims []int) []int {
	s := m.sizes.next(len(dims))
	copy(s, dims)
	return s
}

// header is a copy of t's header that lives as long as the run.
func (m *memory) header(t *Tensor) *Tensor {
	h := m.tensors.next()
	*h = *t
	return h
}

// call is a call with room for so many inputs and outputs; it lives until the
// next step.
func (m *memory) call(in, out int) *call {
	c := m.calls.next()
	c.mem, c.in, c.out, c.dying = m, m.args.next(in), m.args.next(out), m.flags.next(in)
	return c
}

// allocate gives the tensor n elements of its own.
func (t *Tensor) allocate(n int) {
	switch storage(t.Type) {
	case onnx.Float:
		t.F32 = make([]float32, n)
	case onnx.Double:
		t.F64 = make([]float64, n)
	case onnx.Int64:
		t.I64 = make([]int64, n)
	case onnx.Int32:
		t.I32 = make([]int32, n)
	case onnx.Uint8:
		t.U8 = make([]uint8, n)
	case onnx.Int8:
		t.I8 = make([]int8, n)
	case onnx.Bool:
		t.Bool = make([]bool, n)
	}
}

// overlay makes n elements at p the tensor's.
func (t *Tensor) overlay(p unsafe.Pointer, n int) {
	switch storage(t.Type) {
	case onnx.Float:
		t.F32 = unsafe.Slice((*float32)(p), n)
	case onnx.Double:
		t.F64 = unsafe.Slice((*float64)(p), n)
	case onnx.Int64:
		t.I64 = unsafe.Slice((*int64)(p), n)
	case onnx.Int32:
		t.I32 = unsafe.Slice((*int32)(p), n)
	case onnx.Uint8:
		t.U8 = unsafe.Slice((*uint8)(p), n)
	case onnx.Int8:
		t.I8 = unsafe.Slice((*int8)(p), n)
	case onnx.Bool:
		t.Bool = unsafe.Slice((*bool)(p), n)
	}
}
