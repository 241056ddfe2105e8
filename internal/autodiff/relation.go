package autodiff

import (
	"errors"
	"fmt"
	"math"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/internal/kernel"
)

// Tokens is [Pass.Output] for a value with a row for each token, to be read by
// losses of this package: in a packed pass it is [N,·], and the losses take from
// targets and weights of [B,S,·] the rows of the tokens.
func (q *Pass) Tokens(name string) (*gorgonia.Node, error) {
	if !q.isRows(name) || q.compiled || !q.program.fused.IsOutput(name) {
		return q.Output(name)
	}
	v, err := q.value(name)
	if err != nil {
		return nil, err
	}
	v.tokens = true
	q.asked = append(q.asked, v)
	return v.node, nil
}

// alike packs the constants of a loss of a packed value x.
func (q *Pass) alike(x *value, others []*value) error {
	if !x.tokens {
		return nil
	}
	for i, v := range others {
		if v == nil || v.rank() != 3 {
			continue
		}
		var err error
		if others[i], err = q.packRows(v.label, v); err != nil {
			return err
		}
	}
	return nil
}

// RelationKL adds the mean over tokens and heads of KL(softmax(tx·tyᵀ/√d_T) ‖
// softmax(x·yᵀ/√d)) among the tokens of each sequence (Wang et al., MiniLM, arXiv
// 2002.10957, and MiniLMv2, arXiv 2012.15828, section 3 of both), where x and y
// [B,S,W] hold that many heads of d = W/heads side by side, and tx and ty [B,S,W_T] the
// teacher's. y and ty may be nil for x and tx themselves. mask [B,S,1] is 0 on
// what is no token: it is neither a query nor a key. No gradient flows to the
// teacher. Relations are made anew a head at a time and never kept.
func RelationKL(x, y, tx, ty, mask *gorgonia.Node, heads int) (*gorgonia.Node, error) {
	return relate("RelationKL", x, y, tx, ty, mask, heads, false)
}

// ScoreMSE adds the mean over pairs of tokens and heads of the squared difference
// between x·yᵀ/√d and tx·tyᵀ/√d_T: attention before the softmax (Jiao et al.,
// TinyBERT, arXiv 1909.10351, eq. 7), scores of −100 and below taken as 0. The
// rest is as in [RelationKL].
func ScoreMSE(x, y, tx, ty, mask *gorgonia.Node, heads int) (*gorgonia.Node, error) {
	return relate("ScoreMSE", x, y, tx, ty, mask, heads, true)
}

// relation is the Op of both. Its gradient is made by forward, up to a factor.
type relation struct {
	kernel kernel.Relations
	self   bool
	seq    int
	pack   *packed // nil where x is padded
	grads  []*buffer
	scale  float64
}

func relate(name string, x, y, tx, ty, mask *gorgonia.Node, heads int, squared bool) (*gorgonia.Node, error) {
	if x == nil || tx == nil || mask == nil || (y == nil) != (ty == nil) {
		return nil, errors.New("autodiff: " + name + " wants values of student and teacher in pairs, and a mask")
	}
	nodes := []*gorgonia.Node{x, tx, mask}
	if y != nil && (y != x || ty != tx) {
		nodes = append(nodes, y, ty)
	}
	q, v, err := prepare(name, nodes...)
	if err != nil {
		return nil, err
	}
	c := &relation{self: len(v) == 3, seq: q.S}
	if v[0].tokens {
		c.pack = q.pack
	}
	if err := c.check(name, q, v, heads); err != nil {
		return nil, err
	}
	w, wt := v[0].width(), v[1].width()
	c.kernel = kernel.Relations{A: heads, D: w / heads, DT: wt / heads, LD: w, LDT: wt, Squared: squared,
		Scale: rootOf(w / heads), ScaleT: rootOf(wt / heads)}
	in := []*value{v[0], v[1].constant(), v[2].constant()}
	if !c.self {
		in = append(in, v[3], v[4].constant())
	}
	o := q.newOp(name, v[0].label, c, in...)
	for range len(c.students(o)) {
		if o.needsGrad() {
			c.grads = append(c.grads, o.save(q, v[0].size()))
		}
	}
	out, err := q.add(o)
	if err != nil {
		return nil, err
	}
	return out.node, nil
}

// rootOf is 1/√d.
func rootOf(d int) float32 { return float32(1 / math.Sqrt(float64(d))) }

// check holds shapes against each other.
func (c *relation) check(name string, q *Pass, v []*value, heads int) error {
	for i, x := range v {
		tokens := q.B * q.S
		if i%3 == 0 && c.pack != nil {
			tokens = q.pack.n
		}
		width := v[i%3].width() // a student's as the first student's, a teacher's as the first teacher's
		if i > 2 {
			width = v[i-3].width()
		}
		if i == 2 {
			width = 1
		}
		if x.rank() < 2 || x.size() != tokens*width || x.width() != width {
			return fmt.Errorf("autodiff: %s: input %d has shape %v; want %d tokens of %d values", name, i, x.shape, tokens, width)
		}
		if i != 2 && (heads < 1 || width%heads != 0) {
			return fmt.Errorf("autodiff: %s: %d heads of %d values; the heads must divide them", name, heads, width)
		}
	}
	if !c.self && v[3].tokens != v[0].tokens {
		return fmt.Errorf("autodiff: %s of a packed and a padded value", name)
	}
	return nil
}

// students are the inputs that have a gradient.
func (c *relation) students(o *forward) []int {
	if c.self {
		return []int{0}
	}
	return []int{0, 3}
}

func (c *relation) forward(o *forward) error {
	pairs := c.place(o.in[2].f32())
	var dx, dy, y, ty []float32
	if !c.self {
		y, ty = o.in[3].f32(), o.in[4].f32()
	}
	if len(c.grads) > 0 {
		if dx = c.grads[0].data(); !c.self {
			dy = c.grads[1].data()
		}
	}
	sum := c.kernel.Compare(dx, dy, o.in[0].f32(), y, o.in[1].f32(), ty)
	total := float64(c.kernel.A) * float64(len(c.kernel.Rows))
	if c.kernel.Squared {
		total = float64(c.kernel.A) * pairs
	}
	c.scale = 0
	if total > 0 {
		c.scale = 1 / total
	}
	*o.out.scalar = gorgonia.F32(sum * c.scale)
	return nil
}

// place lists the rows of the tokens and returns how many pairs of them there are.
func (c *relation) place(mask []float32) (pairs float64) {
	k := &c.kernel
	k.Rows, k.TeacherRows, k.Offsets = k.Rows[:0], k.TeacherRows[:0], append(k.Offsets[:0], 0)
	for b := 0; b*c.seq < len(mask); b++ {
		for at := b * c.seq; at < (b+1)*c.seq; at++ {
			row := at
			if c.pack != nil {
				row = int(c.pack.rowOf(int64(at)))
			}
			if mask[at] != 0 && row >= 0 {
				k.Rows, k.TeacherRows = append(k.Rows, row), append(k.TeacherRows, at)
			}
		}
		n := float64(len(k.Rows) - k.Offsets[b])
		pairs += n * n
		k.Offsets = append(k.Offsets, len(k.Rows))
	}
	return pairs
}

func (c *relation) backward(b *backward) error {
	scale := float32(c.scale * float64(b.seed))
	for i, in := range c.students(b.o) {
		d := b.into(in)
		if d == nil {
			continue
		}
		if b.to[in].first {
			clear(d)
		}
		kernel.Axpy(scale, c.grads[i].data(), d)
	}
	return nil
}
