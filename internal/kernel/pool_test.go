package kernel

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestParallelChunks(t *testing.T) {
	defer SetThreads(0)
	for _, threads := range []int{1, 2, 5} {
		SetThreads(threads)
		for _, n := range []int{0, 1, 9, 10, 11, 1000} {
			seen := make([]int32, n)
			Parallel(n, 10, func(lo, hi int) {
				if lo%10 != 0 || hi != min(lo+10, n) {
					t.Errorf("chunk %d:%d of %d", lo, hi, n)
				}
				for i := lo; i < hi; i++ {
					atomic.AddInt32(&seen[i], 1)
				}
			})
			for i, s := range seen {
				if s != 1 {
					t.Fatalf("%d of %d ran %d times", i, n, s)
				}
			}
		}
	}
}

func TestParallelNestedAndConcurrent(t *testing.T) {
	defer SetThreads(0)
	SetThreads(4)
	var total atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 50 {
				Parallel(7, 1, func(lo, hi int) {
					Parallel(5, 2, func(lo, hi int) { total.Add(int64(hi - lo)) })
				})
			}
		}()
	}
	wg.Wait()
	if total.Load() != 8*50*35 {
		t.Errorf("%d inner iterations, want %d", total.Load(), 8*50*35)
	}
}

// Beside takes a worker's place and gives it back, and with no workers left a
// caller does all by itself.
func TestBeside(t *testing.T) {
	defer SetThreads(0)
	SetThreads(3)
	most := func() int {
		var at, top atomic.Int32
		Parallel(60, 1, func(int, int) {
			n := at.Add(1)
			for old := top.Load(); n > old && !top.CompareAndSwap(old, n); old = top.Load() {
			}
			time.Sleep(time.Millisecond)
			at.Add(-1)
		})
		return int(top.Load())
	}
	// Never more than want at work, and, unless the machine is busy, so many.
	atWork := func(want int, when string) {
		t.Helper()
		for range 50 {
			switch n := most(); {
			case n > want:
				t.Fatalf("%s: %d at work, want %d", when, n, want)
			case n == want:
				return
			}
		}
		t.Errorf("%s: never %d at work", when, want)
	}
	atWork(3, "alone")
	for range 3 {
		first, second := Beside(), Beside()
		atWork(1, "beside two others")
		second()
		second()
		atWork(2, "beside another")
		first()
		atWork(3, "afterwards")
	}
}

func TestThreads(t *testing.T) {
	defer SetThreads(0)
	SetThreads(3)
	if Threads() != 3 {
		t.Errorf("Threads() = %d after SetThreads(3)", Threads())
	}
	SetThreads(-1)
	if Threads() < 1 {
		t.Errorf("Threads() = %d by default", Threads())
	}
}

func TestNoAllocation(t *testing.T) {
	defer SetThreads(0)
	const n = 64
	a, b, c := random(1, n*n), random(2, n*n), make([]float32, n*n)
	p := Pack(false, n, n, b, n)
	sh := AttentionShape{B: 2, A: 2, Sq: 16, Sk: 16, D: 32, Scale: 1, LDQ: n, LDK: n, LDV: n, LDO: n}
	q8 := make([]uint8, n*n)
	w8 := PackInt8(n, n, make([]int8, n*n))
	c8 := make([]int32, n*n)
	losses := []*LogitLoss{{Labels: []int32{1, 2}, Smooth: 0.1, Scale: 1}, {Teacher: b, T: 2, Scale: 1}}
	lse, mask := make([]float32, 64), Bias{Data: make([]float32, 16), SK: 1}
	dq, dk, dv := make([]float32, n*n), make([]float32, n*n), make([]float32, n*n)
	work := func() {
		Gemm(true, true, n, n, n, 1, a, n, b, n, 0, c, n)
		Gemm(false, false, 1, n, n, 1, a, n, b, n, 0, c, n)
		GemmPacked(n, a, n, p, a, ActGelu, c, n)
		Activate(ActGelu, c, a)
		SoftmaxRows(c, a, n, n)
		LayerNorm(c, a, b, a, b, n, n, 1e-5, nil, nil, nil)
		Attention(c, a, b, a, mask, sh, lse)
		AttentionGrad(dq, dk, dv, a, c, a, b, a, mask, lse, sh)
		for _, l := range losses {
			l.Value(a, 2, n)
		}
		LossGrad(c, a, 2, n, false, losses...)
		ActivateBoth(ActTanh, c, dq, a)
		Dropout(c, a, 0.1, 1, 0)
		SumSquares(a)
		QuantizeU8(q8, a)
		GemmInt8(n, q8, 3, w8, nil, c8)
	}
	for _, threads := range []int{1, 2} {
		SetThreads(threads)
		work()
		// A collection may empty the pools now and then; a leak would be ≥ 1.
		if got := testing.AllocsPerRun(100, work); got >= 1 && !raceEnabled {
			t.Errorf("%v allocations a run with %d threads", got, threads)
		}
	}
}

func TestShortSlicePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a short C was taken")
		}
	}()
	Gemm(false, false, 2, 2, 2, 1, make([]float32, 4), 2, make([]float32, 4), 2, 0, make([]float32, 3), 2)
}

// A panic of any chunk is the caller's, once all chunks are done.
func TestParallelPanics(t *testing.T) {
	defer SetThreads(0)
	for _, threads := range []int{1, 3} {
		SetThreads(threads)
		for round := range 50 {
			var running atomic.Int32
			func() {
				defer func() {
					if r := recover(); r != round {
						t.Errorf("recovered %v, want %d", r, round)
					}
					if n := running.Load(); n != 0 {
						t.Errorf("%d chunks still run", n)
					}
				}()
				Parallel(20, 1, func(lo, _ int) {
					running.Add(1)
					defer running.Add(-1)
					if lo == round%20 {
						panic(round)
					}
				})
			}()
		}
	}
}
