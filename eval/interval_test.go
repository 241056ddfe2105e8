package eval

import (
	"math"
	"math/rand/v2"
	"testing"
)

// take is the sequences of unit rows at index, as one block.
func take(r Rows, index []int, unit int) Rows {
	out := Rows{Classes: r.Classes}
	for g, k := range index {
		for i := k * unit; i < (k+1)*unit; i++ {
			out.Logits = append(out.Logits, r.Logits[i*r.Classes:(i+1)*r.Classes]...)
			out.Reference = append(out.Reference, r.Reference[i*r.Classes:(i+1)*r.Classes]...)
			out.Gold, out.Group = append(out.Gold, r.Gold[i]), append(out.Group, g)
		}
	}
	return out
}

// The interval of every metric is that of the metric made anew of resampled rows
// (of resampled sequences for entities), as far as chance lets them agree.
func TestIntervalsAreThoseOfResampledRows(t *testing.T) {
	const rows = 240
	labels := []string{"O", "B-X", "I-X"}
	rng := rand.New(rand.NewPCG(1, 2))
	r := Rows{Classes: 3}
	for i := range rows {
		gold := max(0, rng.IntN(5)-2) // 0 three times of five
		for k := range 3 {
			x := float32(rng.NormFloat64())
			if k == gold {
				x += 1.5
			}
			r.Logits, r.Reference = append(r.Logits, x), append(r.Reference, x+float32(rng.NormFloat64()))
		}
		r.Gold, r.Group = append(r.Gold, int32(gold)), append(r.Group, i/3)
	}
	for _, named := range Metrics() {
		m := named.New(labels)
		m.Add(r)
		own, ok := m.(intervaler)
		if !ok {
			if named.Name != "kl" && named.Name != "agreement" { // Compare gives these without one
				t.Errorf("%s has no interval", named.Name)
			}
			continue
		}
		unit := 1
		if named.Name == "ner_f1" || named.Name == "ner_f1_strict" {
			unit = 3
		}
		want := Bootstrap(rows/unit, 200, 9, func(index []int) float64 {
			fresh := named.New(labels)
			fresh.Add(take(r, index, unit))
			return fresh.Value()
		})
		got := own.interval(5)
		width := float64(want.High - want.Low)
		if math.Abs(float64(got.Low-want.Low)) > 0.2*width || math.Abs(float64(got.High-want.High)) > 0.2*width {
			t.Errorf("%s %.4f: interval %.4f, resampled %.4f", named.Name, m.Value(), got, want)
		}
		if again := own.interval(5); again != got {
			t.Errorf("%s: the same seed gives %v and %v", named.Name, got, again)
		}
		if float64(got.Low) > m.Value() || float64(got.High) < m.Value() {
			t.Errorf("%s: %v lies outside %v", named.Name, m.Value(), got)
		}
	}
}
