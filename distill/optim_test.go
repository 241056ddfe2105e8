package distill

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// A gradient that is not finite is an error before it has touched a weight or a
// moment: what is saved afterwards is still good.
func TestBadGradientChangesNothing(t *testing.T) {
	for name, bad := range map[string]float32{"NaN": float32(math.NaN()), "Inf": float32(math.Inf(1))} {
		c := Default()
		p := &Param{Name: "w", Value: []float32{1, -2, 3}, Grad: []float32{0.5, bad, 0.1}}
		tr := &trainer{cfg: &c, params: []*Param{p}, first: [][]float32{{1, 1, 1}}, second: [][]float32{{1, 1, 1}}, steps: 10, step: 3}
		if _, err := tr.update(); err == nil || !strings.Contains(err.Error(), "step 4") {
			t.Errorf("%s: error %v; want step 4 named", name, err)
		}
		if !slices.Equal(p.Value, []float32{1, -2, 3}) || !slices.Equal(tr.first[0], []float32{1, 1, 1}) || !slices.Equal(tr.second[0], []float32{1, 1, 1}) {
			t.Errorf("%s: weights %v, moments %v %v", name, p.Value, tr.first[0], tr.second[0])
		}
		p.Grad[1] = 0.2
		if _, err := tr.update(); err != nil || slices.Equal(p.Value, []float32{1, -2, 3}) {
			t.Errorf("a good gradient: error %v, weights %v", err, p.Value)
		}
	}
}
