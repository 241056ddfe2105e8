package main

import (
	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/student"
)

// objectives are the flags of the losses.
type objectives struct {
	g           group
	temperature float64
	kd, ce      float64
	mlm, pos    float64
	ner, sop    float64
	ramp        float64
	maskRate    float64
	mask        maskFlags
	smoothing   float64
	inside      insideFlags
	preset      string
}

// register adds the flags; those of a teacher only where there can be one.
func (o *objectives) register(g group, teacher bool) {
	o.g = g
	if teacher {
		g.Float64Var(&o.kd, "alpha-kd", 1, "weight of the teacher's soft labels")
		g.Float64Var(&o.temperature, "temperature", 2, "temperature T of the soft labels; the loss is scaled by T²")
		g.Float64Var(&o.ce, "alpha-ce", 0, "weight of the hard labels, in the examples that have one")
		o.inside.register(g)
	} else {
		g.Float64Var(&o.ce, "alpha-ce", 0, "weight of the labels (default 1 for classification and tagging, else 0)")
	}
	g.Float64Var(&o.mlm, "alpha-mlm", 0, "weight of masked language modelling (default 1 for a masked LM, else 0)")
	g.Float64Var(&o.pos, "alpha-pos", 0, "weight of part-of-speech tagging of masked words; needs annotated text")
	g.Float64Var(&o.ner, "alpha-ner", 0, "weight of entity tagging of masked words; needs annotated text")
	g.Float64Var(&o.sop, "alpha-sop", 0, "weight of sentence-order prediction")
	shareVar(g.FlagSet, &o.ramp, "ramp", 0, "share of the steps over which the weights of pos, ner and sop rise from 0")
	shareVar(g.FlagSet, &o.maskRate, "mask-rate", 0.15, "share of the tokens that are masked")
	o.mask.register(g)
	shareVar(g.FlagSet, &o.smoothing, "label-smoothing", 0, "share of a hard label that is spread over all classes")
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
	if teacher && !(o.temperature > 0) {
		return nil, usagef("--temperature %v: give a number above 0", o.temperature)
	}
	kd := 0.0
	if teacher {
		kd = o.kd
	}
	ce := o.weight("alpha-ce", o.ce, !teacher && !mlm)
	if ce > 0 && mlm {
		return nil, usagef("--alpha-ce is for labels, and a masked LM has none; its own loss is --alpha-mlm")
	}
	terms := distill.Sum{
		distill.Scale(kd, distill.SoftLabels{Temperature: o.temperature, Tokens: mlm}),
		distill.Scale(ce, distill.HardLabels{Smoothing: o.smoothing}),
		distill.Scale(o.weight("alpha-mlm", o.mlm, mlm), o.mask.denoise(o.maskRate)),
		{Loss: distill.POS{}, Weight: o.pos, Ramp: o.ramp},
		{Loss: distill.NER{}, Weight: o.ner, Ramp: o.ramp},
		{Loss: distill.SOP{}, Weight: o.sop, Ramp: o.ramp},
	}
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

// reads tells whether any loss reads that view of the text.
func reads(sum distill.Sum, v distill.View) bool {
	for _, t := range sum {
		if t.Loss.View() == v {
			return true
		}
	}
	return false
}
