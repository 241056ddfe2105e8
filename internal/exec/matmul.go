package exec

import (
	"fmt"
	"slices"

	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// product2 describes a batched matrix product with numpy's rules: the result
// shape, the number of matrices, and each operand's offsets per matrix.
type product2 struct {
	shape    []int
	m, n, k  int
	batch    int
	at, bt   []int // offsets of each matrix in the operands
	collapse bool  // B is one matrix: A's rows form one tall matrix
}

// matmulShape resolves operands of shapes a and b; transposition refers to the
// last two dimensions (FusedMatMul) and is false for MatMul.
func (c *call) matmulShape(a, b []int, transA, transB bool) (*product2, error) {
	bad := func() error { return fmt.Errorf("shapes %v and %v cannot be multiplied", a, b) }
	if len(a) == 0 || len(b) == 0 || (transA && len(a) < 2) || (transB && len(b) < 2) {
		return nil, bad()
	}
	ra, rb := a, b
	if len(a) == 1 {
		ra = c.newShape(2)
		ra[0], ra[1] = 1, a[0]
	}
	if len(b) == 1 {
		rb = c.newShape(2)
		rb[0], rb[1] = b[0], 1
	}
	p := c.mem.products.next()
	p.m, p.k, p.n = ra[len(ra)-2], ra[len(ra)-1], rb[len(rb)-1]
	kb := rb[len(rb)-2]
	if transA {
		p.m, p.k = p.k, p.m
	}
	if transB {
		p.n, kb = kb, p.n
	}
	if p.k != kb {
		return nil, bad()
	}
	la, lb := ra[:len(ra)-2], rb[:len(rb)-2]
	lead, err := c.broadcastShape(la, lb)
	if err != nil {
		return nil, bad()
	}
	p.shape = append(c.newShape(len(lead) + 2)[:0], lead...)
	if len(a) > 1 {
		p.shape = append(p.shape, p.m)
	}
	if len(b) > 1 {
		p.shape = append(p.shape, p.n)
	}
	p.batch = product(lead)
	if product(lb) == 1 && !transA {
		p.m, p.batch, p.collapse = p.m*p.batch, 1, true
		p.at, p.bt = c.newShape(1), c.newShape(1)
		return p, nil
	}
	p.at, p.bt = c.offsets(la, lead, p.m*p.k, p.batch), c.offsets(lb, lead, p.k*p.n, p.batch)
	return p, nil
}

// offsets lists where each matrix of a batch lies in an operand whose leading
// dimensions broadcast to lead.
func (c *call) offsets(shape, lead []int, size, batch int) []int {
	out := c.newShape(batch)
	walkStrided(lead, c.broadcastStrides(shape, lead), 0, batch, func(i, at int) { out[i] = at * size })
	return out
}

func matmul(c *call) error { return c.multiply(false, false, 1) }

// multiply is MatMul with optional transpositions of the last two dimensions and a factor.
func (c *call) multiply(transA, transB bool, alpha float32) error {
	a, b := c.in[0], c.in[1]
	if a.Type != b.Type {
		return fmt.Errorf("operands are %s and %s; both must have one type", typeName(a.Type), typeName(b.Type))
	}
	p, err := c.matmulShape(a.Shape, b.Shape, transA, transB)
	if err != nil {
		return err
	}
	out, err := c.output(0, a.Type, p.shape...)
	if err != nil {
		return err
	}
	switch a.Type {
	case onnx.Float:
		if w, ok := c.prep.(*kernel.Packed); ok && p.collapse && alpha == 1 {
			gemmPacked(c.mem.done, p.m, a.F32, p.k, w, nil, kernel.ActNone, out.F32, p.n)
			return nil
		}
		c.multiplyFloats(p, transA, transB, alpha, a.F32, b.F32, out.F32)
		return nil
	case onnx.Double:
		return multiplyPlain(c.mem.done, p, transA || transB, a.F64, b.F64, out.F64)
	case onnx.Int64:
		return multiplyPlain(c.mem.done, p, transA || transB, a.I64, b.I64, out.I64)
	case onnx.Int32:
		return multiplyPlain(c.mem.done, p, transA || transB, a.I32, b.I32, out.I32)
	case onnx.Uint32, onnx.Uint64:
		defer out.wrap()
		return multiplyPlain(c.mem.done, p, transA || transB, a.I64, b.I64, out.I64)
	}
	return errType(a.Type)
}

// multiplyFloats computes the matrices of a product one after the other, or,
// where there are enough to go round, side by side.
func (c *call) multiplyFloats(p *product2, transA, transB bool, alpha float32, a, b, y []float32) {
	lda, ldb := p.k, p.n
	if transA {
		lda = p.m
	}
	if transB {
		ldb = p.k
	}
	if p.k == 0 {
		clear(y)
		return
	}
	if p.m*p.n == 0 {
		return
	}
	t := borrow[batchTask]()
	defer giveBack(t)
	*t = batchTask{p: p, transA: transA, transB: transB, alpha: alpha, a: a, b: b, y: y, lda: lda, ldb: ldb, done: c.mem.done}
	if p.batch < kernel.Threads() {
		t.Run(0, p.batch)
		return
	}
	kernel.Run(p.batch, 1, t)
}

// batchTask multiplies matrices of a batch.
type batchTask struct {
	p              *product2
	transA, transB bool
	alpha          float32
	a, b, y        []float32
	lda, ldb       int
	done           <-chan struct{}
}

func (t *batchTask) Run(lo, hi int) {
	p := t.p
	for i := lo; i < hi && !closed(t.done); i++ {
		gemmFloats(t.done, t.transA, t.transB, p.m, p.n, p.k, t.alpha, t.a[p.at[i]:], t.lda, t.b[p.bt[i]:], t.ldb, 0, t.y[i*p.m*p.n:], p.n)
	}
}

// multiplyPlain serves the types that only shape arithmetic and tests use.
func multiplyPlain[T number](done <-chan struct{}, p *product2, trans bool, a, b, y []T) error {
	if trans {
		return fmt.Errorf("transposed operands are float only: %w", ErrType)
	}
	for i := range p.batch {
		a, b, y := a[p.at[i]:], b[p.bt[i]:], y[i*p.m*p.n:(i+1)*p.m*p.n]
		clear(y)
		for r := 0; r < p.m && !closed(done); r++ {
			for k := range p.k {
				x := a[r*p.k+k]
				for j := range p.n {
					y[r*p.n+j] += x * b[k*p.n+j]
				}
			}
		}
	}
	return nil
}

// prepareMatMul packs a constant right-hand matrix.
func prepareMatMul(p *compiler, st *step) (any, error) {
	return p.pack(st, 1, false)
}

func prepareGemm(p *compiler, st *step) (any, error) {
	if st.node.Int("transA", 0) != 0 || st.node.Float("alpha", 1) != 1 {
		return nil, nil
	}
	return p.pack(st, 1, st.node.Int("transB", 0) != 0)
}

func prepareLinear(p *compiler, st *step) (any, error) {
	return p.pack(st, 1, st.node.Int("trans_b", 0) != 0)
}

// gemm is Y = alpha·op(A)·op(B) + beta·C for matrices.
func gemm(c *call) error {
	a, b := c.in[0], c.in[1]
	if len(a.Shape) != 2 || len(b.Shape) != 2 {
		return fmt.Errorf("operands have shapes %v and %v; matrices are needed", a.Shape, b.Shape)
	}
	transA, transB := c.node.Int("transA", 0) != 0, c.node.Int("transB", 0) != 0
	alpha, beta := c.node.Float("alpha", 1), c.node.Float("beta", 1)
	p, err := c.matmulShape(a.Shape, b.Shape, transA, transB)
	if err != nil {
		return err
	}
	if a.Type != onnx.Float && a.Type == b.Type {
		return c.gemmPlain(p, transA, transB, float64(alpha), float64(beta))
	}
	x, err := c.floats(0)
	if err != nil {
		return err
	}
	w, err := c.floats(1)
	if err != nil {
		return err
	}
	out, err := c.output(0, onnx.Float, p.m, p.n)
	if err != nil {
		return err
	}
	bias := c.arg(2)
	packed, _ := c.prep.(*kernel.Packed)
	var row []float32
	if bias != nil && beta == 1 && alpha == 1 && bias.Type == onnx.Float && bias.Len() == p.n && bias.Shape[len(bias.Shape)-1] == p.n {
		row, bias = bias.F32, nil
	}
	if packed != nil && !transA && alpha == 1 {
		gemmPacked(c.mem.done, p.m, x, p.k, packed, row, kernel.ActNone, out.F32, p.n)
	} else {
		c.multiplyFloats(p, transA, transB, alpha, x, w, out.F32)
		if row != nil {
			kernel.BiasAct(out.F32, p.m, p.n, row, kernel.ActNone)
		}
	}
	if bias == nil || beta == 0 {
		return nil
	}
	if bias.Type != onnx.Float {
		return errType(bias.Type)
	}
	bc, err := c.broadcast(out.Shape, bias.Shape)
	if err != nil || !sameShape(bc.shape, out.Shape) {
		return fmt.Errorf("the bias C of shape %v does not broadcast to %v", bias.Shape, out.Shape)
	}
	if beta != 1 {
		scaled, err := c.temp(onnx.Float, bias.Shape...)
		if err != nil {
			return err
		}
		for i, v := range bias.F32 {
			scaled.F32[i] = beta * v
		}
		bias = scaled
	}
	walk(bc, addRow[float32], out.F32, out.F32, bias.F32)
	return nil
}

// gemmPlain is gemm of the other types, computed in float64.
func (c *call) gemmPlain(p *product2, transA, transB bool, alpha, beta float64) error {
	if t := c.in[0].Type; t != onnx.Double && storage(t) != onnx.Int64 && t != onnx.Int32 {
		return errType(t)
	}
	var wide [3]*Tensor
	for i := range wide {
		if c.arg(i) == nil {
			continue
		}
		w, err := c.cast(c.in[i], onnx.Double)
		if err != nil {
			return err
		}
		defer c.mem.release(w)
		wide[i] = w
	}
	a, b := wide[0].F64, wide[1].F64
	y := make([]float64, p.m*p.n)
	for r := 0; r < p.m && !c.stopped(); r++ {
		for j := range p.n {
			for k := range p.k {
				at, bt := r*p.k+k, k*p.n+j
				if transA {
					at = k*p.m + r
				}
				if transB {
					bt = j*p.k + k
				}
				y[r*p.n+j] += a[at] * b[bt]
			}
			y[r*p.n+j] *= alpha
		}
	}
	if wide[2] != nil {
		bc, err := c.broadcast([]int{p.m, p.n}, wide[2].Shape)
		if err != nil || !sameShape(bc.shape, []int{p.m, p.n}) {
			return fmt.Errorf("the bias C of shape %v does not broadcast to [%d %d]", wide[2].Shape, p.m, p.n)
		}
		walk(bc, func(dst, x, v []float64, sx, sv int) {
			for i := range dst {
				dst[i] = x[i*sx] + beta*v[i*sv]
			}
		}, y, y, wide[2].F64)
	}
	return c.reals(c.in[0].Type, y, p.m, p.n)
}

// fusedMatMul is com.microsoft's MatMul with a factor and transpositions;
// transBatch moves an operand's first dimension behind its batch dimensions.
func fusedMatMul(c *call) error {
	inner := *c
	inner.in = slices.Clone(c.in)
	for i, attr := range []string{"transBatchA", "transBatchB"} {
		if c.node.Int(attr, 0) == 0 {
			continue
		}
		x := c.in[i]
		rank := len(x.Shape)
		if rank < 3 {
			return fmt.Errorf("%s of an operand of shape %v; three dimensions are needed", attr, x.Shape)
		}
		perm := []int{}
		for d := 1; d < rank-1; d++ {
			perm = append(perm, d)
		}
		t, err := c.permuted(x, append(perm, 0, rank-1))
		if err != nil {
			return err
		}
		defer c.mem.release(t)
		inner.in[i] = t
	}
	return inner.multiply(c.node.Int("transA", 0) != 0, c.node.Int("transB", 0) != 0, c.node.Float("alpha", 1))
}
