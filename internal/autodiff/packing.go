package autodiff

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
)

// ErrPadding is wrapped by the error of [Pass.Output] where a packed pass cannot
// compute an output, because a node on the way reads more of a sequence than its
// tokens one by one, its first one, or selected rows. Use [Program.NewPass] then.
var ErrPadding = errors.New("autodiff: the output cannot be computed without padding")

// packing says which values of a program have a row for each token, so that a
// pass can compute them for the tokens alone.
//
// The bias that all attentions share tells tokens from padding. From their
// queries, keys and values on, rows spread through the nodes that treat each row
// by itself: forward to what they compute, and back to what it is computed
// from, up to the embeddings, which are looked up for the tokens alone.
type packing struct {
	bias string
	rows map[string]bool
	// pools are the means and sums over positions that read no padding, because what
	// they add up was multiplied by a mask, which is to be 0 there.
	pools map[*onnx.Node]string
}

// findPacking looks for the values with a row for each token; without them, nil.
func (p *Program) findPacking() *packing {
	k := &packing{rows: map[string]bool{}, pools: map[*onnx.Node]string{}}
	for _, n := range p.fused.Nodes {
		if opName(n) != "lite.Attention" || !p.learned[n.Outputs[0]] {
			continue
		}
		bias := inputOf(n, 3)
		if p.nodes[bias] == nil || p.learned[bias] || k.bias != "" && bias != k.bias {
			return nil
		}
		k.bias = bias
		// Query, key and value of one value have a row for each token.
		source := p.linearOf(n.Inputs[0])
		if source == "" || p.linearOf(n.Inputs[1]) != source || p.linearOf(n.Inputs[2]) != source {
			return nil
		}
		for _, v := range []string{n.Inputs[0], n.Inputs[1], n.Inputs[2], n.Outputs[0]} {
			k.rows[v] = true
		}
	}
	if k.bias == "" {
		return nil
	}
	for changed := true; changed; {
		changed = false
		for _, n := range p.fused.Nodes {
			in := p.rowInputs(n)
			if !k.rows[first(n.Outputs)] && !slices.ContainsFunc(in, func(i int) bool { return k.rows[n.Inputs[i]] }) {
				continue
			}
			for _, v := range append([]string{n.Outputs[0]}, pickInputs(n, in)...) {
				changed = changed || !k.rows[v]
				k.rows[v] = true
			}
		}
	}
	for _, n := range p.fused.Nodes {
		if mask := k.maskOf(p, n); mask != "" {
			k.pools[n] = mask
		}
	}
	return k
}

func inputOf(n *onnx.Node, i int) string {
	if i < len(n.Inputs) {
		return n.Inputs[i]
	}
	return ""
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

func pickInputs(n *onnx.Node, which []int) []string {
	out := make([]string, len(which))
	for i, w := range which {
		out[i] = n.Inputs[w]
	}
	return out
}

// linearOf is what the linear layer that makes v reads, "" where none makes it.
func (p *Program) linearOf(v string) string {
	if n := p.nodes[v]; n != nil && opName(n) == "lite.Linear" {
		return n.Inputs[0]
	}
	return ""
}

// rowInputs lists the inputs of which a node reads, for each row of its output,
// the same row only; nil for nodes that are not of this kind.
func (p *Program) rowInputs(n *onnx.Node) []int {
	if len(n.Inputs) == 0 || len(n.Outputs) != 1 {
		return nil
	}
	switch op := opName(n); op {
	case "lite.LayerNorm":
		if inputOf(n, 3) != "" {
			return []int{0, 3}
		}
		return []int{0}
	case "lite.Linear", "lite.Gelu", "Gelu", "Relu", "Tanh", "Identity", "Dropout", "Cast", "Pow":
		return []int{0}
	case "MatMul":
		if w := p.consts[n.Inputs[1]]; w != nil && len(w.Dims) == 2 {
			return []int{0}
		}
	case "Add", "Sub", "Mul", "Div":
		var in []int
		for i, v := range n.Inputs[:2] {
			if w := p.consts[v]; w == nil || len(w.Dims) > 1 {
				in = append(in, i)
			}
		}
		return in
	default:
		for _, u := range unaries() {
			if u.name == op {
				return []int{0}
			}
		}
	}
	return nil
}

// Tokens returns how many rows a packed pass needs for a batch without its
// padding: the number of tokens, rounded up so that few shapes arise. It is 0
// where the padded form must be used, or is as good: the graph does not allow
// packing, or has attention that depends on more than which tokens are there, or a
// mean over positions whose mask is not 0 at padding;
// padding is not at the end of sequences, or is so little, less than an eighth, that
// making a pass of another shape may cost more than it saves. inputs are those of
// [Feed].
func (p *Program) Tokens(batch, seq int, inputs map[string][]int64) int {
	if p.packing == nil || batch < 1 || seq < 1 {
		return 0
	}
	d := newDataFeed(&Pass{program: p, B: batch, S: seq})
	names := []string{p.packing.bias}
	for _, mask := range p.packing.pools {
		if !slices.Contains(names, mask) {
			names = append(names, mask)
		}
	}
	for _, name := range names {
		d.require(name)
	}
	in, err := d.tensors(Feed{Inputs: inputs})
	if err == nil {
		err = d.addSizes(in)
	}
	if err != nil {
		return 0 // Run will say what is wrong
	}
	out, err := p.data.Run(context.Background(), in, names...)
	if err != nil {
		return 0
	}
	n, lengths := 0, seenLengths(nil, out[p.packing.bias], batch, seq)
	for _, l := range lengths {
		n += l
	}
	for _, mask := range names[1:] {
		if !zeroBeyond(out[mask], lengths, seq) {
			return 0
		}
	}
	step := max(rowStep, (batch*seq/32+rowStep-1)/rowStep*rowStep)
	if n = (n + step - 1) / step * step; 8*n > 7*batch*seq {
		return 0
	}
	return n
}

// rowStep is the least distance between numbers of packed rows.
const rowStep = 64

// hiddenBias is what hides a key: beside a bias of 0 its probability is exactly 0
// unless scores are thousands apart.
const hiddenBias = -5000

// seenLengths appends to lengths how many tokens of each sequence an attention
// bias [B,1,1 or S,S] lets see, which must be the first ones, and the same for
// every query; nil where it is any other bias.
func seenLengths(lengths []int, t *exec.Tensor, batch, seq int) []int {
	if t == nil || t.Type != onnx.Float || len(t.Shape) != 4 || t.Shape[0] != batch || t.Shape[1] != 1 || t.Shape[3] != seq {
		return nil
	}
	queries := t.Shape[2]
	if queries != 1 && queries != seq {
		return nil
	}
	for b := range batch {
		keys := t.F32[b*queries*seq:][:seq]
		n := 0
		for n < seq && keys[n] == 0 {
			n++
		}
		if n == 0 || slices.ContainsFunc(keys[n:], func(v float32) bool { return !(v <= hiddenBias) }) {
			return nil
		}
		for q := 1; q < queries; q++ {
			if !slices.Equal(keys, t.F32[(b*queries+q)*seq:][:seq]) {
				return nil
			}
		}
		lengths = append(lengths, n)
	}
	return lengths
}

// packed is where the tokens of the batch of this run lie in a packed pass.
type packed struct {
	n, seq  int
	lengths []int
	offsets []int   // [B+1]: the first row of each sequence, and the number of tokens
	rows    []int64 // flat positions b·S+s of the tokens, in order
	longest int
	masks   []string // what is to be 0 at padding
}

// NewPackedPass is [Program.NewPass] for batches whose padding is left out: what
// the encoder computes for each token by itself it computes for tokens rows, the
// number that [Program.Tokens] gave for the batch. Inputs are fed as to a padded
// pass. Losses read [R,·] and [B,·] as there; outputs with a row for each token
// have an error that wraps [ErrPadding].
//
// Values and gradients agree with those of the padded form but for rounding, with
// dropout too, since a token's mask follows from its place in the padded batch.
func (p *Program) NewPackedPass(batch, seq, rows, tokens int) (*Pass, error) {
	q, err := p.NewPass(batch, seq, rows)
	if err != nil {
		return nil, err
	}
	if p.packing == nil || tokens < 1 || tokens > batch*seq {
		return nil, fmt.Errorf("autodiff: a packed pass of %d rows for %d sequences of %d tokens; ask Program.Tokens, and use NewPass where it is 0", tokens, batch, seq)
	}
	q.bias = p.packing.bias
	q.pack = &packed{n: tokens, seq: seq, offsets: make([]int, batch+1), rows: make([]int64, 0, tokens)}
	q.data.require(p.packing.bias)
	return q, nil
}

// needs are the values that place reads.
func (q *Pass) needs() []string {
	if q.pack == nil {
		return nil
	}
	return append([]string{q.bias}, q.pack.masks...)
}

// place finds the tokens of this run.
func (k *packed) place(bias *exec.Tensor, values map[string]*exec.Tensor) error {
	k.lengths = seenLengths(k.lengths[:0], bias, len(k.offsets)-1, k.seq)
	k.rows, k.longest = k.rows[:0], 0
	for b, l := range k.lengths {
		k.longest = max(k.longest, l)
		k.offsets[b+1] = k.offsets[b] + l
		for s := range min(l, k.n-len(k.rows)) {
			k.rows = append(k.rows, int64(b*k.seq+s))
		}
	}
	const remedy = "take the pass that Program.Tokens names for the batch"
	switch n := k.offsets[len(k.offsets)-1]; {
	case len(k.lengths) == 0:
		return fmt.Errorf("autodiff: a packed pass wants all padding at the end of sequences, and tokens in each; %s", remedy)
	case n > k.n:
		return fmt.Errorf("autodiff: a batch of %d tokens for a packed pass of %d rows; %s", n, k.n, remedy)
	}
	for _, mask := range k.masks {
		if !zeroBeyond(values[mask], k.lengths, k.seq) {
			return fmt.Errorf("autodiff: the mask %q of a mean over positions is not 0 at padding; %s", mask, remedy)
		}
	}
	return nil
}

// tokens is the number of tokens; the rows after them are 0, and nothing reads
// their gradients.
func (k *packed) tokens() int { return len(k.rows) }

// rowOf is the row of flat position i, −1 for padding.
func (k *packed) rowOf(i int64) int64 {
	b, s := int(i)/k.seq, int(i)%k.seq
	if s >= k.lengths[b] {
		return -1
	}
	return int64(k.offsets[b] + s)
}

// cannotPack is the error of a node that needs the padded form.
func cannotPack(label string) error { return fmt.Errorf("%w: node %s", ErrPadding, label) }

// packedLowering is how a packed pass builds a node, nil for the ordinary way.
func (q *Pass) packedLowering(n *onnx.Node) (lowering, error) {
	k, p := q.program.packing, q.program
	inside := len(p.rowInputs(n)) > 0 && k.rows[n.Outputs[0]]
	switch op := opName(n); {
	case inside, op == "lite.Attention":
		return nil, nil
	case op == "lite.GatherRows" && k.rows[n.Inputs[0]]:
		return lowerPackedRows, nil
	case op == "Gather" && k.rows[n.Inputs[0]] && p.isFirst(n):
		return lowerPackedFirst, nil
	case k.pools[n] != "":
		return lowerPackedPool, nil
	case slices.ContainsFunc(n.Inputs, func(v string) bool { return k.rows[v] }):
		return nil, cannotPack(nodeName(n))
	case !slices.ContainsFunc(n.Outputs, func(v string) bool { return k.rows[v] }):
		return nil, nil
	case op == "Gather" && n.Int("axis", 0) == 0 && len(n.Outputs) == 1:
		return lowerPackedGather, nil
	case len(n.Outputs) != 1:
		return nil, cannotPack(nodeName(n))
	}
	return lowerPack, nil
}

// isFirst tells the Gather that takes the first token of every sequence.
func (p *Program) isFirst(n *onnx.Node) bool {
	t := p.consts[n.Inputs[1]]
	if t == nil || n.Int("axis", 0) != 1 || t.Len() != 1 || len(t.Dims) > 1 {
		return false
	}
	id, err := t.Int64s()
	return err == nil && id[0] == 0
}

// lowerPack computes a value in full and takes the rows of the tokens.
func lowerPack(q *Pass, n *onnx.Node) ([]*value, error) {
	lower := q.program.lowerings[opName(n)]
	if lower == nil {
		return nil, fmt.Errorf("autodiff: node %s: no gradient for operator %s", nodeName(n), opName(n))
	}
	v, err := lower(q, n)
	if err != nil {
		return nil, err
	}
	return one(q.packRows(nodeName(n), v[0]))
}

// packRows takes the rows of the tokens of a value that broadcasts to [B,S,·].
func (q *Pass) packRows(label string, x *value) (*value, error) {
	if x.rank() < 2 {
		return x, nil // the same for all rows
	}
	c := &packedGather{pack: q.pack, n: x.width(), limit: x.rows(), ids: make([]int64, q.pack.n)}
	var err error
	if c.strides, err = q.tokenStrides(label, x.shape[:x.rank()-1]); err != nil {
		return nil, err
	}
	return q.add(q.newOp("Pack", label, c, x), q.pack.n, c.n)
}

// tokenStrides is how far apart sequences and positions are in a value that
// broadcasts to [B,S].
func (q *Pass) tokenStrides(label string, shape []int) ([2]int, error) {
	if len(shape) <= 2 {
		if strides, err := broadcastStrides(shape, []int{q.B, q.S}); err == nil {
			return [2]int(strides), nil
		}
	}
	return [2]int{}, cannotPack(label)
}

// lowerPackedGather looks up the rows of a table for the tokens alone.
func lowerPackedGather(q *Pass, n *onnx.Node) ([]*value, error) {
	x, err := q.float(n, 0)
	if err != nil {
		return nil, err
	}
	ids, err := q.value(n.Inputs[1])
	if err != nil {
		return nil, err
	}
	if x.rank() != 2 || q.data.flat[ids] {
		return lowerPack(q, n)
	}
	c := &packedGather{pack: q.pack, n: x.width(), limit: x.rows(), ids: make([]int64, q.pack.n)}
	if c.strides, err = q.tokenStrides(nodeName(n), ids.shape); err != nil {
		return nil, err
	}
	return one(q.add(q.newOp("PackedGather", nodeName(n), c, x, ids), q.pack.n, c.n))
}

// lowerPackedRows takes rows, by their flat positions, of a packed value.
func lowerPackedRows(q *Pass, n *onnx.Node) ([]*value, error) {
	if q.R == 0 {
		return nil, fmt.Errorf("autodiff: node %s: the pass has no rows; give NewPackedPass the number of rows, or ask for outputs that need none", nodeName(n))
	}
	x, err := q.float(n, 0)
	if err != nil {
		return nil, err
	}
	rows, err := q.value(n.Inputs[1])
	if err != nil {
		return nil, err
	}
	c := &takeRows{pack: q.pack, n: x.width(), positions: q.B * q.S, ids: make([]int64, rows.size())}
	return one(q.add(q.newOp("GatherRows", nodeName(n), c, x, rows), rows.size(), c.n))
}

// lowerPackedFirst takes the first token of every sequence.
func lowerPackedFirst(q *Pass, n *onnx.Node) ([]*value, error) {
	x, err := q.float(n, 0)
	if err != nil {
		return nil, err
	}
	shape := []int{q.B, x.width()}
	if len(q.program.consts[n.Inputs[1]].Dims) == 1 {
		shape = []int{q.B, 1, x.width()}
	}
	c := &takeRows{pack: q.pack, n: x.width(), ids: make([]int64, q.B)}
	return one(q.add(q.newOp("FirstRows", nodeName(n), c, x), shape...))
}

// isRows reports whether a value has a row for each token in this pass.
func (q *Pass) isRows(name string) bool {
	return q.pack != nil && q.program.packing.rows[name]
}
