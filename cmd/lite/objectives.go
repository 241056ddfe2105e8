package main

import (
	"slices"

	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/student"
)

// objectives are the flags of the losses.
type objectives struct {
	g         group
	preset    string
	kd, ce    float64
	soft      softFlags
	mlm, pos  float64
	ner, sop  float64
	nsp       float64
	ramp      float64
	rampPOS   float64
	rampNER   float64
	tags      distill.Positions
	maskRate  float64
	mask      maskFlags
	noise     noiseFlags
	smoothing float64
	learn     bool
	inside    insideFlags
	vector    string
}

// register adds the flags; those of a teacher only where there can be one.
func (o *objectives) register(g group, teacher bool) {
	o.g = g
	if teacher {
		g.Float64Var(&o.kd, "alpha-kd", 1, "weight of the teacher's soft labels")
		o.soft.register(g)
		choiceVar(g.FlagSet, &o.vector, "vector-loss", "how a student's vectors are compared with an embedding teacher's (default cosine)", "cosine", "mse")
		g.Float64Var(&o.ce, "alpha-ce", 0, "weight of the hard labels, in the examples that have one")
		o.inside.register(g)
	} else {
		g.Float64Var(&o.ce, "alpha-ce", 0, "weight of the labels (default 1 for classification and tagging, else 0)")
	}
	g.Float64Var(&o.mlm, "alpha-mlm", 0, "weight of masked language modelling (default 1 for a masked LM, else 0)")
	g.Float64Var(&o.pos, "alpha-pos", 0, "weight of part-of-speech tagging of masked words; needs annotated text")
	g.Float64Var(&o.ner, "alpha-ner", 0, "weight of entity tagging of masked words; needs annotated text")
	g.Float64Var(&o.sop, "alpha-sop", 0, "weight of sentence-order prediction")
	g.Float64Var(&o.nsp, "alpha-nsp", 0, "weight of next-sentence prediction, in place of the order")
	choiceVar(g.FlagSet, &o.tags, "tag-positions", "tokens at which pos and ner are learned (default masked)", distill.TagPositions()...)
	shareVar(g.FlagSet, &o.ramp, "ramp", 0, "share of the steps over which the weights of pos, ner, sop and nsp rise from 0")
	shareVar(g.FlagSet, &o.rampPOS, "ramp-pos", 0, "the share for pos alone (default: that of --ramp)")
	shareVar(g.FlagSet, &o.rampNER, "ramp-ner", 0, "the share for ner alone (default: that of --ramp)")
	shareVar(g.FlagSet, &o.maskRate, "mask-rate", 0.15, "share of the tokens that are masked")
	o.mask.register(g)
	o.noise.register(g)
	shareVar(g.FlagSet, &o.smoothing, "label-smoothing", 0, "share of a hard label that is spread over all classes")
	g.BoolVar(&o.learn, "learn-weights", false, "learn how much each loss counts by its uncertainty, from the given weights on")
}

// ramped is a flag's ramp, or that of all where it was not given.
func (o *objectives) ramped(flag string, own float64) float64 {
	if o.g.Changed(flag) {
		return own
	}
	return o.ramp
}

// weight is a flag's value, or what is usual where it was not given.
func (o *objectives) weight(flag string, value float64, usual bool) float64 {
	if usual && !o.g.Changed(flag) {
		return 1
	}
	return value
}

// sum is the loss for a model whose primary head is of that kind.
func (o *objectives) sum(kind student.Kind, teacher bool) (distill.Sum, error) {
	mlm := kind == student.KindMaskedLM
	if err := o.applyPreset(mlm); err != nil {
		return nil, err
	}
	var kd distill.Term
	if teacher {
		l, err := o.soft.softLabels(mlm)
		if err != nil {
			return nil, err
		}
		kd = distill.Scale(o.kd, o.taught(kind, l))
	}
	ce := o.weight("alpha-ce", o.ce, !teacher && !mlm && kind != student.KindEmbedding)
	if ce > 0 && kind == student.KindEmbedding {
		return nil, misfit.Errorf("--alpha-ce is for labels, and a model without a head has none")
	}
	if ce > 0 && mlm {
		return nil, misfit.Errorf("--alpha-ce is for labels, and a masked LM has none; its own loss is --alpha-mlm")
	}
	if err := o.mask.check(o.maskRate); err != nil {
		return nil, err
	}
	denoise := distill.Scale(o.weight("alpha-mlm", o.mlm, mlm), o.mask.denoise(o.maskRate))
	terms, err := o.noise.terms(&denoise)
	if err != nil {
		return nil, err
	}
	terms = slices.Concat(distill.Sum{kd, distill.Scale(ce, o.hard(kind)), denoise}, terms, distill.Sum{
		{Loss: distill.POS{Positions: o.tags}, Weight: o.pos, Ramp: o.ramped("ramp-pos", o.rampPOS)},
		{Loss: distill.NER{Positions: o.tags}, Weight: o.ner, Ramp: o.ramped("ramp-ner", o.rampNER)},
		{Loss: distill.SOP{}, Weight: o.sop, Ramp: o.ramp},
		{Loss: distill.NSP{}, Weight: o.nsp, Ramp: o.ramp},
	})
	if teacher {
		inside, err := o.inside.terms(mlm)
		if err != nil {
			return nil, err
		}
		terms = append(terms, inside...)
	}
	var sum distill.Sum
	for _, t := range terms {
		if t.Weight != 0 {
			sum = append(sum, t)
		}
	}
	return sum, nil
}

// taught is the loss under the teacher's labels for that head: soft, where they
// are distributions.
func (o *objectives) taught(kind student.Kind, soft distill.Loss) distill.Loss {
	switch {
	case kind == student.KindRegression:
		return distill.SoftScores{}
	case kind == student.KindEmbedding && o.vector == "mse":
		return distill.VectorMSE{}
	case kind == student.KindEmbedding:
		return distill.VectorCosine{}
	}
	return soft
}

// hard is the loss under the data's labels for that head.
func (o *objectives) hard(kind student.Kind) distill.Loss {
	if kind == student.KindRegression {
		return distill.Scores{}
	}
	return distill.HardLabels{Smoothing: o.smoothing}
}

// reads tells whether any loss reads that view of the text.
func reads(sum distill.Sum, v distill.View) bool {
	for _, t := range sum {
		if t.Loss.View() == v {
			return true
		}
	}
	return false
}
