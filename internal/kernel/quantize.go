package kernel

import "math"

type quantTask struct {
	dst         []uint8
	x           []float32
	scale, zero float32
	low, high   []float64
}

var quantTasks taskPool[quantTask]

// run makes partial extrema while low is set, and quantizes when it is not.
func (t *quantTask) run(lo, hi int) {
	if t.low != nil {
		low, high := vMinMax(t.x[lo:hi])
		t.low[lo/grainCheap], t.high[lo/grainCheap] = float64(low), float64(high)
		return
	}
	vQuantize(t.dst[lo:hi], t.x[lo:hi], t.scale, t.zero)
}

// QuantizeU8 quantizes x to dst as ONNX DynamicQuantizeLinear does: the range
// is that of x widened to include 0, scale = range/255, zero = round(-min/scale)
// and dst = saturate(round(x/scale) + zero), all rounding half to even. All
// zeros, or nothing, give scale 1. x must be finite; NaN becomes some value.
func QuantizeU8(dst []uint8, x []float32) (scale float32, zero uint8) {
	need("dst", len(dst), len(x))
	parts := max(tiles(len(x), grainCheap), 1)
	ext := getSums(2 * parts)
	clear(ext.f)
	t := quantTasks.get()
	*t = quantTask{dst: dst, x: x, low: ext.f[:parts], high: ext.f[parts:]}
	parallel(len(x), grainCheap, t)
	var low, high float32
	for i := range parts {
		low, high = min(low, float32(t.low[i])), max(high, float32(t.high[i]))
	}
	sumsPool.put(ext)
	scale = 1
	if low != high {
		scale = (high - low) / 255
	}
	z := float32(math.RoundToEven(float64(max(0, min(255, -low/scale)))))
	t.low, t.high, t.scale, t.zero = nil, nil, scale, z
	parallel(len(x), grainCheap, t)
	quantTasks.put(t)
	return scale, uint8(z)
}
