package main

import (
	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/internal/misfit"
)

// maskFlags say how text is masked.
type maskFlags struct{ loss distill.Denoise }

func (m *maskFlags) register(g group) {
	l := &m.loss
	choiceVar(g.FlagSet, &l.Unit, "mask-unit", "what is masked together: tokens, whole words, n words in a row (n-grams, ALBERT), or spans of words (SpanBERT) (default: token)", corpus.MaskUnits()...)
	g.IntVar(&l.NGram, "mask-ngram", 3, "`words` of the longest n-gram that is masked")
	shareVar(g.FlagSet, &l.SpanP, "span-p", 0.2, "probability that a span of --mask-unit span ends after a word")
	g.IntVar(&l.SpanMax, "span-max", 10, "`words` of the longest span")
	shareVar(g.FlagSet, &l.Replace, "mask-replace", 0.8, "share of the masked tokens that become [MASK]")
	shareVar(g.FlagSet, &l.Random, "mask-random", 0.1, "share of the masked tokens that become a random token; the rest stays as it is")
}

// check refuses zeros, which would stand for the usual values.
func (m *maskFlags) check(rate float64) error {
	if rate == 0 || m.loss.SpanP == 0 {
		return misfit.Errorf("--mask-rate %v and --span-p %v must be above 0", rate, m.loss.SpanP)
	}
	return atLeast(1, count{"--mask-ngram", m.loss.NGram}, count{"--span-max", m.loss.SpanMax})
}

// denoise is the loss of masked language modelling.
func (m *maskFlags) denoise(rate float64) distill.Denoise {
	l := m.loss
	l.Mask = rate
	return l
}
