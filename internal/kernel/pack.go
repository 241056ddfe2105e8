package kernel

// Packed is a right-hand side laid out for the microkernel: panels of nr
// columns, each holding its k rows of nr consecutive floats, the last panel
// filled up with zeros. It is read-only and may be shared.
type Packed struct {
	k, n int
	data []float32
}

// K returns the number of rows of the packed matrix.
func (p *Packed) K() int { return p.k }

// N returns the number of columns of the packed matrix.
func (p *Packed) N() int { return p.n }

// Pack lays out op(B)[k,n] for GemmPacked; transB says that b is [n,k].
func Pack(transB bool, k, n int, b []float32, ldb int) *Packed {
	if transB {
		needMatrix("B", len(b), n, k, ldb)
	} else {
		needMatrix("B", len(b), k, n, ldb)
	}
	p := &Packed{k: k, n: n, data: make([]float32, k*roundUp(n, nr))}
	packB(p.data, transB, k, n, b, ldb, true)
	return p
}

// GemmPacked computes C[m,n] = act(A[m,k]·B + bias[n]); bias may be nil. Row i
// of the result depends on row i of A only, and has the same bits for every m.
func GemmPacked(m int, a []float32, lda int, b *Packed, bias []float32, act Act, c []float32, ldc int) {
	if t := packedTask(m, a, lda, b, bias, act, c, ldc); t != nil {
		t.launch(true)
		gemmTasks.put(t)
	}
}

// packedTask is the product with a packed weight, nil where nothing is multiplied.
func packedTask(m int, a []float32, lda int, b *Packed, bias []float32, act Act, c []float32, ldc int) *gemmTask {
	k, n := b.k, b.n
	if !startPacked(m, n, k, a, lda, bias, act, c, ldc) {
		return nil
	}
	t := gemmTasks.get()
	*t = gemmTask{
		a: a, rs: lda, cs: 1, step: tileRows() * lda, b: b.data, bs: nr, ps: k * nr,
		c: c, ldc: ldc, m: m, n: n, k: k, p1: k, alpha: 1,
		bias: bias, act: act, epilogue: bias != nil || act != ActNone,
	}
	return t
}

// startPacked checks the sizes of a product with a packed weight, and reports
// whether it has anything to multiply; where not, C is written.
func startPacked(m, n, k int, a []float32, lda int, bias []float32, act Act, c []float32, ldc int) bool {
	if m <= 0 || n <= 0 {
		return false
	}
	needMatrix("A", len(a), m, k, lda)
	needMatrix("C", len(c), m, n, ldc)
	if bias != nil {
		need("bias", len(bias), n)
	}
	if k <= 0 {
		finishEmpty(m, n, bias, act, c, ldc)
		return false
	}
	return true
}

// finishEmpty writes act(bias) to all rows: the product of nothing.
func finishEmpty(m, n int, bias []float32, act Act, c []float32, ldc int) {
	for i := range m {
		row := c[i*ldc : i*ldc+n]
		clear(row)
		finishRow(row, bias, 0, act)
	}
}

type packTask struct {
	dst, b []float32
	trans  bool
	k, n   int
	ldb    int
}

var packTasks taskPool[packTask]

// packB lays out op(B)[k,n] in dst as described at Packed.
func packB(dst []float32, trans bool, k, n int, b []float32, ldb int, wide bool) {
	if k <= 0 || n <= 0 {
		return
	}
	t := packTasks.get()
	*t = packTask{dst: dst, b: b, trans: trans, k: k, n: n, ldb: ldb}
	// Rows of B are cut where they lie contiguous: each is read in one go.
	total, grain := k, rowGrain(n, 1<<16)
	if trans {
		total, grain = tiles(n, nr), rowGrain(k*nr, 1<<16)
	}
	if wide {
		parallel(total, grain, t)
	} else {
		t.run(0, total)
	}
	packTasks.put(t)
}

func (t *packTask) run(lo, hi int) {
	if !t.trans {
		t.rows(lo, hi)
		return
	}
	for p := lo; p < hi; p++ {
		j := p * nr
		packColumnsT(t.dst[j*t.k:(j+nr)*t.k], t.b[j*t.ldb:], t.ldb, t.k, min(nr, t.n-j))
	}
}

// rows packs rows lo to hi of B.
func (t *packTask) rows(lo, hi int) {
	full := t.n / nr
	if full > 0 {
		packWhole(t.dst[lo*nr:], t.b[lo*t.ldb:], t.ldb, hi-lo, full, t.k*nr)
	}
	if j := full * nr; j < t.n {
		packColumns(t.dst[j*t.k+lo*nr:], t.b[lo*t.ldb+j:], t.ldb, hi-lo, t.n-j)
	}
}

// packWholeGo copies rows of whole panels, which are ps floats apart.
func packWholeGo(dst, b []float32, ldb, rows, panels, ps int) {
	for p := range rows {
		for q := range panels {
			copy(dst[q*ps+p*nr:][:nr], b[p*ldb+q*nr:])
		}
	}
}

// packColumns copies w ≤ nr columns of b[k, …] into one panel.
func packColumns(dst, b []float32, ldb, k, w int) {
	for p := range k {
		row := dst[p*nr : (p+1)*nr]
		copy(row, b[p*ldb:p*ldb+w])
		clear(row[w:])
	}
}

// packColumnsTGo transposes w ≤ nr rows of b[…, k] into one panel.
func packColumnsTGo(dst, b []float32, ldb, k, w int) {
	for j := range nr {
		if j >= w {
			for p := range k {
				dst[p*nr+j] = 0
			}
			continue
		}
		for p, v := range b[j*ldb : j*ldb+k] {
			dst[p*nr+j] = v
		}
	}
}

// packA copies Aᵀ, of which element (i,p) is a[i + p·ld], into panels of
// tileRows rows: panel, then p, then row. Rows beyond m in the last panel are
// left as they were, because no kernel reads them.
func packA(dst, a []float32, ld, m, k int) {
	rows := tileRows()
	whole := m / rows
	if whole > 0 {
		packRows(dst, a, ld, k, whole)
	}
	if i := whole * rows; i < m {
		packRowsGo(dst[i*k:], a[i:], ld, k, m-i)
	}
}

// packRowsGo makes one panel of w ≤ tileRows rows.
func packRowsGo(dst, a []float32, ld, k, w int) {
	rows := tileRows()
	for p := range k {
		copy(dst[p*rows:p*rows+w], a[p*ld:p*ld+w])
	}
}

// microKernelGo is the plain twin of the assembly microkernel:
// C[h,nr] = alpha·A[h,k]·B[k,nr] + beta·C, element (i,p) of A at a[i·rs+p·cs],
// row p of B at b[p·bs].
func microKernelGo(h, k int, a []float32, rs, cs int, b []float32, bs int, c []float32, ldc int, alpha, beta float32) {
	for i := range h {
		var acc [nr]float32
		for p := range k {
			v := a[i*rs+p*cs]
			row := b[p*bs : p*bs+nr : p*bs+nr]
			for j := range nr {
				// The conversion keeps compilers from fusing, so that
				// every machine of this class rounds alike.
				acc[j] += float32(v * row[j])
			}
		}
		out := c[i*ldc : i*ldc+nr : i*ldc+nr]
		if beta == 0 {
			for j := range nr {
				out[j] = alpha * acc[j]
			}
			continue
		}
		for j := range nr {
			out[j] = float32(alpha*acc[j]) + float32(beta*out[j])
		}
	}
}
