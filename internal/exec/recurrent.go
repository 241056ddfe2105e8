package exec

import (
	"fmt"
	"math"
)

func recurrentOps() map[string]operator {
	return map[string]operator{
		"LSTM": {run: byReal(lstm[float32], lstm[float64]), inputs: 3},
		"GRU":  {run: byReal(gru[float32], gru[float64]), inputs: 3},
		"RNN":  {run: byReal(rnn[float32], rnn[float64]), inputs: 3},
	}
}

// recurrence is what one call of a recurrent operator works with. The inputs
// are X [length, batch, in], W [directions, gates·hidden, in], R [directions,
// gates·hidden, hidden], B [directions, 2·gates·hidden], sequence_lens [batch]
// and initial_h [directions, batch, hidden]; with layout 1 (opset 14) batch is
// the first dimension of X, of the states and of the outputs. Beyond the
// length of its sequence a batch row keeps its state and its outputs are zero.
type recurrence[T real] struct {
	length, batch, in, hidden, dirs, gates int
	batchFirst                             bool
	x, w, r, b                             []T
	lens                                   []int64
	reverse                                [2]bool
	acts                                   []func(float64) float64 // per direction
	clip                                   float64
	y                                      []T // output 0, nil where it is not wanted
	h, c                                   []T // states [directions, batch, hidden]
}

// newRecurrence reads and checks what the three operators share.
func newRecurrence[T real](c *call, gates int, defaults ...string) (*recurrence[T], error) {
	x, w := c.in[0], c.in[1]
	if len(x.Shape) != 3 || len(w.Shape) != 3 || len(c.in[2].Shape) != 3 {
		return nil, fmt.Errorf("shapes X %v, W %v and R %v; three dimensions each are needed", x.Shape, w.Shape, c.in[2].Shape)
	}
	r := &recurrence[T]{length: x.Shape[0], batch: x.Shape[1], in: x.Shape[2], hidden: c.in[2].Shape[2], dirs: 1, gates: gates,
		batchFirst: c.node.Int("layout", 0) != 0, clip: math.Inf(1)}
	if r.batchFirst {
		r.length, r.batch = r.batch, r.length
	}
	switch d := c.node.Str("direction", "forward"); d {
	case "forward":
	case "reverse":
		r.reverse[0] = true
	case "bidirectional":
		r.dirs, r.reverse[1] = 2, true
	default:
		return nil, fmt.Errorf("attribute direction is %q; forward, reverse or bidirectional is needed", d)
	}
	if h := c.node.Attr("hidden_size"); h != nil && h.Int != int64(r.hidden) {
		return nil, fmt.Errorf("attribute hidden_size is %d and R has shape %v", h.Int, c.in[2].Shape)
	}
	if a := c.node.Attr("clip"); a != nil && a.Float > 0 {
		r.clip = float64(a.Float)
	}
	rows := gates * r.hidden
	for _, p := range []struct {
		i    int
		dst  *[]T
		want []int
	}{{0, &r.x, x.Shape}, {1, &r.w, []int{r.dirs, rows, r.in}}, {2, &r.r, []int{r.dirs, rows, r.hidden}}, {3, &r.b, []int{r.dirs, 2 * rows}}} {
		var err error
		if *p.dst, err = shaped[T](c, p.i, p.want); err != nil {
			return nil, err
		}
	}
	var err error
	if r.lens, err = c.lengths(4, r.batch, r.length); err != nil {
		return nil, err
	}
	if r.h, err = r.state(c, 5); err != nil {
		return nil, err
	}
	if r.acts, err = c.activations(r.dirs, defaults); err != nil {
		return nil, err
	}
	return r, r.outputs(c)
}

// shaped returns input i, nil where it is omitted, and refuses another shape.
func shaped[T number](c *call, i int, want []int) ([]T, error) {
	t := c.arg(i)
	if t != nil && !sameShape(t.Shape, want) {
		return nil, fmt.Errorf("input %d has shape %v; %v is needed", i, t.Shape, want)
	}
	return typed[T](c, i)
}

// lengths reads the length of each batch row's sequence; all are full by default.
func (c *call) lengths(i, batch, length int) ([]int64, error) {
	if c.arg(i) == nil {
		v := make([]int64, batch)
		fill(v, int64(length))
		return v, nil
	}
	v, err := c.ints(i)
	if err != nil {
		return nil, err
	}
	if len(v) != batch {
		return nil, fmt.Errorf("sequence_lens has shape %v; %d lengths are needed", c.in[i].Shape, batch)
	}
	for _, n := range v {
		if n < 0 || n > int64(length) {
			return nil, fmt.Errorf("sequence_lens is %v for sequences of %d", v, length)
		}
	}
	return v, nil
}

// state copies an initial state, zero by default, as [directions, batch, hidden].
func (r *recurrence[T]) state(c *call, i int) ([]T, error) {
	want := []int{r.dirs, r.batch, r.hidden}
	if r.batchFirst {
		want = []int{r.batch, r.dirs, r.hidden}
	}
	given, err := shaped[T](c, i, want)
	if err != nil {
		return nil, err
	}
	s := make([]T, product(want))
	for at := 0; given != nil && at < r.dirs*r.batch; at++ {
		copy(s[at*r.hidden:(at+1)*r.hidden], given[r.stateAt(at/r.batch, at%r.batch):])
	}
	return s, nil
}

// stateAt is the position of a state in an input or output.
func (r *recurrence[T]) stateAt(d, b int) int {
	if r.batchFirst {
		return (b*r.dirs + d) * r.hidden
	}
	return (d*r.batch + b) * r.hidden
}

func (r *recurrence[T]) outputs(c *call) error {
	if !c.wants(0) {
		return nil
	}
	shape := []int{r.length, r.dirs, r.batch, r.hidden}
	if r.batchFirst {
		shape = []int{r.batch, r.length, r.dirs, r.hidden}
	}
	out, err := c.output(0, c.in[0].Type, shape...)
	if err != nil {
		return err
	}
	r.y = data[T](out)
	clear(r.y)
	return nil
}

// finish writes a last state as output i.
func (r *recurrence[T]) finish(c *call, i int, s []T) error {
	if !c.wants(i) {
		return nil
	}
	shape := []int{r.dirs, r.batch, r.hidden}
	if r.batchFirst {
		shape = []int{r.batch, r.dirs, r.hidden}
	}
	out, err := c.output(i, c.in[0].Type, shape...)
	if err != nil {
		return err
	}
	dst := data[T](out)
	for at := range r.dirs * r.batch {
		copy(dst[r.stateAt(at/r.batch, at%r.batch):][:r.hidden], s[at*r.hidden:])
	}
	return nil
}

// run goes through the sequences. cell computes the new state of batch row b
// from xw = W·x + both biases and hr = R·h, [gates·hidden] each; where
// separate, the biases of R are left to the cell.
func (r *recurrence[T]) run(c *call, separate bool, cell func(d, b int, xw, hr, h []T)) error {
	rows := r.gates * r.hidden
	all, err := c.new(c.in[0].Type, r.length*r.batch, rows)
	if err != nil {
		return err
	}
	defer c.mem.release(all)
	xw, hr := data[T](all), make([]T, r.batch*rows)
	bias := make([]T, rows)
	for d := range r.dirs {
		if r.b != nil {
			b := r.b[d*2*rows : (d+1)*2*rows]
			for i := range bias {
				bias[i] = b[i]
				if !separate {
					bias[i] += b[rows+i]
				}
			}
		}
		for i := range r.length * r.batch {
			copy(xw[i*rows:(i+1)*rows], bias)
		}
		gemmRows(c.mem.done, r.length*r.batch, rows, r.in, r.x, r.w[d*rows*r.in:(d+1)*rows*r.in], 1, xw)
		h := r.h[d*r.batch*r.hidden : (d+1)*r.batch*r.hidden]
		for s := range r.length {
			gemmRows(c.mem.done, r.batch, rows, r.hidden, h, r.r[d*rows*r.hidden:(d+1)*rows*r.hidden], 0, hr)
			c.parallel(r.batch, max(1, grain/8/max(1, rows)), func(lo, hi int) {
				for b := lo; b < hi; b++ {
					r.step(d, b, s, xw, hr, h, cell)
				}
			})
		}
	}
	return nil
}

// step is step s of one batch row, and puts its new state into output 0.
func (r *recurrence[T]) step(d, b, s int, xw, hr, h []T, cell func(d, b int, xw, hr, h []T)) {
	n := int(r.lens[b])
	if s >= n {
		return
	}
	if r.reverse[d] {
		s = n - 1 - s
	}
	rows := r.gates * r.hidden
	row, at := s*r.batch+b, ((s*r.dirs+d)*r.batch+b)*r.hidden
	if r.batchFirst {
		row, at = b*r.length+s, ((b*r.length+s)*r.dirs+d)*r.hidden
	}
	own := h[b*r.hidden : (b+1)*r.hidden]
	cell(d, b, xw[row*rows:(row+1)*rows], hr[b*rows:(b+1)*rows], own)
	if r.y != nil {
		copy(r.y[at:at+r.hidden], own)
	}
}

// bound clips what goes into an activation.
func (r *recurrence[T]) bound(v T) float64 { return min(max(float64(v), -r.clip), r.clip) }

// gemmRows computes c[m,n] = a[m,k]·bᵀ + beta·c for b[n,k]; beta is 0 or 1.
func gemmRows[T real](done <-chan struct{}, m, n, k int, a, b []T, beta T, c []T) {
	if f, ok := any(c).([]float32); ok && m > 0 && n > 0 && k > 0 {
		gemmFloats(done, false, true, m, n, k, 1, any(a).([]float32), k, any(b).([]float32), k, float32(beta), f, n)
		return
	}
	for i := 0; i < m && !closed(done); i++ {
		for j := range n {
			sum := beta * c[i*n+j]
			if beta == 0 {
				sum = 0
			}
			for q := range k {
				sum += a[i*k+q] * b[j*k+q]
			}
			c[i*n+j] = sum
		}
	}
}

// lstm is LSTM (opset 7, 14, 22), with peepholes (input 7) and input_forget.
// The gates lie in the order input, output, forget, cell.
func lstm[T real](c *call) error {
	r, err := newRecurrence[T](c, 4, "Sigmoid", "Tanh", "Tanh")
	if err != nil {
		return err
	}
	if r.c, err = r.state(c, 6); err != nil {
		return err
	}
	peep, err := shaped[T](c, 7, []int{r.dirs, 3 * r.hidden})
	if err != nil {
		return err
	}
	if peep == nil {
		peep = make([]T, r.dirs*3*r.hidden)
	}
	coupled, n := c.node.Int("input_forget", 0) != 0, r.hidden
	err = r.run(c, false, func(d, b int, xw, hr, h []T) {
		f, g, out := r.acts[3*d], r.acts[3*d+1], r.acts[3*d+2]
		p, state := peep[d*3*n:(d+1)*3*n], r.c[(d*r.batch+b)*n:][:n]
		for j := range n {
			old := state[j]
			in := f(r.bound(xw[j] + hr[j] + p[j]*old))
			forget := 1 - in
			if !coupled {
				forget = f(r.bound(xw[2*n+j] + hr[2*n+j] + p[2*n+j]*old))
			}
			cell := forget*float64(old) + in*g(r.bound(xw[3*n+j]+hr[3*n+j]))
			state[j] = T(cell)
			h[j] = T(f(r.bound(xw[n+j]+hr[n+j]+p[n+j]*T(cell))) * out(cell))
		}
	})
	if err != nil {
		return err
	}
	if err := r.finish(c, 1, r.h); err != nil {
		return err
	}
	return r.finish(c, 2, r.c)
}

// gru is GRU (opset 7, 14, 22); the gates lie in the order update, reset, hidden.
func gru[T real](c *call) error {
	r, err := newRecurrence[T](c, 3, "Sigmoid", "Tanh")
	if err != nil {
		return err
	}
	n, linear := r.hidden, c.node.Int("linear_before_reset", 0) != 0
	err = r.run(c, true, func(d, b int, xw, hr, h []T) {
		f, g := r.acts[2*d], r.acts[2*d+1]
		rb := make([]T, 3*n)
		if r.b != nil {
			rb = r.b[d*6*n+3*n : (d+1)*6*n]
		}
		scaled, next := make([]T, n), make([]T, n)
		for j := range n {
			reset := T(f(r.bound(xw[n+j] + hr[n+j] + rb[n+j])))
			if linear {
				scaled[j] = reset * (hr[2*n+j] + rb[2*n+j])
			} else {
				next[j] = reset * h[j]
			}
		}
		if !linear {
			weights := r.r[(d*3+2)*n*n : (d*3+3)*n*n]
			for j := range n {
				sum := 0.0
				for q, v := range next {
					sum += float64(v) * float64(weights[j*n+q])
				}
				scaled[j] = T(sum) + rb[2*n+j]
			}
		}
		for j := range n {
			z := f(r.bound(xw[j] + hr[j] + rb[j]))
			h[j] = T((1-z)*g(r.bound(xw[2*n+j]+scaled[j])) + z*float64(h[j]))
		}
	})
	if err != nil {
		return err
	}
	return r.finish(c, 1, r.h)
}

// rnn is RNN (opset 7, 14, 22): h = f(W·x + R·h + biases).
func rnn[T real](c *call) error {
	r, err := newRecurrence[T](c, 1, "Tanh")
	if err != nil {
		return err
	}
	err = r.run(c, false, func(d, b int, xw, hr, h []T) {
		for j := range h {
			h[j] = T(r.acts[d](r.bound(xw[j] + hr[j])))
		}
	})
	if err != nil {
		return err
	}
	return r.finish(c, 1, r.h)
}

// activations are the functions that a recurrent operator's attributes name,
// as many as defaults for each direction.
func (c *call) activations(dirs int, defaults []string) ([]func(float64) float64, error) {
	names := append(append([]string{}, defaults...), defaults...)[:dirs*len(defaults)]
	if a := c.node.Attr("activations"); a != nil {
		if len(a.Strings) != len(names) {
			return nil, fmt.Errorf("attribute activations has %d names; %d are needed", len(a.Strings), len(names))
		}
		for i, s := range a.Strings {
			names[i] = string(s)
		}
	}
	alphas, betas := c.floatList("activation_alpha"), c.floatList("activation_beta")
	next := func(list *[]float32, def float64) float64 {
		if len(*list) == 0 {
			return def
		}
		v := (*list)[0]
		*list = (*list)[1:]
		return float64(v)
	}
	out := make([]func(float64) float64, len(names))
	for i, name := range names {
		switch name {
		case "Relu":
			out[i] = func(x float64) float64 { return max(x, 0) }
		case "Tanh":
			out[i] = math.Tanh
		case "Sigmoid":
			out[i] = sigmoid
		case "Softsign":
			out[i] = func(x float64) float64 { return x / (1 + math.Abs(x)) }
		case "Softplus":
			out[i] = softplus
		case "Elu":
			a := next(&alphas, 1)
			out[i] = func(x float64) float64 { return elu(x, a) }
		case "LeakyRelu":
			a := next(&alphas, 0.01)
			out[i] = func(x float64) float64 { return leakyRelu(x, a) }
		case "ThresholdedRelu":
			a := next(&alphas, 1)
			out[i] = func(x float64) float64 { return thresholdedRelu(x, a) }
		case "Affine", "ScaledTanh", "HardSigmoid":
			out[i] = twoParameters(name, next, &alphas, &betas)
		default:
			return nil, fmt.Errorf("activation %q is not known", name)
		}
	}
	return out, nil
}

func twoParameters(name string, next func(*[]float32, float64) float64, alphas, betas *[]float32) func(float64) float64 {
	switch name {
	case "Affine":
		a, b := next(alphas, 1), next(betas, 0)
		return func(x float64) float64 { return a*x + b }
	case "ScaledTanh":
		a, b := next(alphas, 1), next(betas, 1)
		return func(x float64) float64 { return a * math.Tanh(b*x) }
	}
	a, b := next(alphas, 0.2), next(betas, 0.5)
	return func(x float64) float64 { return min(1, max(0, a*x+b)) }
}

func (c *call) floatList(name string) []float32 {
	if a := c.node.Attr(name); a != nil {
		return a.Floats
	}
	return nil
}
