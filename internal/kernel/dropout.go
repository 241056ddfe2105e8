package kernel

import "math"

type dropoutTask struct {
	y, x       []float32
	limit      uint32
	from       uint32
	scale      float32
	key0, key1 uint32
}

var dropoutTasks taskPool[dropoutTask]

func (t *dropoutTask) run(lo, hi int) {
	vDropout(t.y[lo:hi], t.x[lo:hi], t.from+uint32(lo), t.key0, t.key1, t.limit, t.scale)
}

// Dropout sets each element of y to 0 with probability p, a multiple of 2^-31
// below 1, and the others to x/(1-p) (Srivastava et al. 2014, inverted form). What
// is dropped follows from key and the element's place alone, which is from + i, on
// every machine; y may be x. The mask repeats after 2^32 elements.
func Dropout(y, x []float32, p float32, key uint64, from uint32) {
	need("y", len(y), len(x))
	limit := uint32(max(0, min(math.Round(float64(p)*(1<<31)), 1<<31-1)))
	key = scramble(key)
	t := dropoutTasks.get()
	*t = dropoutTask{y: y, x: x, from: from, key0: uint32(key), key1: uint32(key >> 32), limit: limit, scale: float32(1 / (1 - float64(limit)/(1<<31)))}
	parallel(len(x), grainCostly, t)
	dropoutTasks.put(t)
}

// scramble is the finalizer of SplitMix64 (Steele et al. 2014): neighbouring
// keys become unrelated in both halves.
func scramble(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
