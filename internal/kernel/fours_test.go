package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestGemmPacked4(t *testing.T) {
	eachPath(t, testGemmPacked4)
}

// The product must be that of the restored floats, to the bit.
func testGemmPacked4(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, s := range [][4]int{
		{0, 3, 16, 16}, {1, 1, 1, 16}, {1, 33, 20, 16}, {2, 64, 64, 32}, {3, 70, 651, 32}, {4, 31, 300, 64}, {5, 100, 129, 128}, {40, 90, 97, 16},
		{130, 200, 64, 32}, {7, 48, 700, 5}, {2, 5, 0, 16},
	} {
		m, n, k, block := s[0], s[1], s[2], s[3]
		blocks, blob := tiles(k, block), (block+1)/2
		q := make([]uint8, n*blocks*blob)
		for i := range q {
			q[i] = uint8(r.Uint32())
		}
		scale, zeros := random(1, n*blocks), make([]float32, n*blocks)
		for i := range zeros {
			zeros[i] = float32(r.IntN(16)) + float32(i%2)/4
		}
		a, bias := random(2, m*k), random(3, n)
		for _, zero := range [][]float32{nil, zeros} {
			w := make([]float32, n*k)
			for j := range n {
				for i := range k {
					at := j*blocks + i/block
					z := float32(8)
					if zero != nil {
						z = zero[at]
					}
					w[j*k+i] = (float32(q[at*blob+i%block/2]>>(i%block%2*4)&15) - z) * scale[at]
				}
			}
			packed, plain := Pack4(k, n, block, q, scale, zero), Pack(true, k, n, w, k)
			for _, act := range []Act{ActNone, ActGelu} {
				for _, bias := range [][]float32{nil, bias} {
					got, want := filled(m*n, nan32), filled(m*n, nan32)
					GemmPacked4(m, a, k, packed, bias, act, got, n)
					GemmPacked(m, a, k, plain, bias, act, want, n)
					sameBits(t, fmt.Sprint(s, zero != nil, act, bias != nil), got, want)
				}
			}
		}
	}
}
