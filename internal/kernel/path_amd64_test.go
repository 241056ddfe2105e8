//go:build !noasm

package kernel

import (
	"fmt"
	"testing"
)

// eachPath runs f with every set of matrix kernels that this machine has.
func eachPath(t *testing.T, f func(t *testing.T)) {
	flags := []*bool{&useAVX2, &useAVX512, &useVNNI, &useAVXVNNI}
	var had []bool
	for _, p := range flags {
		had = append(had, *p)
	}
	defer func() {
		for i, p := range flags {
			*p = had[i]
		}
	}()
	for _, path := range []struct {
		name string
		off  []*bool
	}{
		{"all", nil}, {"avx512 without VNNI", []*bool{&useVNNI, &useAVXVNNI}}, {"avxvnni", []*bool{&useAVX512, &useVNNI}},
		{"avx2", []*bool{&useAVX512, &useVNNI, &useAVXVNNI}}, {"go", flags},
	} {
		for i, p := range flags {
			*p = had[i]
		}
		for _, p := range path.off {
			*p = false
		}
		t.Run(path.name+" as "+Path(), f)
	}
}

// The width of the registers must not show in any bit.
func TestGemmWidths(t *testing.T) {
	if !useAVX512 {
		t.Skip("this processor has no AVX-512")
	}
	defer func() { useAVX512 = true }()
	for _, s := range append([][3]int{{23, 312, 700}, {48, 200, 330}, {130, 70, 64}}, gemmSizes...) {
		m, n, k := s[0], s[1], s[2]
		a, b, bias := random(1, m*k), random(2, n*k), random(3, n)
		for mode := range 5 {
			ta, tb := mode&1 != 0, mode&2 != 0
			lda, ldb := k, n
			if ta {
				lda = m
			}
			if tb {
				ldb = k
			}
			var c [2][]float32
			for i := range c {
				useAVX512 = i == 1
				c[i] = random(4, m*n)
				if mode == 4 {
					GemmPacked(m, a, k, Pack(false, k, n, b, n), bias, ActGelu, c[i], n)
				} else {
					Gemm(ta, tb, m, n, k, 1.5, a, lda, b, ldb, 0.5, c[i], n)
				}
			}
			sameBits(t, fmt.Sprint(s, mode), c[0], c[1])
		}
	}
}
