package main

import (
	"slices"

	"github.com/spf13/pflag"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/student"
)

// given are the flags of losses on the command line, before a preset sets others.
func (o *objectives) given() map[string]bool {
	out := map[string]bool{}
	o.g.VisitAll(func(f *pflag.Flag) { out[f.Name] = f.Changed })
	return out
}

// idle refuses flags that were given and say nothing, as the loss that reads them
// has no weight: whoever gives them means something else.
func (o *objectives) idle(given map[string]bool, kind student.Kind) error {
	in := &o.inside
	distributions := kind != student.KindRegression && kind != student.KindEmbedding
	for _, rule := range []struct {
		read    bool
		without string
		flags   []string
	}{
		{anyWeight(in.hidden, in.attention, in.attentionKL, in.pkd), "--alpha-hidden, --alpha-attention, --alpha-attention-kl and --alpha-pkd", []string{"layer-map"}},
		{anyWeight(in.minilm), "--alpha-minilm", []string{"minilm"}},
		{anyWeight(in.minilm) && in.minilmVersion != "v1", "--alpha-minilm of version v2", []string{"relation-heads", "relation-layer"}},
		{len(in.taps) > 0, "--tap", []string{"alpha-tap"}},
		{o.kd > 0 && distributions, "--alpha-kd under a teacher that gives distributions", []string{"soft-labels", "temperature", "temperature-end", "temperature-path", "confidence", "dkd-alpha", "dkd-beta"}},
		{o.kd > 0 && (kind == student.KindPOS || kind == student.KindNER), "--alpha-kd under a token classifier", []string{"kd-positions"}},
		{o.kd > 0 && kind == student.KindEmbedding, "--alpha-kd under a teacher that gives vectors", []string{"vector-loss"}},
		{o.soft.loss.Form == distill.DKD, "--soft-labels dkd", []string{"dkd-alpha", "dkd-beta"}},
		{o.soft.loss.TemperatureEnd > 0, "--temperature-end", []string{"temperature-path"}},
		{kind == student.KindMaskedLM || o.mlm+o.pos+o.ner+o.sop+o.nsp > 0, "losses on masked text, such as --alpha-mlm", []string{"mask-rate", "mask-unit", "mask-ngram", "span-p", "span-max", "mask-replace", "mask-random"}},
		{o.mask.loss.Unit == corpus.MaskNGram, "--mask-unit ngram", []string{"mask-ngram"}},
		{o.mask.loss.Unit == corpus.MaskSpan, "--mask-unit span", []string{"span-p", "span-max"}},
		{o.pos+o.ner > 0, "--alpha-pos and --alpha-ner", []string{"tag-positions"}},
		{o.pos > 0, "--alpha-pos", []string{"ramp-pos"}},
		{o.ner > 0, "--alpha-ner", []string{"ramp-ner"}},
		{o.pos+o.ner+o.sop+o.nsp > 0, "--alpha-pos, --alpha-ner, --alpha-sop and --alpha-nsp", []string{"ramp"}},
	} {
		for _, f := range rule.flags {
			if given[f] && !rule.read {
				return misfit.Errorf("--%s belongs to %s, which is not given", f, rule.without)
			}
		}
	}
	return nil
}

// anyWeight tells whether some weight is not 0.
func anyWeight(lists ...[]float64) bool {
	return slices.ContainsFunc(slices.Concat(lists...), func(w float64) bool { return w != 0 })
}
