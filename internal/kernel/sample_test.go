package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestSample(t *testing.T) {
	const draws = 20000
	for _, n := range []int{1, 2, 5, 4099} {
		row := random(3, n)
		for i := 7; i < n; i++ {
			row[i] -= 20 // few classes hold the mass
		}
		row[n-1] += 21
		x, u := make([]float32, 0, draws*n/64*64), make([]float32, draws/64)
		r := rand.New(rand.NewPCG(1, 2))
		for range u {
			x = append(x, row...)
		}
		counts := make([]float64, n)
		classes := make([]int32, len(u))
		for range 64 {
			for i := range u {
				u[i] = r.Float32()
			}
			Sample(classes, x, u, len(u), n)
			for _, c := range classes {
				counts[c]++
			}
		}
		total := float64(64 * len(u))
		for i, p := range softmax64(wide(row)) {
			if sd := math.Sqrt(p * (1 - p) / total); math.Abs(counts[i]/total-p) > 5*sd+1e-6 {
				t.Errorf("n %d: class %d was drawn %v of the time, want %v", n, i, counts[i]/total, p)
			}
		}
	}
}

func TestSampleEnds(t *testing.T) {
	inf := float32(math.Inf(-1))
	x := []float32{inf, 0, 0, inf}
	got := make([]int32, 3)
	Sample(got, append(append(append([]float32{}, x...), x...), x...), []float32{0, 0.5, math.Nextafter32(1, 0)}, 3, 4)
	if got[0] != 1 || got[1] != 2 || got[2] != 2 {
		t.Errorf("drew %v, want [1 2 2]", got)
	}
}
