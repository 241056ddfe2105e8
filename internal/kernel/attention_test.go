package kernel

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

type attention64 struct {
	sh      AttentionShape
	q, k, v []float64
	bias    Bias
}

func (t *attention64) run() (out, lse []float64) {
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
				lse = append(lse, logSum64(s))
				for j := range p {
					for d := range sh.D {
						out[(b*sh.Sq+i)*sh.LDO+a*sh.D+d] += p[j] * t.v[(b*sh.Sk+j)*sh.LDV+a*sh.D+d]
					}
				}
			}
		}
	}
	return out, lse
}

func logSum64(s []float64) float64 {
	top := math.Inf(-1)
	for _, v := range s {
		top = max(top, v)
	}
	if math.IsInf(top, -1) {
		return math.Inf(1) // what AttentionGrad reads as: nothing seen
	}
	var sum float64
	for _, v := range s {
		sum += math.Exp(v - top)
	}
	return top + math.Log(sum)
}

// attentionCases cover every height of a tile, partial panels, several blocks
// of keys and of queries, and all strides of a bias.
func attentionCases() []attention64 {
	var cases []attention64
	for i, s := range [][5]int{{1, 1, 1, 1, 1}, {2, 3, 5, 7, 4}, {1, 2, 17, 17, 26}, {2, 1, 9, 33, 64}, {1, 2, 3, 1, 5}, {1, 1, 10, 530, 3}, {2, 1, 400, 20, 8}, {1, 1, 103, 257, 17}} {
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
		want, lse := c.run()
		q, k, v := narrow(c.q), narrow(c.k), narrow(c.v)
		out, l := filled(len(want), 42), filled(len(lse), nan32)
		Attention(out, q, k, v, c.bias, sh, l)
		compare(t, fmt.Sprint("lse ", i), l, lse, 1e-5, 2e-6)
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
		sameBits(t, "without lse", again, out)
	}
}

func TestAttentionGrad(t *testing.T) {
	for i, c := range attentionCases() {
		sh := c.sh
		q, k, v := narrow(c.q), narrow(c.k), narrow(c.v)
		dout := random(77, sh.B*sh.Sq*sh.LDO)
		out, lse := make([]float32, len(dout)), make([]float32, sh.B*sh.A*sh.Sq)
		Attention(out, q, k, v, c.bias, sh, lse)
		dq, dk, dv := filled(len(q), 42), filled(len(k), 42), filled(len(v), 42)
		AttentionGrad(dq, dk, dv, dout, out, q, k, v, c.bias, lse, sh)
		loss := func() float64 {
			var l float64
			o, _ := c.run()
			for i, v := range o {
				l += v * float64(dout[i])
			}
			return l
		}
		few := 12
		if sh.Sq*sh.Sk > 5000 {
			few = 3 // the reference is slow
		}
		check := func(name string, got []float32, x []float64, ld int) {
			for e, v := range got {
				if inside := e%ld < sh.A*sh.D; inside == (v == 42) {
					t.Fatalf("case %d: %s[%d] is %v", i, name, e, v)
				}
			}
			for e := 0; e < len(x); e += 1 + len(x)/few {
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

// attend returns the output, lse and gradients of an attention one behind the
// other.
func attend(q, k, v, dout []float32, bias Bias, sh AttentionShape) []float32 {
	out, lse := make([]float32, len(dout)), make([]float32, sh.B*sh.A*sh.Sq)
	Attention(out, q, k, v, bias, sh, lse)
	dq, dk, dv := make([]float32, len(q)), make([]float32, len(k)), make([]float32, len(v))
	AttentionGrad(dq, dk, dv, dout, out, q, k, v, bias, lse, sh)
	return slices.Concat(out, dq, dk, dv, lse)
}

// TestAttentionPadding finds that neither padding keys, in every spelling of a
// mask, nor packing sequences without them changes a bit of the others.
func TestAttentionPadding(t *testing.T) {
	const heads, d, s = 2, 10, 300
	const w = heads * d
	lengths := []int{s, 1, 17, 256, 270, 100}
	sh := AttentionShape{B: len(lengths), A: heads, Sq: s, Sk: s, D: d, Scale: 0.3, LDQ: w, LDK: w, LDV: w, LDO: w}
	n := sh.B * s * w
	q, k, v, dout := random(1, n), random(2, n), random(3, n), random(4, n)
	offsets := []int{0}
	var pq, pk, pv, po []float32
	for b, l := range lengths {
		at := b * s * w
		offsets = append(offsets, offsets[b]+l)
		pq, pk, pv, po = append(pq, q[at:at+l*w]...), append(pk, k[at:at+l*w]...), append(pv, v[at:at+l*w]...), append(po, dout[at:at+l*w]...)
		clear(dout[at+l*w : at+s*w]) // nothing reads a query that is padding
	}
	packed := sh
	packed.Offsets = offsets
	want := attend(pq, pk, pv, po, Bias{}, packed)
	for _, masked := range []float32{-1e4, -math.MaxFloat32, float32(math.Inf(-1))} {
		mask := Bias{Data: make([]float32, sh.B*s), SB: s, SK: 1}
		for b, l := range lengths {
			for j := l; j < s; j++ {
				mask.Data[b*s+j] = masked
			}
		}
		for _, whole := range []bool{false, true} {
			bias := mask
			if whole { // one row for each query is not looked through
				bias = Bias{SB: s * s, SQ: s, SK: 1}
				for b := range lengths {
					for range s {
						bias.Data = append(bias.Data, mask.Data[b*s:(b+1)*s]...)
					}
				}
			}
			got := attend(q, k, v, dout, bias, sh)
			for part := range 4 {
				for b, l := range lengths {
					sameBits(t, fmt.Sprintf("mask %v, per query %v, part %d, sequence %d", masked, whole, part, b),
						got[part*n+b*s*w:][:l*w], want[part*len(pq)+offsets[b]*w:][:l*w])
				}
			}
		}
	}
}

func TestAttentionThreads(t *testing.T) {
	sh := AttentionShape{B: 3, A: 4, Sq: 33, Sk: 33, D: 26, Scale: 0.2, LDQ: 104, LDK: 104, LDV: 104, LDO: 104}
	n := 3 * 33 * 104
	q, k, v, dout := random(1, n), random(2, n), random(3, n), random(4, n)
	eachThreads(t, "attention", func() []float32 { return attend(q, k, v, dout, Bias{}, sh) })
}

// TestAttentionNaN: what is broken must not pass for a mask.
func TestAttentionNaN(t *testing.T) {
	sh := AttentionShape{B: 1, A: 1, Sq: 2, Sk: 3, D: 1, Scale: 1, LDQ: 1, LDK: 1, LDV: 1, LDO: 1}
	low := float32(math.Inf(-1))
	out := make([]float32, 2)
	Attention(out, []float32{nan32, 1}, []float32{1, 2, 3}, []float32{1, 1, 1}, Bias{Data: []float32{0, low, low}, SK: 1}, sh, nil)
	if out[0] == out[0] || out[1] != 1 {
		t.Errorf("output %v, want NaN and 1", out)
	}
	Attention(out, []float32{nan32, 1}, []float32{1, 2, 3}, []float32{1, 1, 1}, Bias{Data: []float32{low, low, low}, SK: 1}, sh, nil)
	if out[0] == out[0] || out[1] != 0 {
		t.Errorf("output %v, want NaN and 0", out)
	}
}

// TestAttentionTiles compares the tiles with their plain twins.
func TestAttentionTiles(t *testing.T) {
	for h := 1; h <= attnStep(); h++ {
		for _, k := range []int{1, 3, 4, 7, 16, 26, 33} {
			for _, cols := range []int{16, 48} {
				lda, ld := roundUp(k, attnCols), cols+3
				a, b, bias := random(1, attnTile*lda), random(2, cols*lda), random(3, attnTile*ld)
				level := random(4, attnTile)
				for i := range level {
					level[i] += 30 // keeps exponents below 0
				}
				what := fmt.Sprintf("h %d, k %d, columns %d: ", h, k, cols)
				for _, ldbias := range []int{0, ld} {
					s, top, s2, top2 := make([]float32, attnTile*ld), make([]float32, attnTile), make([]float32, h*ld), make([]float32, h)
					attnScores(h, k, a, lda, b, cols, bias, ldbias, s, ld, top)
					attnScoresGo(h, k, a, lda, b, cols, bias, ldbias, s2, ld, top2)
					compare(t, what+"scores", s, wide(s2), 1e-5, 1e-5)
					compare(t, what+"maxima", top, wide(top2), 1e-5, 1e-5)
					attnProbs(h, k, a, lda, b, cols, bias, ldbias, s, ld, level)
					attnProbsGo(h, k, a, lda, b, cols, bias, ldbias, s2, ld, level)
					compare(t, what+"probabilities", s, wide(s2), 1e-12, 1e-4)
				}
				p, ds, ds2 := random(5, attnTile*ld), make([]float32, attnTile*ld), make([]float32, h*ld)
				attnGrad(h, k, a, lda, b, cols, p, ds, ld, level)
				attnGradGo(h, k, a, lda, b, cols, p, ds2, ld, level)
				compare(t, what+"gradient", ds, wide(ds2), 1e-4, 1e-5)
				x, y := random(6, k*(attnTile+20)), random(7, k*ld)
				for _, add := range []bool{false, true} {
					for _, st := range [][2]int{{k, 1}, {1, h + 20}} {
						c := random(8, attnTile*ld)
						c2 := slices.Clone(c[:h*ld])
						attnMul(h, k, x, st[0], st[1], y, ld, c, ld, cols, add)
						attnMulGo(h, k, x, st[0], st[1], y, ld, c2, ld, cols, add)
						compare(t, what+"product", c, wide(c2), 1e-5, 1e-5)
					}
				}
			}
		}
	}
}

func TestAttentionCopies(t *testing.T) {
	for _, d := range []int{1, 7, 8, 15, 16, 26, 40} {
		w := newAttnWork(d, attnCols)
		const rows, ld = 16, 43
		x := random(1, rows*ld)
		got, want := filled(rows*w.dp, nan32), filled(rows*w.dp, nan32)
		w.gather(got, x, 0, ld, rows, 0.5)
		attnGatherGo(want, x, ld, rows, d, 0.5)
		sameBits(t, "gather", got, want)
		turned, turned2 := make([]float32, len(got)), make([]float32, len(got))
		vAttnTranspose(turned, got, w.dp)
		attnTransposeGo(turned2, got, w.dp)
		sameBits(t, "transpose", turned, turned2)
		back, back2 := filled(rows*ld, 42), filled(rows*ld, 42)
		scale := random(2, rows)
		w.scatter(back, 0, ld, got, rows, scale, 1)
		attnScatterGo(back2, ld, got, rows, d, scale, 1)
		sameBits(t, "scatter", back, back2)
		w.put()
	}
}
