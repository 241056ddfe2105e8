package eval_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/eval"
)

func TestEntities(t *testing.T) {
	for tags, want := range map[string][2]string{ // as conlleval reads them, and strictly
		"":                       {"[]", "[]"},
		"O O":                    {"[]", "[]"},
		"B-PER I-PER O B-LOC":    {"[{PER 0 2} {LOC 3 4}]", "[{PER 0 2} {LOC 3 4}]"},
		"B-PER B-PER":            {"[{PER 0 1} {PER 1 2}]", "[{PER 0 1} {PER 1 2}]"},
		"O I-PER I-PER":          {"[{PER 1 3}]", "[]"},
		"B-PER I-LOC I-LOC":      {"[{PER 0 1} {LOC 1 3}]", "[{PER 0 1}]"},
		"I-PER B-PER I-PER":      {"[{PER 0 1} {PER 1 3}]", "[{PER 1 3}]"},
		"B-PER O I-PER":          {"[{PER 0 1} {PER 2 3}]", "[{PER 0 1}]"},
		"B-A-B I-A-B":            {"[{A-B 0 2}]", "[{A-B 0 2}]"},
		"I-LOC I-LOC O I-LOC":    {"[{LOC 0 2} {LOC 3 4}]", "[]"},
		"B-LOC I-PER I-LOC":      {"[{LOC 0 1} {PER 1 2} {LOC 2 3}]", "[{LOC 0 1}]"},
		"class7 B-PER LABEL_1 O": {"[{PER 1 2}]", "[{PER 1 2}]"},
	} {
		in := strings.Fields(tags)
		if got := fmt.Sprint(eval.Entities(in)); got != want[0] {
			t.Errorf("%q: got %s, want %s", tags, got, want[0])
		}
		if got := fmt.Sprint(eval.StrictEntities(in)); got != want[1] {
			t.Errorf("%q strictly: got %s, want %s", tags, got, want[1])
		}
	}
}

// tags adds sequences written as "gold/predicted" pairs.
func tags(m eval.Metric, labels []string, sequences ...string) {
	for group, s := range sequences {
		r := eval.Rows{Classes: len(labels)}
		for _, pair := range strings.Fields(s) {
			gold, pred, _ := strings.Cut(pair, "/")
			r.Gold = append(r.Gold, int32(slices.Index(labels, gold)))
			r.Logits = append(r.Logits, onehot(len(labels), slices.Index(labels, pred))...)
			r.Group = append(r.Group, group)
		}
		m.Add(r)
	}
}

func TestEntityF1(t *testing.T) {
	labels := []string{"O", "B-PER", "I-PER", "B-LOC", "I-LOC"}
	for name, c := range map[string]struct {
		sequences []string
		f1        float64
	}{
		// Gold PER, LOC; predicted the PER too short and the LOC right.
		"a boundary":   {[]string{"B-PER/B-PER I-PER/O O/O B-LOC/B-LOC"}, 0.5},
		"a type":       {[]string{"B-PER/B-LOC I-PER/I-LOC O/O"}, 0},
		"one too many": {[]string{"B-PER/B-PER O/B-LOC"}, 2. / 3},
		"I begins":     {[]string{"O/O B-LOC/I-LOC I-LOC/I-LOC"}, 1},
		// The same tags over the border of two sequences are two entities.
		"two sequences": {[]string{"B-PER/B-PER", "I-PER/I-PER"}, 1},
		"left out":      {[]string{"B-PER/B-PER ?/O I-PER/I-PER"}, 1},
		"none":          {[]string{"O/O O/O"}, 0},
	} {
		m := metric(t, "ner_f1", labels...)
		tags(m, labels, c.sequences...)
		if !near(m.Value(), c.f1) {
			t.Errorf("%s: got %v, want %v", name, m.Value(), c.f1)
		}
	}
	m := metric(t, "ner_f1_strict", labels...)
	tags(m, labels, "O/O B-LOC/I-LOC I-LOC/I-LOC")
	if m.Value() != 0 {
		t.Errorf("strictly, I begins nothing: %v", m.Value())
	}
	// 3 gold, 4 predicted, 2 right: precision 1/2, recall 2/3, F1 4/7.
	m = metric(t, "ner_f1", labels...)
	tags(m, labels, "B-PER/B-PER O/B-LOC B-LOC/B-LOC", "B-PER/B-LOC O/O")
	d := m.(eval.Detailer).Details()
	if !near(m.Value(), 4./7) || !near(float64(d[0].Value), 0.5) || !near(float64(d[1].Value), 2./3) || d[2].Name != "LOC.precision" || !near(float64(d[2].Value), 1./3) {
		t.Errorf("%v %v", m.Value(), d)
	}
}
