package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

var nan32 = float32(math.NaN())

func random(seed uint64, n int) []float32 {
	r := rand.New(rand.NewPCG(seed, 7))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func filled(n int, v float32) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = v
	}
	return x
}

// close32 reports whether got is within abs + rel·|want| of want; infinities
// and NaN must agree.
func close32(got float32, want, abs, rel float64) bool {
	g := float64(got)
	if math.IsNaN(want) || math.IsInf(want, 0) {
		return g == want || math.IsNaN(want) && math.IsNaN(g)
	}
	return math.Abs(g-want) <= abs+rel*math.Abs(want)
}

func compare(t *testing.T, what string, got []float32, want []float64, abs, rel float64) {
	t.Helper()
	for i, w := range want {
		if !close32(got[i], w, abs, rel) {
			t.Fatalf("%s: element %d of %d is %v, want %v", what, i, len(want), got[i], w)
		}
	}
}

// sameBits fails unless a and b agree bit by bit.
func sameBits(t *testing.T, what string, a, b []float32) {
	t.Helper()
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			t.Fatalf("%s: element %d is %v and %v", what, i, a[i], b[i])
		}
	}
}

func wide(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// eachThreads runs f under several thread counts and compares the bits of what
// it returns.
func eachThreads(t *testing.T, what string, f func() []float32) {
	t.Helper()
	defer SetThreads(0)
	SetThreads(1)
	want := f()
	for _, n := range []int{2, 3, 5} {
		SetThreads(n)
		sameBits(t, what, f(), want)
	}
}

// difference is the central difference of f with respect to x[i].
func difference(f func() float64, x []float64, i int) float64 {
	const h = 1e-5
	v := x[i]
	x[i] = v + h
	up := f()
	x[i] = v - h
	down := f()
	x[i] = v
	return (up - down) / (2 * h)
}
