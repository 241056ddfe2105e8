package exec

import (
	"slices"

	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// together joins linear layers of one input, such as query, key and value of an
// attention, into one node with an output for each: their products are one loop
// over tiles, so that threads meet once. It changes no bit of any value.
//
// Only layers that the outputs of the graph need are joined: what narrowing left
// for whoever asks for it would be computed in vain. g must be sorted.
func together(g *onnx.Graph) {
	weights, needed := g.InitializerMap(), neededNodes(g)
	groups := map[string][]*onnx.Node{}
	var order []string
	for _, n := range g.Nodes {
		if key := siblingKey(n, weights); key != "" && needed[n] {
			if groups[key] == nil {
				order = append(order, key)
			}
			groups[key] = append(groups[key], n)
		}
	}
	joined := map[*onnx.Node]*onnx.Node{} // nil: made by the first of its group
	for _, key := range order {
		for part := range slices.Chunk(groups[key], kernel.MaxTogether) {
			if len(part) > 1 {
				for _, n := range part {
					joined[n] = nil
				}
				joined[part[0]] = joinedNode(part)
			}
		}
	}
	out := g.Nodes[:0:0]
	for _, n := range g.Nodes {
		if j, ok := joined[n]; !ok {
			out = append(out, n)
		} else if j != nil {
			out = append(out, j)
		}
	}
	g.Nodes = out
}

// neededNodes are the nodes that the outputs of g are made by.
func neededNodes(g *onnx.Graph) map[*onnx.Node]bool {
	needed, values := map[*onnx.Node]bool{}, map[string]bool{}
	for _, o := range g.Outputs {
		values[o.Name] = true
	}
	for _, n := range slices.Backward(g.Nodes) {
		if slices.ContainsFunc(n.Outputs, func(o string) bool { return values[o] }) {
			needed[n] = true
			for _, in := range n.Inputs {
				values[in] = true
			}
		}
	}
	return needed
}

// shared is how many leading inputs of a linear layer are its X.
func shared(n *onnx.Node) int {
	if n.Op == "IntegerLinear" || n.Op == "IntegerLinears" {
		return 3
	}
	return 1
}

// siblingKey tells layers that can be joined by what they read: those whose other
// inputs are constants that are prepared when the session is made; "" for others.
func siblingKey(n *onnx.Node, weights map[string]*onnx.Tensor) string {
	is := func(i int, types ...onnx.DataType) bool {
		t := weights[input(n, i)]
		return t != nil && slices.Contains(types, t.Type)
	}
	none := func(i int) bool { return input(n, i) == "" }
	matrix := func(i int) bool {
		t := weights[input(n, i)]
		return t != nil && len(t.Dims) == 2 && t.Len() > 0
	}
	switch {
	case n.Domain == liteDomain && n.Op == "Linear":
		if matrix(1) && is(1, onnx.Float) && (none(2) || is(2, onnx.Float)) {
			return "Linears " + n.Inputs[0]
		}
	case n.Domain == ownDomain && n.Op == "IntegerLinear":
		if matrix(3) && is(3, onnx.Int8, onnx.Uint8) && is(4, onnx.Float) && (none(5) || is(5, onnx.Int8, onnx.Uint8)) && (none(6) || is(6, onnx.Float)) {
			return "IntegerLinears " + n.Inputs[0] + "\x00" + input(n, 1) + "\x00" + input(n, 2)
		}
	}
	return ""
}

// joinedNode has the inputs that the layers share, then those of each layer that it
// has for itself, and in attributes acts and trans what each has.
func joinedNode(part []*onnx.Node) *onnx.Node {
	first := part[0]
	x, own := shared(first), 2 // weight and bias
	if x == 3 {
		own = 4 // and scale and zero point
	}
	n := &onnx.Node{Domain: ownDomain, Op: first.Op + "s", Name: first.Name}
	for i := range x {
		n.Inputs = append(n.Inputs, input(first, i))
	}
	acts, trans := &onnx.Attribute{Name: "acts", Type: onnx.AttrStrings}, &onnx.Attribute{Name: "trans", Type: onnx.AttrInts}
	for _, p := range part {
		for i := range own {
			n.Inputs = append(n.Inputs, input(p, x+i))
		}
		n.Outputs = append(n.Outputs, p.Outputs[0])
		acts.Strings = append(acts.Strings, []byte(p.Str("act", "")))
		trans.Ints = append(trans.Ints, p.Int("trans_b", 0))
	}
	n.Attrs = []*onnx.Attribute{acts, trans}
	return n
}

// sibling is one layer of a joined node: its inputs from at on, its activation and
// its weight as the kernel wants it.
type sibling struct {
	at     int
	act    kernel.Act
	float  *kernel.Packed
	int8   *weights8
	weight []int // shape of the weight [in, out]
}

// siblingsOf reads the layers of a joined node, each with own inputs after shared ones.
func siblingsOf(n *onnx.Node, shared, own int, weight func(at int, trans bool, s *sibling) error) ([]sibling, error) {
	acts, trans := n.Attr("acts"), n.Ints("trans")
	out := make([]sibling, len(n.Outputs))
	for i := range out {
		s := &out[i]
		s.at = shared + i*own
		var err error
		if s.act, err = actNamed(acts.Strings[i]); err != nil {
			return nil, err
		}
		if err := weight(s.at, trans[i] != 0, s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func prepareLinears(p *compiler, st *step) (any, error) {
	return siblingsOf(st.node, 1, 2, func(at int, trans bool, s *sibling) error {
		packed, err := p.pack(st, at, trans)
		if err == nil {
			s.float = packed.(*kernel.Packed)
			s.weight = []int{s.float.K(), s.float.N()}
		}
		return err
	})
}

func prepareIntegerLinears(p *compiler, st *step) (any, error) {
	return siblingsOf(st.node, 3, 4, func(at int, trans bool, s *sibling) error {
		packed, err := p.pack8(st, at, at+2, trans)
		if err == nil {
			s.int8 = packed.(*weights8)
			s.weight = []int{s.int8.k, s.int8.n}
		}
		return err
	})
}

// siblingOutputs makes the outputs of a joined node; m is the number of their rows
// and work the multiplications that one row takes.
func (c *call) siblingOutputs(list []sibling) (m, work int, err error) {
	for i, s := range list {
		var shape []int
		if m, shape, err = c.rowsOf(c.in[0].Shape, s.weight[0], s.weight[1]); err != nil {
			return 0, 0, err
		}
		if _, err = c.output(i, onnx.Float, shape...); err != nil {
			return 0, 0, err
		}
		work += s.weight[0] * s.weight[1]
	}
	return m, work, nil
}

// linears is several lite.Linear of one X.
func linears(c *call) error {
	x, err := c.floats(0)
	if err != nil {
		return err
	}
	list := c.prep.([]sibling)
	m, work, err := c.siblingOutputs(list)
	if err != nil || m == 0 {
		return err
	}
	k := list[0].float.K()
	var products [kernel.MaxTogether]kernel.Product
	for i, s := range list {
		bias, err := c.bias(s.at+1, s.float.N())
		if err != nil {
			return err
		}
		products[i] = kernel.Product{B: s.float, Bias: bias, Act: s.act, LDC: s.float.N()}
	}
	for lo, hi := 0, 0; lo < m && !c.stopped(); lo = hi {
		hi = partEnd(lo, m, rowsAt(work))
		for i := range list {
			products[i].C = c.out[i].F32[lo*products[i].LDC:]
		}
		kernel.GemmPackedEach(hi-lo, x[lo*k:], k, products[:len(list)])
	}
	return nil
}

// integerLinears is several IntegerLinear of one X.
func integerLinears(c *call) error {
	list := c.prep.([]sibling)
	m, work, err := c.siblingOutputs(list)
	if err != nil {
		return err
	}
	q, z, scratch, err := c.unsigned(c.in[0], c.arg(2))
	if err != nil {
		return err
	}
	defer c.mem.release(scratch)
	var products [kernel.MaxTogether]kernel.Int8Product
	for i, s := range list {
		bias, err := c.bias(s.at+3, s.int8.n)
		if err != nil {
			return err
		}
		scale, err := c.columnScale(c.arg(1), c.arg(s.at+1), s.int8.n)
		if err != nil {
			return err
		}
		c.mem.temps = append(c.mem.temps, scale)
		products[i] = kernel.Int8Product{B: s.int8.packed, WZero: s.int8.zero, Scale: scale.F32, Bias: bias, Act: s.act}
	}
	if m == 0 {
		return nil
	}
	k := list[0].int8.k
	for lo, hi := 0, 0; lo < m && !c.stopped(); lo = hi {
		hi = partEnd(lo, m, rowsAt(work))
		for i := range list {
			n := products[i].B.N()
			products[i].Y = c.out[i].F32[lo*n : hi*n]
		}
		kernel.GemmInt8FloatEach(hi-lo, q[lo*k:hi*k], z, products[:len(list)])
	}
	return nil
}
