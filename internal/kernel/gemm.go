package kernel

// Blocking. The microkernel makes a tile of C from panels of nr columns of B:
// mr×nr with AVX2, from one panel that stays in the first-level cache (kcMax·nr
// floats); up to 12×32 with AVX-512, from rows of A that stay there. A task
// makes a tile of C of about mcBlock×ncBlock whose operands stay in the
// second-level cache. Only kcMax enters the order of the sums, so that results
// depend neither on the kernel's width nor on how C is cut into tasks.
const (
	mr      = 6
	nr      = 16
	kcMax   = 320
	mcBlock = 96
	ncBlock = 512

	packLimit = 1 << 20 // floats of B packed at a time by Gemm
	leftLimit = 1 << 21 // floats of a transposed A packed at a time
	smallM    = 3       // up to so many rows of C, Gemm makes scalar products
	directM   = 24      // up to so many rows of C, packing B costs more than it saves
)

// Gemm computes C = alpha·op(A)·op(B) + beta·C, where op transposes its
// operand when transA or transB says so: op(A) is [m,k], op(B) is [k,n], C is
// [m,n], all row-major with leading dimensions lda, ldb, ldc. With beta 0, C is
// written without being read. C must not overlap A or B.
func Gemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	checkGemm(transA, transB, m, n, k, alpha, a, lda, b, ldb, c, ldc)
	gemm(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, true)
}

func checkGemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) {
	needMatrix("C", len(c), m, n, ldc)
	if alpha == 0 || m <= 0 || n <= 0 {
		return
	}
	if transA {
		needMatrix("A", len(a), k, m, lda)
	} else {
		needMatrix("A", len(a), m, k, lda)
	}
	if transB {
		needMatrix("B", len(b), n, k, ldb)
	} else {
		needMatrix("B", len(b), k, n, ldb)
	}
}

// gemm is Gemm without checks; wide false keeps it on the caller's goroutine,
// for use inside a task that is already one of many.
func gemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int, wide bool) {
	if m <= 0 || n <= 0 {
		return
	}
	if k <= 0 || alpha == 0 {
		scaleMatrix(beta, c, m, n, ldc)
		return
	}
	if m <= smallM {
		gemmSmall(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, wide)
		return
	}
	g := gemmCall{m: m, n: n, k: k, a: a, lda: lda, b: b, ldb: ldb, c: c, ldc: ldc, transA: transA, transB: transB, alpha: alpha, beta: beta, wide: wide}
	g.run()
}

// gemmCall holds the arguments of one product while it is made block by block.
type gemmCall struct {
	m, n, k        int
	a, b, c        []float32
	lda, ldb, ldc  int
	transA, transB bool
	alpha, beta    float32
	wide           bool
}

func (g *gemmCall) run() {
	if !g.transB && g.m <= directM {
		g.direct()
		return
	}
	nc := max(nr, packLimit/g.k/nr*nr)
	mc := g.m
	rows := tileRows()
	var left *buffer
	if g.transA {
		mc = min(mc, max(mcBlock, leftLimit/g.k/mcBlock*mcBlock))
		left = getBuffer(roundUp(mc, rows) * g.k)
	}
	right := getBuffer(g.k * roundUp(min(g.n, nc), nr))
	for j := 0; j < g.n; j += nc {
		w := min(nc, g.n-j)
		bj := g.b[j:]
		if g.transB {
			bj = g.b[j*g.ldb:]
		}
		packB(right.f, g.transB, g.k, w, bj, g.ldb, g.wide)
		for i := 0; i < g.m; i += mc {
			h := min(mc, g.m-i)
			t := gemmTasks.get()
			*t = gemmTask{b: right.f, bs: nr, ps: g.k * nr, c: g.c[i*g.ldc+j:], ldc: g.ldc, m: h, n: w, k: g.k, alpha: g.alpha, beta: g.beta}
			if left == nil {
				t.left(g.a, g.lda)
			} else {
				// A that fits in one block is packed for all columns.
				if j == 0 || mc < g.m {
					packA(left.f, g.a[i:], g.lda, h, g.k, g.wide)
				}
				t.a, t.rs, t.cs, t.step = left.f, 1, rows, rows*g.k
			}
			t.launch(g.wide)
			gemmTasks.put(t)
		}
	}
	right.put()
	if left != nil {
		left.put()
	}
}

// direct makes a product of few rows, which does not pay for packing: the
// kernel reads B where it lies, but for the columns that fill no panel.
func (g *gemmCall) direct() {
	t := gemmTasks.get()
	*t = gemmTask{b: g.b, bs: g.ldb, ps: nr, c: g.c, ldc: g.ldc, m: g.m, n: g.n, k: g.k, alpha: g.alpha, beta: g.beta}
	var left, tail *buffer
	if g.transA {
		rows := tileRows()
		left = getBuffer(roundUp(g.m, rows) * g.k)
		packA(left.f, g.a, g.lda, g.m, g.k, g.wide)
		t.a, t.rs, t.cs, t.step = left.f, 1, rows, rows*g.k
	} else {
		t.left(g.a, g.lda)
	}
	if w := g.n % nr; w > 0 {
		tail = getBuffer(g.k * nr)
		packColumns(tail.f, g.b[g.n-w:], g.ldb, g.k, w)
		t.tail = tail.f
	}
	t.launch(g.wide)
	gemmTasks.put(t)
	if tail != nil {
		tail.put()
	}
	if left != nil {
		left.put()
	}
}

func scaleMatrix(beta float32, c []float32, m, n, ldc int) {
	for i := range m {
		row := c[i*ldc : i*ldc+n]
		if beta == 0 {
			clear(row)
		} else if beta != 1 {
			vScale(beta, row)
		}
	}
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// gemmTask makes C[m,n] from A and B, tile by tile.
type gemmTask struct {
	a           []float32
	rs, cs      int // within tileRows rows, element (i,p) of op(A) is a[i·rs + p·cs]
	step        int // from tileRows rows of op(A) to the next
	b           []float32
	bs, ps      int       // from a row of B to the next, and from nr columns to the next
	tail        []float32 // the last columns, packed, where B is not and they fill no panel
	c           []float32
	ldc         int
	m, n, k     int
	alpha, beta float32
	bias        []float32
	act         Act
	epilogue    bool
	mb, nb      int // tile of C
	down        int // tiles in a column of tiles
}

var gemmTasks taskPool[gemmTask]

// left sets A as it lies, row by row.
func (t *gemmTask) left(a []float32, lda int) {
	t.a, t.rs, t.cs, t.step = a, lda, 1, tileRows()*lda
}

func (t *gemmTask) launch(wide bool) {
	threads := 1
	if wide && t.m*t.n*t.k >= 1<<18 {
		threads = Threads()
	}
	t.mb, t.nb = cut(t.m, t.n, t.k, threads)
	t.down = tiles(t.m, t.mb)
	total := t.down * tiles(t.n, t.nb)
	if threads == 1 {
		t.run(0, total)
		return
	}
	parallel(total, 1, t)
}

// cut returns the tile of C for one task: as large as the cache allows, but
// with a few tiles for each thread, all of about one size, where a tile is still
// worth a task.
func cut(m, n, k, threads int) (mb, nb int) {
	const step = 12 // rows: a multiple of every kernel's
	even := func(size, block, step int) int { return roundUp(tiles(size, tiles(size, block)), step) }
	mb, nb = even(m, mcBlock, step), even(n, ncBlock, 2*nr)
	for rows, columns := mcBlock, ncBlock; threads > 1 && tiles(m, mb)*tiles(n, nb) < 4*threads && mb*nb*k > 1<<18; {
		if columns > 128 || rows <= 24 && columns > 2*nr {
			columns /= 2
			nb = even(n, columns, 2*nr)
		} else if rows > 24 {
			rows /= 2
			mb = even(m, rows, step)
		} else {
			break
		}
	}
	return mb, nb
}

func tiles(n, size int) int { return (n + size - 1) / size }

func (t *gemmTask) run(lo, hi int) {
	// Down the columns first: a tile's part of B is the larger one, and so is
	// read from memory once.
	for ; lo < hi; lo++ {
		i, j := lo%t.down*t.mb, lo/t.down*t.nb
		t.tile(i, min(i+t.mb, t.m), j, min(j+t.nb, t.n))
	}
}

// tile makes C[i0:i1, j0:j1]; i0 is a multiple of tileRows and j0 of nr.
func (t *gemmTask) tile(i0, i1, j0, j1 int) {
	kc := kcStep(t.k)
	beta := t.beta
	for p := 0; p < t.k; p += kc {
		t.block(i0, i1, j0, j1, p, min(kc, t.k-p), beta)
		beta = 1
	}
	if t.epilogue {
		for i := i0; i < i1; i++ {
			finishRow(t.c[i*t.ldc+j0:i*t.ldc+j1], t.bias, j0, t.act)
		}
	}
}

// narrow adds the products over p to p+kc to C[i0:i1, j0:j1], a panel of B at a
// time, which stays in the first-level cache while the rows of A pass by.
func (t *gemmTask) narrow(i0, i1, j0, j1, p, kc int, beta float32) {
	a := t.a[i0/mr*t.step+p*t.cs:]
	for j := j0; j < j1; j += nr {
		panel, bs := t.panel(j, p)
		if j1-j < nr {
			t.edge(i0, i1, j, j1, kc, a, panel, bs, beta)
			continue
		}
		for i, ap := i0, 0; i < i1; i, ap = i+mr, ap+t.step {
			microKernel(min(mr, i1-i), kc, a[ap:], t.rs, t.cs, panel, bs, t.c[i*t.ldc+j:], t.ldc, t.alpha, beta)
		}
	}
}

// panel returns the columns of B from j on, from row p on, and the distance of
// their rows.
func (t *gemmTask) panel(j, p int) ([]float32, int) {
	if t.tail != nil && j+nr > t.n {
		return t.tail[p*nr:], nr
	}
	return t.b[j/nr*t.ps+p*t.bs:], t.bs
}

// kcStep splits k evenly into the fewest blocks of at most kcMax.
func kcStep(k int) int {
	blocks := tiles(k, kcMax)
	return tiles(k, blocks)
}

// edge makes the last columns of C, fewer than nr, through a full-width tile,
// so that they take the same arithmetic as the others.
func (t *gemmTask) edge(i0, i1, j, j1, kc int, a, panel []float32, bs int, beta float32) {
	var tmp [mr * nr]float32
	for i, ap := i0, 0; i < i1; i, ap = i+mr, ap+t.step {
		h := min(mr, i1-i)
		if beta != 0 {
			for r := range h {
				copy(tmp[r*nr:], t.c[(i+r)*t.ldc+j:(i+r)*t.ldc+j1])
			}
		}
		microKernel(h, kc, a[ap:], t.rs, t.cs, panel, bs, tmp[:], nr, t.alpha, beta)
		for r := range h {
			copy(t.c[(i+r)*t.ldc+j:(i+r)*t.ldc+j1], tmp[r*nr:])
		}
	}
}

func finishRow(row, bias []float32, j int, act Act) {
	if bias != nil {
		vBiasAct(act, row, bias[j:j+len(row)])
	} else if act != ActNone {
		vAct(act, row, row)
	}
}
