package kernel

import (
	"fmt"
	"math"
	"testing"
)

func softmax64(x []float64) []float64 {
	top := math.Inf(-1)
	for _, v := range x {
		top = math.Max(top, v)
	}
	y := make([]float64, len(x))
	if math.IsInf(top, -1) {
		return y
	}
	var sum float64
	for i, v := range x {
		y[i] = math.Exp(v - top)
		sum += y[i]
	}
	for i := range y {
		y[i] /= sum
	}
	return y
}

func TestSoftmaxRows(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, n := range []int{1, 2, 7, 8, 9, 31, 128, 129, 5000} {
		const rows = 5
		x := random(1, rows*n)
		for i := range n {
			x[n+i] = x[n+i]*30 + 1000 // large values
			x[2*n+i] = -inf           // nothing left
			if i%3 == 1 {
				x[3*n+i] = -inf
				x[4*n+i] -= 1e4
			}
		}
		y, l := make([]float32, rows*n), make([]float32, rows*n)
		SoftmaxRows(y, x, rows, n)
		LogSoftmaxRows(l, x, rows, n)
		for r := range rows {
			want := softmax64(wide(x[r*n : (r+1)*n]))
			compare(t, fmt.Sprint("softmax ", n, r), y[r*n:], want, 1e-9, 2e-6)
			if r == 2 {
				continue
			}
			for i, p := range want {
				lp := math.Log(p)
				if p < 1e-300 && !math.IsInf(float64(x[r*n+i]), -1) {
					continue
				}
				if !close32(l[r*n+i], lp, 2e-6, 1e-6) {
					t.Fatalf("log softmax %d row %d: %v, want %v", n, r, l[r*n+i], lp)
				}
			}
		}
		for i := range n {
			if !math.IsInf(float64(l[2*n+i]), -1) {
				t.Fatal("log softmax of -Inf")
			}
		}
		in := append([]float32(nil), x...)
		SoftmaxRows(in, in, rows, n)
		sameBits(t, "in place", in, y)
	}
	for _, x := range [][]float32{{1, nan32, 2}, {nan32, -inf, nan32}, filled(20, nan32), {math.Float32frombits(0x7fc00001), 1}} {
		SoftmaxRows(x, x, 1, len(x))
		for _, v := range x {
			if v == v {
				t.Fatal("softmax hid a NaN")
			}
		}
	}
}

func norm64(x, gamma, beta []float64, rows, n int, eps float64) []float64 {
	y := make([]float64, rows*n)
	for r := range rows {
		var mean, variance float64
		row := x[r*n : (r+1)*n]
		for _, v := range row {
			mean += v / float64(n)
		}
		for _, v := range row {
			variance += (v - mean) * (v - mean) / float64(n)
		}
		for i, v := range row {
			y[r*n+i] = (v-mean)/math.Sqrt(variance+eps)*gamma[i] + beta[i]
		}
	}
	return y
}

func TestLayerNorm(t *testing.T) {
	const eps = 1e-5
	for _, n := range []int{1, 2, 7, 8, 9, 31, 312, 768} {
		const rows = 9
		x, res, gamma, beta := random(1, rows*n), random(2, rows*n), random(3, n), random(4, n)
		for i := range x {
			x[i] += 3
		}
		s := make([]float64, rows*n)
		for i := range s {
			s[i] = float64(x[i]) + float64(res[i])
		}
		want := norm64(s, wide(gamma), wide(beta), rows, n, eps)
		y, sum, mean, rstd := make([]float32, rows*n), make([]float32, rows*n), make([]float32, rows), make([]float32, rows)
		LayerNorm(y, x, res, gamma, beta, rows, n, eps, sum, mean, rstd)
		tol := 1e-5
		if n == 2 {
			tol = 2e-3 // two close values: the float32 sum itself limits
		}
		compare(t, fmt.Sprint("LayerNorm ", n), y, want, tol, 1e-5)
		compare(t, "sum", sum, s, 1e-6, 1e-6)
		y2 := append([]float32(nil), x...)
		LayerNorm(y2, y2, res, gamma, beta, rows, n, eps, nil, nil, nil)
		sameBits(t, "in place", y2, y)
		LayerNorm(y2, sum, nil, gamma, beta, rows, n, eps, nil, mean, rstd)
		sameBits(t, "without residual", y2, y)
	}
}

func TestLayerNormGrad(t *testing.T) {
	const eps = 1e-3
	for _, size := range [][2]int{{3, 5}, {2, 16}, {130, 9}, {1, 33}} {
		rows, n := size[0], size[1]
		x, gamma, beta, dy := random(1, rows*n), random(3, n), random(4, n), random(5, rows*n)
		x64, gamma64, beta64 := wide(x), wide(gamma), wide(beta)
		loss := func() float64 {
			var l float64
			for i, v := range norm64(x64, gamma64, beta64, rows, n, eps) {
				l += v * float64(dy[i])
			}
			return l
		}
		y, sum, mean, rstd := make([]float32, rows*n), make([]float32, rows*n), make([]float32, rows), make([]float32, rows)
		LayerNorm(y, x, nil, gamma, beta, rows, n, eps, sum, mean, rstd)
		dgamma, dbeta := filled(n, 10), filled(n, -10)
		dx := append([]float32(nil), dy...)
		LayerNormGrad(dx, dgamma, dbeta, dx, sum, gamma, mean, rstd, rows, n)
		for i := 0; i < rows*n; i += 1 + rows*n/40 {
			if want := difference(loss, x64, i); !close32(dx[i], want, 2e-4, 1e-4) {
				t.Fatalf("%v dx[%d] = %v, want %v", size, i, dx[i], want)
			}
		}
		for i := range n {
			if want := 10 + difference(loss, gamma64, i); !close32(dgamma[i], want, 2e-4, 1e-5) {
				t.Fatalf("%v dgamma[%d] = %v, want %v", size, i, dgamma[i], want)
			}
			if want := -10 + difference(loss, beta64, i); !close32(dbeta[i], want, 2e-4, 1e-5) {
				t.Fatalf("%v dbeta[%d] = %v, want %v", size, i, dbeta[i], want)
			}
		}
	}
}

func TestNormThreads(t *testing.T) {
	const rows, n = 333, 97
	x, res, gamma, beta, dy := random(1, rows*n), random(2, rows*n), random(3, n), random(4, n), random(5, rows*n)
	eachThreads(t, "norm", func() []float32 {
		y, sum, mean, rstd := make([]float32, rows*n), make([]float32, rows*n), make([]float32, rows), make([]float32, rows)
		LayerNorm(y, x, res, gamma, beta, rows, n, 1e-5, sum, mean, rstd)
		dgamma, dbeta, dx := make([]float32, n), make([]float32, n), make([]float32, rows*n)
		LayerNormGrad(dx, dgamma, dbeta, dy, sum, gamma, mean, rstd, rows, n)
		SoftmaxRows(y, y, rows, n)
		return append(append(append(y, dx...), dgamma...), dbeta...)
	})
}
