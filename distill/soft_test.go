package distill

import (
	"math"
	"slices"
	"testing"

	"github.com/litekit/lite/corpus"
)

func TestTemperature(t *testing.T) {
	for _, c := range []struct {
		name        string
		l           SoftLabels
		step, steps int
		want        float64
	}{
		{"nothing set", SoftLabels{}, 3, 5, 1},
		{"constant", SoftLabels{Temperature: 4}, 3, 5, 4},
		{"first step", SoftLabels{Temperature: 8, TemperatureEnd: 2}, 0, 5, 8},
		{"half way", SoftLabels{Temperature: 8, TemperatureEnd: 2}, 2, 5, 5},
		{"last step", SoftLabels{Temperature: 8, TemperatureEnd: 2}, 4, 5, 2},
		{"cosine, a quarter", SoftLabels{Temperature: 8, TemperatureEnd: 2, Path: Cosine}, 1, 5, 8 - 6*(1-math.Cos(math.Pi/4))/2},
		{"cosine, last", SoftLabels{Temperature: 8, TemperatureEnd: 2, Path: Cosine}, 4, 5, 2},
		{"from 1", SoftLabels{TemperatureEnd: 3}, 4, 5, 3},
		{"one step", SoftLabels{Temperature: 8, TemperatureEnd: 2}, 0, 1, 8},
	} {
		if got := c.l.temperature(c.step, c.steps); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestSpread(t *testing.T) {
	b := &corpus.Batch{
		B: 2, S: 3, R: 4, Rows: []int64{1, 3, 4, 1},
		MLM: []int32{-1, 9, -1, -1}, POS: []int32{5, 6, -1, -1}, NER: []int32{-1, 2, 3, -1},
	}
	s := &stream{tags: AllWords}
	m, pos, ner := s.spread(b)
	if !slices.Equal(pos, []int32{-1, 5, -1, 6, -1, -1}) || !slices.Equal(ner, []int32{-1, -1, -1, 2, 3, -1}) {
		t.Errorf("tags %v and %v", pos, ner)
	}
	if m.R != rowMultiple || m.Rows[0] != 3 || m.MLM[0] != 9 || slices.Max(m.MLM[1:]) != -1 || len(m.POS) != m.R {
		t.Errorf("rows %v with the tokens %v", m.Rows, m.MLM)
	}
	if b.R != 4 {
		t.Error("the batch changed")
	}
}
