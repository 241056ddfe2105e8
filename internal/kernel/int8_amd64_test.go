//go:build !noasm

package kernel

import "testing"

// eachInt8 runs f with every exact kernel that this machine has.
func eachInt8(t *testing.T, f func(t *testing.T)) {
	avx2, vnni := useAVX2, useVNNI
	defer func() { useAVX2, useVNNI = avx2, vnni }()
	t.Run("best", f)
	useVNNI = false
	t.Run("AVX2", f)
	useAVX2 = false
	t.Run("Go", f)
}

// The plain kernel for groups of four has no machine of its own; it is the twin
// that the fast one is held against.
func TestInt8Kernel4Twin(t *testing.T) {
	a, b := make([]uint8, int8Rows*100), make([]int8, 100*int8Cols)
	for i := range a {
		a[i] = uint8(i * 37)
	}
	for i := range b {
		b[i] = int8(i * 91)
	}
	for h := 1; h <= int8Rows; h++ {
		for k := 4; k <= 100; k += 4 {
			got, want := make([]int32, int8Rows*20), make([]int32, int8Rows*20)
			int8Kernel4(h, k, a, 100, b, got, 20)
			int8Kernel4Go(h, k, a, 100, b, want, 20)
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("h %d k %d: element %d is %d, want %d", h, k, i, got[i], want[i])
				}
			}
		}
	}
}
