package kernel

import (
	"fmt"
	"math"
	"testing"
)

func TestAdamW(t *testing.T) {
	const lr, b1, b2, eps, decay, scale = 1e-2, 0.9, 0.999, 1e-6, 0.1, 0.5
	for _, n := range []int{0, 1, 7, 8, 9, 33, 9000} {
		w, m, v := random(1, n), make([]float32, n), make([]float32, n)
		w64, m64, v64 := wide(w), wide(m), wide(v)
		for step := 1; step <= 5; step++ {
			g := random(uint64(step+1), n)
			AdamW(w, g, m, v, lr, b1, b2, eps, decay, scale, step)
			for i := range w64 {
				gi := float64(g[i]) * scale
				m64[i] = b1*m64[i] + (1-b1)*gi
				v64[i] = b2*v64[i] + (1-b2)*gi*gi
				mh, vh := m64[i]/(1-math.Pow(b1, float64(step))), v64[i]/(1-math.Pow(b2, float64(step)))
				w64[i] -= lr*decay*w64[i] + lr*mh/(math.Sqrt(vh)+eps)
			}
		}
		compare(t, fmt.Sprint("weights ", n), w, w64, 2e-6, 2e-6)
		compare(t, "m", m, m64, 1e-6, 1e-5)
		compare(t, "v", v, v64, 1e-7, 2e-4)
	}
	g := random(3, 50000)
	eachThreads(t, "AdamW", func() []float32 {
		w, m, v := random(1, 50000), make([]float32, 50000), make([]float32, 50000)
		AdamW(w, g, m, v, lr, b1, b2, eps, decay, scale, 1)
		AdamW(w, g, m, v, lr, b1, b2, eps, decay, scale, 2)
		return append(append(w, m...), v...)
	})
}

func TestAdamWTwin(t *testing.T) {
	c := &adamConst{beta1: 0.9, beta2: 0.99, rest1: 0.1, rest2: 0.01, keep: 0.999, rate: 0.01, unbias2: 1.2, eps: 1e-8, gradScale: 0.3}
	for _, n := range lengths {
		w1, m1, v1, g := random(1, n), random(2, n), random(3, n), random(4, n)
		for i := range v1 {
			v1[i] *= v1[i]
		}
		w2, m2, v2 := append([]float32(nil), w1...), append([]float32(nil), m1...), append([]float32(nil), v1...)
		vAdamW(w1, g, m1, v1, c)
		adamWGo(w2, g, m2, v2, c)
		compare(t, "weights", w1, wide(w2), 2e-6, 2e-6)
		compare(t, "m", m1, wide(m2), 1e-6, 1e-6)
		compare(t, "v", v1, wide(v2), 1e-6, 1e-6)
	}
}

func TestSumSquares(t *testing.T) {
	for _, n := range []int{0, 1, 9, 1000, 100003} {
		x := random(1, n)
		var want float64
		for _, v := range x {
			want += float64(v) * float64(v)
		}
		first := SumSquares(x)
		if math.Abs(first-want) > 1e-10*want {
			t.Errorf("%d: %v, want %v", n, first, want)
		}
		for _, th := range []int{1, 2, 3, 5} {
			SetThreads(th)
			if got := SumSquares(x); got != first {
				t.Errorf("%d with %d threads: %v, want %v", n, th, got, first)
			}
		}
		SetThreads(0)
	}
	if got := SumSquares([]float32{1e30, 1e30}); math.Abs(got-2e60) > 1e54 {
		t.Errorf("large values: %v", got)
	}
}
