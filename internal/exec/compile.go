package exec

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// compiler turns a model into the steps of a session.
type compiler struct {
	s       *Session
	model   *onnx.Model
	weights map[string]*onnx.Tensor
	unfused bool
	// taken counts the steps that hold a prepared form of a constant.
	taken map[int]int
	known *onnx.Inference // what is known of the model's values; nil until asked for
}

// packKey names a prepared weight, so that one used twice is prepared once, also
// by another session of the same model.
type packKey struct {
	weight *onnx.Tensor
	value  int             // in place of weight for a constant that was computed
	with   [2]*onnx.Tensor // zero point and scale, where the form has them in it
	form   string
	trans  bool
}

// origin is the initializer that input i of a step is, nil for what was computed.
func (p *compiler) origin(st *step, i int) *onnx.Tensor {
	if i >= len(st.in) || st.in[i] < 0 {
		return nil
	}
	return p.weights[p.s.names[st.in[i]]]
}

// once returns the prepared form of input i of a step, made together with the
// inputs with, all of them constants. Forms of initializers are shared with the
// session that this one is a variant of.
func (p *compiler) once(st *step, i int, form string, trans bool, prepare func() (any, error), with ...int) (any, error) {
	key := packKey{weight: p.origin(st, i), form: form, trans: trans}
	if key.weight == nil {
		key.value = st.in[i]
	}
	for k, w := range with {
		if w < len(st.in) && st.in[w] >= 0 {
			if key.with[k] = p.origin(st, w); key.with[k] == nil {
				return prepare() // a computed zero point or scale
			}
		}
	}
	if done, ok := p.s.packs[key]; ok {
		return done, nil
	}
	if p.s.parent != nil && key.weight != nil {
		if done, ok := p.s.parent.packs[key]; ok {
			p.s.packs[key] = done
			return done, nil
		}
	}
	done, err := prepare()
	if err == nil {
		p.s.packs[key] = done
	}
	return done, err
}

func (p *compiler) compile() error {
	p.taken = map[int]int{}
	for i, in := range p.s.inputs {
		p.s.source[p.s.id(in.Name)] = -2 - i
	}
	unsupported, err := p.link()
	if err != nil {
		return err
	}
	if err := p.loadWeights(&unsupported); err != nil {
		return err
	}
	if len(unsupported) == 0 {
		if err := p.checkReads(); err != nil {
			return err
		}
	}
	for _, in := range p.s.inputs {
		if in.Type == onnx.Undefined && in.Other != nil || in.Type != onnx.Undefined && !supported(in.Type) {
			unsupported = append(unsupported, fmt.Sprintf("input %q of type %s", in.Name, typeName(in.Type)))
		}
	}
	if len(unsupported) > 0 {
		return &UnsupportedError{Items: unsupported}
	}
	if err := p.foldConstants(); err != nil {
		return err
	}
	for _, st := range p.s.steps {
		if st.op.prepare == nil {
			continue
		}
		prep, err := st.op.prepare(p, st)
		if err != nil {
			return nodeError(st.node, err)
		}
		st.prep = prep
	}
	p.dropTaken()
	return nil
}

// link makes a step of every node and lists the nodes that have no operator.
func (p *compiler) link() (unsupported []string, err error) {
	table := operators()
	opsets := map[string]int64{}
	for _, o := range p.model.Opsets {
		opsets[cleanDomain(o.Domain)] = o.Version
	}
	for _, n := range p.model.Graph.Nodes {
		domain := cleanDomain(n.Domain)
		op := table[kind{domain, n.Op}]
		if op == nil {
			shown := domain
			if shown == "" {
				shown = "ai.onnx"
			}
			item := fmt.Sprintf("%s (domain %s, node %s)", n.Op, shown, n.Label())
			if why := absent(kind{domain, n.Op}); why != "" {
				item += ": " + why
			}
			unsupported = append(unsupported, item)
			continue
		}
		if why := p.refuseMask(n, domain); why != "" {
			unsupported = append(unsupported, fmt.Sprintf("%s (domain %s, node %s): %s", n.Op, domain, n.Label(), why))
		}
		if op.refuse != nil {
			if why := op.refuse(n); why != "" {
				unsupported = append(unsupported, fmt.Sprintf("%s (domain %s, node %s): %s", n.Op, domain, n.Label(), why))
			}
		}
		if n = p.typedCast(n); n.Op == "Cast" {
			op = table[kind{domain, n.Op}]
		}
		st := &step{node: n, op: op, opset: n.Int(nodeOpset, opsets[domain])}
		bodies, err := p.bodies(n)
		if e := (*UnsupportedError)(nil); errors.As(err, &e) {
			unsupported = append(unsupported, e.Items...)
		} else if err != nil {
			return nil, nodeError(n, err)
		}
		if bodies != nil {
			st.prep = bodies
		}
		for _, name := range n.Inputs {
			if name == "" {
				st.in = append(st.in, -1)
				continue
			}
			id := p.s.id(name)
			st.in = append(st.in, id)
			if !slices.Contains(st.reads, id) {
				st.reads = append(st.reads, id)
			}
		}
		for _, name := range n.Outputs {
			if name == "" {
				st.out = append(st.out, -1)
				continue
			}
			st.out = append(st.out, p.s.id(name))
		}
		p.s.steps = append(p.s.steps, st)
	}
	for _, o := range p.model.Graph.Outputs {
		p.s.id(o.Name)
	}
	return unsupported, nil
}

// absent says of operators that are known why they do not run.
func absent(k kind) string {
	if k.domain != msDomain {
		return ""
	}
	switch k.op {
	case "SparseToDenseMatMul":
		return "its first input is a sparse tensor, and values are dense here; store the matrix dense and use MatMul"
	case "GroupNorm", "SkipGroupNorm", "BiasAdd", "BiasSplitGelu", "RelativePositionBias", "GatedRelativePositionBias",
		"PackedAttention", "PackedMultiHeadAttention", "RemovePadding", "RestorePadding":
		return "ONNX Runtime has it for GPUs alone; take the model as it was before it was optimized for them"
	}
	return ""
}

// refuseMask says of ONNX Runtime's attention whose mask is known to be of four
// dimensions, a form of decoders on other devices, that it does not run.
func (p *compiler) refuseMask(n *onnx.Node, domain string) string {
	at, ok := map[string]int{"Attention": 3, "MultiHeadAttention": 4, "QAttention": 5}[n.Op]
	if !ok || domain != msDomain || at >= len(n.Inputs) || n.Inputs[at] == "" {
		return ""
	}
	if p.known == nil {
		var err error
		if p.known, err = p.model.Infer(nil); err != nil {
			return ""
		}
	}
	if dims, ok := p.known.Shape(n.Inputs[at]); ok && len(dims) > 3 {
		return fmt.Sprintf("input %d, a mask of %d dimensions; give lengths [batch], or ones and zeros [batch, keys] or [batch, queries, keys]", at, len(dims))
	}
	return ""
}

// typedCast makes a CastLike whose model is declared to be float16 or bfloat16
// the Cast that it is: the value itself is a float32 here and does not tell.
func (p *compiler) typedCast(n *onnx.Node) *onnx.Node {
	if n.Op != "CastLike" || !defaultDomain(n.Domain) || len(n.Inputs) != 2 {
		return n
	}
	t := onnx.Undefined
	if w := p.weights[n.Inputs[1]]; w != nil {
		t = w.Type
	}
	for _, list := range [][]*onnx.ValueInfo{p.model.Graph.Inputs, p.model.Graph.Values} {
		for _, v := range list {
			if v.Name == n.Inputs[1] {
				t = v.Type
			}
		}
	}
	if narrower(t) == nil {
		return n
	}
	c := *n
	c.Op, c.Inputs = "Cast", n.Inputs[:1]
	c.Attrs = append(slices.Clone(n.Attrs), onnx.IntAttr("to", int64(t)))
	return &c
}

func cleanDomain(d string) string {
	if defaultDomain(d) {
		return ""
	}
	return d
}

// loadWeights converts the initializers that something reads.
func (p *compiler) loadWeights(unsupported *[]string) error {
	for id, name := range p.s.names {
		t := p.weights[name]
		if t == nil {
			continue
		}
		if c := p.s.parent.held(name, t); c != nil {
			p.s.consts[id] = c
			continue
		}
		c, err := FromONNX(t)
		if e := (*UnsupportedError)(nil); errors.As(err, &e) {
			*unsupported = append(*unsupported, e.Items...)
			continue
		}
		if err != nil {
			return err
		}
		p.s.consts[id] = c
	}
	for _, t := range p.model.Graph.Sparse {
		if t.Values != nil {
			if _, used := p.s.values[t.Values.Name]; used {
				*unsupported = append(*unsupported, fmt.Sprintf("sparse tensor %q", t.Values.Name))
			}
		}
	}
	return nil
}

// checkReads refuses values that come from nowhere.
func (p *compiler) checkReads() error {
	made := map[int]bool{}
	for _, st := range p.s.steps {
		for _, id := range st.reads {
			if p.s.consts[id] == nil && p.s.source[id] == noStep && !made[id] {
				return nodeError(st.node, fmt.Errorf("%q is neither an input, a constant nor computed before", p.s.names[id]))
			}
		}
		for _, id := range st.out {
			made[id] = true
		}
	}
	return nil
}

// foldConstants runs the steps that depend on no input and keeps the rest. A
// step that fails is kept: the error is Run's if the value is ever needed.
func (p *compiler) foldConstants() error {
	s := p.s
	mem := &memory{limit: s.limit, loose: true}
	var unsupported []string
	keep := s.steps[:0]
	for _, st := range s.steps {
		if len(st.in) < st.op.inputs || slices.Contains(st.in[:st.op.inputs], -1) {
			return nodeError(st.node, fmt.Errorf("the first %d inputs must be given; %d are", st.op.inputs, len(st.reads)))
		}
		if loops(st.node) || slices.ContainsFunc(st.reads, func(id int) bool { return s.consts[id] == nil }) {
			keep = append(keep, st)
			continue
		}
		mem.begin(0)
		out, err := st.run(context.Background(), s.consts, nil, mem)
		if err != nil {
			if errors.Is(err, ErrType) {
				unsupported = append(unsupported, fmt.Sprintf("%s (domain %s, node %s): %v", st.node.Op, "ai.onnx", st.node.Label(), errors.Unwrap(err)))
			}
			if e := (*UnsupportedError)(nil); errors.As(err, &e) {
				unsupported = append(unsupported, e.Items...)
			}
			keep = append(keep, st)
			continue
		}
		for i, id := range st.out {
			if id >= 0 {
				s.consts[id] = settle(out[i])
			}
		}
	}
	clear(s.steps[len(keep):])
	s.steps = keep
	for i, st := range s.steps {
		for _, id := range st.out {
			if id >= 0 {
				s.source[id] = i
			}
		}
	}
	if len(unsupported) > 0 {
		return &UnsupportedError{Items: unsupported}
	}
	return nil
}

// settle takes a value out of the memory of its run, which was loose.
func settle(t *Tensor) *Tensor {
	c := *t
	c.mem, c.Shape = nil, slices.Clone(t.Shape)
	return &c
}

// constant returns input i of a step where it is constant; an omitted input is (nil, true).
func (p *compiler) constant(st *step, i int) (*Tensor, bool) {
	if i >= len(st.in) || st.in[i] < 0 {
		return nil, true
	}
	t := p.s.consts[st.in[i]]
	return t, t != nil
}

// take notes that st holds its input i in another form and needs no elements of it.
func (p *compiler) take(st *step, i int) {
	if !slices.Contains(slices.Delete(slices.Clone(st.in), i, i+1), st.in[i]) {
		p.taken[st.in[i]]++
	}
}

// pack returns the packed form of input i where it is a constant float matrix, else nil.
func (p *compiler) pack(st *step, i int, trans bool) (any, error) {
	w, ok := p.constant(st, i)
	if !ok || w == nil || w.Type != onnx.Float || len(w.Shape) != 2 || w.Len() == 0 {
		return nil, nil
	}
	p.take(st, i)
	return p.once(st, i, "float", trans, func() (any, error) {
		k, n := w.Shape[0], w.Shape[1]
		if trans {
			k, n = n, k
		}
		return kernel.Pack(trans, k, n, w.F32, w.Shape[1]), nil
	})
}

// dropTaken forgets the elements of constants that every reader holds packed,
// and large constants that nobody reads.
func (p *compiler) dropTaken() {
	const small = 1 << 12
	readers := make([]int, len(p.s.names))
	for _, st := range p.s.steps {
		for _, id := range st.reads {
			readers[id]++
		}
	}
	for _, o := range p.s.outputs {
		readers[p.s.id(o.Name)]++
	}
	for id, t := range p.s.consts {
		if t == nil || t.Len() <= small {
			continue
		}
		if readers[id] == p.taken[id] {
			p.s.consts[id] = &Tensor{Type: t.Type, Shape: t.Shape}
		}
	}
}
