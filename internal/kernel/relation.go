package kernel

import "math"

// Relations gives the sizes of the relations between the tokens of each of some
// sequences: for every head the scores X·Yᵀ·scale of rows of A heads side by
// side, of a student and of a teacher.
type Relations struct {
	A, D, DT      int // heads, and the width of one of the student and of the teacher
	LD, LDT       int // the distance of rows
	Scale, ScaleT float32
	// Offsets [sequences+1] says which elements of Rows and TeacherRows belong to
	// a sequence: the rows of its tokens.
	Offsets           []int
	Rows, TeacherRows []int
	// Squared compares scores by their squared differences, with scores of −100
	// and below, the student's or the teacher's, taken as 0. Otherwise it is
	// KL(softmax(teacher) ‖ softmax(student)) for each row of scores.
	Squared bool
}

// relationRows is how many rows of scores are in memory at a time.
const relationRows = 64

// maskedScore and what is below it are no scores but masks.
const maskedScore = -100

type relationTask struct {
	*Relations
	dx, dy, x, y, tx, ty []float32
	sums                 []float64
}

var relationTasks taskPool[relationTask]

// Compare returns the sum over sequences, heads and rows of scores (with Squared
// over single scores) of the distance between x·yᵀ and tx·tyᵀ. The gradients with
// respect to x and y overwrite dx and dy, if dx is not nil; rows that belong to no
// token become 0. With y, ty and dy nil these are x and tx themselves, and dx
// is the whole gradient. No more than relationRows rows of scores of one head
// are held for each thread.
func (r *Relations) Compare(dx, dy, x, y, tx, ty []float32) float64 {
	sequences := len(r.Offsets) - 1
	width, widthT := r.A*r.D, r.A*r.DT
	rows, rowsT := 0, 0
	for i := range r.Rows {
		rows, rowsT = max(rows, r.Rows[i]+1), max(rowsT, r.TeacherRows[i]+1)
	}
	needMatrix("relation student", len(x), rows, width, r.LD)
	needMatrix("relation teacher", len(tx), rowsT, widthT, r.LDT)
	if y != nil {
		needMatrix("relation student", len(y), rows, width, r.LD)
		needMatrix("relation teacher", len(ty), rowsT, widthT, r.LDT)
	}
	if dx != nil {
		needMatrix("relation gradient", len(dx), rows, width, r.LD)
		clear(dx)
		if y != nil {
			needMatrix("relation gradient", len(dy), rows, width, r.LD)
			clear(dy)
		}
	}
	if sequences <= 0 || r.A <= 0 {
		return 0
	}
	each := getSums(sequences * r.A)
	t := relationTasks.get()
	*t = relationTask{Relations: r, dx: dx, dy: dy, x: x, y: y, tx: tx, ty: ty, sums: each.f}
	parallel(sequences*r.A, 1, t)
	relationTasks.put(t)
	return each.total()
}

func (t *relationTask) run(lo, hi int) {
	for ; lo < hi; lo++ {
		t.sums[lo] = t.head(lo/t.A, lo%t.A)
	}
}

// head compares one head of one sequence.
func (t *relationTask) head(b, a int) float64 {
	from, to := t.Offsets[b], t.Offsets[b+1]
	n := to - from
	if n == 0 {
		return 0
	}
	block := min(n, relationRows)
	buf := getBuffer(n*(4*t.D+2*t.DT) + 2*block*n + n)
	rest := buf.f
	cut := func(n int) []float32 {
		part := rest[:n:n]
		rest = rest[n:]
		return part
	}
	x, tx := cut(n*t.D), cut(n*t.DT)
	gatherHead(x, t.x, t.Rows[from:to], t.LD, a, t.D)
	gatherHead(tx, t.tx, t.TeacherRows[from:to], t.LDT, a, t.DT)
	y, ty := x, tx
	if t.y != nil {
		y, ty = cut(n*t.D), cut(n*t.DT)
		gatherHead(y, t.y, t.Rows[from:to], t.LD, a, t.D)
		gatherHead(ty, t.ty, t.TeacherRows[from:to], t.LDT, a, t.DT)
	}
	s, u, e := cut(block*n), cut(block*n), cut(n)
	dx := cut(n * t.D)
	clear(dx)
	dy := dx
	if t.y != nil {
		dy = cut(n * t.D)
		clear(dy)
	}
	sum := 0.0
	for i := 0; i < n; i += block {
		h := min(block, n-i)
		gemm(false, true, h, n, t.D, t.Scale, x[i*t.D:], t.D, y, t.D, 0, s, n, false)
		gemm(false, true, h, n, t.DT, t.ScaleT, tx[i*t.DT:], t.DT, ty, t.DT, 0, u, n, false)
		for r := range h {
			if t.Squared {
				sum += squaredScores(s[r*n:(r+1)*n], u[r*n:(r+1)*n])
			} else {
				sum += scoreDivergence(s[r*n:(r+1)*n], u[r*n:(r+1)*n], e)
			}
		}
		if t.dx != nil {
			gemm(false, false, h, t.D, n, t.Scale, s, n, y, t.D, 1, dx[i*t.D:], t.D, false)
			gemm(true, false, n, t.D, h, t.Scale, s, n, x[i*t.D:], t.D, 1, dy, t.D, false)
		}
	}
	if t.dx != nil {
		scatterHead(t.dx, dx, t.Rows[from:to], t.LD, a, t.D)
		if t.y != nil {
			scatterHead(t.dy, dy, t.Rows[from:to], t.LD, a, t.D)
		}
	}
	buf.put()
	return sum
}

// gatherHead copies head a of the named rows of x to dst[·,d].
func gatherHead(dst, x []float32, rows []int, ld, a, d int) {
	for i, r := range rows {
		copy(dst[i*d:(i+1)*d], x[r*ld+a*d:])
	}
}

// scatterHead copies src[·,d] to head a of the named rows of x.
func scatterHead(x, src []float32, rows []int, ld, a, d int) {
	for i, r := range rows {
		copy(x[r*ld+a*d:][:d], src[i*d:(i+1)*d])
	}
}

// scoreDivergence returns KL(softmax(u) ‖ softmax(s)) and sets s to its gradient,
// softmax(s) − softmax(u). e is scratch. The formula is that of LogitLoss.
func scoreDivergence(s, u, e []float32) float64 {
	topS, topU := vMax(s), vMax(u)
	zu := vExpSum(e, u, topU, 1)
	cross := vDotDiff(e, u, s, topU-topS)
	zs := vExpSum(s, s, topS, 1)
	vScale(1/zs, s)
	vAxpy(-1/zu, e, s)
	return float64(cross)/float64(zu) + math.Log(float64(zs)/float64(zu))
}

// squaredScores returns Σ (s − u)² and sets s to its gradient, 2·(s − u).
func squaredScores(s, u []float32) float64 {
	sum := 0.0
	for i, v := range s {
		w := u[i]
		if w <= maskedScore {
			w = 0
		}
		if v <= maskedScore {
			sum += float64(w) * float64(w)
			s[i] = 0
			continue
		}
		d := v - w
		sum += float64(d) * float64(d)
		s[i] = 2 * d
	}
	return sum
}
