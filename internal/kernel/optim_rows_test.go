package kernel

import (
	"fmt"
	"math"
	"testing"
)

// Rows without a gradient take the step that a dense gradient of zeros gives
// them, bit by bit, over several steps with other rows.
func TestAdamWRowsEqualsDense(t *testing.T) {
	for _, size := range [][2]int{{0, 4}, {1, 1}, {5, 3}, {70, 312}, {333, 7}, {3, 9001}} {
		rows, n := size[0], size[1]
		eachThreads(t, fmt.Sprint(size), func() []float32 {
			w, m, v := random(1, rows*n), make([]float32, rows*n), make([]float32, rows*n)
			wd, md, vd := append([]float32(nil), w...), append([]float32(nil), m...), append([]float32(nil), v...)
			for step := 1; step <= 4; step++ {
				dense, touched := make([]float32, rows*n), make([]bool, rows)
				g := filled(rows*n, nan32) // what must not be read
				for r := range touched {
					if touched[r] = (r*7+step*3)%4 == 0 || step == 3 && r%2 == 0; touched[r] {
						copy(dense[r*n:(r+1)*n], random(uint64(r*10+step), n))
						copy(g[r*n:(r+1)*n], dense[r*n:(r+1)*n])
					}
				}
				AdamWRows(w, g, m, v, n, touched, 1e-2, 0.9, 0.999, 1e-8, 0.1, 0.7, step)
				AdamW(wd, dense, md, vd, 1e-2, 0.9, 0.999, 1e-8, 0.1, 0.7, step)
				a, b := SumSquaresRows(g, n, touched), SumSquares(dense)
				if math.Abs(a-b) > 1e-12*b {
					t.Errorf("%v: Σ g² is %v, dense %v", size, a, b)
				}
			}
			sameBits(t, "weights", w, wd)
			sameBits(t, "first moments", m, md)
			sameBits(t, "second moments", v, vd)
			return w
		})
	}
}
