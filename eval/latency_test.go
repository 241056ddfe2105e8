package eval

import "testing"

func TestQuantile(t *testing.T) {
	ten := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for _, c := range []struct {
		of   []float64
		q    float64
		want float64
	}{{[]float64{4}, 0.95, 4}, {ten, 0.5, 5.5}, {ten, 0, 1}, {ten, 1, 10}, {[]float64{0, 10, 20}, 0.95, 19}} {
		if got := quantile(c.of, c.q); got < c.want-1e-9 || got > c.want+1e-9 {
			t.Errorf("quantile %g of %v is %g, want %g", c.q, c.of, got, c.want)
		}
	}
}
