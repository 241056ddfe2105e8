package student

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/litekit/lite/onnx"
)

// Keep returns m with only the named outputs, without the nodes and weights
// that the others needed. The entry "lite", the architecture and the labels
// of config.json follow. Outputs keep their names and the order of m.
func Keep(m *onnx.Model, outputs ...string) (*onnx.Model, error) {
	if m == nil || m.Graph == nil {
		return nil, fmt.Errorf("student: the model has no graph")
	}
	if len(outputs) == 0 {
		return nil, fmt.Errorf("student: no output to keep; the model has %s", outputNames(m))
	}
	for _, o := range outputs {
		if !m.Graph.IsOutput(o) {
			return nil, fmt.Errorf("student: the model has no output %q to keep; it has %s", o, outputNames(m))
		}
	}
	c := m.Clone()
	c.Graph.Outputs = slices.DeleteFunc(c.Graph.Outputs, func(v *onnx.ValueInfo) bool {
		return !slices.Contains(outputs, v.Name)
	})
	c.Graph.Prune()
	if c.Config == nil {
		return c, nil
	}
	l, err := ReadLite(c.Config)
	if err != nil || len(l.Heads) == 0 {
		return c, err
	}
	heads, err := HeadsOf(c.Config)
	if err != nil {
		return nil, err
	}
	var kept []Head
	for i, h := range heads {
		if slices.Contains(outputs, h.Output(i == 0)) {
			kept = append(kept, h)
		}
	}
	return c, setHeads(c.Config, kept)
}

func outputNames(m *onnx.Model) string {
	names := make([]string, len(m.Graph.Outputs))
	for i, o := range m.Graph.Outputs {
		names[i] = o.Name
	}
	return strings.Join(names, ", ")
}

// WithHeads returns the encoder of m, whatever its sizes, under other heads:
// a masked-LM student becomes a classifier, a classifier gains auxiliary
// heads. Parameters of pooler, transform and heads that m has in the same role
// and size (and with the same labels) keep their values; the rest are fresh
// from (seed, name). Every other output of m is dropped. Below opset 17 the
// transform's LayerNorm is written in primitives.
func WithHeads(m *onnx.Model, heads []Head, seed uint64) (*onnx.Model, error) {
	if err := checkHeads(heads); err != nil {
		return nil, err
	}
	a, err := dissect(m)
	if err != nil {
		return nil, err
	}
	shape := a.shape()
	if shape.Act, err = canonicalAct(shape.Act); err != nil {
		return nil, fmt.Errorf("student: %w", err)
	}
	word := a.inits[a.enc.Word]
	if e := shape.EmbeddingWidth(); word == nil || len(word.Dims) != 2 || int(word.Dims[1]) != e {
		return nil, fmt.Errorf("student: the word embedding %q is not [V,%d]; heads cannot be put on this encoder", a.enc.Word, e)
	}
	if word.Type != onnx.Float {
		return nil, fmt.Errorf("student: the word embedding %q is not float32; heads are float32 and cannot be put on this encoder", a.enc.Word)
	}
	opset, err := headOpset(m)
	if err != nil {
		return nil, err
	}
	c := m.Clone()
	hidden := a.enc.Layers[len(a.enc.Layers)-1].Hidden
	c.Graph.Outputs = []*onnx.ValueInfo{{Name: hidden}}
	c.Graph.Prune()
	if hidden == "logits" || hidden == "last_hidden_state" { // what a head's own output is called
		hidden = renamed(c.Graph, hidden, "encoder_hidden_states")
	}
	b := &builder{g: c.Graph, seed: seed, hidden: shape.Hidden, opset: opset}
	before := len(c.Graph.Nodes)
	c.Graph.Outputs = nil
	b.heads(heads, hidden, shape, a.enc.Word)
	if err := clash(c.Graph, before); err != nil {
		return nil, err
	}
	delete(c.Files, onnx.ModulesFile)
	delete(c.Files, onnx.PoolingFile)
	maps.Copy(c.Files, poolingFiles(heads, shape.Hidden))
	if c.Config == nil {
		c.Config = NewConfig(shape, heads)
	} else if err := setHeads(c.Config, heads); err != nil {
		return nil, err
	}
	return refill(c, a)
}

// refill gives the new heads of c the values that the old model has for them.
func refill(c *onnx.Model, old *anatomy) (*onnx.Model, error) {
	d, err := dissect(c)
	if err != nil {
		return nil, err
	}
	cp := &copier{dst: d, src: old, out: c}
	for _, s := range d.slots {
		if strings.HasPrefix(s.name, "bert.") && !strings.HasPrefix(s.name, poolerName) {
			continue
		}
		if err := cp.slot(s, nil); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// headOpset is the operator set the heads are written in: that of m, at least 9 (Erf).
func headOpset(m *onnx.Model) (int64, error) {
	for _, o := range m.Opsets {
		if o.Domain == "" || o.Domain == "ai.onnx" {
			if o.Version < 9 {
				return 0, fmt.Errorf("student: the model is of opset %d and heads need 9; make a student with student.New and copy the weights", o.Version)
			}
			return o.Version, nil
		}
	}
	return 0, fmt.Errorf("student: the model declares no version of the default operator set")
}

// renamed gives a value another name, to, with a number where that is taken.
func renamed(g *onnx.Graph, value, to string) string {
	taken := map[string]bool{}
	for _, v := range g.Inputs {
		taken[v.Name] = true
	}
	for _, t := range g.Initializers {
		taken[t.Name] = true
	}
	for _, n := range g.Nodes {
		for _, o := range n.Outputs {
			taken[o] = true
		}
	}
	name := to
	for i := 1; taken[name]; i++ {
		name = fmt.Sprintf("%s_%d", to, i)
	}
	for _, n := range g.Nodes {
		for i, o := range n.Outputs {
			if o == value {
				n.Outputs[i] = name
			}
		}
	}
	for _, v := range g.Values {
		if v.Name == value {
			v.Name = name
		}
	}
	g.ReplaceInput(value, name)
	return name
}

// clash reports a value or weight of the encoder that has a name of the heads.
func clash(g *onnx.Graph, before int) error {
	seen := map[string]bool{}
	for _, t := range g.Initializers {
		if seen[t.Name] {
			return fmt.Errorf("student: the encoder has a weight %q already, the name of a head's; rename it first", t.Name)
		}
		seen[t.Name] = true
	}
	for i, n := range g.Nodes {
		for _, o := range n.Outputs {
			if i >= before && seen[o] {
				return fmt.Errorf("student: the encoder has a value %q already, the name of a head's; rename it first", o)
			}
			seen[o] = true
		}
	}
	return nil
}
