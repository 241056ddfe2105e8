package kernel

// MaxTogether is how many products GemmPackedEach and GemmInt8FloatEach take.
const MaxTogether = 4

// Product is one product of GemmPackedEach: C[m,n] = act(A·B + bias), as in
// GemmPacked.
type Product struct {
	B    *Packed
	Bias []float32
	Act  Act
	C    []float32
	LDC  int
}

// GemmPackedEach makes up to MaxTogether products of one A[m,k], each to the bits
// of GemmPacked, as a single loop over their tiles: threads wait for each other once
// and not after every product.
func GemmPackedEach(m int, a []float32, lda int, products []Product) {
	var g tileGroup
	work := 0
	for _, p := range products {
		work += m * p.B.n * p.B.k
	}
	threads := threadsFor(work, parallelWork)
	for _, p := range products {
		if t := packedTask(m, a, lda, p.B, p.Bias, p.Act, p.C, p.LDC); t != nil {
			g.add(t, t.cut(threads))
		}
	}
	g.launch(threads)
	for _, t := range g.tasks[:g.n] {
		gemmTasks.put(t.(*gemmTask))
	}
}

// Int8Product is one product of GemmInt8FloatEach, as in GemmInt8Float.
type Int8Product struct {
	B           *PackedInt8
	WZero       []int8
	Scale, Bias []float32
	Act         Act
	Y           []float32
}

// GemmInt8FloatEach makes up to MaxTogether products of one A[m,k] as
// GemmInt8Float does, in a single loop over their tiles.
func GemmInt8FloatEach(m int, a []uint8, azero uint8, products []Int8Product) {
	var g tileGroup
	work := 0
	for _, p := range products {
		work += m * p.B.n * p.B.k
	}
	threads := threadsFor(work, 2*parallelWork)
	var centred *centredA
	if len(products) > 0 {
		centred = centre(m, a, products[0].B, threads)
	}
	for _, p := range products {
		need("Y", len(p.Y), m*p.B.n)
		if t := int8TaskOf(int8Task{m: m, a: a, centred: centred, azero: int32(azero), b: p.B, wzero: p.WZero, y: p.Y, scale: p.Scale, bias: p.Bias, act: p.Act}); t != nil {
			g.add(t, t.cut(threads))
		}
	}
	g.launch(threads)
	for _, t := range g.tasks[:g.n] {
		int8Tasks.put(t.(*int8Task))
	}
	centred.release()
}

// threadsFor is how many threads so many multiplications pay for.
func threadsFor(work, least int) int {
	if work < least {
		return 1
	}
	return Threads()
}

// tileGroup is several products cut into tiles, as one loop.
type tileGroup struct {
	tasks [MaxTogether]task
	first [MaxTogether + 1]int // tile of each
	n     int
}

var tileGroups taskPool[tileGroup]

func (g *tileGroup) add(t task, tiles int) {
	g.tasks[g.n] = t
	g.n++
	g.first[g.n] = g.first[g.n-1] + tiles
}

func (g *tileGroup) launch(threads int) {
	if threads == 1 {
		g.run(0, g.first[g.n])
		return
	}
	shared := tileGroups.get()
	*shared = *g
	parallel(g.first[g.n], 1, shared)
	tileGroups.put(shared)
}

func (g *tileGroup) run(lo, hi int) {
	for i := range g.n {
		if from, to := max(lo, g.first[i]), min(hi, g.first[i+1]); from < to {
			g.tasks[i].run(from-g.first[i], to-g.first[i])
		}
	}
}
