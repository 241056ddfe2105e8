package main

import (
	"math"
	"strings"
	"testing"

	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/student"
)

// sumOf is the sum of losses that flags of lite distill ask for.
func sumOf(t *testing.T, args ...string) distill.Sum {
	t.Helper()
	var o objectives
	g := newGroup("")
	o.registerPreset(g, true)
	o.register(g, true)
	if err := g.Parse(args); err != nil {
		t.Fatal(err)
	}
	sum, err := o.sum(student.KindMaskedLM, true)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func TestPresets(t *testing.T) {
	for _, p := range presets {
		sumOf(t, "--preset", p.name)
	}
	got := map[string]distill.Term{}
	for _, term := range sumOf(t, "--preset", "mengzi", "--alpha-ner", "0.5", "--tag-positions", "all") {
		got[term.Loss.Name()] = term
	}
	for name, want := range map[string][2]float64{"kd": {1, 0}, "mlm": {1, 0}, "pos": {1, 1. / 6}, "ner": {0.5, 1. / 3}, "sop": {1, 0}} {
		if term := got[name]; term.Weight != want[0] || math.Abs(term.Ramp-want[1]) > 1e-12 {
			t.Errorf("%s has the weight %v and the ramp %v, want %v", name, term.Weight, term.Ramp, want)
		}
	}
	if len(got) != 5 || got["pos"].Loss != (distill.POS{Positions: distill.AllWords}) {
		t.Errorf("the sum is %v", got)
	}
}

func TestRamps(t *testing.T) {
	for _, term := range sumOf(t, "--alpha-pos", "1", "--alpha-ner", "1", "--alpha-nsp", "1", "--ramp", "0.5", "--ramp-ner", "0") {
		want := map[string]float64{"pos": 0.5, "nsp": 0.5}[term.Loss.Name()]
		if term.Ramp != want {
			t.Errorf("%s has the ramp %v, want %v", term.Loss.Name(), term.Ramp, want)
		}
	}
}

// TestPresetFlag sees to it that each command offers the methods it can carry out.
func TestPresetFlag(t *testing.T) {
	for args, ok := range map[string]bool{
		"distill --teacher a --data b --out c --preset tinybert": true,
		"distill --teacher a --data b --out c --preset mengzi":   true,
		"train --student 1x64 --text b --out c --preset mengzi":  true,
		"train --student 1x64 --text b --out c --preset minilm":  false,
		"prune --model a --sparsity 0.5 --out c --preset pkd":    false,
	} {
		if err := parse(strings.Fields(args)); (err == nil) != ok {
			t.Errorf("lite %s: %v", args, err)
		}
	}
}
