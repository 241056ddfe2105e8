package kernel

// gemmSmall is Gemm for at most smallM rows of C, where packing B would cost
// more than the product: it reads B where it lies.
func gemmSmall(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int, wide bool) {
	var rows *buffer
	if transA {
		rows = getBuffer(m * k)
		for p := range k {
			for i := range m {
				rows.f[i*k+p] = a[p*lda+i]
			}
		}
		a, lda = rows.f, k
	}
	t := smallTasks.get()
	*t = smallTask{transB: transB, m: m, n: n, k: k, alpha: alpha, a: a, lda: lda, b: b, ldb: ldb, beta: beta, c: c, ldc: ldc}
	const columns = 64
	if wide && m*n*k >= 1<<16 {
		parallel(tiles(n, columns), rowGrain(columns*k, 1<<15), t)
	} else {
		t.run(0, tiles(n, columns))
	}
	smallTasks.put(t)
	if rows != nil {
		rows.put()
	}
}

type smallTask struct {
	transB      bool
	m, n, k     int
	alpha, beta float32
	a, b, c     []float32
	lda         int
	ldb, ldc    int
}

var smallTasks taskPool[smallTask]

func (t *smallTask) run(lo, hi int) {
	const columns = 64
	for ; lo < hi; lo++ {
		j0, j1 := lo*columns, min((lo+1)*columns, t.n)
		if t.transB {
			t.dots(j0, j1)
		} else {
			t.columns(j0, j1)
		}
	}
}

// dots makes columns j0:j1 of C as scalar products of rows of A and of B.
func (t *smallTask) dots(j0, j1 int) {
	for j := j0; j < j1; j++ {
		row := t.b[j*t.ldb : j*t.ldb+t.k]
		for i := range t.m {
			v := t.alpha * vDot(t.a[i*t.lda:i*t.lda+t.k], row)
			if t.beta != 0 {
				v += float32(t.beta * t.c[i*t.ldc+j])
			}
			t.c[i*t.ldc+j] = v
		}
	}
}

// columns makes columns j0:j1 of C from the rows of B.
func (t *smallTask) columns(j0, j1 int) {
	for i := range t.m {
		vecMat(t.c[i*t.ldc+j0:i*t.ldc+j1], t.a[i*t.lda:i*t.lda+t.k], t.b[j0:], t.ldb, t.alpha, t.beta)
	}
}

// vecMatGo computes y = alpha·x·B + beta·y for at most 64 columns of B.
func vecMatGo(y, x, b []float32, ldb int, alpha, beta float32) {
	var sum [64]float32
	acc := sum[:len(y)]
	for p, v := range x {
		for j, w := range b[p*ldb : p*ldb+len(acc)] {
			acc[j] += float32(v * w)
		}
	}
	for j, v := range acc {
		v *= alpha
		if beta != 0 {
			v += float32(beta * y[j])
		}
		y[j] = v
	}
}
