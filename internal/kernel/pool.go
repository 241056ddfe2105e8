package kernel

import (
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
)

// maxThreads bounds SetThreads; more workers than this never pay.
const maxThreads = 256

var (
	threads atomic.Int32 // 0: not set, use GOMAXPROCS
	workers workerSet
	jobs    = sync.Pool{New: func() any { return &job{finished: make(chan struct{}, 1)} }}
)

// SetThreads sets how many goroutines one call may use, the caller's included.
// n < 1 restores the default, GOMAXPROCS. Results do not depend on it.
func SetThreads(n int) {
	threads.Store(int32(max(0, min(n, maxThreads))))
}

// Threads returns how many goroutines one call may use.
func Threads() int {
	if n := threads.Load(); n > 0 {
		return int(n)
	}
	return min(runtime.GOMAXPROCS(0), maxThreads)
}

// Parallel calls f(lo, hi) for consecutive chunks that cover [0, n), up to
// Threads() of them at a time, and returns when all are done. Every chunk but
// the last has grain elements, so the bounds depend on n and grain alone. A
// single chunk runs on the caller's goroutine. f may call Parallel.
func Parallel(n, grain int, f func(lo, hi int)) {
	parallel(n, grain, funcTask(f))
}

// A task is the body of a parallel loop. The kernels use pooled structs rather
// than closures so that a call allocates nothing.
type task interface {
	run(lo, hi int)
}

type funcTask func(lo, hi int)

func (f funcTask) run(lo, hi int) { f(lo, hi) }

// job is one parallel loop in flight. refs counts the caller and every worker
// that was handed the job; the last one to leave returns it to the pool, which
// keeps a worker that wakes late from touching a recycled job.
type job struct {
	task     task
	n, grain int
	chunks   int64
	next     atomic.Int64
	done     atomic.Int64
	refs     atomic.Int32
	finished chan struct{}
}

func (j *job) work() {
	for {
		i := j.next.Add(1) - 1
		if i >= j.chunks {
			return
		}
		lo := int(i) * j.grain
		j.task.run(lo, min(lo+j.grain, j.n))
		if j.done.Add(1) == j.chunks {
			j.finished <- struct{}{}
		}
	}
}

func (j *job) release() {
	if j.refs.Add(-1) == 0 {
		j.task = nil
		jobs.Put(j)
	}
}

// workerSet is the set of parked goroutines that help with jobs. They are
// started when first needed and live as long as the process.
type workerSet struct {
	mu      sync.Mutex
	started atomic.Int32
	queue   chan *job
}

func (w *workerSet) ensure(n int) {
	if int(w.started.Load()) >= n {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.queue == nil {
		w.queue = make(chan *job, 4*maxThreads)
	}
	for int(w.started.Load()) < n {
		go w.loop()
		w.started.Add(1)
	}
}

func (w *workerSet) loop() {
	for j := range w.queue {
		j.work()
		j.release()
	}
}

func parallel(n, grain int, t task) {
	if n <= 0 {
		return
	}
	grain = max(grain, 1)
	chunks := (n + grain - 1) / grain
	helpers := min(Threads(), chunks) - 1
	if helpers < 1 {
		for lo := 0; lo < n; lo += grain {
			t.run(lo, min(lo+grain, n))
		}
		return
	}
	workers.ensure(helpers)
	j := jobs.Get().(*job)
	j.task, j.n, j.grain, j.chunks = t, n, grain, int64(chunks)
	j.next.Store(0)
	j.done.Store(0)
	j.refs.Store(int32(helpers) + 1)
	for range helpers {
		select {
		case workers.queue <- j:
		default: // every worker is busy with other callers' loops
			j.refs.Add(-1)
		}
	}
	j.work()
	<-j.finished
	j.release()
}

// buffer is scratch memory from the pool; its contents are arbitrary.
type buffer struct {
	f     []float32
	class int
}

var buffers [40]sync.Pool

// getBuffer returns scratch for n float32, to be given back with put.
func getBuffer(n int) *buffer {
	class := bits.Len(uint(max(n, 64) - 1))
	if v := buffers[class].Get(); v != nil {
		b := v.(*buffer)
		b.f = b.f[:n]
		return b
	}
	return &buffer{f: make([]float32, n, 1<<class), class: class}
}

func (b *buffer) put() { buffers[b.class].Put(b) }

// taskPool recycles the argument structs of one kernel.
type taskPool[T any] struct{ p sync.Pool }

func (p *taskPool[T]) get() *T {
	if v := p.p.Get(); v != nil {
		return v.(*T)
	}
	return new(T)
}

func (p *taskPool[T]) put(t *T) {
	var zero T
	*t = zero // do not keep the caller's slices alive
	p.p.Put(t)
}

// rowGrain is how many rows of n elements make a chunk of about size elements.
func rowGrain(n, size int) int { return max(1, size/max(n, 1)) }

func need(what string, have, want int) {
	if have < want {
		panicShort(what, have, want)
	}
}

// needMatrix checks that x holds rows rows of n elements at distance ld.
func needMatrix(what string, have, rows, n, ld int) {
	if rows > 0 && n > 0 {
		if ld < n {
			panicShort("leading dimension of "+what, ld, n)
		}
		need(what, have, (rows-1)*ld+n)
	}
}
