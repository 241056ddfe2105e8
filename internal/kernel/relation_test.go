package kernel

import (
	"fmt"
	"math"
	"testing"
)

// relations64 is Relations.Compare in float64, pair by pair.
func relations64(r *Relations, x, y, tx, ty []float32) float64 {
	if y == nil {
		y, ty = x, tx
	}
	score := func(x, y []float32, i, j, ld, a, d int, scale float32) float64 {
		sum := 0.0
		for k := range d {
			sum += float64(x[i*ld+a*d+k]) * float64(y[j*ld+a*d+k])
		}
		return sum * float64(scale)
	}
	total := 0.0
	for b := range len(r.Offsets) - 1 {
		from, to := r.Offsets[b], r.Offsets[b+1]
		for a := range r.A {
			for i := from; i < to; i++ {
				var s, u []float64
				for j := from; j < to; j++ {
					s = append(s, score(x, y, r.Rows[i], r.Rows[j], r.LD, a, r.D, r.Scale))
					u = append(u, score(tx, ty, r.TeacherRows[i], r.TeacherRows[j], r.LDT, a, r.DT, r.ScaleT))
				}
				p, q := softmax64(u), softmax64(s)
				for j := range s {
					if !r.Squared {
						total += p[j] * math.Log(p[j]/q[j])
						continue
					}
					if s[j] <= -100 {
						s[j] = 0
					}
					if u[j] <= -100 {
						u[j] = 0
					}
					total += (s[j] - u[j]) * (s[j] - u[j])
				}
			}
		}
	}
	return total
}

// relationCases are awkward shapes: one token, no token, more than one block, rows
// that are out of order.
func relationCases() []*Relations {
	var out []*Relations
	for _, squared := range []bool{false, true} {
		for _, lengths := range [][]int{{1}, {3, 0, 5}, {70, 2}} {
			for _, sizes := range [][3]int{{1, 5, 7}, {3, 4, 4}, {2, 16, 33}} {
				r := &Relations{A: sizes[0], D: sizes[1], DT: sizes[2], Squared: squared, Offsets: []int{0}}
				r.LD, r.LDT = r.A*r.D+3, r.A*r.DT
				r.Scale, r.ScaleT = float32(1/math.Sqrt(float64(r.D))), float32(1/math.Sqrt(float64(r.DT)))
				at := 1
				for _, n := range lengths {
					for i := range n {
						r.Rows, r.TeacherRows = append(r.Rows, at+n-1-i), append(r.TeacherRows, at+i)
					}
					at += n + 2
					r.Offsets = append(r.Offsets, r.Offsets[len(r.Offsets)-1]+n)
				}
				out = append(out, r)
			}
		}
	}
	return out
}

func TestRelations(t *testing.T) {
	defer SetThreads(Threads())
	for _, r := range relationCases() {
		rows := 0
		for _, at := range r.Rows {
			rows = max(rows, at+1)
		}
		x, y := random(1, rows*r.LD), random(2, rows*r.LD)
		tx, ty := random(3, rows*r.LDT), random(4, rows*r.LDT)
		for _, self := range []bool{false, true} {
			what := fmt.Sprintf("heads %d of %d and %d, lengths %v, squared %v, self %v", r.A, r.D, r.DT, r.Offsets, r.Squared, self)
			y, ty := y, ty
			dx, dy := random(5, len(x)), random(6, len(y))
			if self {
				y, ty, dy = nil, nil, nil
			}
			SetThreads(1)
			got, want := r.Compare(dx, dy, x, y, tx, ty), relations64(r, x, y, tx, ty)
			if math.Abs(got-want) > 1e-4*(1+math.Abs(want)) {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
			if plain := r.Compare(nil, nil, x, y, tx, ty); plain != got {
				t.Errorf("%s: %v with gradients, %v without", what, got, plain)
			}
			SetThreads(3)
			dx3, dy3 := make([]float32, len(dx)), make([]float32, len(dy))
			if r.Compare(dx3, dy3, x, y, tx, ty) != got {
				t.Errorf("%s: another value with 3 threads", what)
			}
			sameBits(t, what, dx, dx3)
			sameBits(t, what, dy, dy3)
			checkRelationGrad(t, what, r, dx, x, func(x []float32) float64 { return relations64(r, x, y, tx, ty) })
			if !self {
				checkRelationGrad(t, what, r, dy, y, func(y []float32) float64 { return relations64(r, x, y, tx, ty) })
			}
		}
		same := *r
		same.DT, same.LDT, same.ScaleT, same.TeacherRows = r.D, r.LD, r.Scale, r.Rows
		if v := same.Compare(nil, nil, x, nil, x, nil); v != 0 {
			t.Errorf("a copy is %v away", v)
		}
	}
}

// checkRelationGrad compares a gradient with central differences of f.
func checkRelationGrad(t *testing.T, what string, r *Relations, grad, x []float32, f func(x []float32) float64) {
	t.Helper()
	used := map[int]bool{}
	for _, at := range r.Rows {
		for j := range r.A * r.D {
			used[at*r.LD+j] = true
		}
	}
	const h = 1.0 / 128
	for i := range x {
		if !used[i] {
			if grad[i] != 0 {
				t.Fatalf("%s: element %d belongs to no token and has gradient %v", what, i, grad[i])
			}
			continue
		}
		if len(x) > 200 && i%37 != 0 {
			continue
		}
		old := x[i]
		x[i] = old + h
		up := f(x)
		x[i] = old - h
		down := f(x)
		x[i] = old
		if want := (up - down) / (2 * h); math.Abs(float64(grad[i])-want) > 2e-3*(1+math.Abs(want)) {
			t.Fatalf("%s: element %d has gradient %v, differences %v", what, i, grad[i], want)
		}
	}
}

// Scores of −100 and below are masks: they count as 0 and have no gradient.
func TestMaskedScores(t *testing.T) {
	s, u := []float32{-150, 2, -100, 3}, []float32{5, -1e4, -200, 1}
	if sum := squaredScores(s, u); sum != 25+4+0+4 {
		t.Errorf("the sum is %v", sum)
	}
	for i, want := range []float32{0, 4, 0, 4} {
		if s[i] != want {
			t.Errorf("gradient %d is %v, want %v", i, s[i], want)
		}
	}
}
