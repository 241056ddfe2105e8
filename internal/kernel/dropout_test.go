package kernel

import (
	"math"
	"testing"
)

func TestDropout(t *testing.T) {
	const n = 100003
	x := filled(n, 3)
	for _, p := range []float32{0, 0.1, 0.5, 0.999} {
		y := make([]float32, n)
		Dropout(y, x, p, 77, 0)
		dropped := 0
		for _, v := range y {
			switch {
			case v == 0:
				dropped++
			case !close32(v, 3/(1-float64(p)), 0, 1e-6):
				t.Fatalf("p %v: %v", p, v)
			}
		}
		if want := float64(p) * n; math.Abs(float64(dropped)-want) > 5*math.Sqrt(want+1) {
			t.Errorf("p %v: %d of %d are dropped", p, dropped, n)
		}
	}
	eachThreads(t, "dropout", func() []float32 {
		y := random(1, n)
		Dropout(y, y, 0.3, 5, 0)
		return y
	})
	for n := range 40 {
		a, b := make([]float32, n), make([]float32, n)
		vDropout(a, x[:n], 1<<32-5, 3, 4, 1<<30, 2)
		dropoutGo(b, x[:n], 1<<32-5, 3, 4, 1<<30, 2)
		sameBits(t, "twins", a, b)
	}
}

// TestDropoutIndependence: masks of neighbouring keys and places agree as often
// as chance has it, bits of runs and of pairs too.
func TestDropoutIndependence(t *testing.T) {
	const n = 1 << 16
	mask := func(key uint64) []float32 {
		y := make([]float32, n)
		Dropout(y, filled(n, 0.5), 0.5, key, 0) // 0 and 1
		return y
	}
	both := func(a, b []float32) (sum float64) {
		for i := range b {
			sum += float64(a[i] * b[i])
		}
		return sum / float64(len(b))
	}
	first := mask(1)
	for _, key := range []uint64{0, 2, 3, 1 << 31, 1<<32 + 1, 1 << 63, 1<<63 + 1} {
		if f := both(first, mask(key)); math.Abs(f-0.25) > 0.01 {
			t.Errorf("masks of keys 1 and %d agree in %v, want 1/4", key, f)
		}
	}
	for _, lag := range []int{1, 2, 8, 64, 1024, 4096} {
		if f := both(first, first[lag:]); math.Abs(f-0.25) > 0.01 {
			t.Errorf("a mask and itself %d places on agree in %v, want 1/4", lag, f)
		}
	}
}

// A part whose place is given is dropped as in the whole.
func TestDropoutPlace(t *testing.T) {
	const n = 30000
	x := filled(n, 1)
	whole := make([]float32, n)
	Dropout(whole, x, 0.3, 9, 100)
	for _, from := range []int{0, 1, 7, 8192, 20011} {
		part := make([]float32, n-from)
		Dropout(part, x[from:], 0.3, 9, 100+uint32(from))
		sameBits(t, "part", part, whole[from:])
	}
}

func BenchmarkDropout(b *testing.B) {
	x, y := random(1, 1<<16), make([]float32, 1<<16)
	for b.Loop() {
		Dropout(y, x, 0.1, 1, 0)
	}
	perElement(b, len(x))
}
