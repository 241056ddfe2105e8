package kernel

import "math"

// AttentionShape gives the sizes of an attention. Element (b,s,a,i) of Q is at
// (b·Sq+s)·LDQ + a·D + i, and likewise K and V over Sk with LDK and LDV, and
// the output over Sq with LDO. Scale multiplies Q·Kᵀ.
//
// Offsets, when not nil, says that Q, K, V and the output hold B sequences of
// different lengths without padding between them: sequence b has the rows from
// Offsets[b] to Offsets[b+1] of each. Sq and Sk then are what no length exceeds.
type AttentionShape struct {
	B, A, Sq, Sk, D    int
	Scale              float32
	LDQ, LDK, LDV, LDO int
	Offsets            []int
}

// Bias is added to the scaled scores: element (b,a,i,j) is at
// b·SB + a·SA + i·SQ + j·SK of Data; a stride of 0 broadcasts. A nil Data is no
// bias.
type Bias struct {
	Data           []float32
	SB, SA, SQ, SK int
}

func (sh *AttentionShape) check(out, q, k, v []float32, bias *Bias) {
	width, rq, rk := sh.A*sh.D, sh.B*sh.Sq, sh.B*sh.Sk
	if sh.Offsets != nil {
		need("offsets", len(sh.Offsets), sh.B+1)
		rq = sh.Offsets[sh.B]
		rk = rq
	}
	needMatrix("attention query", len(q), rq, width, sh.LDQ)
	needMatrix("attention key", len(k), rk, width, sh.LDK)
	needMatrix("attention value", len(v), rk, width, sh.LDV)
	needMatrix("attention output", len(out), rq, width, sh.LDO)
	if bias != nil && bias.Data != nil && sh.B*sh.A*sh.Sq*sh.Sk > 0 {
		need("attention bias", len(bias.Data), (sh.B-1)*bias.SB+(sh.A-1)*bias.SA+(sh.Sq-1)*bias.SQ+(sh.Sk-1)*bias.SK+1)
	}
}

// rows returns the first row of sequence b and its numbers of queries and keys.
func (sh *AttentionShape) rows(b int) (q0, k0, sq, sk int) {
	if sh.Offsets == nil {
		return b * sh.Sq, b * sh.Sk, sh.Sq, sh.Sk
	}
	q0, sq = sh.Offsets[b], sh.Offsets[b+1]-sh.Offsets[b]
	return q0, q0, sq, sq
}

// Blocking. Keys are taken attnKeys at a time, whose panels stay in the second
// cache; one task takes attnTask queries of one head, so that packing the keys
// for it does not count. Neither enters the order of the sums over keys but
// through attnKeys: the sum of exponentials and the output are made block by
// block, rescaled where a later block has a greater maximum.
const (
	attnRows   = 6  // queries of a tile
	attnTile   = 12 // of the tallest: buffers have room for so many
	attnCols   = 16
	attnKeys   = 256
	attnTask   = 384
	attnStride = attnKeys + attnCols // of rows of scores: no power of two
)

type attentionTask struct {
	AttentionShape
	out, q, k, v, lse []float32
	bias              Bias
	parts             int // tasks of one head
	keys              []int32
}

var attentionTasks taskPool[attentionTask]

// Attention computes out = softmax(Q·Kᵀ·scale + bias)·V for every batch and
// head (Vaswani et al. 2017, equation 1), without ever holding all scores: keys
// are taken in blocks with a running maximum and sum (Dao et al. 2022,
// algorithm 1). The logarithm of the sum of exponentials of each query is
// stored for AttentionGrad in lse[B,A,Sq] when that is not nil. A query whose
// every key has bias -Inf gets a zero output.
//
// Keys at the end of a sequence that a bias independent of head and query
// masks so far that their probabilities are 0 cost nothing. What a query
// answers does not depend on how many there are, to the bit.
func Attention(out, q, k, v []float32, bias Bias, sh AttentionShape, lse []float32) {
	sh.check(out, q, k, v, &bias)
	if lse != nil {
		need("lse", len(lse), sh.B*sh.A*sh.Sq)
	}
	if sh.Sq <= 0 || sh.D <= 0 || sh.B <= 0 || sh.A <= 0 {
		return
	}
	keys := getKeys(sh.B)
	keysSeen(keys.n, &sh, bias, q, k)
	t := attentionTasks.get()
	*t = attentionTask{AttentionShape: sh, out: out, q: q, k: k, v: v, lse: lse, bias: bias, parts: tiles(sh.Sq, attnTask), keys: keys.n}
	parallel(sh.B*sh.A*t.parts, attentionGrain(&sh, t.parts), t)
	attentionTasks.put(t)
	keyCounts.put(keys)
}

// attentionGrain is how many heads, or parts of one, a task takes: enough work,
// and, where there are many sequences, all heads of one, which lie in the same
// cache lines.
func attentionGrain(sh *AttentionShape, parts int) int {
	enough := rowGrain(min(sh.Sq, attnTask)*sh.Sk*(sh.D+8), 1<<15)
	if sh.B >= 16 {
		return roundUp(enough, sh.A*parts)
	}
	return max(enough, sh.A*parts*sh.B/32)
}

func (t *attentionTask) run(lo, hi int) {
	w := newAttnWork(t.D, attnKeys)
	rows := min(t.Sq, attnTask)
	o := getBuffer(roundUp(rows, attnTile) * (w.dp + 2))
	for ; lo < hi; lo++ {
		h, part := lo/t.parts, lo%t.parts
		b, a := h/t.A, h%t.A
		_, _, sq, _ := t.rows(b)
		if q0 := part * attnTask; q0 < sq {
			t.head(w, o.f, b, a, q0, min(q0+attnTask, sq))
		}
	}
	o.put()
	w.put()
}

// attnWork is the scratch of one attention task. Rows of a head are gathered
// with their width filled up with zeros to dp, a multiple of attnCols.
type attnWork struct {
	d, dp          int
	buf            *buffer
	mask           []float32 // 2·dp words, of which the first d are all ones
	row            []float32 // attnCols gathered rows
	kt, vt, kc, vc []float32 // a block of keys and values, transposed and not
	bias           []float32 // attnTile rows of attnStride
	s              []float32 // attnTile rows of attnStride
	top            [attnTile]float32
}

var attnWorks taskPool[attnWork]

// newAttnWork makes scratch for blocks of up to keys keys.
func newAttnWork(d, keys int) *attnWork {
	w := attnWorks.get()
	w.d, w.dp = d, roundUp(d, attnCols)
	block := keys * w.dp
	w.buf = getBuffer(2*w.dp + attnCols*w.dp + 4*block + 2*attnTile*attnStride)
	rest := w.buf.f
	cut := func(n int) []float32 {
		part := rest[:n:n]
		rest = rest[n:]
		return part
	}
	w.mask, w.row = cut(2*w.dp), cut(attnCols*w.dp)
	w.kt, w.vc, w.vt, w.kc = cut(block), cut(block), cut(block), cut(block)
	w.bias, w.s = cut(attnTile*attnStride), cut(attnTile*attnStride)
	set := math.Float32frombits(math.MaxUint32)
	for i := range w.mask {
		w.mask[i] = 0
		if i < d {
			w.mask[i] = set
		}
	}
	return w
}

func (w *attnWork) put() {
	w.buf.put()
	attnWorks.put(w)
}

// gather copies rows of x, from offset at on and ld apart, to dst[rows,dp].
func (w *attnWork) gather(dst, x []float32, at, ld, rows int, scale float32) {
	if rows > 0 {
		vAttnGather(dst[:rows*w.dp], x[at:at+(rows-1)*ld+w.d], ld, rows, w.d, w.mask, scale)
	}
}

// scatter copies src[rows,dp], each row times its scale, to rows of x.
func (w *attnWork) scatter(x []float32, at, ld int, src []float32, rows int, scale []float32, step int) {
	if rows > 0 {
		vAttnScatter(x[at:at+(rows-1)*ld+w.d], ld, src[:rows*w.dp], rows, w.d, w.mask, scale, step)
	}
}

// panels gathers n rows and transposes them into panels of attnCols rows; rows
// that fill up the last panel are 0. plain, when not nil, keeps them as they are.
func (w *attnWork) panels(dst, plain, x []float32, at, ld, n int) {
	for j := 0; j < n; j += attnCols {
		row := w.row
		if plain != nil {
			row = plain[j*w.dp:][:attnCols*w.dp]
		}
		h := min(attnCols, n-j)
		w.gather(row, x, at+j*ld, ld, h, 1)
		clear(row[h*w.dp:])
		vAttnTranspose(dst[j*w.dp:][:attnCols*w.dp], row, w.dp)
	}
}

// head answers queries q0 to q1 of one head. o holds their unscaled outputs,
// maxima and sums.
func (t *attentionTask) head(w *attnWork, o []float32, b, a, q0, q1 int) {
	rq, rk, _, _ := t.rows(b)
	keys := int(t.keys[b])
	rows := q1 - q0
	out := (rq+q0)*t.LDO + a*t.D
	full, step := roundUp(rows, attnTile), attnStep()
	top, sum, acc := o[:full], o[full:2*full], o[2*full:][:full*w.dp]
	for i := range top {
		top[i], sum[i] = float32(math.Inf(-1)), 0
	}
	if keys == 0 {
		clear(acc)
	}
	for k0 := 0; k0 < keys; k0 += attnKeys {
		n := min(attnKeys, keys-k0)
		w.panels(w.kt, nil, t.k, (rk+k0)*t.LDK+a*t.D, t.LDK, n)
		w.gather(w.vc, t.v, (rk+k0)*t.LDV+a*t.D, t.LDV, n, 1)
		clear(w.vc[n*w.dp : roundUp(n, attnCols)*w.dp])
		bias := biasBlock{Bias: t.bias, b: b, a: a, k0: k0, n: n}
		bias.shared(w)
		for i := 0; i < rows; i += step {
			h := min(step, rows-i)
			w.gather(w.row, t.q, (rq+q0+i)*t.LDQ+a*t.D, t.LDQ, h, t.Scale)
			ld := bias.load(w, q0+i, h)
			attnScores(h, t.D, w.row, w.dp, w.kt, roundUp(n, attnCols), w.bias, ld, w.s, attnStride, w.top[:])
			for r := range h {
				w.softmax(w.s[r*attnStride:][:roundUp(n, attnCols)], acc[(i+r)*w.dp:][:w.dp], r, &top[i+r], &sum[i+r], k0 == 0)
			}
			attnMul(h, n, w.s, attnStride, 1, w.vc, w.dp, acc[i*w.dp:], w.dp, w.dp, k0 > 0)
		}
	}
	for i := range sum {
		total := sum[i]
		sum[i] = 0
		if total != 0 { // or NaN
			sum[i] = 1 / total
		}
		if t.lse != nil && i < rows {
			t.lse[(b*t.A+a)*t.Sq+q0+i] = logSum(top[i], total)
		}
	}
	w.scatter(t.out, out, t.LDO, acc, rows, sum, 1)
}

// logSum is top + log(sum), and +Inf for a query that sees nothing, which makes
// its probabilities exp(s - Inf) = 0.
func logSum(top, sum float32) float32 {
	if sum == 0 {
		return float32(math.Inf(1))
	}
	return float32(float64(top) + math.Log(float64(sum)))
}

// softmax turns a row of scores into exponentials below the greatest so far and
// carries maximum, sum and, after the first block, the output over.
func (w *attnWork) softmax(s, acc []float32, r int, top, sum *float32, first bool) {
	high := w.top[r]
	if !first && *top > high {
		high = *top
	}
	if math.IsInf(float64(high), -1) {
		// Nothing seen: exp(-Inf - 0) is 0, and a NaN stays.
		*sum += vExpSum(s, s, 0, 1)
		return
	}
	if !first && *top < high {
		c := exp32(*top - high)
		*sum *= c
		vScale(c, acc)
	}
	*top = high
	*sum += vExpSum(s, s, high, 1)
}

// biasBlock is the bias of one head over the n keys from k0 on.
type biasBlock struct {
	Bias
	b, a, k0, n int
}

// shared fills the first row of w.bias where all queries have the same bias.
func (p *biasBlock) shared(w *attnWork) {
	if p.Data == nil {
		p.fill(w.bias, nil)
	} else if p.SQ == 0 {
		p.fill(w.bias, p.Data[p.b*p.SB+p.a*p.SA+p.k0*p.SK:])
	}
}

// load makes sure that w.bias holds the bias of h queries from q on and returns
// the distance of its rows.
func (p *biasBlock) load(w *attnWork, q, h int) int {
	if p.Data == nil || p.SQ == 0 {
		return 0
	}
	for r := range h {
		p.fill(w.bias[r*attnStride:], p.Data[p.b*p.SB+p.a*p.SA+(q+r)*p.SQ+p.k0*p.SK:])
	}
	return attnStride
}

// fill copies one row; what fills up the last panel is -Inf.
func (p *biasBlock) fill(dst, src []float32) {
	switch {
	case src == nil:
		clear(dst[:p.n])
	case p.SK == 1:
		copy(dst[:p.n], src)
	default:
		for j := range p.n {
			dst[j] = src[j*p.SK]
		}
	}
	low := float32(math.Inf(-1))
	for j := p.n; j < roundUp(p.n, attnCols); j++ {
		dst[j] = low
	}
}

// keyCount is scratch for one count per sequence.
type keyCount struct{ n []int32 }

var keyCounts freeList[keyCount]

func getKeys(n int) *keyCount {
	k := keyCounts.get()
	if cap(k.n) < n {
		k.n = make([]int32, n)
	}
	k.n = k.n[:n]
	return k
}

type keysTask struct {
	AttentionShape
	keys []int32
	bias Bias
	q, k []float32
}

var keysTasks taskPool[keysTask]

// keysSeen sets how many keys of each sequence can have a probability other
// than 0.
func keysSeen(keys []int32, sh *AttentionShape, bias Bias, q, k []float32) {
	if bias.Data == nil || bias.SA != 0 || bias.SQ != 0 || bias.SK == 0 {
		for b := range keys {
			_, _, _, n := sh.rows(b)
			keys[b] = int32(n)
		}
		return
	}
	t := keysTasks.get()
	*t = keysTask{AttentionShape: *sh, keys: keys, bias: bias, q: q, k: k}
	parallel(len(keys), rowGrain((sh.Sq+sh.Sk)*sh.A*sh.D, grainCheap), t)
	keysTasks.put(t)
}

// run looks for padding. A score differs from its bias by at most limit =
// D·max|q|·max|k|·scale, and an exponential 87 below the greatest is 0; so keys
// whose bias lies 2·limit + 88 below another's can be left out.
func (t *keysTask) run(lo, hi int) {
	for b := lo; b < hi; b++ {
		rq, rk, sq, n := t.rows(b)
		t.keys[b] = int32(n)
		if n == 0 {
			continue
		}
		row, step := t.bias.Data[b*t.bias.SB:], t.bias.SK
		top := float32(math.Inf(-1))
		for j := range n {
			top = max(top, row[j*step])
		}
		if !(row[(n-1)*step] < top-1000) {
			continue // no padding
		}
		limit := float64(t.D) * largest(t.q, rq, sq, t.LDQ, t.A*t.D) * largest(t.k, rk, n, t.LDK, t.A*t.D) * math.Abs(float64(t.Scale))
		for cut := float64(top) - 2*limit - 88; n > 1 && float64(row[(n-1)*step]) < cut; n-- {
		}
		t.keys[b] = int32(n)
	}
}

// largest is the greatest magnitude in rows of n elements from row r on.
func largest(x []float32, r, rows, ld, n int) float64 {
	var top float32
	for i := r; i < r+rows; i++ {
		low, high := vMinMax(x[i*ld : i*ld+n])
		top = max(top, high, -low)
	}
	return float64(top)
}
