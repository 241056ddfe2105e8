package main

import (
	"maps"
	"slices"

	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/student"
)

// insideFlags are the flags of losses that compare values inside the student with
// values inside the teacher.
type insideFlags struct {
	hidden, embedding      []float64 // by teacher, as the next
	attention, attentionKL []float64
	minilm, pkd, cosine    []float64
	tap                    float64
	taps                   []string
	layerMap               []string // one for all teachers, or one for each
	relationLayer          []int    // likewise
	minilmVersion          string
	relationHeads          int
}

func (f *insideFlags) register(g group) {
	g.Float64SliceVar(&f.hidden, "alpha-hidden", nil, "`weight` of the distance of hidden states (TinyBERT), through a learned projection where widths differ; of several teachers one for each, in their order, such as 0,1 for the second alone, as for the next six")
	g.Float64SliceVar(&f.embedding, "alpha-embedding", nil, "`weight` of the distance of embeddings (TinyBERT)")
	g.Float64SliceVar(&f.attention, "alpha-attention", nil, "`weight` of the distance of attention scores (TinyBERT)")
	g.Float64SliceVar(&f.attentionKL, "alpha-attention-kl", nil, "`weight` of the divergence of attention")
	g.Float64SliceVar(&f.minilm, "alpha-minilm", nil, "`weight` of MiniLM's divergence of relations in the last layer")
	g.Float64SliceVar(&f.pkd, "alpha-pkd", nil, "`weight` of the distance of normalised [CLS] states (PKD)")
	g.Float64SliceVar(&f.cosine, "alpha-cosine", nil, "`weight` of the distance in direction of the last hidden states (DistilBERT)")
	g.StringArrayVar(&f.layerMap, "layer-map", nil, "which `layers` of the teacher those of the student learn from: uniform, first, last, skip, skip(n), or pairs student:teacher such as 0:0,1:3 (default: uniform); repeat it for one for each teacher")
	choiceVar(g.FlagSet, &f.minilmVersion, "minilm", "version of MiniLM: v2, of any heads, or v1, of as many heads as the teacher (default: v2)", "v1", "v2")
	g.IntVar(&f.relationHeads, "relation-heads", 0, "relation heads of MiniLM v2 (default: 48 where that divides both widths)")
	g.IntSliceVar(&f.relationLayer, "relation-layer", nil, "`layer` of the teacher, from 1, that MiniLM v2 reads (default: the last); one for all teachers or one for each, 0 being the last")
	g.StringArrayVar(&f.taps, "tap", nil, "compare a value of both graphs by `NAME`, or STUDENT=TEACHER, with @2 behind it for the second teacher's; may be repeated")
	g.Float64Var(&f.tap, "alpha-tap", 1, "weight of each --tap")
}

// insideAlphas are the weights of those losses, but for that of taps.
var insideAlphas = []string{"alpha-hidden", "alpha-embedding", "alpha-attention", "alpha-attention-kl", "alpha-minilm", "alpha-pkd", "alpha-cosine"}

// terms are the losses, on clean text or on the masked text of a masked LM.
func (f *insideFlags) terms(mlm bool) (distill.Sum, error) {
	on := distill.Clean
	if mlm {
		on = distill.Masked
	}
	sum, err := f.mapped(on)
	if err != nil {
		return nil, err
	}
	for n, w := range f.minilm {
		layer, err := ofTeacher("--relation-layer", f.relationLayer, n)
		switch {
		case err != nil:
			return nil, err
		case f.minilmVersion == "v1":
			sum = append(sum, distill.Scale(w, distill.MiniLM{On: on, From: n}))
		default:
			sum = append(sum, distill.Scale(w, distill.MiniLMv2{Heads: f.relationHeads, Layer: layer, On: on, From: n}))
		}
	}
	for n, w := range f.pkd {
		layers, err := ofTeacher("--layer-map", f.layerMap, n)
		if err != nil {
			return nil, err
		}
		sum = append(sum, distill.Scale(w, distill.PKD{Layers: distill.LayerMap(layers), On: on, From: n}))
	}
	for n, w := range f.cosine {
		sum = append(sum, distill.Scale(w, distill.HiddenCosine{On: on, From: n}))
	}
	for i, name := range f.taps {
		if slices.Contains(f.taps[:i], name) {
			return nil, misfit.Errorf("--tap %s is given twice", name)
		}
		t, err := distill.ParseTap(name)
		if err != nil {
			return nil, misfit.Errorf("--tap %s: write the name of a value of both graphs, or STUDENT=TEACHER, and @2 behind it for the second teacher", name)
		}
		t.On = on
		sum = append(sum, distill.Scale(f.tap, t))
	}
	return sum, nil
}

// mapped are the losses of embeddings and of layers that a map pairs.
func (f *insideFlags) mapped(on distill.View) (sum distill.Sum, err error) {
	for _, l := range []struct {
		weights []float64
		loss    func(layers distill.LayerMap, from int) distill.Loss
	}{
		{f.hidden, func(m distill.LayerMap, n int) distill.Loss { return distill.HiddenMSE{Layers: m, On: on, From: n} }},
		{f.embedding, func(_ distill.LayerMap, n int) distill.Loss { return distill.EmbeddingMSE{On: on, From: n} }},
		{f.attention, func(m distill.LayerMap, n int) distill.Loss { return distill.AttentionMSE{Layers: m, On: on, From: n} }},
		{f.attentionKL, func(m distill.LayerMap, n int) distill.Loss { return distill.AttentionKL{Layers: m, On: on, From: n} }},
	} {
		for n, w := range l.weights {
			layers, err := ofTeacher("--layer-map", f.layerMap, n)
			if err != nil {
				return nil, err
			}
			sum = append(sum, distill.Scale(w, l.loss(distill.LayerMap(layers), n)))
		}
	}
	return sum, nil
}

// ofTeacher is what a flag that is given once for all teachers, or once for each,
// says of teacher n.
func ofTeacher[T any](flag string, values []T, n int) (out T, err error) {
	switch {
	case len(values) == 1:
		return values[0], nil
	case len(values) == 0:
		return out, nil
	case n >= len(values):
		return out, misfit.Errorf("%s is given for %d teachers, and there is a weight for %d; give one for all, or one for each", flag, len(values), n+1)
	}
	return values[n], nil
}

// preset is a published method: values of flags.
type preset struct {
	name  string
	flags map[string]string
	// inside tells that it teaches nothing but values inside, and so not what a
	// classifier is for: the soft labels follow in a stage of their own.
	inside bool
	// lm are flags of a masked LM, over the others.
	lm map[string]string
}

// The methods, as their papers and the authors' programs have them. DistilBERT
// (arXiv 1910.01108): 5, 2 and 1 at T = 2, there with the soft labels of all tokens.
// TinyBERT (arXiv 1909.10351): every layer's λ is 1, then T = 1. MiniLM (arXiv
// 2002.10957, 2012.15828): plain sums, 48 relation heads. PKD (arXiv 1908.09355): α
// 0.5 and T 10, with β 100, as its published runs on SST-2 and MNLI; β is for the
// mean over the values of 5 layers of 768, and ours is a sum, so that it is 100/3840.
var presets = []preset{
	{name: "distilbert", flags: map[string]string{"alpha-kd": "5", "temperature": "2", "alpha-cosine": "1"}, lm: map[string]string{"alpha-mlm": "2"}},
	{name: "tinybert", inside: true,
		flags: map[string]string{"alpha-kd": "0", "alpha-hidden": "1", "alpha-embedding": "1", "alpha-attention": "1"}, lm: map[string]string{"alpha-mlm": "0"}},
	{name: "minilm", inside: true, flags: map[string]string{"alpha-kd": "0", "alpha-minilm": "1", "minilm": "v1"}, lm: map[string]string{"alpha-mlm": "0"}},
	{name: "minilmv2", inside: true, flags: map[string]string{"alpha-kd": "0", "alpha-minilm": "1", "minilm": "v2"}, lm: map[string]string{"alpha-mlm": "0"}},
	{name: "pkd", flags: map[string]string{"alpha-kd": "0.5", "temperature": "10", "alpha-ce": "0.5", "alpha-pkd": "0.026"},
		lm: map[string]string{"alpha-ce": "0", "alpha-mlm": "0.5"}},
	// A plain sum, as in Mengzi (arXiv 2110.06696), with the ramps of LERT (arXiv
	// 2211.05344): a sixth of the steps for parts of speech, a third for entities.
	{name: "mengzi", flags: map[string]string{"alpha-mlm": "1", "alpha-pos": "1", "alpha-ner": "1", "alpha-sop": "1",
		"ramp-pos": "0.16666666666666666", "ramp-ner": "0.3333333333333333"}},
	{name: predictionPreset, flags: map[string]string{"alpha-kd": "1", "temperature": "1"}},
}

// predictionPreset is TinyBERT's second stage.
const predictionPreset = "prediction"

// registerPreset adds the flag that chooses one of the methods: without a
// teacher those that learn from none.
func (o *objectives) registerPreset(g group, teacher bool) {
	var names []string
	for _, p := range presets {
		if _, taught := p.flags["alpha-kd"]; teacher || !taught {
			names = append(names, p.name)
		}
	}
	choiceVar(g.FlagSet, &o.preset, "preset", "the losses of a published method; the flags given beside it count more", names...)
}

// applyPreset sets the flags of the chosen preset that were not given.
func (o *objectives) applyPreset(mlm bool) error {
	for _, p := range presets {
		if p.name != o.preset {
			continue
		}
		flags := maps.Clone(p.flags)
		if mlm {
			maps.Copy(flags, p.lm)
		}
		for _, name := range slices.Sorted(maps.Keys(flags)) {
			if o.g.Changed(name) {
				continue
			}
			if err := o.g.Set(name, flags[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

// stagesOfPreset are the two stages of a preset that teaches only values inside,
// for a model that is to predict something else than tokens: first those, then the
// soft labels. Where the command gives a loss of predictions, it is one stage.
func (o *objectives) stagesOfPreset(head student.Kind) []stage {
	i := slices.IndexFunc(presets, func(p preset) bool { return p.name == o.preset && p.inside })
	if i < 0 || head == student.KindMaskedLM || o.g.Changed("alpha-kd") || o.g.Changed("alpha-ce") {
		return nil
	}
	second := []field{{"preset", []byte(`"` + predictionPreset + `"`)}}
	for _, name := range insideAlphas {
		if o.g.Changed(name) { // what the command gives is for the first
			second = append(second, field{name, []byte("0")})
		}
	}
	if len(o.inside.taps) > 0 {
		second = append(second, field{"alpha-tap", []byte("0")})
	}
	return []stage{{name: "intermediate"}, {name: predictionPreset, fields: second}}
}
