package kernel

// attnGradRows is how many queries the gradient takes at a time: so many terms
// are summed in registers for the keys' gradients.
const attnGradRows = 96

type attentionGradTask struct {
	AttentionShape
	dq, dk, dv, dout, out, q, k, v, lse []float32
	bias                                Bias
	keys                                []int32
}

var attentionGradTasks taskPool[attentionGradTask]

// AttentionGrad differentiates Attention: given dout, the output, and the lse
// that Attention stored, it overwrites dq, dk and dv, which have the strides of
// q, k and v; dout has the strides of the output. The probabilities are
// computed again, a block at a time (Dao et al. 2022, algorithm 4). With
// P = exp(Q·Kᵀ·scale + bias - lse) and δ = Σ dout·out of each query:
//
//	dV = Pᵀ·dout   dS = P∘(dout·Vᵀ - δ)   dQ = scale·dS·K   dK = scale·dSᵀ·Q
func AttentionGrad(dq, dk, dv, dout, out, q, k, v []float32, bias Bias, lse []float32, sh AttentionShape) {
	sh.check(dout, q, k, v, &bias)
	sh.check(out, dq, dk, dv, nil)
	need("lse", len(lse), sh.B*sh.A*sh.Sq)
	if sh.D <= 0 || sh.B <= 0 || sh.A <= 0 {
		return
	}
	keys := getKeys(sh.B)
	keysSeen(keys.n, &sh, bias, q, k)
	t := attentionGradTasks.get()
	*t = attentionGradTask{AttentionShape: sh, dq: dq, dk: dk, dv: dv, dout: dout, out: out, q: q, k: k, v: v, lse: lse, bias: bias, keys: keys.n}
	parallel(sh.B*sh.A, attentionGrain(&sh, 1), t)
	attentionGradTasks.put(t)
	keyCounts.put(keys)
}

func (t *attentionGradTask) run(lo, hi int) {
	w := newAttnWork(t.D, attnKeys)
	g := newGradWork(w.dp, t.Sq)
	for ; lo < hi; lo++ {
		t.head(w, g, lo/t.A, lo%t.A)
	}
	g.put()
	w.put()
}

// gradWork is the scratch of the gradient beyond attnWork.
type gradWork struct {
	buf          *buffer
	dq           []float32 // of all queries of a head
	delta, lse   []float32 // of all queries of a head
	dk, dv       []float32 // of a block of keys
	qc, oc       []float32 // attnGradRows rows of queries and of dout
	p, ds        []float32 // attnGradRows rows of attnStride
	scale, whole [1]float32
}

var gradWorks taskPool[gradWork]

func newGradWork(dp, sq int) *gradWork {
	g := gradWorks.get()
	sq = roundUp(sq, attnTile) // tiles read and write whole
	g.buf = getBuffer(sq*(dp+2) + 2*attnKeys*dp + 2*attnGradRows*(dp+attnStride))
	rest := g.buf.f
	for _, part := range []struct {
		to *[]float32
		n  int
	}{{&g.dq, sq * dp}, {&g.delta, sq}, {&g.lse, sq}, {&g.dk, attnKeys * dp}, {&g.dv, attnKeys * dp}, {&g.qc, attnGradRows * dp}, {&g.oc, attnGradRows * dp},
		{&g.p, attnGradRows * attnStride}, {&g.ds, attnGradRows * attnStride}} {
		*part.to, rest = rest[:part.n:part.n], rest[part.n:]
	}
	return g
}

func (g *gradWork) put() {
	g.buf.put()
	gradWorks.put(g)
}

func (t *attentionGradTask) head(w *attnWork, g *gradWork, b, a int) {
	rq, rk, sq, sk := t.rows(b)
	keys, at := int(t.keys[b]), a*t.D
	g.scale[0], g.whole[0] = t.Scale, 1
	if sq == 0 {
		keys = 0
	}
	for i := range sq {
		o := (rq+i)*t.LDO + at
		g.delta[i] = vDot(t.dout[o:o+t.D], t.out[o:o+t.D])
	}
	copy(g.lse[:sq], t.lse[(b*t.A+a)*t.Sq:])
	if keys == 0 {
		clear(g.dq)
	}
	for k0 := 0; k0 < keys; k0 += attnKeys {
		n := min(attnKeys, keys-k0)
		w.panels(w.kt, w.kc, t.k, (rk+k0)*t.LDK+at, t.LDK, n)
		w.panels(w.vt, nil, t.v, (rk+k0)*t.LDV+at, t.LDV, n)
		bias := biasBlock{Bias: t.bias, b: b, a: a, k0: k0, n: n}
		bias.shared(w)
		for q0 := 0; q0 < sq; q0 += attnGradRows {
			t.block(w, g, &bias, rq, q0, min(attnGradRows, sq-q0))
		}
		w.scatter(t.dk, (rk+k0)*t.LDK+at, t.LDK, g.dk, n, g.whole[:], 0)
		w.scatter(t.dv, (rk+k0)*t.LDV+at, t.LDV, g.dv, n, g.whole[:], 0)
	}
	w.scatter(t.dq, rq*t.LDQ+at, t.LDQ, g.dq, sq, g.scale[:], 0)
	for j := rk + keys; j < rk+sk; j++ { // keys that no query saw
		clear(t.dk[j*t.LDK+at : j*t.LDK+at+t.D])
		clear(t.dv[j*t.LDV+at : j*t.LDV+at+t.D])
	}
}

// block adds what rows queries from q0 on, over one block of keys, give.
func (t *attentionGradTask) block(w *attnWork, g *gradWork, bias *biasBlock, rq, q0, rows int) {
	at, n := bias.a*t.D, bias.n
	cols := roundUp(n, attnCols)
	w.gather(g.qc, t.q, (rq+q0)*t.LDQ+at, t.LDQ, rows, t.Scale)
	w.gather(g.oc, t.dout, (rq+q0)*t.LDO+at, t.LDO, rows, 1)
	lse, step := g.lse[q0:], attnStep()
	for i := 0; i < rows; i += step {
		h := min(step, rows-i)
		ld := bias.load(w, q0+i, h)
		p, ds := g.p[i*attnStride:], g.ds[i*attnStride:]
		attnProbs(h, t.D, g.qc[i*w.dp:], w.dp, w.kt, cols, w.bias, ld, p, attnStride, lse[i:])
		attnGrad(h, t.D, g.oc[i*w.dp:], w.dp, w.vt, cols, p, ds, attnStride, g.delta[q0+i:])
		attnMul(h, n, ds, attnStride, 1, w.kc, w.dp, g.dq[(q0+i)*w.dp:], w.dp, w.dp, bias.k0 > 0)
	}
	for j := 0; j < n; j += step {
		h := min(step, n-j)
		attnMul(h, rows, g.p[j:], 1, attnStride, g.oc, w.dp, g.dv[j*w.dp:], w.dp, w.dp, q0 > 0)
		attnMul(h, rows, g.ds[j:], 1, attnStride, g.qc, w.dp, g.dk[j*w.dp:], w.dp, w.dp, q0 > 0)
	}
}
