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

	parallelWork = 1 << 19 // multiplications from which on threads pay

	packLimit  = 1 << 20 // floats of B packed at a time for all threads
	stripLimit = 1 << 18 // floats of B packed at a time for one
	smallM     = 3       // up to so many rows of C, Gemm makes scalar products
	fewRows    = 48      // up to so many rows of C, columns of B are what is cut and kept near
	tileWork   = 1 << 21 // multiplications from which on one more tile for each thread pays
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
	fours          *Packed4 // B where it is of 4-bit weights
	bias, y        []float32
	act            Act // of y
}

func (g *gemmCall) run() {
	t := gemmTask{
		a: g.a, rs: g.lda, cs: 1, step: tileRows() * g.lda, transA: g.transA,
		c: g.c, ldc: g.ldc, m: g.m, n: g.n, k: g.k, p1: g.k, alpha: g.alpha, beta: g.beta,
		bias: g.bias, y: g.y, act: g.act, epilogue: g.bias != nil || g.y != nil,
	}
	if g.transA {
		t.rs, t.cs = 1, g.lda
	}
	if !g.transB && g.m <= directRows(g.ldb) {
		g.direct(t)
	} else if nc := g.columns(); nc > 0 {
		g.strips(t, nc)
	} else {
		g.shared(t)
	}
}

// columns returns how many columns of B a task packs for itself, so that what is
// packed stays in the cache of the processor that reads it; 0 where there are too
// few columns to go round, and B is packed by all threads for all.
func (g *gemmCall) columns() int {
	threads := 1
	if g.wide && g.m*g.n*g.k >= parallelWork {
		threads = Threads()
	}
	least := 2 * nr
	if g.m > mcBlock {
		least = 128 // lest A is read too often
	}
	if threads > 1 && g.n < threads*least && g.m > mcBlock {
		return 0
	}
	// The least time for the threads together, and among such a few strips for each
	// thread, should one be held up.
	best, slowest := 0, 0
	for s := max(threads, roundUp(tiles(g.n, ncBlock), threads)); s <= max(8*threads, 2*tiles(g.n, ncBlock)); s += threads {
		nc := roundUp(tiles(g.n, s), 2*nr)
		if time := tiles(tiles(g.n, nc), threads) * nc; best == 0 || nc >= least && (time < slowest || time == slowest && s <= 4*threads) {
			best, slowest = nc, time
		}
	}
	return best
}

// shared packs as many rows of B as the limit allows at a time and then adds
// their part of C.
func (g *gemmCall) shared(t gemmTask) {
	kc := kcStep(g.k)
	kb := min(g.k, max(kc, packLimit/g.n/kc*kc))
	right := getBuffer(kb * roundUp(g.n, nr))
	for p := 0; p < g.k; p += kb {
		t.p0, t.p1 = p, min(p+kb, g.k)
		t.b, t.bs, t.ps = right.f, nr, (t.p1-p)*nr
		packB(right.f, g.transB, t.p1-p, g.n, g.rowsOfB(p), g.ldb, g.wide)
		w := gemmTasks.get()
		*w = t
		w.launch(g.wide)
		gemmTasks.put(w)
	}
	right.put()
}

// rowsOfB returns op(B) from row p on.
func (g *gemmCall) rowsOfB(p int) []float32 {
	if g.transB {
		return g.b[p:]
	}
	return g.b[p*g.ldb:]
}

// strips makes C in strips of nc columns, one task each.
func (g *gemmCall) strips(proto gemmTask, nc int) {
	t := stripTasks.get()
	*t = stripTask{gemmTask: proto, call: *g, nc: nc}
	total := tiles(g.n, nc)
	if g.wide && g.m*g.n*g.k >= parallelWork {
		parallel(total, 1, t)
	} else {
		t.run(0, total)
	}
	stripTasks.put(t)
}

// stripTask packs columns of B and makes their part of C.
type stripTask struct {
	gemmTask
	call gemmCall
	nc   int
}

var stripTasks taskPool[stripTask]

func (t *stripTask) run(lo, hi int) {
	kc := kcStep(t.k)
	kb := min(t.k, max(kc, stripLimit/t.nc/kc*kc))
	buf := getBuffer(kb * t.nc)
	w := gemmTasks.get()
	for ; lo < hi; lo++ {
		j := lo * t.nc
		if t.call.fours != nil && t.m <= foursRows() {
			t.foursStrip(j, min(t.nc, t.n-j))
			continue
		}
		for p := 0; p < t.k; p += kb {
			*w = t.gemmTask
			w.c, w.n = t.c[j:], min(t.nc, t.n-j)
			w.p0, w.p1 = p, min(p+kb, t.k)
			w.b, w.bs, w.ps = buf.f, nr, (w.p1-p)*nr
			if t.bias != nil {
				w.bias = t.bias[j:]
			}
			if t.y != nil {
				w.y = t.y[j:]
			}
			if t.call.fours != nil {
				t.call.fours.unpack(buf.f, p, w.p1-p, j, w.n)
				w.launch(false)
				continue
			}
			b := t.call.rowsOfB(p)
			if t.call.transB {
				b = b[j*t.call.ldb:]
			} else {
				b = b[j:]
			}
			packB(buf.f, t.call.transB, w.p1-p, w.n, b, t.call.ldb, false)
			w.launch(false)
		}
	}
	gemmTasks.put(w)
	buf.put()
}

// direct makes a product of few rows, which does not pay for packing: the
// kernel reads B where it lies, but for the columns that fill no panel.
func (g *gemmCall) direct(t gemmTask) {
	t.b, t.bs, t.ps = g.b, g.ldb, nr
	var tail *buffer
	if w := g.n % nr; w > 0 {
		tail = getBuffer(g.k * nr)
		packColumns(tail.f, g.b[g.n-w:], g.ldb, g.k, w)
		t.tail = tail.f
	}
	p := gemmTasks.get()
	*p = t
	p.launch(g.wide)
	gemmTasks.put(p)
	if tail != nil {
		tail.put()
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
	transA      bool // A is packed for each tile
	rs, cs      int  // element (i,p) of op(A) is a[i·rs + p·cs]
	step        int  // from tileRows rows of op(A) to the next
	b           []float32
	bs, ps      int       // from a row of B to the next, and from nr columns to the next
	tail        []float32 // the last columns, packed, where B is not and they fill no panel
	c           []float32
	ldc         int
	m, n, k     int
	p0, p1      int // rows of B that are there: the others come before or later
	alpha, beta float32
	bias        []float32
	y           []float32 // laid out as C: where it is not nil, act goes from C to it
	act         Act
	epilogue    bool
	mb, nb      int // tile of C
	down        int // tiles in a column of tiles
}

var gemmTasks taskPool[gemmTask]

func (t *gemmTask) launch(wide bool) {
	threads := 1
	if wide && t.m*t.n*t.k >= parallelWork {
		threads = Threads()
	}
	total := t.cut(threads)
	if threads == 1 {
		t.run(0, total)
		return
	}
	parallel(total, 1, t)
}

// cut sets the tile of C for one task and returns how many there are.
func (t *gemmTask) cut(threads int) int {
	t.mb, t.nb = cut(t.m, t.n, t.k, threads)
	t.down = tiles(t.m, t.mb)
	return t.down * tiles(t.n, t.nb)
}

// cut returns the tile of C for one task: as large as the cache allows, but
// with a few tiles for each thread, all of about one size, where a tile is still
// worth a task.
func cut(m, n, k, threads int) (mb, nb int) {
	const step = 12 // rows: a multiple of every kernel's
	even := func(size, block, step int) int { return roundUp(tiles(size, tiles(size, block)), step) }
	mb, nb = even(m, mcBlock, step), even(n, ncBlock, 2*nr)
	if m <= fewRows {
		if threads > 1 {
			nb = min(nb, evenColumns(n, threads, m*n*k/(threads*tileWork)))
		}
		return mb, nb
	}
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

// evenColumns cuts n columns so that the threads have about as many each: into one
// tile for each thread, or up to four and at most most of them, should one be held
// up, where that costs no balance.
func evenColumns(n, threads, most int) int {
	best, slowest := 0, 0
	for each := 1; each <= max(1, min(4, most)); each++ {
		nb := roundUp(tiles(n, each*threads), 2*nr)
		time := tiles(tiles(n, nb), threads) * nb
		if best == 0 || time < slowest || time <= slowest+slowest/16 && nb >= 4*nr {
			best, slowest = nb, min(time, max(slowest, time))
		}
	}
	return best
}

func tiles(n, size int) int { return (n + size - 1) / size }

func (t *gemmTask) run(lo, hi int) {
	var left *buffer
	if t.transA {
		left = getBuffer(mcBlock * kcMax)
	}
	// Down the columns first: a tile's part of B is the larger one, and so is
	// read from memory once.
	for ; lo < hi; lo++ {
		i, j := lo%t.down*t.mb, lo/t.down*t.nb
		t.tile(i, min(i+t.mb, t.m), j, min(j+t.nb, t.n), left)
	}
	if left != nil {
		left.put()
	}
}

// tile makes C[i0:i1, j0:j1]; i0 is a multiple of tileRows and j0 of nr.
func (t *gemmTask) tile(i0, i1, j0, j1 int, left *buffer) {
	kc := kcStep(t.k)
	for p := t.p0; p < t.p1; p += kc {
		b := block{i0: i0, i1: i1, j0: j0, j1: j1, p: p - t.p0, kc: min(kc, t.p1-p), rs: t.rs, cs: t.cs, step: t.step, beta: 1}
		if p == 0 {
			b.beta = t.beta
		}
		if left == nil {
			b.a = t.a[i0*t.rs+p*t.cs:]
		} else {
			rows := tileRows()
			packA(left.f, t.a[i0+p*t.cs:], t.cs, i1-i0, b.kc)
			b.a, b.rs, b.cs, b.step = left.f, 1, rows, rows*b.kc
		}
		t.block(&b)
	}
	if t.epilogue && t.p1 == t.k {
		for i := i0; i < i1; i++ {
			row := t.c[i*t.ldc+j0 : i*t.ldc+j1]
			if t.y == nil {
				finishRow(row, t.bias, j0, t.act)
				continue
			}
			finishRow(row, t.bias, j0, ActNone)
			vAct(t.act, t.y[i*t.ldc+j0:i*t.ldc+j1], row)
		}
	}
}

// block is the part of a product that adds kc terms to each element of
// C[i0:i1, j0:j1].
type block struct {
	i0, i1, j0, j1 int
	p, kc          int       // rows of what is there of B
	a              []float32 // row i0 of A from term p on
	rs, cs, step   int       // as in gemmTask
	beta           float32
}

// narrow makes a block a panel of B at a time, which stays in the first-level
// cache while the rows of A pass by.
func (t *gemmTask) narrow(b *block) {
	for j := b.j0; j < b.j1; j += nr {
		panel, bs := t.panel(j, b.p)
		if b.j1-j < nr {
			t.edge(b, j, panel, bs)
			continue
		}
		for i, ap := b.i0, 0; i < b.i1; i, ap = i+mr, ap+b.step {
			var ahead []float32
			if i == b.i0 && b.i1-b.i0 <= fewRows {
				ahead = t.ahead(b, j+nr, 0)
			}
			microKernel(min(mr, b.i1-i), b.kc, b.a[ap:], b.rs, b.cs, panel, bs, t.c[i*t.ldc+j:], t.ldc, t.alpha, b.beta, ahead)
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

// ahead is what of B will be wanted after this: the panel so many after the one of
// column j, or, beyond the last column of the block, of its first with the terms
// that come next; nil where there is none or B is not packed.
func (t *gemmTask) ahead(b *block, j, after int) []float32 {
	p := b.p
	if j >= b.j1 {
		j, p = b.j0, p+b.kc
	}
	at := (j/nr+after)*t.ps + p*t.bs
	if t.bs != nr || after > 1 || p >= t.p1-t.p0 || at >= len(t.b) {
		return nil
	}
	return t.b[at:]
}

// kcStep splits k evenly into the fewest blocks of at most kcMax.
func kcStep(k int) int {
	blocks := tiles(k, kcMax)
	return tiles(k, blocks)
}

// edge makes the last columns of C, fewer than nr, through a full-width tile,
// so that they take the same arithmetic as the others.
func (t *gemmTask) edge(b *block, j int, panel []float32, bs int) {
	var tmp [mr * nr]float32
	for i, ap := b.i0, 0; i < b.i1; i, ap = i+mr, ap+b.step {
		h := min(mr, b.i1-i)
		if b.beta != 0 {
			for r := range h {
				copy(tmp[r*nr:], t.c[(i+r)*t.ldc+j:(i+r)*t.ldc+b.j1])
			}
		}
		microKernel(h, b.kc, b.a[ap:], b.rs, b.cs, panel, bs, tmp[:], nr, t.alpha, b.beta, nil)
		for r := range h {
			copy(t.c[(i+r)*t.ldc+j:(i+r)*t.ldc+b.j1], tmp[r*nr:])
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
