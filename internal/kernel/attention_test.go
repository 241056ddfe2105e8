package kernel

import (
	"fmt"
	"math"
	"testing"
)

type attention64 struct {
	sh      AttentionShape
	q, k, v []float64
	bias    Bias
}

func (t *attention64) run() (out, probs []float64) {
	sh := t.sh
	out = make([]float64, sh.B*sh.Sq*sh.LDO)
	for b := range sh.B {
		for a := range sh.A {
			for i := range sh.Sq {
				s := make([]float64, sh.Sk)
				for j := range s {
					for d := range sh.D {
						s[j] += t.q[(b*sh.Sq+i)*sh.LDQ+a*sh.D+d] * t.k[(b*sh.Sk+j)*sh.LDK+a*sh.D+d]
					}
					s[j] *= float64(sh.Scale)
					if t.bias.Data != nil {
						s[j] += float64(t.bias.Data[b*t.bias.SB+a*t.bias.SA+i*t.bias.SQ+j*t.bias.SK])
					}
				}
				p := softmax64(s)
				probs = append(probs, p...)
				for j := range p {
					for d := range sh.D {
						out[(b*sh.Sq+i)*sh.LDO+a*sh.D+d] += p[j] * t.v[(b*sh.Sk+j)*sh.LDV+a*sh.D+d]
					}
				}
			}
		}
	}
	return out, probs
}

func attentionCases() []attention64 {
	var cases []attention64
	for i, s := range [][5]int{{1, 1, 1, 1, 1}, {2, 3, 5, 7, 4}, {1, 2, 17, 17, 26}, {2, 1, 9, 33, 64}, {1, 2, 3, 1, 5}} {
		sh := AttentionShape{B: s[0], A: s[1], Sq: s[2], Sk: s[3], D: s[4], Scale: 0.3}
		w := sh.A * sh.D
		sh.LDQ, sh.LDK, sh.LDV, sh.LDO = w+1, w+2, w+3, w+4
		data := random(9, sh.B*sh.A*sh.Sq*sh.Sk)
		biases := []Bias{
			{},
			{Data: data, SB: sh.A * sh.Sq * sh.Sk, SA: sh.Sq * sh.Sk, SQ: sh.Sk, SK: 1},
			{Data: mask(sh), SB: sh.Sk, SK: 1},
			{Data: data, SQ: 1},
			{Data: data, SA: 1, SK: 2},
		}
		for _, b := range biases {
			if (sh.A-1)*b.SA+(sh.Sk-1)*b.SK >= len(data) && b.Data != nil && b.SB == 0 {
				continue
			}
			seed := uint64(10 * i)
			cases = append(cases, attention64{sh: sh, bias: b,
				q: wide(random(seed+1, sh.B*sh.Sq*sh.LDQ)), k: wide(random(seed+2, sh.B*sh.Sk*sh.LDK)), v: wide(random(seed+3, sh.B*sh.Sk*sh.LDV))})
		}
	}
	return cases
}

// mask hides keys in several spellings; the last batch sees nothing at all.
func mask(sh AttentionShape) []float32 {
	m := make([]float32, sh.B*sh.Sk)
	for i := range m {
		switch {
		case i >= (sh.B-1)*sh.Sk:
			m[i] = float32(math.Inf(-1))
		case i%3 == 1:
			m[i] = -1e4
		case i%3 == 2:
			m[i] = -math.MaxFloat32
		}
	}
	return m
}

func narrow(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}

func TestAttention(t *testing.T) {
	for i, c := range attentionCases() {
		sh := c.sh
		want, probs := c.run()
		q, k, v := narrow(c.q), narrow(c.k), narrow(c.v)
		out, p := filled(len(want), 42), filled(len(probs), nan32)
		Attention(out, q, k, v, c.bias, sh, p)
		compare(t, fmt.Sprint("probabilities ", i), p, probs, 2e-6, 2e-6)
		for r := range sh.B * sh.Sq {
			compare(t, fmt.Sprint("output ", i), out[r*sh.LDO:], want[r*sh.LDO:r*sh.LDO+sh.A*sh.D], 1e-5, 1e-5)
			for _, v := range out[r*sh.LDO+sh.A*sh.D : (r+1)*sh.LDO] {
				if v != 42 {
					t.Fatal("wrote beyond the heads")
				}
			}
		}
		again := filled(len(want), 42)
		Attention(again, q, k, v, c.bias, sh, nil)
		sameBits(t, "without probs", again, out)
	}
}

func TestAttentionGrad(t *testing.T) {
	for i, c := range attentionCases() {
		sh := c.sh
		q, k, v := narrow(c.q), narrow(c.k), narrow(c.v)
		dout := random(77, sh.B*sh.Sq*sh.LDO)
		out, p := make([]float32, len(dout)), make([]float32, sh.B*sh.A*sh.Sq*sh.Sk)
		Attention(out, q, k, v, c.bias, sh, p)
		dq, dk, dv := filled(len(q), nan32), filled(len(k), nan32), filled(len(v), nan32)
		AttentionGrad(dq, dk, dv, dout, q, k, v, p, sh)
		loss := func() float64 {
			var l float64
			o, _ := c.run()
			for i, v := range o {
				l += v * float64(dout[i])
			}
			return l
		}
		check := func(name string, got []float32, x []float64, ld int) {
			for e := 0; e < len(x); e += 1 + len(x)/12 {
				if e%ld >= sh.A*sh.D {
					continue
				}
				if want := difference(loss, x, e); !close32(got[e], want, 1e-4, 1e-4) {
					t.Fatalf("case %d: %s[%d] = %v, want %v", i, name, e, got[e], want)
				}
			}
		}
		check("dq", dq, c.q, sh.LDQ)
		check("dk", dk, c.k, sh.LDK)
		check("dv", dv, c.v, sh.LDV)
	}
}

func TestAttentionThreads(t *testing.T) {
	sh := AttentionShape{B: 3, A: 4, Sq: 33, Sk: 33, D: 26, Scale: 0.2, LDQ: 104, LDK: 104, LDV: 104, LDO: 104}
	n := 3 * 33 * 104
	q, k, v, dout := random(1, n), random(2, n), random(3, n), random(4, n)
	eachThreads(t, "attention", func() []float32 {
		out, p := make([]float32, n), make([]float32, 3*4*33*33)
		Attention(out, q, k, v, Bias{}, sh, p)
		dq, dk, dv := make([]float32, n), make([]float32, n), make([]float32, n)
		AttentionGrad(dq, dk, dv, dout, q, k, v, p, sh)
		return append(append(append(out, dq...), dk...), dv...)
	})
}
