package student

import (
	"fmt"
	"slices"
	"strings"

	"github.com/litekit/lite/onnx"
)

// Transfer says what [CopyReport] did with each parameter of the student, by
// Hugging Face name in the student's order.
type Transfer struct {
	// Layers holds the source's layer for each layer of the student.
	Layers []int
	// Copied took the source's values whole.
	Copied []string
	// Narrowed took a part of each row, column or vector: see [CopyNarrow].
	Narrowed []string
	// Factored took what the student's factorised embeddings can hold of the
	// source's wider ones; Energy is the share of their squares that this is, 0 where
	// nothing was factored.
	Factored []string
	Energy   float64
	// Partial took the rows both have (position and token type embeddings).
	Partial []string
	// Zeroed are token type embeddings and biases that the source lacks: zero
	// makes the student compute what the source does.
	Zeroed []string
	// Fresh kept the student's values, with the reason.
	Fresh []Kept
}

// Kept is a parameter that was not copied, and why.
type Kept struct{ Name, Reason string }

// Copy returns dst with the weights of src: embeddings, the chosen layers (one
// of src's for each of dst's, counted from 0; nil takes [Spread]), pooler, and
// the heads whose role, size and labels agree. Both may be any encoder that can be
// detected; weights are transposed where the two store them differently.
// Factorised embeddings of dst take as much of src's as they can hold, by singular
// value decomposition; the masked-LM transform, which leads to their width, stays
// fresh. An untied decoder whose like src has not starts as dst's word embeddings.
// What does not agree in size keeps dst's values; [CopyReport] tells which.
func Copy(dst, src *onnx.Model, layers []int) (*onnx.Model, error) {
	m, _, err := CopyReport(dst, src, layers)
	return m, err
}

// CopyReport is [Copy] with an account of what was copied.
//
// Errors: no encoder in one of the models, one that cannot run, a bad choice of layers, one
// initializer of dst that stands for several parameters, or no parameter of
// the encoder that agrees in size.
func CopyReport(dst, src *onnx.Model, layers []int) (*onnx.Model, Transfer, error) {
	return copyWeights(dst, src, layers, false)
}

func copyWeights(dst, src *onnx.Model, layers []int, narrow bool) (*onnx.Model, Transfer, error) {
	for i, m := range []*onnx.Model{dst, src} {
		if m == nil || m.Graph == nil {
			continue // reported below
		}
		if err := m.CheckRun(); err != nil {
			return nil, Transfer{}, fmt.Errorf("student: the model to copy %s cannot run: %w", []string{"into", "from"}[i], err)
		}
	}
	d, err := dissect(dst)
	if err != nil {
		return nil, Transfer{}, fmt.Errorf("%w (the model to copy into)", err)
	}
	s, err := dissect(src)
	if err != nil {
		return nil, Transfer{}, fmt.Errorf("%w (the model to copy from)", err)
	}
	n, k := len(s.enc.Layers), len(d.enc.Layers)
	if layers == nil {
		if layers, err = Spread(n, k); err != nil {
			return nil, Transfer{}, err
		}
	}
	if err := checkChoice(layers, n, k); err != nil {
		return nil, Transfer{}, err
	}
	if err := d.unshared(); err != nil {
		return nil, Transfer{}, err
	}
	c := &copier{dst: d, src: s, out: dst.Clone(), report: Transfer{Layers: slices.Clone(layers)}}
	if narrow {
		if c.narrow, err = newNarrowing(d, s, layers); err != nil {
			return nil, Transfer{}, err
		}
	}
	if c.factored, err = c.factor(); err != nil {
		return nil, Transfer{}, err
	}
	for _, slot := range d.slots {
		if err := c.slot(slot, layers); err != nil {
			return nil, Transfer{}, err
		}
	}
	if len(c.report.Copied)+len(c.report.Narrowed)+len(c.report.Factored) == 0 {
		return nil, Transfer{}, fmt.Errorf("student: nothing to copy: the student (%v) agrees with the source (%v) in no size; give it the source's hidden size, or keep its fresh weights", d.shape(), s.shape())
	}
	return c.out, c.report, nil
}

// unshared reports an initializer that holds two parameters: exporters merge
// equal ones, and writing one would change the other.
func (a *anatomy) unshared() error {
	if a.enc.Projected != nil {
		return fmt.Errorf("student: the embeddings of the model to copy into are projected before their LayerNorm; copy into a model made by student.New")
	}
	role := map[string]string{}
	for _, s := range a.slots {
		if other, ok := role[s.init]; ok {
			return fmt.Errorf("student: initializer %q stands for %s and %s; copy into a model made by student.New", s.init, other, s.name)
		}
		role[s.init] = s.name
	}
	return nil
}

type copier struct {
	dst, src *anatomy
	out      *onnx.Model
	report   Transfer
	narrow   *narrowing // nil where sizes must agree
	factored *factoring // nil where nothing is factored
}

// took tells whether a parameter has the source's values, or a part of them.
func (c *copier) took(name string) bool {
	return slices.Contains(c.report.Copied, name) || slices.Contains(c.report.Narrowed, name) || slices.Contains(c.report.Factored, name)
}

// part sets a parameter from the factored embeddings, and tells whether it is of them.
func (c *copier) part(s slot) (bool, error) {
	if c.factored == nil || c.factored.values[s.name] == nil {
		return false, nil
	}
	old, dims, err := c.dst.values(s)
	if err != nil {
		return false, err
	}
	rows := slices.Clone(old)
	copy(rows, c.factored.values[s.name]) // there may be more positions or token types
	c.set(s, rows, dims)
	c.report.Factored, c.report.Energy = append(c.report.Factored, s.name), c.factored.energy
	return true, nil
}

// decoder starts an untied decoder [E,V] as the student's own word embeddings,
// where those are the source's.
func (c *copier) decoder(s slot) bool {
	word := c.out.Graph.Initializer(c.dst.enc.Word)
	if s.name != decoderName || word == nil || !c.took(wordName) {
		return false
	}
	v, err := word.Floats()
	if err != nil || len(word.Dims) != 2 {
		return false
	}
	c.set(s, transpose(v, int(word.Dims[0]), int(word.Dims[1])), []int64{word.Dims[1], word.Dims[0]})
	list := &c.report.Copied
	if slices.Contains(c.report.Narrowed, wordName) {
		list = &c.report.Narrowed
	} else if slices.Contains(c.report.Factored, wordName) {
		list = &c.report.Factored
	}
	*list = append(*list, s.name)
	return true
}

// slot fills one parameter of the student.
func (c *copier) slot(s slot, layers []int) error {
	if done, err := c.part(s); done || err != nil {
		return err
	}
	name := s.name
	sourceLayer, own, otherHeads := -1, -1, false
	for i, l := range layers {
		if rest, ok := strings.CutPrefix(s.name, layerName(i)+"."); ok {
			name, sourceLayer, own = layerName(l)+"."+rest, l, i
			d, src := c.dst.enc.Layers[i], c.src.enc.Layers[l]
			attention := strings.HasPrefix(rest, "attention.") && !strings.Contains(rest, "LayerNorm")
			otherHeads = attention && (d.Heads != src.Heads || d.HeadDim != src.HeadDim)
			if otherHeads && c.narrow == nil {
				return c.keep(s, fmt.Sprintf("%d heads of %d, the source has %d of %d", d.Heads, d.HeadDim, src.Heads, src.HeadDim))
			}
			break
		}
	}
	j, ok := c.src.byRol[name]
	if !ok {
		return c.absent(s, sourceLayer >= 0)
	}
	from := c.src.slots[j]
	if reason := c.headsDiffer(s, from); reason != "" {
		return c.keep(s, reason)
	}
	if stem, ok := strings.CutSuffix(s.name, ".bias"); ok {
		// A bias means nothing under another weight.
		if _, ok := c.dst.byRol[stem+".weight"]; ok && !c.took(stem+".weight") {
			return c.keep(s, "its weight is fresh")
		}
	}
	v, dims, err := c.src.values(from)
	if err != nil {
		return err
	}
	if s.name == positionName {
		v, dims = c.skipPadding(v, dims)
	}
	return c.take(s, own, v, dims, otherHeads)
}

// take sets a parameter, of the student's layer own (−1 outside the layers), from the
// source's values: all of them where sizes agree, else what can be had.
func (c *copier) take(s slot, own int, v []float32, dims []int64, otherHeads bool) error {
	old, want, err := c.dst.values(s)
	if err != nil {
		return err
	}
	switch {
	case slices.Equal(dims, want) && !otherHeads:
		c.set(s, v, want)
		c.report.Copied = append(c.report.Copied, s.name)
	case (s.name == positionName || s.name == typeName) && len(dims) == 2 && len(want) == 2 && dims[1] == want[1]:
		rows := slices.Clone(old)
		copy(rows, v)
		c.set(s, rows, want)
		c.report.Partial = append(c.report.Partial, s.name)
	default:
		if c.narrow != nil {
			if part, ok := c.narrow.cut(s.name, own, v, dims, want); ok {
				c.set(s, part, want)
				c.report.Narrowed = append(c.report.Narrowed, s.name)
				return nil
			}
		}
		if c.decoder(s) {
			return nil
		}
		return c.keep(s, fmt.Sprintf("size %v, the source has %v", want, dims))
	}
	return nil
}

// skipPadding drops the rows before the first position: RoBERTa counts
// positions from pad_token_id + 1.
func (c *copier) skipPadding(v []float32, dims []int64) ([]float32, []int64) {
	cfg := c.src.m.Config
	if cfg == nil || len(dims) != 2 || !slices.Contains([]string{"roberta", "xlm-roberta", "camembert"}, cfg.ModelType) {
		return v, dims
	}
	skip := int64(cfg.PadTokenID) + 1
	if skip >= dims[0] {
		return v, dims
	}
	return v[skip*dims[1]:], []int64{dims[0] - skip, dims[1]}
}

// absent handles a parameter that the source does not have.
func (c *copier) absent(s slot, inLayer bool) error {
	bias := inLayer && strings.HasSuffix(s.name, ".bias")
	if bias {
		// Zero only where the layer's weight is the source's.
		weight := strings.TrimSuffix(s.name, ".bias") + ".weight"
		bias = c.took(weight)
	}
	if s.name == typeName && c.took(wordName) || bias {
		_, dims, err := c.dst.values(s)
		if err != nil {
			return err
		}
		n := 1
		for _, d := range dims {
			n *= int(d)
		}
		c.set(s, make([]float32, n), dims)
		c.report.Zeroed = append(c.report.Zeroed, s.name)
		return nil
	}
	if c.decoder(s) || c.narrow != nil && c.chosen(s) {
		return nil
	}
	return c.keep(s, "the source has none")
}

// headsDiffer says why a head of the same role is not the same head.
func (c *copier) headsDiffer(d, s slot) string {
	switch {
	case d.labels == 0:
		return ""
	case d.pooled != s.pooled:
		return "the source's reads other states (pooled or token)"
	case d.labels != s.labels:
		return fmt.Sprintf("%d classes, the source has %d", d.labels, s.labels)
	}
	dc, sc := c.dst.m.Config, c.src.m.Config
	if strings.HasPrefix(d.name, "classifier.") && dc != nil && sc != nil &&
		len(dc.ID2Label) > 0 && len(sc.ID2Label) > 0 && !slices.Equal(dc.ID2Label, sc.ID2Label) {
		return "the labels differ from the source's"
	}
	dl, derr := ReadLite(dc)
	sl, serr := ReadLite(sc)
	if derr != nil || serr != nil {
		return ""
	}
	if strings.HasPrefix(d.name, "cls.pos.") && !slices.Equal(dl.POSLabels, sl.POSLabels) ||
		strings.HasPrefix(d.name, "cls.ner.") && !slices.Equal(dl.NERLabels, sl.NERLabels) {
		return "the tags differ from the source's"
	}
	return ""
}

func (c *copier) keep(s slot, reason string) error {
	c.report.Fresh = append(c.report.Fresh, Kept{s.name, reason})
	return nil
}

// set stores values given in the layout of the role.
func (c *copier) set(s slot, v []float32, dims []int64) {
	if s.transB {
		v, dims = transpose(v, int(dims[0]), int(dims[1])), []int64{dims[1], dims[0]}
	}
	setConstant(c.out, onnx.NewFloats(s.init, v, dims...))
}

// setConstant replaces an initializer, or the value of the Constant node of that output.
func setConstant(m *onnx.Model, t *onnx.Tensor) {
	if m.Graph.Initializer(t.Name) == nil {
		for _, n := range m.Graph.Nodes {
			if n.Op == "Constant" && len(n.Outputs) == 1 && n.Outputs[0] == t.Name {
				c := *t
				c.Name = ""
				n.Attr("value").Tensor = &c
				return
			}
		}
	}
	m.Graph.SetInitializer(t)
}
