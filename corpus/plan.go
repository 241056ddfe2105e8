package corpus

import (
	"math/rand/v2"
	"slices"
	"sync"
)

// plan is the order of one epoch: batch i is the natural batch batches[i], and
// natural batches are pieces of order in a row.
type plan struct {
	order   []int32 // sequences
	batches []int32 // nil: in their order
	size    int     // sequences of a batch, where starts is nil
	starts  []int32 // where each batch starts, and the end
}

// batch returns the sequences of batch i.
func (p *plan) batch(i int) []int32 {
	if i < len(p.batches) {
		i = int(p.batches[i])
	}
	if p.starts != nil {
		return p.order[p.starts[i]:p.starts[i+1]]
	}
	lo := i * p.size
	return p.order[lo:min(lo+p.size, len(p.order))]
}

// plans remembers the order of the last two epochs asked for.
type plans struct {
	mu    sync.Mutex
	epoch [2]int
	plan  [2]*plan
	turn  int
}

// plan returns the order of an epoch.
func (v *View) plan(epoch int) *plan {
	if v.sequential {
		epoch = 0
	}
	p := v.plans
	p.mu.Lock()
	defer p.mu.Unlock()
	for k := range p.plan {
		if p.plan[k] != nil && p.epoch[k] == epoch {
			return p.plan[k]
		}
	}
	made := v.order(epoch)
	p.epoch[p.turn], p.plan[p.turn] = epoch, made
	p.turn ^= 1
	return made
}

// padded is the length of a row that holds length tokens. It exceeds MaxLength
// by the rounding only where that is not a multiple; a model's position table
// must not be overrun.
func (v *View) padded(length int) int {
	return max(length, min(roundUp(length, v.opts.PadMultiple), v.opts.MaxLength))
}

// packing is how sequences are packed under a token budget. It follows from
// their lengths alone, so that it is the same in every epoch.
type packing struct {
	first  []int32 // by padded length: where its bucket starts in the order
	starts []int32 // where each batch starts, and the end
}

// pack puts the buckets in a row, the shortest first, and cuts that into batches
// as large as the budget allows.
func (v *View) pack() *packing {
	var counts []int32
	for _, n := range v.store.lengths {
		s := v.padded(int(n))
		for len(counts) <= s {
			counts = append(counts, 0)
		}
		counts[s]++
	}
	p := &packing{first: make([]int32, len(counts)), starts: []int32{0}}
	at, rows := int32(0), int32(0) // rows of the running batch
	for s, n := range counts {
		p.first[s] = at
		for ; n > 0; n-- {
			if int(rows+1)*s > v.opts.BatchTokens && rows > 0 {
				p.starts, rows = append(p.starts, at), 0
			}
			rows++
			at++
		}
	}
	p.starts = append(p.starts, at)
	return p
}

// bucketed is the order of an epoch under a token budget: buckets in a row, each
// in the order of a shuffle, and the batches shuffled.
func (v *View) bucketed(epoch int) *plan {
	lengths := v.store.lengths
	p := &plan{order: make([]int32, len(lengths)), starts: v.packing.starts}
	next := slices.Clone(v.packing.first)
	put := func(n int32) {
		s := v.padded(int(lengths[n]))
		p.order[next[s]] = n
		next[s]++
	}
	if v.sequential {
		for n := range lengths {
			put(int32(n))
		}
		return p
	}
	all := make([]int32, len(lengths))
	for i := range all {
		all[i] = int32(i)
	}
	shuffle(stream(v.opts.Seed, purposeOrder, epoch, 0), all)
	for _, n := range all {
		put(n)
	}
	p.batches = make([]int32, len(p.starts)-1)
	for i := range p.batches {
		p.batches[i] = int32(i)
	}
	shuffle(stream(v.opts.Seed, purposeBatches, epoch, 0), p.batches)
	return p
}

// order shuffles the sequences, sorts each window by length, and shuffles the
// full batches; a short batch stays last.
func (v *View) order(epoch int) *plan {
	if v.packing != nil {
		return v.bucketed(epoch)
	}
	lengths := v.store.lengths
	p := &plan{order: make([]int32, len(lengths)), size: v.opts.BatchSize}
	for i := range p.order {
		p.order[i] = int32(i)
	}
	if !v.sequential {
		shuffle(stream(v.opts.Seed, purposeOrder, epoch, 0), p.order)
	}
	if v.opts.Window > 0 {
		for w := range slices.Chunk(p.order, p.size*v.opts.Window) {
			slices.SortStableFunc(w, func(a, b int32) int { return int(lengths[a]) - int(lengths[b]) })
		}
	}
	if v.sequential {
		return p
	}
	p.batches = make([]int32, len(p.order)/p.size)
	for i := range p.batches {
		p.batches[i] = int32(i)
	}
	shuffle(stream(v.opts.Seed, purposeBatches, epoch, 0), p.batches)
	return p
}

func shuffle(r *rand.Rand, s []int32) {
	r.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
}
