package corpus

import (
	"errors"
	"sync"
)

// Prefetch makes the next batches of a view in a goroutine of its own, while the
// last one is in use. What it gives is what [View.Batch] gives.
type Prefetch struct {
	batches chan made
	stop    chan struct{}
	once    sync.Once
	ended   sync.WaitGroup
}

// made is a batch, or why there is none.
type made struct {
	batch *Batch
	err   error
}

// Prefetch starts with batch first, counted over all epochs, and keeps up to
// depth batches ready, at least one. The caller must Close it.
func (v *View) Prefetch(first, depth int) *Prefetch {
	p := &Prefetch{batches: make(chan made, max(depth-1, 0)), stop: make(chan struct{})}
	p.ended.Go(func() {
		for k := first; ; k++ {
			select { // here too: below a batch may be taken though both are ready
			case <-p.stop:
				return
			default:
			}
			b, err := v.Nth(k)
			select {
			case p.batches <- made{b, err}:
			case <-p.stop:
				return
			}
		}
	})
	return p
}

// Next returns the next batch; an error after Close.
func (p *Prefetch) Next() (*Batch, error) {
	select {
	case m := <-p.batches:
		return m.batch, m.err
	case <-p.stop:
		return nil, errors.New("corpus: a batch was asked for after Close")
	}
}

// Close ends the goroutine, and waits for it. It may be called twice, and for nil.
func (p *Prefetch) Close() {
	if p != nil {
		p.once.Do(func() { close(p.stop) })
		p.ended.Wait()
	}
}

// Nth returns batch k, counted over all epochs, k ≥ 0.
func (v *View) Nth(k int) (*Batch, error) {
	n := v.Batches(0)
	if k < 0 {
		return v.Batch(0, k)
	}
	return v.Batch(k/n, k%n)
}
