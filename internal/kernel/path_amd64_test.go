//go:build !noasm

package kernel

import (
	"fmt"
	"math"
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

// bothWidths returns what holds f to the same bits with AVX-512 as without it.
func bothWidths(t *testing.T) func(what string, f func() []float32) {
	if !useAVX512 {
		t.Skip("this processor has no AVX-512")
	}
	t.Cleanup(func() { useAVX512 = true })
	return func(what string, f func() []float32) {
		t.Helper()
		useAVX512 = false
		want := f()
		useAVX512 = true
		sameBits(t, what, f(), want)
	}
}

// Nor in the loops over vectors and in attention.
func TestWidths(t *testing.T) {
	same := bothWidths(t)
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

// Nor in the loops of training.
func TestTrainingWidths(t *testing.T) {
	same := bothWidths(t)
	special := grid()
	ones := filled(len(special), 1)
	for _, act := range acts {
		same(act.String()+" derivative", func() []float32 { dx := make([]float32, len(special)); vActGrad(act, dx, special, ones); return dx })
		same(act.String()+" both", func() []float32 {
			y := make([]float32, 2*len(special))
			vActBoth(act, y[:len(special)], y[len(special):], special)
			return y
		})
	}
	adam := newAdamConst(1e-3, 0.9, 0.999, 1e-6, 0.01, 0.7, 3)
	lamb := lambConst{unbias1: 3, unbias2: 20, eps: 1e-6, decay: 0.01, rate: 1e-3}
	for _, n := range append([]int{2048, 2049}, lengths...) {
		x, y, z := random(1, n), random(2, n), random(3, n)
		m, v := random(4, n), random(5, n)
		for i := range v {
			v[i] *= v[i]
			if i%7 == 3 {
				z[i] = 0
			}
		}
		what := func(s string) string { return fmt.Sprint(s, " of ", n) }
		// into runs f on a copy of y and returns it with what f returns.
		into := func(f func(y []float32) float64) func() []float32 {
			return func() []float32 {
				out := slices.Clone(y)
				r := f(out)
				return append(out, float32(r), float32(r-float64(float32(r))))
			}
		}
		none := func(f func(y []float32)) func() []float32 {
			return into(func(y []float32) float64 { f(y); return 0 })
		}
		for _, act := range acts {
			same(what(act.String()+" derivative"), none(func(y []float32) { vActGrad(act, y, x, z) }))
			same(what(act.String()+" both"), func() []float32 {
				out := make([]float32, 2*n)
				vActBoth(act, out[:n], out[n:], x)
				return out
			})
		}
		same(what("product"), none(func(y []float32) { vMul(y, x, y) }))
		same(what("axpy"), none(func(y []float32) { vAxpy(0.3, x, y) }))
		same(what("scale"), none(func(y []float32) { vScale(0.3, y) }))
		same(what("affine"), none(func(y []float32) { vAffine(0.3, -2, y) }))
		same(what("dropout"), none(func(y []float32) { vDropout(y, x, 1<<32-5, 77, 99, 1<<30, 2) }))
		same(what("exp times"), none(func(y []float32) { vExpScale(y, x, 5, 1.25, 0.7) }))
		same(what("exp added"), none(func(y []float32) { vExpAdd(y, x, 5, 1.25, -0.7) }))
		same(what("differences"), into(func(y []float32) float64 { return float64(vDotDiff(z, x, y, 0.25)) }))
		same(what("squares"), into(vSumSquares))
		same(what("maximum"), into(func(y []float32) float64 { return float64(vMax(y)) }))
		same(what("sums of a norm's gradient"), func() []float32 {
			out := append(slices.Clone(y), z...)
			a, b := vNormGradSums(out[:n], out[n:], x, m, v, 0.1, 1.5)
			return append(out, a, b)
		})
		same(what("a norm's gradient"), none(func(y []float32) { vNormGradDx(y, x, m, z, 0.1, 1.5, 0.2, -0.3) }))
		same(what("AdamW"), func() []float32 {
			w, m, v := slices.Clone(y), slices.Clone(m), slices.Clone(v)
			vAdamW(w, x, m, v, &adam)
			return append(append(w, m...), v...)
		})
		same(what("LAMB"), none(func(y []float32) { vLAMBStep(y, m, v, &lamb) }))
	}
	hole := random(6, 100)
	hole[3], hole[50], hole[98], hole[99] = float32(math.NaN()), 9, float32(math.Inf(-1)), float32(math.NaN())
	same("maximum beside NaN", func() []float32 { return []float32{vMax(hole), vMax(hole[96:])} })
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
