package exec

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// layout is where the values of a run of one shape lie in the slab. It is made
// from a recording of the first run of that shape.
type layout struct {
	places []spot // in the order in which memory is asked for
	first  []int  // by step of the plan: its first place; one more at the end
	size   int    // of the slab
	values int    // the most bytes that the values between the steps take at one time
	result int    // bytes handed to the caller
	used   int64  // when, by the plan's clock
	stale  bool   // a value did not fit: the next run makes another
}

// spot is where one piece of memory lies; at is ownHeap where it is handed to
// the caller.
type spot struct{ bytes, at int }

// step returns the places of step i.
func (l *layout) step(i int) []spot { return l.places[l.first[i]:l.first[i+1]] }

// maxPlaces bounds a layout: beyond, places are found as the run goes, which
// takes less time than planning.
const maxPlaces = 4096

// recording notes what memory a run asks for, and for how long.
type recording struct {
	step  int
	clock int
	list  []record
	// before is the layout that some value has outgrown: what had room there
	// has as much in the next.
	before *layout
}

type record struct {
	bytes      int
	step       int
	start, end int  // end is 0 until it is released
	value      bool // of the graph, not an operator's own
	output     bool // handed to the caller
}

func (r *recording) taken(bytes int) int {
	r.clock++
	r.list = append(r.list, record{bytes: bytes, step: r.step, start: r.clock})
	return len(r.list) - 1
}

func (r *recording) released(i int) {
	r.clock++
	r.list[i].end = r.clock
}

// value notes that a tensor became a value of the graph.
func (r *recording) value(t *Tensor) {
	if t != nil && t.mem != nil && t.mem.record >= 0 {
		r.list[t.mem.record].value = true
	}
}

// output notes that a tensor is handed to the caller.
func (r *recording) output(t *Tensor) {
	if t != nil && t.mem != nil && t.mem.record >= 0 {
		r.list[t.mem.record].output = true
	}
}

// layout places what was recorded: the largest first, each in the smallest gap
// between what is already placed and lives at the same time. It is nil where
// there is too much.
func (r *recording) layout(steps int) *layout {
	if len(r.list) > maxPlaces {
		return nil
	}
	if o := r.before; o != nil && len(o.places) == len(r.list) {
		for i := range r.list {
			r.list[i].bytes = max(r.list[i].bytes, o.places[i].bytes)
		}
	}
	l := &layout{places: make([]spot, len(r.list)), first: make([]int, steps+1)}
	order := make([]int, 0, len(r.list))
	for i := range r.list {
		x := &r.list[i]
		if x.end == 0 {
			x.end = r.clock + 1
		}
		l.places[i] = spot{x.bytes, ownHeap}
		l.first[x.step+1]++
		if x.output {
			l.result += x.bytes
		} else if x.bytes > 0 {
			order = append(order, i)
		}
	}
	for i := range steps {
		l.first[i+1] += l.first[i]
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(r.list[b].bytes, r.list[a].bytes) })
	var placed []int // by offset
	for _, i := range order {
		at := r.fit(l, placed, i)
		l.places[i].at = at
		l.size = max(l.size, at+r.list[i].bytes)
		k, _ := slices.BinarySearchFunc(placed, at, func(j, at int) int { return cmp.Compare(l.places[j].at, at) })
		placed = slices.Insert(placed, k, i)
	}
	l.values = r.peak()
	return l
}

// fit is the offset of the smallest gap for record i.
func (r *recording) fit(l *layout, placed []int, i int) int {
	x := r.list[i]
	at, size, from := -1, 0, 0
	for _, j := range placed {
		if y := r.list[j]; y.start > x.end || y.end < x.start {
			continue
		}
		p := l.places[j]
		if g := p.at - from; g >= x.bytes && (at < 0 || g < size) {
			at, size = from, g
		}
		from = max(from, p.at+p.bytes)
	}
	if at < 0 {
		return from
	}
	return at
}

// peak is the most bytes that values of the graph, without those handed to the
// caller, take at one time.
func (r *recording) peak() int {
	change := make([]int, r.clock+2)
	for _, x := range r.list {
		if x.value && !x.output {
			change[x.start] += x.bytes
			change[x.end] -= x.bytes
		}
	}
	now, most := 0, 0
	for _, c := range change {
		now += c
		most = max(most, now)
	}
	return most
}

// maxLayouts bounds how many shapes are remembered for one set of outputs; one
// takes a few KB. The one that was not used for longest is forgotten.
const maxLayouts = 512

// layouts are the layouts of the shapes that a plan has met, by signature.
type layouts struct {
	byShape map[string]*layout
	clock   int64
}

func (c *layouts) get(key []byte) *layout {
	l := c.byShape[string(key)]
	if l != nil {
		c.clock++
		l.used = c.clock
	}
	return l
}

func (c *layouts) put(key []byte, l *layout) {
	if c.byShape == nil {
		c.byShape = map[string]*layout{}
	}
	if len(c.byShape) >= maxLayouts {
		oldest, when := "", int64(-1)
		for k, l := range c.byShape {
			if when < 0 || l.used < when {
				oldest, when = k, l.used
			}
		}
		delete(c.byShape, oldest)
	}
	c.clock++
	l.used = c.clock
	c.byShape[string(key)] = l
}

// appendShape adds the type and shape of an input to a signature.
func appendShape(key []byte, t *Tensor) []byte {
	key = binary.AppendUvarint(key, uint64(t.Type))
	key = binary.AppendUvarint(key, uint64(len(t.Shape)))
	for _, d := range t.Shape {
		key = binary.AppendUvarint(key, uint64(d))
	}
	return key
}
