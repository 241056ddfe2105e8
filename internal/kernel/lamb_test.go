package kernel

import (
	"fmt"
	"math"
	"testing"
)

func TestLAMB(t *testing.T) {
	const lr, b1, b2, eps, decay, scale = 1e-2, 0.9, 0.999, 1e-6, 0.1, 0.5
	for _, adapt := range []bool{true, false} {
		for _, n := range []int{1, 7, 8, 9, 33, 9000, 20001} {
			w, m, v := random(1, n), make([]float32, n), make([]float32, n)
			w64, m64, v64, u := wide(w), wide(m), wide(v), make([]float64, n)
			for step := 1; step <= 5; step++ {
				g := random(uint64(step+1), n)
				got := LAMB(w, g, m, v, lr, b1, b2, eps, decay, scale, step, adapt)
				var ww, uu float64
				for i := range w64 {
					gi := float64(g[i]) * scale
					m64[i] = b1*m64[i] + (1-b1)*gi
					v64[i] = b2*v64[i] + (1-b2)*gi*gi
					mh, vh := m64[i]/(1-math.Pow(b1, float64(step))), v64[i]/(1-math.Pow(b2, float64(step)))
					u[i] = mh/(math.Sqrt(vh)+eps) + decay*w64[i]
					ww += w64[i] * w64[i]
					uu += u[i] * u[i]
				}
				ratio := 1.0
				if adapt {
					ratio = math.Sqrt(ww / uu)
				}
				if math.Abs(got-ratio) > 1e-4*ratio {
					t.Errorf("%d weights, step %d: the ratio is %v, want %v", n, step, got, ratio)
				}
				for i := range w64 {
					w64[i] -= lr * ratio * u[i]
				}
			}
			compare(t, fmt.Sprint("weights ", n), w, w64, 4e-6, 4e-6)
			compare(t, "m", m, m64, 1e-6, 1e-5)
			compare(t, "v", v, v64, 1e-7, 2e-4)
		}
	}
	g := random(3, 50000)
	eachThreads(t, "LAMB", func() []float32 {
		w, m, v := random(1, 50000), make([]float32, 50000), make([]float32, 50000)
		for step := 1; step <= 2; step++ {
			LAMB(w, g, m, v, lr, b1, b2, eps, decay, scale, step, true)
		}
		return append(append(w, m...), v...)
	})
}

// Where a norm is 0 the paper's ratio is not defined: weights of zeros must
// still move, and a direction of zeros must not make NaN.
func TestLAMBWithoutNorm(t *testing.T) {
	w, m, v := make([]float32, 9), make([]float32, 9), make([]float32, 9)
	if r := LAMB(w, filled(9, 1), m, v, 0.1, 0.9, 0.999, 1e-6, 0, 1, 1, true); r != 1 || math.Abs(float64(w[8])+0.1) > 1e-5 {
		t.Errorf("zeros: ratio %v, weights %v; want 1 and -0.1", r, w)
	}
	w, m, v = filled(9, 2), make([]float32, 9), make([]float32, 9)
	if r := LAMB(w, make([]float32, 9), m, v, 0.1, 0.9, 0.999, 1e-6, 0, 1, 1, true); r != 1 || w[0] != 2 {
		t.Errorf("no gradient: ratio %v, weights %v; want 1 and 2", r, w)
	}
	if r := LAMB(nil, nil, nil, nil, 0.1, 0.9, 0.999, 1e-6, 0, 1, 1, true); r != 1 {
		t.Errorf("no weights: ratio %v, want 1", r)
	}
}

func TestLAMBTwin(t *testing.T) {
	c := &lambConst{beta1: 0.9, beta2: 0.99, rest1: 0.1, rest2: 0.01, unbias1: 1.1, unbias2: 1.2, eps: 1e-8, decay: 0.1, rate: 0.02}
	for _, n := range lengths {
		w1, m1, v1, g := random(1, n), random(2, n), random(3, n), random(4, n)
		for i := range v1 {
			v1[i] *= v1[i]
		}
		w2, m2, v2 := append([]float32(nil), w1...), append([]float32(nil), m1...), append([]float32(nil), v1...)
		if a, b := vLAMBMoments(w1, g, m1, v1, c), lambMomentsGo(w2, g, m2, v2, c); math.Abs(a-b) > 1e-5*b {
			t.Errorf("%d: Σ u² is %v, of the twin %v", n, a, b)
		}
		vLAMBStep(w1, m1, v1, c)
		lambStepGo(w2, m2, v2, c)
		compare(t, "weights", w1, wide(w2), 2e-6, 2e-6)
		compare(t, "m", m1, wide(m2), 1e-6, 1e-6)
		compare(t, "v", v1, wide(v2), 1e-6, 1e-6)
	}
}
