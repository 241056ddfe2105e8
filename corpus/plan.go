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
	size    int
}

// batch returns the sequences of batch i.
func (p *plan) batch(i int) []int32 {
	if i < len(p.batches) {
		i = int(p.batches[i])
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

// order shuffles the sequences, sorts each window by length, and shuffles the
// full batches; a short batch stays last.
func (v *View) order(epoch int) *plan {
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
