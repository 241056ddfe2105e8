package student

import (
	"fmt"
	"slices"
	"strings"

	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/onnx"
)

// slot is a parameter by its role: where a model keeps it and how.
type slot struct {
	name   string // Hugging Face name of the role
	init   string // the initializer (or Constant output) that holds it
	transB bool   // stored [out,in]
	labels int    // classes, for heads whose labels must agree
	pooled bool   // of a head that reads the pooled [CLS]
}

// anatomy is a model's encoder and the roles of its parameters.
type anatomy struct {
	m     *onnx.Model
	enc   *fuse.Encoder
	fused *fuse.Fused
	slots []slot
	byRol map[string]int
	inits map[string]*onnx.Tensor
	// decoder is Tied or Untied, "" where there is none or its weights are not floats.
	decoder string
}

// dissect detects the encoder of m and names its parameters.
func dissect(m *onnx.Model) (*anatomy, error) {
	if m == nil || m.Graph == nil {
		return nil, fmt.Errorf("student: the model has no graph")
	}
	m, err := fuse.LiftWeights(m)
	if err != nil {
		return nil, fmt.Errorf("student: %w", err)
	}
	enc, err := fuse.Detect(m)
	if err != nil {
		return nil, fmt.Errorf("student: no encoder found: %w", err)
	}
	if len(enc.Layers) == 0 {
		return nil, fmt.Errorf("student: the model has no encoder layers")
	}
	fused, err := fuse.Fuse(m)
	if err != nil {
		return nil, fmt.Errorf("student: %w", err)
	}
	a := &anatomy{m: m, enc: enc, fused: fused, byRol: map[string]int{}, inits: constants(m)}
	a.add(slot{name: wordName, init: enc.Word})
	a.add(slot{name: positionName, init: enc.Position})
	a.add(slot{name: typeName, init: enc.Type})
	a.norm(embedNorm, enc.EmbeddingNorm)
	if enc.Projection != nil {
		a.linear(projectName, *enc.Projection)
	}
	for i, l := range enc.Layers {
		n := layerName(i)
		a.linear(n+".attention.self.query", l.Query)
		a.linear(n+".attention.self.key", l.Key)
		a.linear(n+".attention.self.value", l.Value)
		a.linear(n+".attention.output.dense", l.Output)
		a.norm(n+".attention.output.LayerNorm", l.AttentionNorm)
		a.linear(n+".intermediate.dense", l.Up)
		a.linear(n+".output.dense", l.Down)
		a.norm(n+".output.LayerNorm", l.FFNNorm)
	}
	if enc.Pooler != nil {
		a.linear(poolerName, *enc.Pooler)
	}
	for _, l := range enc.Head {
		if enc.Pooler == nil || l.MatMul != enc.Pooler.MatMul {
			a.head(l)
		}
	}
	return a, nil
}

// constants indexes initializers and the values of Constant nodes.
func constants(m *onnx.Model) map[string]*onnx.Tensor {
	c := m.Graph.InitializerMap()
	for _, n := range m.Graph.Nodes {
		if n.Op != "Constant" || len(n.Outputs) != 1 {
			continue
		}
		if v := n.Attr("value"); v != nil && v.Tensor != nil && c[n.Outputs[0]] == nil {
			c[n.Outputs[0]] = v.Tensor
		}
	}
	return c
}

func (a *anatomy) add(s slot) {
	if s.init == "" || a.inits[s.init] == nil {
		return
	}
	if _, ok := a.byRol[s.name]; ok {
		return
	}
	a.byRol[s.name] = len(a.slots)
	a.slots = append(a.slots, s)
}

func (a *anatomy) norm(name string, n fuse.Norm) {
	a.add(slot{name: name + ".weight", init: n.Gamma})
	a.add(slot{name: name + ".bias", init: n.Beta})
}

func (a *anatomy) linear(name string, l fuse.Linear) {
	a.add(slot{name: name + ".weight", init: l.Weight, transB: l.TransB})
	a.add(slot{name: name + ".bias", init: l.Bias})
}

// head gives a linear layer after the encoder its role.
func (a *anatomy) head(l fuse.Linear) {
	role := a.role(l)
	switch role {
	case "cls.predictions":
		tied := a.tied(l)
		if !tied {
			a.add(slot{name: decoderName, init: l.Weight, transB: l.TransB})
		}
		if word, w := a.inits[a.enc.Word], a.inits[l.Weight]; tied {
			a.decoder = Tied
		} else if word != nil && w != nil && word.Type == w.Type && w.Type == onnx.Float {
			a.decoder = Untied
		}
		a.add(slot{name: decoderBias, init: l.Bias})
		return
	case transformFC:
		a.linear(role, l)
		if gamma, beta, ok := a.normAfter(l); ok {
			a.norm(transformLN, fuse.Norm{Gamma: gamma, Beta: beta})
		}
		return
	}
	s := slot{labels: l.Out, pooled: a.readsOneToken(l)}
	s.name, s.init, s.transB = role+".weight", l.Weight, l.TransB
	a.add(s)
	s.name, s.init, s.transB = role+".bias", l.Bias, false
	a.add(s)
}

// roleSuffixes maps what libraries call a head's linear layer to its role here.
var roleSuffixes = []struct{ suffix, role string }{
	{"transform.dense", transformFC}, {"vocab_transform", transformFC}, {"lm_head.dense", transformFC},
	{"generator_predictions.dense", transformFC}, {"generator_lm_head", "cls.predictions"}, // ELECTRA
	{"predictions.dense", transformFC}, {"sop_classifier.classifier", "cls.seq_relationship"}, // ALBERT
	{"predictions.decoder", "cls.predictions"}, {"cls.predictions", "cls.predictions"},
	{"vocab_projector", "cls.predictions"}, {"lm_head.decoder", "cls.predictions"}, {"lm_head", "cls.predictions"},
	{"seq_relationship", "cls.seq_relationship"}, {"cls.pos", "cls.pos"}, {"cls.ner", "cls.ner"},
	{vectorDense, vectorDense},
	{"classifier", "classifier"}, {"classifier.out_proj", "classifier"},
}

// role is the Hugging Face name of a head's linear layer: by the names it
// carries, and where those say nothing by its size.
func (a *anatomy) role(l fuse.Linear) string {
	for _, name := range linearNames(l) {
		for _, r := range roleSuffixes {
			if name == r.suffix || strings.HasSuffix(name, "."+r.suffix) {
				return r.role
			}
		}
	}
	hidden := a.enc.Layers[0].Query.In
	word := a.inits[a.enc.Word]
	table := word != nil && len(word.Dims) == 2
	switch {
	case l.Weight == a.enc.Word || table && int64(l.Out) == word.Dims[0]:
		return "cls.predictions"
	case l.In == hidden && (l.Out == hidden || table && (a.enc.Projection != nil || a.enc.Projected != nil) && int64(l.Out) == word.Dims[1]):
		return transformFC
	}
	return "classifier"
}

// linearNames lists the dotted names a linear layer is known by, best first.
func linearNames(l fuse.Linear) []string {
	raw := []string{l.Weight}
	if l.MatMul != nil && len(l.MatMul.Inputs) > 1 {
		raw = append(raw, l.MatMul.Inputs[1:]...)
	}
	if l.Add != nil {
		raw = append(raw, l.Add.Inputs...)
	}
	raw = append(raw, l.Bias)
	var names []string
	for _, n := range raw {
		if s, ok := strings.CutSuffix(n, ".weight"); ok {
			names = append(names, s)
		} else if s, ok := strings.CutSuffix(n, ".bias"); ok {
			names = append(names, s)
		}
	}
	if l.MatMul != nil {
		if p := strings.Split(strings.Trim(l.MatMul.Name, "/"), "/"); len(p) > 1 {
			names = append(names, strings.Join(p[:len(p)-1], "."))
		}
	}
	return names
}

// tied reports whether a decoder is the word embedding: the same initializer,
// or, unless config.json says otherwise, a second one of equal values transposed,
// as torch's exporter writes it.
func (a *anatomy) tied(l fuse.Linear) bool {
	if l.Weight == a.enc.Word {
		return true
	}
	word, w := a.inits[a.enc.Word], a.inits[l.Weight]
	if w == nil {
		return true // computed from the embedding inside the graph
	}
	if a.m.Config.OwnDecoder() {
		return false
	}
	e, err := word.Floats()
	if err != nil {
		return false
	}
	d, err := w.Floats()
	if err != nil || len(d) != len(e) {
		return false
	}
	if l.TransB {
		return slices.Equal(d, e)
	}
	for v := range l.Out {
		for h := range l.In {
			if d[h*l.Out+v] != e[v*l.In+h] {
				return false
			}
		}
	}
	return true
}

// normAfter finds the LayerNorm that follows a linear layer and its activation.
func (a *anatomy) normAfter(l fuse.Linear) (gamma, beta string, ok bool) {
	from := map[string]bool{}
	for _, n := range a.fused.Model.Graph.Nodes {
		origin := slices.Contains(a.fused.Origin[n], l.MatMul)
		after := len(n.Inputs) > 0 && from[n.Inputs[0]]
		if n.Op == fuse.OpLayerNorm && n.Domain == fuse.Domain && after && len(n.Inputs) >= 3 {
			return n.Inputs[1], n.Inputs[2], true
		}
		if origin || after && (n.Op == fuse.OpGelu || n.Op == "Relu" || n.Op == "Tanh") {
			from[n.Outputs[0]] = true
		}
	}
	return "", "", false
}

// readsOneToken reports whether a head's input passes through the choice of a
// token ([CLS]) on its way from the last hidden states.
func (a *anatomy) readsOneToken(l fuse.Linear) bool {
	if l.MatMul == nil || len(l.MatMul.Inputs) == 0 {
		return false
	}
	last := a.enc.Layers[len(a.enc.Layers)-1].Hidden
	producers := a.m.Graph.Producers()
	v := l.MatMul.Inputs[0]
	for range 64 {
		n := producers[v]
		if v == last || n == nil || len(n.Inputs) == 0 {
			return false
		}
		switch n.Op {
		case "Gather", "Slice", "Squeeze", "GatherElements", "GatherND", "ReduceMean":
			return true
		}
		v = n.Inputs[0]
		if n.Op == "Add" && producers[v] == nil { // bias first
			v = n.Inputs[1]
		}
	}
	return false
}

// values returns a parameter as float32 in the layout of its role: linear
// weights [in,out], everything else as stored.
func (a *anatomy) values(s slot) ([]float32, []int64, error) {
	t := a.inits[s.init]
	v, err := a.floats(s.init, s.name)
	if err != nil {
		return nil, nil, err
	}
	if l, ok := a.enc.Projected[s.init]; ok {
		return a.projected(s, l, v)
	}
	if !s.transB {
		return v, t.Dims, nil
	}
	if len(t.Dims) != 2 {
		return nil, nil, fmt.Errorf("student: %s (%s): a linear weight of dimensions %v; two are needed", s.init, s.name, t.Dims)
	}
	return transpose(v, int(t.Dims[0]), int(t.Dims[1])), []int64{t.Dims[1], t.Dims[0]}, nil
}

// floats reads an initializer in the role of name.
func (a *anatomy) floats(init, name string) ([]float32, error) {
	t := a.inits[init]
	if t == nil {
		return nil, fmt.Errorf("student: %s (%s) is no constant of the graph", init, name)
	}
	v, err := t.Floats()
	if err != nil {
		return nil, fmt.Errorf("student: %s (%s): %w", init, name, err)
	}
	if len(v) != t.Len() {
		return nil, fmt.Errorf("student: %s (%s): %d values for dimensions %v", init, name, len(v), t.Dims)
	}
	return v, nil
}

// transpose returns the [cols,rows] transpose of x [rows,cols].
func transpose(x []float32, rows, cols int) []float32 {
	y := make([]float32, len(x))
	const tile = 32
	for r0 := 0; r0 < rows; r0 += tile {
		for c0 := 0; c0 < cols; c0 += tile {
			for r := r0; r < min(r0+tile, rows); r++ {
				for c := c0; c < min(c0+tile, cols); c++ {
					y[c*rows+r] = x[r*cols+c]
				}
			}
		}
	}
	return y
}

// shape is the shape of the encoder; of the first layer where layers differ.
func (a *anatomy) shape() Shape {
	l := a.enc.Layers[0]
	s := ShapeOf(a.m.Config)
	s.Layers, s.Hidden, s.Heads, s.FFN = len(a.enc.Layers), l.Query.In, l.Heads, l.Up.Out
	rows := func(name string) int {
		if t := a.inits[name]; t != nil && len(t.Dims) == 2 {
			return int(t.Dims[0])
		}
		return 0
	}
	s.Vocab, s.Positions, s.Types = rows(a.enc.Word), rows(a.enc.Position), rows(a.enc.Type)
	if s.Embedding = 0; a.enc.Projection != nil {
		s.Embedding = a.enc.Projection.In
	}
	if a.decoder != "" {
		s.Decoder = a.decoder
	}
	if e := a.enc.EmbeddingNorm.Eps; e > 0 {
		s.Eps = e
	}
	if act, err := canonicalAct(s.Act); l.Up.Act != "" && (err != nil || act != l.Up.Act) {
		s.Act = l.Up.Act
	}
	return s.plain()
}
