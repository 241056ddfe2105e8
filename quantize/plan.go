package quantize

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/onnx"
)

// plan is what will be quantized, with everything that does not depend on
// which sites a budget leaves out: quantized weights and calibrated ranges.
type plan struct {
	config *Config
	model  *onnx.Model
	graph  graph
	sites  []*site
	skips  []*skip

	mu      sync.Mutex
	weights map[weightKey]*Quantized
	grids   map[string]Activation // by activation name, Static only
	ranges  map[string][2]float32
}

// weightKey identifies a quantized weight: the tensor and its channel axis.
type weightKey struct {
	tensor *onnx.Tensor
	rows   bool // channels are the tensor's rows, kept in its own layout
	flip   bool // stored transposed
	table  bool // an embedding table: always symmetric
}

// newPlan finds the sites of m that the configuration selects.
func newPlan(m *onnx.Model, c *Config) (*plan, error) {
	include, err := newSelector("NodesToInclude", c.NodesToInclude)
	if err != nil {
		return nil, err
	}
	exclude, err := newSelector("NodesToExclude", c.NodesToExclude)
	if err != nil {
		return nil, err
	}
	p := &plan{config: c, model: m, weights: map[weightKey]*Quantized{},
		graph: graph{inits: m.Graph.InitializerMap(), producers: m.Graph.Producers()}}
	for i, n := range m.Graph.Nodes {
		excluded, included := exclude.match(n), include.match(n)
		s, no := p.graph.inspect(n, i)
		switch {
		case s == nil && no == nil:
			continue
		case s == nil:
		case !c.wants(n.Op):
			no = &skip{node: n, index: i, why: "its operator type is not selected"}
		case excluded:
			no = &skip{node: n, index: i, why: "excluded by NodesToExclude"}
		case len(c.NodesToInclude) > 0 && !included:
			no = &skip{node: n, index: i, why: "not in NodesToInclude"}
		}
		if no != nil {
			p.skips = append(p.skips, no)
		} else {
			p.sites = append(p.sites, s)
		}
	}
	for _, s := range []*selector{exclude, include} {
		if item := s.unused(); item != "" {
			return nil, misfit.Errorf("quantize: %s: %q selects no node of the model; list the nodes with `lite inspect --int8`", s.field, item)
		}
	}
	p.tie()
	return p, p.quantizeWeights()
}

// wants reports whether nodes of that operator are to be quantized.
func (c *Config) wants(op string) bool {
	if op == "Gather" && !c.Embeddings {
		return false
	}
	return len(c.OpTypes) == 0 || slices.Contains(c.OpTypes, op)
}

// tie finds the decoders that are the transpose of an embedding table,
// whether through a Transpose or, as torch exports a tied decoder, as a second
// initializer with the same values: both then read one int8 table, whose row
// scales are the decoder's output channel scales. A decoder tied by Transpose
// to a table that stays float stays float too: an int8 copy would make the
// file larger, not smaller.
func (p *plan) tie() {
	tables := map[*onnx.Tensor]bool{}
	var order []*onnx.Tensor
	for _, s := range p.sites {
		if s.gather && !tables[s.weight.tensor] {
			tables[s.weight.tensor] = true
			order = append(order, s.weight.tensor)
		}
	}
	float := map[*onnx.Tensor]bool{}
	for _, k := range p.skips {
		if k.node.Op == "Gather" {
			t, _ := p.graph.constant(k.node.Inputs[0])
			float[t] = true
		}
	}
	share := !p.config.Asymmetric
	p.sites = slices.DeleteFunc(p.sites, func(s *site) bool {
		if s.gather {
			return false
		}
		if float[s.weight.tensor] && !tables[s.weight.tensor] && len(p.config.NodesToInclude) == 0 {
			p.skips = append(p.skips, &skip{node: s.node, index: s.index, why: "its weight is an embedding table that stays float, so an int8 copy would add to the file; quantize the embeddings too, or name the node in NodesToInclude"})
			return true
		}
		if !share {
			return false
		}
		if s.weight.transposed && tables[s.weight.tensor] {
			s.weight.table = true
			return false
		}
		for _, t := range order {
			if !s.weight.transposed && equalTransposed(t, s.weight.tensor) {
				s.weight = weight{tensor: t, transposed: true, table: true}
				break
			}
		}
		return false
	})
}

// equalTransposed reports whether b [H, V] holds the transpose of a [V, H].
func equalTransposed(a, b *onnx.Tensor) bool {
	if len(a.Dims) != 2 || len(b.Dims) != 2 || a.Dims[0] != b.Dims[1] || a.Dims[1] != b.Dims[0] {
		return false
	}
	x, err := a.Floats()
	if err != nil {
		return false
	}
	y, err := b.Floats()
	if err != nil {
		return false
	}
	rows, cols := int(a.Dims[0]), int(a.Dims[1])
	for r := range rows {
		for c := range cols {
			if x[r*cols+c] != y[c*rows+r] {
				return false
			}
		}
	}
	return true
}

// key is the form in which the site's weight is stored. shared tells whether a
// decoder reads the embedding's int8 table.
func (s *site) key(shared bool) weightKey {
	if s.gather || shared {
		return weightKey{tensor: s.weight.tensor, rows: true, table: true}
	}
	return weightKey{tensor: s.weight.tensor, flip: s.weight.transposed}
}

// quantizeWeights fills the cache with what a build without exclusions needs,
// on all processors.
func (p *plan) quantizeWeights() error {
	var keys []weightKey
	seen := map[weightKey]bool{}
	for _, s := range p.sites {
		if k := s.key(s.weight.table); !seen[k] {
			seen[k] = true
			keys = append(keys, k)
		}
	}
	var wg sync.WaitGroup
	errs := make([]error, len(keys))
	gate := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, k := range keys {
		wg.Add(1)
		gate <- struct{}{}
		go func() {
			defer func() { <-gate; wg.Done() }()
			errs[i] = onnx.Guard(func() error { _, err := p.quantized(k); return err })
		}()
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// quantized returns the weight in the form k, from the cache if it is there.
func (p *plan) quantized(k weightKey) (*Quantized, error) {
	p.mu.Lock()
	q := p.weights[k]
	p.mu.Unlock()
	if q != nil {
		return q, nil
	}
	s := Scheme{PerChannel: p.config.PerChannel, Asymmetric: p.config.Asymmetric && !k.table, ReduceRange: p.config.ReduceRange}
	q, err := s.quantizeTensor(k.tensor, k.rows || k.flip)
	if err != nil {
		return nil, fmt.Errorf("quantize: weight %s: %w", k.tensor.Name, err)
	}
	k.tensor.Forget()
	if k.flip {
		q.Q = transpose(q.Q, int(k.tensor.Dims[0]), int(k.tensor.Dims[1]))
	}
	p.mu.Lock()
	p.weights[k] = q
	p.mu.Unlock()
	return q, nil
}

// transpose returns the [cols, rows] transpose of a [rows, cols] matrix.
func transpose(x []int8, rows, cols int) []int8 {
	out := make([]int8, len(x))
	for r := range rows {
		for c := range cols {
			out[c*rows+r] = x[r*cols+c]
		}
	}
	return out
}

// whyNothing explains an empty plan: up to three different reasons, each with
// the first node it holds for.
func (p *plan) whyNothing() string {
	if len(p.skips) == 0 {
		return "the model has no MatMul, Gemm or embedding with a constant float weight"
	}
	var list, seen []string
	for _, k := range p.skips {
		if len(list) == 3 || slices.Contains(seen, k.why) {
			continue
		}
		seen = append(seen, k.why)
		list = append(list, fmt.Sprintf("%s: %s", k.node.Label(), k.why))
	}
	return strings.Join(list, "; ")
}
