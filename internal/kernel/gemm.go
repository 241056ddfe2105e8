package kernel

// Blocking. The microkernel makes an mr×nr tile of C from a panel of nr packed
// columns of B that stays in the first-level cache (kcMax·nr floats); a task
// makes a tile of C of about mcBlock×ncBlock whose operands stay in the second.
// All of these enter the order of the sums through kcMax only.
const (
	mr      = 6
	nr      = 16
	kcMax   = 320
	mcBlock = 96
	ncBlock = 512

	packLimit = 1 << 20 // floats of B packed at a time by Gemm
	leftLimit = 1 << 21 // floats of a transposed A packed at a time
	smallM    = 3       // up to so many rows of C, packing B costs more than it saves
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
	nc := max(nr, packLimit/g.k/nr*nr)
	mc := g.m
	var left *buffer
	if g.transA {
		mc = min(mc, max(mcBlock, leftLimit/g.k/mcBlock*mcBlock))
		left = getBuffer(roundUp(mc, mr) * g.k)
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
			*t = gemmTask{rs: g.lda, cs: 1, step: mr * g.lda, b: right.f, c: g.c[i*g.ldc+j:], ldc: g.ldc, m: h, n: w, k: g.k, alpha: g.alpha, beta: g.beta}
			if left == nil {
				t.a = g.a
			} else {
				// A that fits in one block is packed for all columns.
				if j == 0 || mc < g.m {
					packA(left.f, g.a[i:], g.lda, h, g.k, g.wide)
				}
				t.a, t.rs, t.cs, t.step = left.f, 1, mr, mr*g.k
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

// gemmTask makes C[m,n] from A and packed columns of B, tile by tile.
type gemmTask struct {
	a           []float32
	rs, cs      int // within mr rows, element (i,p) of op(A) is a[i·rs + p·cs]
	step        int // from mr rows of op(A) to the next
	b           []float32
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

func (t *gemmTask) launch(wide bool) {
	t.mb, t.nb = mcBlock, ncBlock
	// Enough tiles to keep many cores busy, as long as a tile is worth a task.
	for tiles(t.m, t.mb)*tiles(t.n, t.nb) < 32 && t.mb*t.nb*t.k > 1<<20 {
		if t.nb > 128 {
			t.nb /= 2
		} else if t.mb > 48 {
			t.mb /= 2
		} else {
			break
		}
	}
	t.down = tiles(t.m, t.mb)
	total := t.down * tiles(t.n, t.nb)
	if !wide || t.m*t.n*t.k < 1<<18 {
		t.run(0, total)
		return
	}
	parallel(total, 1, t)
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

// tile makes C[i0:i1, j0:j1]; i0 is a multiple of mr and j0 of nr.
func (t *gemmTask) tile(i0, i1, j0, j1 int) {
	kc := kcStep(t.k)
	beta := t.beta
	for p := 0; p < t.k; p += kc {
		w := min(kc, t.k-p)
		a := t.a[i0/mr*t.step+p*t.cs:]
		for j := j0; j < j1; j += nr {
			panel := t.b[j*t.k+p*nr:]
			if j1-j < nr {
				t.edge(i0, i1, j, j1, w, a, panel, beta)
				continue
			}
			for i, ap := i0, 0; i < i1; i, ap = i+mr, ap+t.step {
				microKernel(min(mr, i1-i), w, a[ap:], t.rs, t.cs, panel, t.c[i*t.ldc+j:], t.ldc, t.alpha, beta)
			}
		}
		beta = 1
	}
	if t.epilogue {
		for i := i0; i < i1; i++ {
			finishRow(t.c[i*t.ldc+j0:i*t.ldc+j1], t.bias, j0, t.act)
		}
	}
}

// kcStep splits k evenly into the fewest blocks of at most kcMax.
func kcStep(k int) int {
	blocks := tiles(k, kcMax)
	return tiles(k, blocks)
}

// edge makes the last columns of C, fewer than nr, through a full-width tile,
// so that they take the same arithmetic as the others.
func (t *gemmTask) edge(i0, i1, j, j1, kc int, a, panel []float32, beta float32) {
	var tmp [mr * nr]float32
	for i, ap := i0, 0; i < i1; i, ap = i+mr, ap+t.step {
		h := min(mr, i1-i)
		if beta != 0 {
			for r := range h {
				copy(tmp[r*nr:], t.c[(i+r)*t.ldc+j:(i+r)*t.ldc+j1])
			}
		}
		microKernel(h, kc, a[ap:], t.rs, t.cs, panel, tmp[:], nr, t.alpha, beta)
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
