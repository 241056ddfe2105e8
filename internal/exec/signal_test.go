package exec_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
)

// TestFourier compares DFT of lengths that halve, that do not, and of both
// kinds with the sum that defines it, and the inverse with the input.
func TestFourier(t *testing.T) {
	for _, n := range []int{1, 2, 7, 12, 64, 67, 134, 210} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			x := exec.Floats(sample(2*n, uint64(n)), 1, n, 2)
			got, err := runOne(t, node("DFT", nil, nil), x)
			if err != nil {
				t.Fatal(err)
			}
			for k := range n {
				var re, im float64
				for j := range n {
					sin, cos := math.Sincos(-2 * math.Pi * float64(j*k%n) / float64(n))
					a, b := float64(x.F32[2*j]), float64(x.F32[2*j+1])
					re, im = re+a*cos-b*sin, im+a*sin+b*cos
				}
				if math.Abs(float64(got.F32[2*k])-re)+math.Abs(float64(got.F32[2*k+1])-im) > 1e-4 {
					t.Fatalf("bin %d is %v; want %v %v", k, got.F32[2*k:2*k+2], re, im)
				}
			}
			back, err := runOne(t, node("DFT", nil, nil, onnx.IntAttr("inverse", 1)), got)
			if err != nil {
				t.Fatal(err)
			}
			if err := sameTensor(back, x, 1e-4, 1e-5); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMelWeights(t *testing.T) {
	got, err := runOne(t, node("MelWeightMatrix", nil, nil), exec.Int64s([]int64{8}), exec.Int64s([]int64{16}), exec.Int64s([]int64{8192}),
		exec.Floats([]float32{0}), exec.Floats([]float32{4096}))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.F32) != 9*8 {
		t.Fatalf("shape %v", got.Shape)
	}
	for band := range 8 { // each band has its greatest weight, 1, at its centre
		top := float32(0)
		for bin := range 9 {
			top = max(top, got.F32[bin*8+band])
		}
		if top != 1 {
			t.Errorf("band %d has at most %v", band, top)
		}
	}
}
