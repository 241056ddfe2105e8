package eval

import (
	"math"
	"slices"
	"strings"
)

// Entity is a typed span of a tag sequence, End exclusive.
type Entity struct {
	Type       string
	Start, End int // positions in the sequence
}

// Entities reads the entities of a BIO sequence as conlleval and seqeval's
// default mode do: B-X always starts one; I-X goes on with an open entity of
// type X and otherwise starts one. Any tag that is not B-X or I-X is outside.
func Entities(tags []string) []Entity { return entities(tags, false) }

// StrictEntities reads BIO (IOB2) as seqeval's strict mode does: only B-X
// starts an entity, and an I-X that continues none is outside.
func StrictEntities(tags []string) []Entity { return entities(tags, true) }

func entities(tags []string, strict bool) []Entity {
	var out []Entity
	open := false
	for i, tag := range tags {
		prefix, kind, ok := strings.Cut(tag, "-")
		if !ok || prefix != "B" && prefix != "I" {
			open = false
			continue
		}
		if prefix == "I" && open && out[len(out)-1].Type == kind {
			out[len(out)-1].End = i + 1
			continue
		}
		open = prefix == "B" || !strict
		if open {
			out = append(out, Entity{Type: kind, Start: i, End: i + 1})
		}
	}
	return out
}

// entityF1 counts entities of the current sequence when the next one begins.
type entityF1 struct {
	name      string
	strict    bool
	labels    []string
	open      bool
	group     int
	pred      []string
	gold      []string
	types     []string
	counts    map[string]*[3]int // right, predicted, gold
	sequences [][3]int           // the same for each sequence
}

// EntityF1 is the micro-averaged F1 of exactly matching entities (type, start
// and end), read as conlleval reads BIO (Tjong Kim Sang & De Meulder 2003); 0
// where neither side has an entity. Details are precision, recall and
// each type's figures. Labels name the classes ("O", "B-PER", …). A row whose
// gold is negative (a special token, a later piece of a word) is left out of
// its sequence.
func EntityF1(labels []string) Metric {
	return &entityF1{name: "ner_f1", labels: labels, counts: map[string]*[3]int{}}
}

// StrictEntityF1 is [EntityF1] with entities read in seqeval's strict IOB2 mode.
func StrictEntityF1(labels []string) Metric {
	return &entityF1{name: "ner_f1_strict", strict: true, labels: labels, counts: map[string]*[3]int{}}
}

func (e *entityF1) Name() string { return e.name }

func (e *entityF1) Add(r Rows) {
	r.each(func(i int, row []float32, gold int) {
		group := 0
		if r.Group != nil {
			group = r.Group[i]
		}
		if e.open && group != e.group {
			e.flush()
		}
		e.open, e.group = true, group
		e.pred = append(e.pred, labelName(e.labels, Argmax(row)))
		e.gold = append(e.gold, labelName(e.labels, gold))
	})
}

// flush scores the sequence in progress.
func (e *entityF1) flush() {
	if !e.open {
		return
	}
	pred, gold := entities(e.pred, e.strict), entities(e.gold, e.strict)
	seq := [3]int{0, len(pred), len(gold)}
	for _, p := range pred {
		e.at(p.Type)[1]++
		if slices.Contains(gold, p) {
			e.at(p.Type)[0]++
			seq[0]++
		}
	}
	for _, g := range gold {
		e.at(g.Type)[2]++
	}
	e.sequences = append(e.sequences, seq)
	e.open, e.pred, e.gold = false, e.pred[:0], e.gold[:0]
}

func (e *entityF1) at(kind string) *[3]int {
	c := e.counts[kind]
	if c == nil {
		c = new([3]int)
		e.counts[kind] = c
		i, _ := slices.BinarySearch(e.types, kind)
		e.types = slices.Insert(e.types, i, kind)
	}
	return c
}

func (e *entityF1) totals() (right, predicted, gold int) {
	for _, t := range e.types {
		c := e.counts[t]
		right, predicted, gold = right+c[0], predicted+c[1], gold+c[2]
	}
	return
}

func (e *entityF1) Value() float64 {
	e.flush()
	if len(e.sequences) == 0 {
		return math.NaN()
	}
	_, _, f1 := prf(e.totals())
	return f1
}

func (e *entityF1) Details() []Detail {
	e.flush()
	right, predicted, gold := e.totals()
	p, r, _ := prf(right, predicted, gold)
	out := []Detail{{Name: "precision", Value: Float(p), Count: predicted}, {Name: "recall", Value: Float(r), Count: gold}}
	for _, t := range e.types {
		c := e.counts[t]
		p, r, f1 := prf(c[0], c[1], c[2])
		out = append(out, Detail{Name: t + ".precision", Value: Float(p), Count: c[1]},
			Detail{Name: t + ".recall", Value: Float(r), Count: c[2]}, Detail{Name: t + ".f1", Value: Float(f1), Count: c[2]})
	}
	return out
}

// Baseline is 0: the most frequent tag is O in any corpus of text, and
// predicting O everywhere finds no entity.
func (e *entityF1) Baseline() (string, float64) { return "majority", 0 }
