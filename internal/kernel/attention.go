package kernel

import "math"

// AttentionShape gives the sizes of an attention. Element (b,s,a,i) of Q is at
// (b·Sq+s)·LDQ + a·D + i, and likewise K and V over Sk with LDK and LDV, and
// the output over Sq with LDO. Scale multiplies Q·Kᵀ.
type AttentionShape struct {
	B, A, Sq, Sk, D    int
	Scale              float32
	LDQ, LDK, LDV, LDO int
}

// Bias is added to the scaled scores: element (b,a,i,j) is at
// b·SB + a·SA + i·SQ + j·SK of Data; a stride of 0 broadcasts. A nil Data is no
// bias.
type Bias struct {
	Data           []float32
	SB, SA, SQ, SK int
}

func (sh *AttentionShape) check(out, q, k, v []float32) {
	width := sh.A * sh.D
	needMatrix("attention query", len(q), sh.B*sh.Sq, width, sh.LDQ)
	needMatrix("attention key", len(k), sh.B*sh.Sk, width, sh.LDK)
	needMatrix("attention value", len(v), sh.B*sh.Sk, width, sh.LDV)
	needMatrix("attention output", len(out), sh.B*sh.Sq, width, sh.LDO)
}

type attentionTask struct {
	AttentionShape
	out, q, k, v, probs []float32
	bias                Bias
}

var attentionTasks taskPool[attentionTask]

// Attention computes out = softmax(Q·Kᵀ·scale + bias)·V for every batch and
// head (Vaswani et al. 2017, equation 1). The probabilities [B,A,Sq,Sk] are
// stored in probs when it is not nil. A query whose every key has bias -Inf
// gets zero probabilities and a zero output.
func Attention(out, q, k, v []float32, bias Bias, sh AttentionShape, probs []float32) {
	sh.check(out, q, k, v)
	if probs != nil {
		need("probs", len(probs), sh.B*sh.A*sh.Sq*sh.Sk)
	}
	if bias.Data != nil && sh.B*sh.A*sh.Sq*sh.Sk > 0 {
		need("attention bias", len(bias.Data), (sh.B-1)*bias.SB+(sh.A-1)*bias.SA+(sh.Sq-1)*bias.SQ+(sh.Sk-1)*bias.SK+1)
	}
	t := attentionTasks.get()
	*t = attentionTask{AttentionShape: sh, out: out, q: q, k: k, v: v, probs: probs, bias: bias}
	parallel(sh.B*sh.A, rowGrain(sh.Sq*sh.Sk*(sh.D+8), 1<<15), t)
	attentionTasks.put(t)
}

func (t *attentionTask) run(lo, hi int) {
	if t.Sq <= 0 || t.D <= 0 {
		return
	}
	var scores *buffer
	if t.probs == nil {
		scores = getBuffer(t.Sq * t.Sk)
	}
	row := getBuffer(t.Sk)
	for h := lo; h < hi; h++ {
		b, a := h/t.A, h%t.A
		var p []float32
		if scores != nil {
			p = scores.f
		} else {
			p = t.probs[h*t.Sq*t.Sk : (h+1)*t.Sq*t.Sk]
		}
		t.head(b, a, p, row.f)
	}
	row.put()
	if scores != nil {
		scores.put()
	}
}

func (t *attentionTask) head(b, a int, p, row []float32) {
	out := t.out[b*t.Sq*t.LDO+a*t.D:]
	if t.Sk <= 0 {
		scaleMatrix(0, out, t.Sq, t.D, t.LDO)
		return
	}
	q, k, v := t.q[b*t.Sq*t.LDQ+a*t.D:], t.k[b*t.Sk*t.LDK+a*t.D:], t.v[b*t.Sk*t.LDV+a*t.D:]
	gemm(false, true, t.Sq, t.Sk, t.D, 1, q, t.LDQ, k, t.LDK, 0, p, t.Sk, false)
	for i := range t.Sq {
		scoresRow(p[i*t.Sk:(i+1)*t.Sk], t.biasRow(b, a, i, row), t.Scale)
	}
	gemm(false, false, t.Sq, t.D, t.Sk, 1, p, t.Sk, v, t.LDV, 0, out, t.LDO, false)
}

// biasRow returns the bias of one query over all keys, in place where it is
// contiguous, else gathered into row; nil when there is none.
func (t *attentionTask) biasRow(b, a, i int, row []float32) []float32 {
	if t.bias.Data == nil {
		return nil
	}
	data := t.bias.Data[b*t.bias.SB+a*t.bias.SA+i*t.bias.SQ:]
	if t.bias.SK == 1 {
		return data[:t.Sk]
	}
	for j := range row {
		row[j] = data[j*t.bias.SK]
	}
	return row
}

// scoresRow turns a row of Q·Kᵀ into probabilities.
func scoresRow(p, bias []float32, scale float32) {
	var top float32
	if bias != nil {
		top = vScaleBiasMax(p, bias, scale)
	} else {
		vScale(scale, p)
		top = vMax(p)
	}
	if math.IsInf(float64(top), -1) {
		nothingLeft(p, p)
		return
	}
	vScale(float32(1/expRow(p, p, top, 1)), p)
}

type attentionGradTask struct {
	AttentionShape
	dq, dk, dv, dout, q, k, v, probs []float32
}

var attentionGradTasks taskPool[attentionGradTask]

// AttentionGrad differentiates Attention: given dout and the stored probs it
// overwrites dq, dk and dv, which have the strides of q, k and v; dout has the
// strides of the output.
func AttentionGrad(dq, dk, dv, dout, q, k, v, probs []float32, sh AttentionShape) {
	sh.check(dout, q, k, v)
	sh.check(dout, dq, dk, dv)
	need("probs", len(probs), sh.B*sh.A*sh.Sq*sh.Sk)
	t := attentionGradTasks.get()
	*t = attentionGradTask{AttentionShape: sh, dq: dq, dk: dk, dv: dv, dout: dout, q: q, k: k, v: v, probs: probs}
	parallel(sh.B*sh.A, rowGrain(sh.Sq*sh.Sk*(sh.D+8), 1<<15), t)
	attentionGradTasks.put(t)
}

func (t *attentionGradTask) run(lo, hi int) {
	if t.D <= 0 {
		return
	}
	buf := getBuffer(t.Sq * t.Sk)
	for h := lo; h < hi; h++ {
		t.head(h/t.A, h%t.A, t.probs[h*t.Sq*t.Sk:(h+1)*t.Sq*t.Sk], buf.f)
	}
	buf.put()
}

func (t *attentionGradTask) head(b, a int, p, ds []float32) {
	oq, ok, ov := b*t.Sq*t.LDQ+a*t.D, b*t.Sk*t.LDK+a*t.D, b*t.Sk*t.LDV+a*t.D
	if t.Sq <= 0 || t.Sk <= 0 {
		if t.Sk > 0 {
			scaleMatrix(0, t.dk[ok:], t.Sk, t.D, t.LDK)
			scaleMatrix(0, t.dv[ov:], t.Sk, t.D, t.LDV)
		} else if t.Sq > 0 {
			scaleMatrix(0, t.dq[oq:], t.Sq, t.D, t.LDQ)
		}
		return
	}
	dout := t.dout[b*t.Sq*t.LDO+a*t.D:]
	gemm(true, false, t.Sk, t.D, t.Sq, 1, p, t.Sk, dout, t.LDO, 0, t.dv[ov:], t.LDV, false)
	gemm(false, true, t.Sq, t.Sk, t.D, 1, dout, t.LDO, t.v[ov:], t.LDV, 0, ds, t.Sk, false)
	for i := range t.Sq {
		// The gradient of softmax: ds = p·(dp - Σ p·dp).
		pi, di := p[i*t.Sk:(i+1)*t.Sk], ds[i*t.Sk:(i+1)*t.Sk]
		vSoftmaxGrad(di, pi, vDot(pi, di), t.Scale)
	}
	gemm(false, false, t.Sq, t.D, t.Sk, 1, ds, t.Sk, t.k[ok:], t.LDK, 0, t.dq[oq:], t.LDQ, false)
	gemm(true, false, t.Sk, t.D, t.Sq, 1, ds, t.Sk, t.q[oq:], t.LDQ, 0, t.dk[ok:], t.LDK, false)
}
