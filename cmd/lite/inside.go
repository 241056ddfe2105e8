package main

import (
	"maps"
	"slices"

	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/student"
)

// insideFlags are the flags of losses that compare values inside the student with
// values inside the teacher.
type insideFlags struct {
	hidden, embedding       float64
	attention, attentionKL  float64
	minilm, pkd, cosine     float64
	tap                     float64
	taps                    []string
	layerMap, minilmVersion string
	relationHeads           int
	relationLayer           int
}

func (f *insideFlags) register(g group) {
	g.Float64Var(&f.hidden, "alpha-hidden", 0, "weight of the distance of hidden states (TinyBERT), through a learned projection where widths differ")
	g.Float64Var(&f.embedding, "alpha-embedding", 0, "weight of the distance of embeddings (TinyBERT)")
	g.Float64Var(&f.attention, "alpha-attention", 0, "weight of the distance of attention scores (TinyBERT)")
	g.Float64Var(&f.attentionKL, "alpha-attention-kl", 0, "weight of the divergence of attention")
	g.Float64Var(&f.minilm, "alpha-minilm", 0, "weight of MiniLM's divergence of relations in the last layer")
	g.Float64Var(&f.pkd, "alpha-pkd", 0, "weight of the distance of normalised [CLS] states (PKD)")
	g.Float64Var(&f.cosine, "alpha-cosine", 0, "weight of the distance in direction of the last hidden states (DistilBERT)")
	g.StringVar(&f.layerMap, "layer-map", "", "which `layers` of the teacher those of the student learn from: uniform, first, last, skip, skip(n), or pairs student:teacher such as 0:0,1:3 (default: uniform)")
	choiceVar(g.FlagSet, &f.minilmVersion, "minilm", "version of MiniLM: v2, of any heads, or v1, of as many heads as the teacher (default: v2)", "v1", "v2")
	g.IntVar(&f.relationHeads, "relation-heads", 0, "relation heads of MiniLM v2 (default: 48 where that divides both widths)")
	g.IntVar(&f.relationLayer, "relation-layer", 0, "`layer` of the teacher, from 1, that MiniLM v2 reads (default: the last)")
	g.StringArrayVar(&f.taps, "tap", nil, "compare a value of both graphs by `NAME`, or STUDENT=TEACHER; may be repeated")
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
	layers := distill.LayerMap(f.layerMap)
	var minilm distill.Loss = distill.MiniLMv2{Heads: f.relationHeads, Layer: f.relationLayer, On: on}
	if f.minilmVersion == "v1" {
		minilm = distill.MiniLM{On: on}
	}
	sum := distill.Sum{
		distill.Scale(f.hidden, distill.HiddenMSE{Layers: layers, On: on}),
		distill.Scale(f.embedding, distill.EmbeddingMSE{On: on}),
		distill.Scale(f.attention, distill.AttentionMSE{Layers: layers, On: on}),
		distill.Scale(f.attentionKL, distill.AttentionKL{Layers: layers, On: on}),
		distill.Scale(f.minilm, minilm),
		distill.Scale(f.pkd, distill.PKD{Layers: layers, On: on}),
		distill.Scale(f.cosine, distill.HiddenCosine{On: on}),
	}
	for i, name := range f.taps {
		if slices.Contains(f.taps[:i], name) {
			return nil, usagef("--tap %s is given twice", name)
		}
		t, err := distill.ParseTap(name)
		if err != nil {
			return nil, usagef("--tap %s: write the name of a value of both graphs, or STUDENT=TEACHER", name)
		}
		t.On = on
		sum = append(sum, distill.Scale(f.tap, t))
	}
	return sum, nil
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

// The methods. What they say of PKD is from the ranges that the paper searched.
var presets = []preset{
	{name: "distilbert", flags: map[string]string{"alpha-kd": "5", "temperature": "2", "alpha-cosine": "1"}, lm: map[string]string{"alpha-mlm": "2"}},
	{name: "tinybert", inside: true,
		flags: map[string]string{"alpha-kd": "0", "alpha-hidden": "1", "alpha-embedding": "1", "alpha-attention": "1"}, lm: map[string]string{"alpha-mlm": "0"}},
	{name: "minilm", inside: true, flags: map[string]string{"alpha-kd": "0", "alpha-minilm": "1", "minilm": "v1"}, lm: map[string]string{"alpha-mlm": "0"}},
	{name: "minilmv2", inside: true, flags: map[string]string{"alpha-kd": "0", "alpha-minilm": "1", "minilm": "v2"}, lm: map[string]string{"alpha-mlm": "0"}},
	{name: "pkd", flags: map[string]string{"alpha-kd": "0.5", "temperature": "5", "alpha-ce": "0.5", "alpha-pkd": "10"},
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
