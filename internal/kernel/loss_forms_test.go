package kernel

import (
	"math"
	"slices"
	"testing"
)

// softened is softmax(x/t) of one row.
func softened(x []float64, t float64) []float64 {
	y := slices.Clone(x)
	for i := range y {
		y[i] /= t
	}
	return softmax64(y)
}

func kl2(p, q []float64) (sum float64) {
	for i := range p {
		if p[i] > 0 {
			sum += p[i] * math.Log(p[i]/q[i])
		}
	}
	return sum
}

// form64 is the loss of one row, as the papers write it.
func form64(f Form, s, u []float64, label int, t, alpha, beta float64) float64 {
	p, q := softened(u, t), softened(s, t)
	switch f {
	case FormMSE:
		sum := 0.0
		for i := range s {
			sum += (s[i] - u[i]) * (s[i] - u[i])
		}
		return sum / float64(len(s))
	case FormJS:
		m := make([]float64, len(p))
		for i := range m {
			m[i] = (p[i] + q[i]) / 2
		}
		return kl2(p, m)/2 + kl2(q, m)/2
	case FormDKD:
		if len(s) == 1 {
			return 0
		}
		var po, qo float64
		for i := range p {
			if i != label {
				po, qo = po+p[i], qo+q[i]
			}
		}
		others := 0.0
		for i := range p {
			if i != label {
				others += p[i] / po * math.Log(p[i]/po/(q[i]/qo))
			}
		}
		return alpha*kl2([]float64{p[label], po}, []float64{q[label], qo}) + beta*others
	}
	return kl2(p, q)
}

func TestForms(t *testing.T) {
	const rows = 3
	for _, form := range []Form{FormMSE, FormJS, FormDKD} {
		for _, n := range []int{1, 2, 7, 33, expBlock, expBlock + 1, 3001} {
			for _, heat := range []float32{1, 4, 0.5} {
				for _, weight := range [][]float32{nil, {1, 0, 0.25}} {
					s, u := random(1, rows*n), random(2, rows*n)
					for i := range s {
						s[i], u[i] = s[i]*2+5, u[i]*2-3
					}
					labels := []int32{int32(n - 1), 0, -1}
					target := []int{n - 1, 0, argmax(u[2*n:])}
					s64, u64 := wide(s), wide(u)
					f := func() (sum float64) {
						for r := range rows {
							w := 1.0
							if weight != nil {
								w = float64(weight[r])
							}
							sum += w * form64(form, s64[r*n:(r+1)*n], u64[r*n:(r+1)*n], target[r], float64(heat), 0.7, 3)
						}
						return sum
					}
					l := &LogitLoss{Labels: labels, Teacher: u, Form: form, T: heat, Alpha: 0.7, Beta: 3, Weight: weight, Scale: 1}
					sum, total := l.Value(s, rows, n)
					if want := f(); math.Abs(sum-want) > 2e-5*(1+want) || total != 3-1.75*float64(len(weight))/3 {
						t.Fatalf("form %d n %d T %v: %v of %v, want %v", form, n, heat, sum, total, want)
					}
					grad := filled(rows*n, nan32)
					LossGrad(grad, s, rows, n, false, l)
					for i := 0; i < rows*n; i += 1 + n/9 {
						if w := difference(f, s64, i); !close32(grad[i], w, 5e-6, 2e-4) {
							t.Fatalf("form %d n %d T %v: grad[%d] = %v, want %v", form, n, heat, i, grad[i], w)
						}
					}
					checkSums(t, grad, s, n, rows, l)
				}
			}
		}
	}
}

// The loops of JS against their plain twins, on probabilities of every size.
func TestJensenShannonTerms(t *testing.T) {
	some := []float32{0, 1e-45, 1e-38, 2e-38, 1e-20, 1e-7, 1e-4, 0.0999, 0.1, 0.10001, 0.1001, 0.11, 0.2, 0.5, 0.999999, 1}
	var p, q []float32
	for _, a := range some {
		for _, b := range some {
			p, q = append(p, a), append(q, b)
		}
	}
	for n := range len(p) + 1 {
		if n > 40 && n != len(p) {
			continue
		}
		p, q := p[len(p)-n:], q[len(q)-n:]
		var got, want [3][]float32
		for i := range got {
			got[i], want[i] = append(random(4, n), 77), random(4, n)
		}
		vJSTerms(got[0][:n], got[1][:n], p, q)
		vJSGrad(got[2][:n], p, q, 3, 0.2)
		jsTermsGo(want[0], want[1], p, q)
		jsGradGo(want[2], p, q, 3, 0.2)
		for i, what := range []string{"ours", "both", "gradient"} {
			if got[i][n] != 77 {
				t.Fatalf("%s: wrote behind %d elements", what, n)
			}
			compare(t, what, got[i][:n], wide(want[i]), 4e-8, 2e-6)
		}
		inPlace := [2][]float32{slices.Clone(p), slices.Clone(q)}
		vJSTerms(inPlace[1], inPlace[0], inPlace[0], inPlace[1])
		sameBits(t, "in place", append(inPlace[1], inPlace[0]...), append(got[0][:n], got[1][:n]...))
	}
	for _, bad := range [][2]float32{{nan32, 0.5}, {0.5, nan32}} {
		ours, both := make([]float32, 1), make([]float32, 1)
		if vJSTerms(ours, both, bad[:1], bad[1:]); both[0] == both[0] {
			t.Errorf("p %v, q %v: %v is a number", bad[0], bad[1], both[0])
		}
	}
}

// Distributions that are nearly equal have a divergence of second order, of which
// the float32 terms leave a few digits.
func TestJensenShannonOfNearOnes(t *testing.T) {
	const n = 5000
	for _, eps := range []float32{1e-1, 1e-2, 1e-3} {
		s, u := random(1, n), random(2, n)
		for i := range s {
			s[i], u[i] = s[i]*2, s[i]*2+eps*u[i]
		}
		got, _ := (&LogitLoss{Teacher: u, Form: FormJS, T: 1}).Value(s, 1, n)
		want := form64(FormJS, wide(s), wide(u), 0, 1, 0, 0)
		if math.Abs(got-want) > want*0.02 {
			t.Errorf("logits that differ by %v: %v, want %v", eps, got, want)
		}
	}
}

// DKD with α = 1 and β = 1 - p_T(label) is KD (Zhao et al. 2022, equation 6), also
// where the label is nearly certain.
func TestDecoupledIsKD(t *testing.T) {
	for _, n := range []int{2, 5, 3001} {
		for _, lead := range []float32{0, 3, 20} {
			s, u := random(1, n), random(2, n)
			label := n / 2
			s[label], u[label] = s[label]+lead, u[label]+lead
			p := softened(wide(u), 2)[label]
			dkd := &LogitLoss{Labels: []int32{int32(label)}, Teacher: u, Form: FormDKD, T: 2, Alpha: 1, Beta: float32(1 - p), Scale: 1}
			kd := &LogitLoss{Teacher: u, T: 2, Scale: 1}
			a, _ := dkd.Value(s, 1, n)
			b, _ := kd.Value(s, 1, n)
			if math.Abs(a-b) > 2e-6*(1+b) {
				t.Errorf("n %d: DKD %v, KD %v", n, a, b)
			}
			ga, gb := make([]float32, n), make([]float32, n)
			LossGrad(ga, s, 1, n, false, dkd)
			LossGrad(gb, s, 1, n, false, kd)
			compare(t, "gradient", ga, wide(gb), 1e-6, 1e-4)
		}
	}
}

// T²·KL tends to half the mean square of the centred logits' difference as T grows
// (Hinton et al. 2015, equation 4).
func TestHotKLIsMSE(t *testing.T) {
	const n, heat = 37, 200
	s, u := random(1, n), random(2, n)
	for _, x := range [][]float32{s, u} {
		mean := vSum(x) / n
		for i := range x {
			x[i] -= mean
		}
	}
	kl, mse := &LogitLoss{Teacher: u, T: heat}, &LogitLoss{Teacher: u, Form: FormMSE}
	a, _ := kl.Value(s, 1, n)
	b, _ := mse.Value(s, 1, n)
	if got := heat * heat * a; math.Abs(got-b/2) > 0.01*b {
		t.Errorf("T²·KL is %v at T = %d, half the MSE %v", got, heat, b/2)
	}
}

func TestFormsOfEqualsAreZero(t *testing.T) {
	x := random(1, 999)
	for _, form := range []Form{FormKL, FormMSE, FormJS, FormDKD} {
		l := &LogitLoss{Labels: []int32{7}, Teacher: x, Form: form, T: 2, Alpha: 1, Beta: 8, Scale: 1}
		v, _ := l.Value(x, 1, 999)
		grad := make([]float32, 999)
		LossGrad(grad, x, 1, 999, false, l)
		for i, g := range grad {
			if v < 0 || v > 1e-12 || math.Abs(float64(g)) > 1e-9 {
				t.Fatalf("form %d of a row with itself is %v, gradient %v at %d", form, v, g, i)
			}
		}
	}
}

func TestWeightedCrossEntropy(t *testing.T) {
	const rows, n = 4, 2500
	x := random(3, rows*n)
	labels, weight := []int32{3, -1, 2400, 7}, []float32{0.25, 1, 2, 0}
	x64 := wide(x)
	f := func() float64 {
		return 0.25*cross64(x64[:n], n, labels[:1], 0.1) + 2*cross64(x64[2*n:3*n], n, labels[2:3], 0.1)
	}
	l := &LogitLoss{Labels: labels, Smooth: 0.1, Weight: weight, Scale: 1}
	sum, total := l.Value(x, rows, n)
	if want := f(); math.Abs(sum-want) > 1e-5*want || total != 2.25 || l.Labelled != 2 {
		t.Fatalf("%v of %v in %d rows, want %v of 2.25 in 2", sum, total, l.Labelled, want)
	}
	grad := make([]float32, rows*n)
	LossGrad(grad, x, rows, n, false, l)
	for i := 0; i < rows*n; i += 97 {
		if w := difference(f, x64, i); !close32(grad[i], w, 1e-6, 1e-4) {
			t.Fatalf("grad[%d] = %v, want %v", i, grad[i], w)
		}
	}
	checkSums(t, grad, x, n, rows, l)
}

func TestExcusedRows(t *testing.T) {
	const n = 5
	x := []float32{
		0, 9, 1, 1, 1, // 1 for 0: excused
		0, 9, 1, 1, 1, // right
		0, 1, 9, 1, 1, // 2 for 0: a mistake
		0, 9, 9, 1, 1, // the first of equals, excused
		0, 9, 1, 1, 1, // no label
	}
	labels := []int32{0, 1, 0, 0, -1}
	l := &LogitLoss{Labels: labels, Scale: 1, Excuse: func(label, class int32) bool { return label == 0 && class == 1 }}
	sum, total := l.Value(x, 5, n)
	want := cross64(wide(x[n:3*n]), n, labels[1:3], 0)
	if math.Abs(sum-want) > 1e-5 || total != 2 || l.Excused != 2 || l.Labelled != 4 {
		t.Errorf("%v of %v, %d of %d excused; want %v of 2, 2 of 4", sum, total, l.Excused, l.Labelled, want)
	}
	grad := filled(5*n, nan32)
	LossGrad(grad, x, 5, n, false, l)
	for i, g := range grad {
		if row := i / n; (g != 0) != (row == 1 || row == 2) {
			t.Errorf("row %d has the gradient %v", row, g)
		}
	}
}

func penalty64(x, table []float64, label, width, top int) float64 {
	p := softmax64(x)
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case x[a] > x[b]:
			return -1
		case x[a] < x[b]:
			return 1
		}
		return 0
	})
	sum := 0.0
	for _, v := range order[:min(top, len(order))] {
		var aa, bb, ab float64
		for j := range width {
			a, b := table[label*width+j], table[v*width+j]
			aa, bb, ab = aa+a*a, bb+b*b, ab+a*b
		}
		cos := 0.0
		if aa*bb > 0 {
			cos = ab / math.Sqrt(aa*bb)
		}
		sum += p[v] * (1 - cos)
	}
	return sum
}

func TestPenalty(t *testing.T) {
	for _, n := range []int{1, 2, 9, 3001} {
		for _, top := range []int{1, 5} {
			const width = 7
			table, x := random(4, n*width), random(5, 3*n)
			for i := range x {
				x[i] *= 2
			}
			labels := []int32{int32(n - 1), -1, int32(argmax(x[2*n:]))}
			x64, t64 := wide(x), wide(table)
			f := func() float64 {
				return penalty64(x64[:n], t64, n-1, width, top) + 0.5*penalty64(x64[2*n:], t64, int(labels[2]), width, top)
			}
			l := &LogitLoss{Labels: labels, Table: table, Width: width, Top: top, Weight: []float32{1, 1, 0.5}, Scale: 1}
			sum, total := l.Value(x, 3, n)
			if want := f(); math.Abs(sum-want) > 1e-5 || total != 1.5 {
				t.Fatalf("n %d top %d: %v of %v, want %v", n, top, sum, total, want)
			}
			grad := filled(3*n, nan32)
			LossGrad(grad, x, 3, n, false, l)
			for i := 0; i < 3*n; i += 1 + n/50 {
				if w := difference(f, x64, i); !close32(grad[i], w, 1e-6, 1e-4) {
					t.Fatalf("n %d top %d: grad[%d] = %v, want %v", n, top, i, grad[i], w)
				}
			}
			checkSums(t, grad, x, n, 3, l)
		}
	}
}

func TestFormsAtEveryThreadCount(t *testing.T) {
	const rows, n = 37, 1999
	s, u, table := random(1, rows*n), random(2, rows*n), random(3, n*8)
	labels := make([]int32, rows)
	for i := range labels {
		labels[i] = int32(i*50) - 60
	}
	eachThreads(t, "forms", func() []float32 {
		g, w := make([]float32, rows*n), make([]float32, rows)
		Confidence(w, u, rows, n, true)
		terms := []*LogitLoss{
			{Labels: labels, Teacher: u, Form: FormDKD, T: 2, Alpha: 1, Beta: 4, Weight: w, Scale: 1},
			{Teacher: u, Form: FormJS, T: 2, Scale: 0.5}, {Teacher: u, Form: FormMSE, Scale: 0.1},
			{Labels: labels, Table: table, Width: 8, Top: 5, Scale: 1},
		}
		out := slices.Clone(w)
		for _, l := range terms {
			v, _ := l.Value(s, rows, n)
			out = append(out, float32(v))
		}
		LossGrad(g, s, rows, n, false, terms...)
		return append(g, out...)
	})
}

func TestConfidence(t *testing.T) {
	for _, n := range []int{1, 2, 7, 3001} {
		x := random(1, 2*n)
		for i := range x[:n] {
			x[i] *= 5
		}
		most, even := make([]float32, 2), make([]float32, 2)
		Confidence(most, x, 2, n, false)
		Confidence(even, x, 2, n, true)
		for r := range 2 {
			p := softmax64(wide(x[r*n : (r+1)*n]))
			h := 0.0
			for _, v := range p {
				h -= v * math.Log(v)
			}
			sure := 1.0
			if n > 1 {
				sure = 1 - h/math.Log(float64(n))
			}
			if !close32(most[r], slices.Max(p), 1e-6, 1e-5) || !close32(even[r], sure, 2e-6, 1e-5) {
				t.Errorf("n %d: confidence %v and %v, want %v and %v", n, most[r], even[r], slices.Max(p), sure)
			}
		}
	}
	w := []float32{nan32}
	if Confidence(w, make([]float32, 9), 1, 9, true); !close32(w[0], 0, 1e-6, 0) {
		t.Errorf("a uniform row has the confidence %v", w[0])
	}
}
