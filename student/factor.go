package student

import (
	"errors"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/litekit/lite/internal/kernel"
)

// factoring gives a student with factorised embeddings the part of its source's
// that E values can hold. It is a truncated singular value decomposition (the
// factorisation V×E, E×H is that of ALBERT, arXiv 1909.11942, section 3.1), not of
// the table alone but of what the layers read, LayerNorm included.
//
// Let s be the sum of a token's three rows, [W], C the matrix that subtracts the
// mean, and D = diag(γ), times the source's own projection where it has one. The
// source's first layer reads z + β with z = s·C·D/σ(s). B [H,k] are the
// eigenvectors of the greatest eigenvalues of the mean of zᵀz over all tokens, each
// at one of the positions in turn and of type 0: of all subspaces of k dimensions
// theirs loses least of z. The student's tables are the source's times C·D·B·Rᵀ,
// where the columns of R [E,k] are orthonormal and sum to 0, so that its LayerNorm
// finds no mean to take away and the projection ρ/√E·R·Bᵀ gives back zBBᵀ; ρ² is the
// mean square of zB. So directions are those of zBBᵀ, and lengths, which the
// LayerNorm makes equal, are right in the mean. k is E−1, at most H.
//
// What is done for the LayerNorm is ours. The cost is V·W² multiplications in
// float32 and an eigendecomposition of H×H: for BERT-base 3.4 seconds on two cores.
type factoring struct {
	values map[string][]float32
	energy float64 // share of Σ|z|² that is kept
}

// sums are the source's embeddings.
type sums struct {
	word, position, types []float32 // [V,W], [P,W] and [T,W]; the last two may be nil
	width                 int       // W
	eps                   float64
}

// factor computes the tables of a factorised student whose width the source's do
// not have; nil where there is nothing to factor: no projection in the student,
// equal widths, another vocabulary, or other hidden values than the student's.
func (c *copier) factor() (*factoring, error) {
	d, from := c.dst.shape(), c.src.shape()
	e, h := d.EmbeddingWidth(), d.Hidden
	if !d.factorised() || e == from.EmbeddingWidth() || d.Vocab != from.Vocab || h != from.Hidden && c.narrow == nil {
		return nil, nil
	}
	s, g, err := c.sums()
	if s == nil || err != nil {
		return nil, err
	}
	k := min(e-1, h)
	basis, kept, all, err := leading(product(product(g.T(), s.gram()), g), k)
	if err != nil {
		return nil, err
	}
	f := &factoring{values: map[string][]float32{}, energy: kept / max(all, math.SmallestNonzeroFloat64)}
	spread := cosines(e, k)
	into := product(centred(product(g, basis)), spread.T())
	f.values[wordName] = s.through(s.word, into)
	f.values[positionName] = s.through(s.position, into)
	f.values[typeName] = s.through(s.types, into)
	back := product(spread, basis.T())
	back.Scale(math.Sqrt(kept/float64(e)), back)
	f.values[projectName+".weight"] = narrowed(back)
	f.values[embedNorm+".weight"] = slices.Repeat([]float32{1}, e)
	f.values[embedNorm+".bias"] = make([]float32, e)
	if f.values[projectName+".bias"], err = c.offset(); err != nil {
		return nil, err
	}
	for name, v := range f.values {
		if v == nil {
			delete(f.values, name)
		}
	}
	return f, nil
}

// source returns a parameter of the source, nil where it has none.
func (c *copier) source(name string) ([]float32, []int64, error) {
	i, ok := c.src.byRol[name]
	if !ok {
		return nil, nil, nil
	}
	v, dims, err := c.src.values(c.src.slots[i])
	if err == nil && name == positionName {
		v, dims = c.skipPadding(v, dims)
	}
	return v, dims, err
}

// sums reads the source's tables, and D, [W,H] with the columns of the student's
// hidden values only. The tables are nil where they are no matrices of one width.
func (c *copier) sums() (*sums, *mat.Dense, error) {
	w := c.src.shape().EmbeddingWidth()
	s := &sums{width: w, eps: float64(c.src.enc.EmbeddingNorm.Eps)}
	for name, to := range map[string]*[]float32{wordName: &s.word, positionName: &s.position, typeName: &s.types} {
		v, dims, err := c.source(name)
		if err != nil {
			return nil, nil, err
		}
		if v != nil && (len(dims) != 2 || int(dims[1]) != w || dims[0] == 0) || v == nil && name == wordName {
			return nil, nil, nil
		}
		*to = v
	}
	gamma, _, err := c.source(embedNorm + ".weight")
	if err != nil || len(gamma) != w {
		return nil, nil, err
	}
	project, _, err := c.source(projectName + ".weight")
	if err != nil {
		return nil, nil, err
	}
	h := c.src.shape().Hidden
	columns := c.hidden()
	g := mat.NewDense(w, len(columns), nil)
	for i := range w {
		for j, from := range columns {
			switch {
			case project != nil:
				g.Set(i, j, float64(gamma[i])*float64(project[i*h+from]))
			case i == from:
				g.Set(i, j, float64(gamma[i]))
			}
		}
	}
	return s, g, nil
}

// hidden lists the source's hidden values that the student has.
func (c *copier) hidden() []int {
	if c.narrow != nil {
		return c.narrow.hidden
	}
	return firstOf(c.src.shape().Hidden)
}

// offset is what the source's first layer reads beside z: β, through the source's
// projection where it has one.
func (c *copier) offset() ([]float32, error) {
	beta, _, err := c.source(embedNorm + ".bias")
	if err != nil {
		return nil, err
	}
	project, _, err := c.source(projectName + ".weight")
	if err != nil {
		return nil, err
	}
	bias, _, err := c.source(projectName + ".bias")
	if err != nil {
		return nil, err
	}
	h := c.src.shape().Hidden
	columns := c.hidden()
	out := make([]float32, len(columns))
	for j, from := range columns {
		switch {
		case project != nil:
			var x float64
			for i, b := range beta {
				x += float64(b) * float64(project[i*h+from])
			}
			if from < len(bias) {
				x += float64(bias[from])
			}
			out[j] = float32(x)
		case from < len(beta):
			out[j] = beta[from]
		}
	}
	return out, nil
}

// block is the number of tokens that are worked on at a time.
const block = 512

// gram is the mean of xᵀx over all tokens, x = s·C/σ(s): [W,W].
func (s *sums) gram() *mat.Dense {
	w := s.width
	n := len(s.word) / w
	x, part, total := make([]float32, block*w), make([]float32, w*w), make([]float64, w*w)
	for from := 0; from < n; from += block {
		rows := min(block, n-from)
		for r := range rows {
			s.normal(x[r*w:(r+1)*w], from+r)
		}
		kernel.Gemm(true, false, w, w, rows, 1, x, w, x, w, 0, part, w)
		for i, v := range part {
			total[i] += float64(v) / float64(n)
		}
	}
	return mat.NewDense(w, w, total)
}

// normal writes the sum of a token's rows, its mean taken away and divided by its
// deviation.
func (s *sums) normal(x []float32, token int) {
	w := s.width
	copy(x, s.word[token*w:(token+1)*w])
	if n := len(s.position) / w; n > 0 {
		for i, v := range s.position[token%n*w : (token%n+1)*w] {
			x[i] += v
		}
	}
	if s.types != nil {
		for i, v := range s.types[:w] {
			x[i] += v
		}
	}
	var mean, square float64
	for _, v := range x {
		mean += float64(v) / float64(w)
	}
	for _, v := range x {
		square += (float64(v) - mean) * (float64(v) - mean) / float64(w)
	}
	scale := 1 / math.Sqrt(square+max(s.eps, math.SmallestNonzeroFloat32))
	for i, v := range x {
		x[i] = float32((float64(v) - mean) * scale)
	}
}

// through is table·m, nil where there is no table.
func (s *sums) through(table []float32, m *mat.Dense) []float32 {
	if table == nil {
		return nil
	}
	_, e := m.Dims()
	rows := len(table) / s.width
	out := make([]float32, rows*e)
	kernel.Gemm(false, false, rows, e, s.width, 1, table, s.width, narrowed(m), e, 0, out, e)
	return out
}

// leading are the k eigenvectors of a symmetric matrix that belong to the greatest
// eigenvalues, each with its largest element positive, and the sums of those
// eigenvalues and of all.
func leading(gram *mat.Dense, k int) (basis *mat.Dense, kept, all float64, err error) {
	n, _ := gram.Dims()
	const sick = "student: the source's embeddings cannot be factorised: their eigenvalues were not found; are all weights finite?"
	if trace := mat.Trace(gram); math.IsNaN(trace) || math.IsInf(trace, 0) {
		return nil, 0, 0, errors.New(sick)
	}
	sym := mat.NewSymDense(n, nil)
	for i := range n {
		for j := i; j < n; j++ {
			sym.SetSym(i, j, (gram.At(i, j)+gram.At(j, i))/2)
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(sym, true) {
		return nil, 0, 0, errors.New(sick)
	}
	values := eigen.Values(nil) // ascending
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	basis = mat.NewDense(n, k, nil)
	for j := range k {
		column := mat.Col(nil, n-1-j, &vectors)
		largest := 0
		for i, v := range column {
			if math.Abs(v) > math.Abs(column[largest]) {
				largest = i
			}
		}
		if column[largest] < 0 {
			for i := range column {
				column[i] = -column[i]
			}
		}
		basis.SetCol(j, column)
		kept += max(0, values[n-1-j])
	}
	for _, v := range values {
		all += max(0, v)
	}
	return basis, kept, all, nil
}

// cosines is [e,k], k < e, with orthonormal columns that sum to 0: those of the
// discrete cosine transform but the first. Each spreads over all e values.
func cosines(e, k int) *mat.Dense {
	m := mat.NewDense(e, k, nil)
	for i := range e {
		for j := range k {
			m.Set(i, j, math.Sqrt(2/float64(e))*math.Cos(math.Pi*(float64(i)+0.5)*float64(j+1)/float64(e)))
		}
	}
	return m
}

func product(a, b mat.Matrix) *mat.Dense {
	var m mat.Dense
	m.Mul(a, b)
	return &m
}

// centred subtracts from each column its mean, and returns m: C·m.
func centred(m *mat.Dense) *mat.Dense {
	rows, cols := m.Dims()
	for j := range cols {
		column := mat.Col(nil, j, m)
		var mean float64
		for _, v := range column {
			mean += v / float64(rows)
		}
		for i := range column {
			column[i] -= mean
		}
		m.SetCol(j, column)
	}
	return m
}

// narrowed is a matrix in float32, by rows.
func narrowed(m *mat.Dense) []float32 {
	rows, cols := m.Dims()
	out := make([]float32, 0, rows*cols)
	for i := range rows {
		for _, v := range m.RawRowView(i) {
			out = append(out, float32(v))
		}
	}
	return out
}
