package kernel

import (
	"math/bits"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
)

// maxThreads bounds SetThreads; more workers than this never pay.
const maxThreads = 256

var (
	threads atomic.Int32 // 0: not set, use GOMAXPROCS
	workers workerSet
	jobs    freeList[job]
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

// Beside says that the caller's goroutine will call kernels while another one does:
// one worker stands back, so that no more than Threads() goroutines are at work
// between the two. What it returns ends that; further calls of it do nothing.
func Beside() (done func()) {
	workers.aside.Add(1)
	return sync.OnceFunc(func() {
		workers.mu.Lock()
		workers.aside.Add(-1)
		workers.mu.Unlock()
		workers.back.Broadcast()
	})
}

// Parallel calls f(lo, hi) for consecutive chunks that cover [0, n), up to
// Threads() of them at a time, and returns when all are done. Every chunk but
// the last has grain elements, so the bounds depend on n and grain alone. A
// single chunk runs on the caller's goroutine. f may call Parallel.
func Parallel(n, grain int, f func(lo, hi int)) {
	parallel(n, grain, funcTask(f))
}

// Task is the body of a parallel loop that is used again and again.
type Task interface {
	// Run does the chunk [lo, hi).
	Run(lo, hi int)
}

// Run is Parallel on t.Run; unlike a closure, t may be used again, so that a
// call allocates nothing.
func Run(n, grain int, t Task) { spread(n, grain, nil, t) }

// A task is the body of a kernel's parallel loop. The kernels use pooled
// structs rather than closures so that a call allocates nothing.
type task interface {
	run(lo, hi int)
}

type funcTask func(lo, hi int)

func (f funcTask) run(lo, hi int) { f(lo, hi) }

// job is one parallel loop in flight. refs counts the caller and the workers
// that took it up; the last one to leave recycles it.
type job struct {
	task     task
	given    Task // in place of task
	n, grain int
	chunks   int64
	shares   []share
	done     atomic.Int64
	refs     atomic.Int32
	wanted   int // workers that may still take it up; guarded by workers.mu
	finished chan struct{}
	failed   atomic.Pointer[failure] // of the first chunk that panicked
}

// share is a run of chunks that one goroutine begins with. When its own are done
// it goes on with those of others. So loops over the same data that follow each
// other leave most of it to the same processor, in whose cache it lies, and still
// nobody waits while there is something to do.
type share struct {
	next atomic.Int64
	end  int64
	_    [48]byte // a cache line each
}

// deal splits the chunks among n goroutines.
func (j *job) deal(n int) {
	j.shares = sized(j.shares, n)
	for i := range j.shares {
		s := &j.shares[i]
		s.next.Store(int64(i) * j.chunks / int64(n))
		s.end = int64(i+1) * j.chunks / int64(n)
	}
}

// failure is what a chunk panicked with.
type failure struct{ reason any }

// work does chunks until there are none, those of the goroutine's own share first.
func (j *job) work(own int) {
	for k := range j.shares {
		s := &j.shares[(own+k)%len(j.shares)]
		for s.next.Load() < s.end {
			i := s.next.Add(1) - 1
			if i >= s.end {
				break
			}
			j.chunk(int(i) * j.grain)
			if j.done.Add(1) == j.chunks {
				j.finished <- struct{}{}
			}
		}
	}
}

// chunk runs one chunk. A panic is kept for the caller: in a worker it would end
// the process, whatever the caller does to recover, and in the caller it would
// leave while workers still use its memory.
func (j *job) chunk(lo int) {
	defer func() {
		if r := recover(); r != nil {
			j.failed.CompareAndSwap(nil, &failure{r})
		}
	}()
	if hi := min(lo+j.grain, j.n); j.given != nil {
		j.given.Run(lo, hi)
	} else {
		j.task.run(lo, hi)
	}
}

func (j *job) release() {
	if j.refs.Add(-1) == 0 {
		j.task, j.given = nil, nil
		jobs.put(j)
	}
}

// workerSet is the set of parked goroutines that help with jobs. They are
// started when first needed and live as long as the process.
type workerSet struct {
	mu      sync.Mutex
	wake    sync.Cond
	started int
	parked  int          // workers in wake.Wait
	caller  int          // processor of the last caller that woke some, -1 if unknown
	pending []*job       // jobs that want more workers
	open    atomic.Int32 // len(pending), to be watched without the lock
	aside   atomic.Int32 // callers that take a worker's place, see Beside
	back    sync.Cond    // of the workers whose place is taken
	// patience is how many turns to watch before parking: none where there are
	// more workers than processors to watch on.
	patience atomic.Int32
}

// Waking a parked goroutine takes longer than many a kernel runs, and kernels
// come one after the other: a worker without work, and a caller whose last
// chunk is under way elsewhere, watch for so many turns (some 100 µs) before
// they park.
const spins = 1 << 18

// offer asks for up to n workers to help with j.
func (w *workerSet) offer(j *job, n int) {
	w.mu.Lock()
	w.wake.L, w.back.L = &w.mu, &w.mu
	if w.started < n {
		for ; w.started < n; w.started++ {
			go w.loop(w.started + 1)
		}
		w.patience.Store(0)
		if w.started < runtime.GOMAXPROCS(0) {
			w.patience.Store(spins)
		}
	}
	j.wanted = n
	w.pending = append(w.pending, j)
	w.open.Store(int32(len(w.pending)))
	wake := min(n, w.parked)
	if wake > 0 {
		w.caller = currentCPU()
	}
	w.mu.Unlock()
	for range wake {
		w.wake.Signal()
	}
}

// withdraw takes back what is left of the offer.
func (w *workerSet) withdraw(j *job) {
	w.mu.Lock()
	if j.wanted > 0 {
		j.wanted = 0
		w.remove(j)
	}
	w.mu.Unlock()
}

func (w *workerSet) remove(j *job) {
	i := slices.Index(w.pending, j)
	w.pending = slices.Delete(w.pending, i, i+1)
	w.open.Store(int32(len(w.pending)))
}

// loop is the life of a worker, whose number, from 1, says which share it takes.
func (w *workerSet) loop(number int) {
	// Reading a mapped file that was cut short is a panic for the caller.
	debug.SetPanicOnFault(true)
	for {
		for i := w.patience.Load(); i > 0 && w.open.Load() == 0; i-- {
		}
		w.mu.Lock()
		for a := w.aside.Load(); a > 0 && number >= Threads()-int(a); a = w.aside.Load() {
			w.back.Wait()
		}
		if len(w.pending) == 0 {
			w.parked++
			w.wake.Wait()
			w.parked--
			here := w.caller
			w.mu.Unlock()
			if here >= 0 && currentCPU() == here {
				leaveCPU(here)
			}
			continue // the job may be gone, but the next one is often near
		}
		j := w.pending[0]
		j.refs.Add(1)
		if j.wanted--; j.wanted == 0 {
			w.remove(j)
		}
		w.mu.Unlock()
		j.work(number)
		j.release()
	}
}

func parallel(n, grain int, t task) { spread(n, grain, t, nil) }

// spread runs t, or given where that is not nil, on chunks of [0, n).
func spread(n, grain int, t task, given Task) {
	if n <= 0 {
		return
	}
	grain = max(grain, 1)
	chunks := (n + grain - 1) / grain
	helpers := min(Threads(), chunks) - 1
	if helpers < 1 {
		for lo := 0; lo < n; lo += grain {
			if hi := min(lo+grain, n); given != nil {
				given.Run(lo, hi)
			} else {
				t.run(lo, hi)
			}
		}
		return
	}
	j := jobs.get()
	if j.finished == nil {
		j.finished = make(chan struct{}, 1)
	}
	j.task, j.given, j.n, j.grain, j.chunks = t, given, n, grain, int64(chunks)
	j.deal(helpers + 1)
	j.done.Store(0)
	j.refs.Store(1)
	workers.offer(j, helpers)
	j.work(0)
	workers.withdraw(j)
	for i := workers.patience.Load(); i > 0 && j.done.Load() < j.chunks; i-- {
	}
	<-j.finished
	failed := j.failed.Swap(nil)
	j.release()
	if failed != nil {
		panic(failed.reason)
	}
}

// A freeList recycles values. Unlike sync.Pool it never loses one, which makes
// calls in a steady state free of allocation on every schedule; it holds as
// many as were ever in use at one time.
type freeList[T any] struct {
	mu   sync.Mutex
	free []*T
}

func (l *freeList[T]) get() *T {
	l.mu.Lock()
	n := len(l.free) - 1
	if n < 0 {
		l.mu.Unlock()
		return new(T)
	}
	t := l.free[n]
	l.free = l.free[:n]
	l.mu.Unlock()
	return t
}

func (l *freeList[T]) put(t *T) {
	l.mu.Lock()
	l.free = append(l.free, t)
	l.mu.Unlock()
}

// taskPool recycles the argument structs of one kernel.
type taskPool[T any] struct{ freeList[T] }

func (p *taskPool[T]) put(t *T) {
	var zero T
	*t = zero // do not keep the caller's slices alive
	p.freeList.put(t)
}

// buffer is scratch memory from the pool; its contents are arbitrary.
type buffer struct {
	f     []float32
	class int
}

// Buffers up to 2^keepClass floats are kept for good, larger ones until the
// collector wants them.
const keepClass = 18

var (
	buffers      [keepClass + 1]freeList[buffer]
	largeBuffers [64]sync.Pool
)

// getBuffer returns scratch for n float32, to be given back with put.
func getBuffer(n int) *buffer {
	class := bits.Len(uint(max(n, 64) - 1))
	var b *buffer
	if class <= keepClass {
		b = buffers[class].get()
	} else if b, _ = largeBuffers[class].Get().(*buffer); b == nil {
		b = &buffer{}
	}
	if b.f == nil {
		b.f, b.class = make([]float32, 1<<class), class
	}
	b.f = b.f[:n]
	return b
}

func (b *buffer) put() {
	if b.class <= keepClass {
		buffers[b.class].put(b)
	} else {
		largeBuffers[b.class].Put(b)
	}
}

// rowGrain is how many rows of n elements make a chunk of about size elements.
func rowGrain(n, size int) int { return max(1, size/max(n, 1)) }

// evenGrain is rowGrain such that the chunks of rows have about one size, for
// loops whose results do not depend on where they are cut.
func evenGrain(rows, n, size int) int {
	return max(1, tiles(rows, max(1, tiles(rows, rowGrain(n, size)))))
}

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
