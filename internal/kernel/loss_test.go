package kernel

import (
	"fmt"
	"math"
	"testing"
)

func cross64(x []float64, n int, labels []int32, smooth float64) (sum float64) {
	for r, l := range labels {
		if l < 0 {
			continue
		}
		for j, p := range softmax64(x[r*n : (r+1)*n]) {
			target := smooth / float64(n)
			if j == int(l) {
				target += 1 - smooth
			}
			if target != 0 {
				sum -= target * math.Log(p)
			}
		}
	}
	return sum
}

func TestCrossEntropy(t *testing.T) {
	for _, n := range []int{1, 2, 7, 33, 3001} {
		for _, smooth := range []float32{0, 0.1} {
			x := random(1, 5*n)
			for i := range x[:n] {
				x[i] = x[i]*5 + 100
			}
			labels := []int32{int32(n - 1), -1, 0, int32(n / 2), -100}
			x64 := wide(x)
			want := cross64(x64, n, labels, float64(smooth))
			grad := filled(5*n, nan32)
			l := &LogitLoss{Labels: labels, Smooth: smooth, Scale: 1}
			sum, count := l.Value(x, 5, n)
			if count != 3 || math.Abs(sum-want) > 1e-5*(1+want) {
				t.Fatalf("n %d smooth %v: %v of %v, want %v of 3", n, smooth, sum, count, want)
			}
			LossGrad(grad, x, 5, n, false, l)
			for i := 0; i < 5*n; i += 1 + n/9 {
				w := difference(func() float64 { return cross64(x64, n, labels, float64(smooth)) }, x64, i)
				if !close32(grad[i], w, 1e-6, 1e-4) {
					t.Fatalf("n %d smooth %v: grad[%d] = %v, want %v", n, smooth, i, grad[i], w)
				}
			}
			checkSums(t, grad, x, n, 5, l)
		}
	}
}

func TestCrossEntropyLabelRange(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a label beyond the classes was taken")
		}
	}()
	(&LogitLoss{Labels: []int32{4}}).Value(make([]float32, 4), 1, 4)
}

// checkSums adds the gradient to something and writes it over the logits.
func checkSums(t *testing.T, grad, x []float32, n, rows int, l *LogitLoss) {
	t.Helper()
	some := random(8, len(x))
	sum, want := append([]float32(nil), some...), append([]float32(nil), some...)
	LossGrad(sum, x, rows, n, true, l)
	Add(want, want, grad)
	sameBits(t, "added", sum, want)
	l.Scale = 0
	LossGrad(sum, x, rows, n, true, l)
	sameBits(t, "added without weight", sum, want)
	l.Scale = 1
	LossGrad(x, x, rows, n, false, l)
	sameBits(t, "in place", x, grad)
}

// TestLossGradOfSeveral is the sum of each one's.
func TestLossGradOfSeveral(t *testing.T) {
	const rows, n = 4, 3000
	x, u := random(1, rows*n), random(2, rows*n)
	terms := []*LogitLoss{
		{Teacher: u, T: 2, Weight: []float32{1, 0, 2, 0}, Scale: 0.3},
		{Labels: []int32{5, -1, 2999, -1}, Scale: 0.5},
		{Labels: []int32{-1, -1, 7, -1}, Smooth: 0.1, Scale: -2},
		{Labels: []int32{1, 2, 3, -1}, Scale: 0},
	}
	want, one := make([]float64, rows*n), make([]float32, rows*n)
	for _, l := range terms {
		l.Value(x, rows, n)
		LossGrad(one, x, rows, n, false, l)
		for i, v := range one {
			want[i] += float64(v)
		}
	}
	LossGrad(x, x, rows, n, false, terms...)
	compare(t, "gradient", x, want, 1e-6, 1e-5)
	for _, v := range x[3*n:] {
		if v != 0 {
			t.Fatal("a row that no loss counts has a gradient")
		}
	}
}

func kl64(s, u []float64, n int, temperature float64, weight []float32) (sum float64) {
	for r := range len(s) / n {
		w := 1.0
		if weight != nil {
			w = float64(weight[r])
		}
		a, b := make([]float64, n), make([]float64, n)
		for j := range n {
			a[j], b[j] = s[r*n+j]/temperature, u[r*n+j]/temperature
		}
		p, q := softmax64(a), softmax64(b)
		for j := range n {
			if q[j] > 0 {
				sum += w * q[j] * (math.Log(q[j]) - math.Log(p[j]))
			}
		}
	}
	return sum
}

func TestKL(t *testing.T) {
	for _, n := range []int{1, 2, 7, 33, 3001} {
		for _, temperature := range []float32{1, 4, 0.5} {
			for _, weight := range [][]float32{nil, {1, 0, 0.5}} {
				s, u := random(1, 3*n), random(2, 3*n)
				for i := range s {
					s[i], u[i] = s[i]*3+50, u[i]*3-20
				}
				s64, u64 := wide(s), wide(u)
				f := func() float64 { return kl64(s64, u64, n, float64(temperature), weight) }
				want := f()
				grad := filled(3*n, nan32)
				l := &LogitLoss{Teacher: u, T: temperature, Weight: weight, Scale: 1}
				sum, count := l.Value(s, 3, n)
				if want := 3 - 0.5*float64(len(weight)); count != want {
					t.Fatalf("weights of %v counted, want %v", count, want)
				}
				if math.Abs(sum-want) > 2e-5*(1+want) {
					t.Fatalf("n %d T %v: %v, want %v", n, temperature, sum, want)
				}
				LossGrad(grad, s, 3, n, false, l)
				for i := 0; i < 3*n; i += 1 + n/9 {
					if w := difference(f, s64, i); !close32(grad[i], w, 2e-6, 1e-4) {
						t.Fatalf("n %d T %v: grad[%d] = %v, want %v", n, temperature, i, grad[i], w)
					}
				}
				checkSums(t, grad, s, n, 3, l)
			}
		}
	}
}

func TestKLOfEqualsAndMasked(t *testing.T) {
	x := random(1, 999)
	l := &LogitLoss{Teacher: x, T: 2, Scale: 1}
	if kl, _ := l.Value(x, 1, 999); kl != 0 {
		t.Errorf("KL of a row with itself is %v", kl)
	}
	x[5] = float32(math.Inf(-1))
	grad := make([]float32, 999)
	kl, _ := l.Value(x, 1, 999)
	LossGrad(grad, x, 1, 999, false, l)
	if kl != 0 || grad[5] != 0 {
		t.Errorf("KL with a class ruled out on both sides is %v, gradient %v", kl, grad[5])
	}
}

func TestLossThreads(t *testing.T) {
	const rows, n = 37, 1999
	s, u := random(1, rows*n), random(2, rows*n)
	labels := make([]int32, rows)
	for i := range labels {
		labels[i] = int32(i*50) - 60
	}
	eachThreads(t, "losses", func() []float32 {
		g := make([]float32, rows*n)
		ce, kl := &LogitLoss{Labels: labels, Smooth: 0.1, Scale: 1}, &LogitLoss{Teacher: u, T: 3, Scale: 0.5}
		a, _ := ce.Value(s, rows, n)
		b, _ := kl.Value(s, rows, n)
		LossGrad(g, s, rows, n, false, ce, kl)
		fa, fb := math.Float64bits(a), math.Float64bits(b)
		return append(g, float32(fa&0xffff), float32(fa>>16&0xffff), float32(fb&0xffff), float32(fb>>16&0xffff))
	})
}

func TestEmbedding(t *testing.T) {
	for _, n := range []int{1, 7, 128, 300} {
		table := random(1, 11*n)
		ids := []int64{3, 0, 10, 3, 3, 7}
		dst := make([]float32, len(ids)*n)
		GatherRows(dst, table, n, ids)
		for r, id := range ids {
			sameBits(t, "gather", dst[r*n:(r+1)*n], table[int(id)*n:int(id+1)*n])
		}
		src := random(2, len(ids)*n)
		want := wide(table)
		for r, id := range ids {
			for j := range n {
				want[int(id)*n+j] += float64(src[r*n+j])
			}
		}
		base := table
		eachThreads(t, "scatter", func() []float32 {
			table = append([]float32(nil), base...)
			ScatterAddRows(table, src, n, ids)
			return table
		})
		compare(t, fmt.Sprint("scatter ", n), table, want, 1e-5, 1e-6)
	}
}
