package exec

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/litekit/lite/onnx"
)

// Fusion replaces values: what lies between a product and its activation is
// never in memory. Whoever asks for such a value gets it from a variant of the
// session, compiled from the same model with the value as an output, which fusion
// leaves alone.

// variants are the variants made so far, by the sorted names that they keep.
type variants struct {
	mu   sync.Mutex
	list []*variant // the last one asked for at the end
}

type variant struct {
	key  string
	once sync.Once
	s    *Session
	err  error
}

// maxVariants bounds how many are kept; the one not asked for longest goes.
const maxVariants = 8

// keeping returns the variant that keeps the named values, all of the graph.
func (s *Session) keeping(names []string) (*Session, error) {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	key := strings.Join(names, "\x00")
	s.variants.mu.Lock()
	i := slices.IndexFunc(s.variants.list, func(v *variant) bool { return v.key == key })
	v := &variant{key: key}
	if i >= 0 {
		v = s.variants.list[i]
		s.variants.list = slices.Delete(s.variants.list, i, i+1)
	}
	s.variants.list = append(s.variants.list, v)
	if len(s.variants.list) > maxVariants {
		s.variants.list = slices.Delete(s.variants.list, 0, 1)
	}
	s.variants.mu.Unlock()
	v.once.Do(func() { v.s, v.err = s.variant(names) })
	return v.s, v.err
}

// variant compiles the model once more with further outputs.
func (s *Session) variant(names []string) (v *Session, err error) {
	m := s.model.Clone()
	for _, name := range names {
		if m.Graph.IsOutput(name) {
			continue
		}
		out := &onnx.ValueInfo{Name: name}
		for _, d := range m.Graph.Values {
			if d.Name == name {
				out = d
			}
		}
		m.Graph.Outputs = append(m.Graph.Outputs, out)
	}
	v = &Session{model: s.model, functions: s.functions, opts: s.opts, limit: s.limit, parent: s}
	err = onnx.Guard(func() error { return v.build(m) })
	if err != nil {
		return nil, fmt.Errorf("exec: to keep %q: %w", names, err)
	}
	return v, nil
}

// runWithVariant is Run where a variant must compute some of the outputs.
func (s *Session) runWithVariant(ctx context.Context, in map[string]*Tensor, outputs []string) (map[string]*Tensor, error) {
	var own, kept []string
	for _, name := range outputs {
		switch {
		case s.holds(name):
			own = append(own, name)
		case s.parent == nil && s.inGraph(name):
			kept = append(kept, name)
		default:
			return nil, s.unknownOutput(name)
		}
	}
	v, err := s.keeping(kept)
	if err != nil {
		return nil, err
	}
	res, err := v.Run(ctx, in, kept...)
	if err != nil || len(own) == 0 {
		return res, err
	}
	more, err := s.Run(ctx, in, own...)
	if err != nil {
		return nil, err
	}
	for name, t := range more {
		res[name] = t
	}
	return res, nil
}

// inGraph reports whether the model's graph itself, not a body in it, has the value.
func (s *Session) inGraph(name string) bool {
	g := s.model.Graph
	if name == "" {
		return false
	}
	return makes(g.Nodes, name) || slices.ContainsFunc(g.Inputs, func(v *onnx.ValueInfo) bool { return v.Name == name }) ||
		slices.ContainsFunc(g.Initializers, func(t *onnx.Tensor) bool { return t.Name == name })
}

func makes(nodes []*onnx.Node, name string) bool {
	return slices.ContainsFunc(nodes, func(n *onnx.Node) bool { return slices.Contains(n.Outputs, name) })
}

// unknownOutput says why a value cannot be asked for.
func (s *Session) unknownOutput(name string) error {
	for _, n := range s.model.Graph.Nodes {
		if name != "" && insideBody(n, name) {
			return fmt.Errorf("exec: %q is inside the body of node %s (%s); only values of the graph itself can be asked for: make it an output of the node", name, n.Label(), n.Op)
		}
	}
	for _, f := range s.functions {
		if name != "" && makes(f.Nodes, name) {
			return fmt.Errorf("exec: %q is inside function %s; only values of the graph itself can be asked for: make it an output of the function", name, f.Name)
		}
	}
	return fmt.Errorf("exec: %q is not a value of the graph, whose outputs are %s", name, quoted(s.outputs))
}

func insideBody(n *onnx.Node, name string) bool {
	return slices.ContainsFunc(n.Graphs(), func(g *onnx.Graph) bool {
		return makes(g.Nodes, name) || slices.ContainsFunc(g.Inputs, func(v *onnx.ValueInfo) bool { return v.Name == name }) ||
			slices.ContainsFunc(g.Nodes, func(n *onnx.Node) bool { return insideBody(n, name) })
	})
}

// held is the session's own form of an initializer, nil where it has none or
// holds it only as the kernels want it.
func (s *Session) held(name string, t *onnx.Tensor) *Tensor {
	if s == nil || s.weights[name] != t {
		return nil
	}
	id, ok := s.values[name]
	if !ok || s.consts[id] == nil || s.consts[id].dataLen() != s.consts[id].Len() {
		return nil
	}
	return s.consts[id]
}
