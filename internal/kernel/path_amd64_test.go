//go:build !noasm

package kernel

import (
	"fmt"
	"slices"
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

// Nor in the loops over vectors and in attention.
func TestWidths(t *testing.T) {
	if !useAVX512 {
		t.Skip("this processor has no AVX-512")
	}
	defer func() { useAVX512 = true }()
	same := func(what string, f func() []float32) {
		t.Helper()
		useAVX512 = false
		want := f()
		useAVX512 = true
		sameBits(t, what, f(), want)
	}
	special := grid()
	for _, act := range acts {
		same(act.String(), func() []float32 { y := make([]float32, len(special)); vAct(act, y, special); return y })
	}
	for _, n := range lengths {
		x, g, b := random(1, n), random(2, n), random(3, n)
		acc, sums := make([]int32, n), make([]int32, n)
		for i := range x {
			acc[i], sums[i] = int32(1e4*g[i]), int32(1e3*b[i])
		}
		scale := filled(n, 1e-3)
		for _, act := range acts {
			what := fmt.Sprint(act, " of ", n)
			same(what, func() []float32 { y := make([]float32, n); vAct(act, y, x); return y })
			same(what+" with bias", func() []float32 { y := slices.Clone(x); vBiasAct(act, y, b); return y })
			same(what+" from sums", func() []float32 {
				y := make([]float32, n)
				vFinishSums(act, y, acc, sums, scale, b, 77, -5)
				return y
			})
			want := make([]float32, n)
			vDequantize(want, acc, sums, scale, 77, -5)
			vBiasAct(act, want, b)
			got := make([]float32, n)
			vFinishSums(act, got, acc, sums, scale, b, 77, -5)
			sameBits(t, what+" in one pass", got, want)
		}
		same(fmt.Sprint("normalize ", n), func() []float32 { y := make([]float32, n); vNormalize(y, x, g, b, 0.1, 1.5); return y })
		same(fmt.Sprint("exp ", n), func() []float32 {
			y := make([]float32, n)
			sum := vExpSum(y, x, 5, 1.25)
			return append(y, sum)
		})
		q, q2 := make([]uint8, n), make([]uint8, n)
		vQuantize(q, x, 0.01, 100)
		useAVX512 = false
		vQuantize(q2, x, 0.01, 100)
		useAVX512 = true
		if !slices.Equal(q, q2) {
			t.Errorf("quantized %d: %d and %d", n, q, q2)
		}
	}
	for _, sq := range []int{1, 7, 8, 12, 33, 300} {
		for _, d := range []int{5, 16, 26, 33, 64} {
			sh := AttentionShape{B: 2, A: 3, Sq: sq, Sk: sq, D: d, Scale: 0.3, LDQ: 3 * d, LDK: 3 * d, LDV: 3 * d, LDO: 3 * d}
			n := 2 * sq * 3 * d
			q, k, v := random(4, n), random(5, n), random(6, n)
			for _, bias := range []Bias{{}, {Data: random(7, sq*sq), SQ: sq, SK: 1}} {
				same(fmt.Sprint("attention ", sq, d, bias.Data != nil), func() []float32 {
					out, lse := make([]float32, n), make([]float32, 2*3*sq)
					Attention(out, q, k, v, bias, sh, lse)
					return append(out, lse...)
				})
			}
		}
	}
}

// Nor in attention's gradient, whose tiles are taller in wide registers.
func TestAttentionGradWidths(t *testing.T) {
	if !useAVX512 {
		t.Skip("this processor has no AVX-512")
	}
	defer func() { useAVX512 = true }()
	for _, s := range [][3]int{{1, 1, 8}, {57, 57, 26}, {70, 70, 32}, {105, 251, 16}, {130, 300, 64}, {11, 7, 33}} {
		sq, sk, d := s[0], s[1], s[2]
		const b, a = 2, 2
		n, m := b*sq*a*d, b*sk*a*d
		sh := AttentionShape{B: b, A: a, Sq: sq, Sk: sk, D: d, Scale: 0.3, LDQ: a * d, LDK: a * d, LDV: a * d, LDO: a * d}
		q, k, v, dout := random(1, n), random(2, m), random(3, m), random(4, n)
		bias := Bias{Data: random(5, b*sq*sk), SB: sq * sk, SQ: sk, SK: 1}
		var got [2][]float32
		for i := range got {
			useAVX512 = i == 1
			out, lse := make([]float32, n), make([]float32, b*a*sq)
			dq, dk, dv := make([]float32, n), make([]float32, m), make([]float32, m)
			Attention(out, q, k, v, bias, sh, lse)
			AttentionGrad(dq, dk, dv, dout, out, q, k, v, bias, lse, sh)
			got[i] = append(append(append(out, dq...), dk...), dv...)
		}
		sameBits(t, fmt.Sprint(s), got[0], got[1])
	}
}
