package kernel

import (
	"fmt"
	"testing"
)

// A linear layer in one go has the bits of its three steps.
func TestLinearEqualsSteps(t *testing.T) {
	sizes := append([][3]int{{0, 5, 3}, {1, 40, 7}, {3, 33, 9}, {2, 4, 0}, {70, 120, 300}, {330, 48, 70}, {130, 530, 90}, {60, 140, 900}}, gemmSizes...)
	for _, s := range sizes {
		m, n, k := s[0], s[1], s[2]
		for _, transB := range []bool{false, true} {
			ldb := n
			if transB {
				ldb = k
			}
			a, b, bias := random(1, m*k), random(2, n*k), random(3, n)
			for i, act := range []Act{ActNone, ActGelu, ActTanh, ActRelu} {
				what := fmt.Sprint(s, transB, act)
				z, y := filled(m*n, nan32), filled(m*n, nan32)
				Gemm(false, transB, m, n, k, 1, a, k, b, ldb, 0, z, n)
				given := bias
				if i == 3 {
					given = nil
				} else {
					BiasAct(z, m, n, bias, ActNone)
				}
				Activate(act, y, z)
				z2, y2 := filled(m*n, nan32), filled(m*n, nan32)
				Linear(transB, m, n, k, a, k, b, ldb, given, act, z2, y2)
				sameBits(t, what+" Z", z2, z)
				sameBits(t, what+" Y", y2, y)
				z2 = filled(m*n, nan32)
				Linear(transB, m, n, k, a, k, b, ldb, given, act, z2, nil)
				sameBits(t, what+" Z alone", z2, z)
			}
		}
	}
	m, n, k := 90, 400, 313
	a, b, bias := random(1, m*k), random(2, n*k), random(3, n)
	eachThreads(t, "Linear", func() []float32 {
		z, y := make([]float32, m*n), make([]float32, m*n)
		Linear(false, m, n, k, a, k, b, n, bias, ActGelu, z, y)
		return append(z, y...)
	})
}
