package autodiff_test

import (
	"math"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/internal/autodiff"
	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

// rowModel maps ids [B,S] to h [B,S,6] and y [B,S,5].
func rowModel() *onnx.Model {
	g := newGraph(13)
	g.add("Tanh", []string{g.linear("x", "l")}, "y")
	return g.output("y")
}

// softmax64 is softmax(x/t) of one row.
func softmax64(x []float32, t float64) []float64 {
	out, sum := make([]float64, len(x)), 0.0
	for i, v := range x {
		out[i] = math.Exp(float64(v) / t)
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

// axes is a table of vectors at right angles.
var axes = &autodiff.Param{Dims: []int64{5, 5}, Value: []float32{1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 5}}

// best is the place of the largest element.
func best(x []float32) int {
	at := 0
	for i, v := range x {
		if v > x[at] {
			at = i
		}
	}
	return at
}

// dkd is T²·(α·target part + β·the others' part) of one row.
func dkd(y, target []float32, label int, t, alpha, beta float64) float64 {
	p, s := softmax64(target, t), softmax64(y, t)
	a, b, others := 1-p[label], 1-s[label], 0.0
	for i := range p {
		if i != label {
			others += p[i] / a * math.Log(p[i]/a/(s[i]/b))
		}
	}
	return t * t * (alpha*(p[label]*math.Log(p[label]/s[label])+a*math.Log(a/b)) + beta*others)
}

// lossCases are the losses of y [R,5] with their definitions.
func lossCases(target, weight []float32, labels []int32) []struct {
	name string
	term func(q *autodiff.Pass, y *gorgonia.Node) (*gorgonia.Node, error)
	want func(y []float32) float64
} {
	const n = 5
	rows := len(labels)
	mean := func(y []float32, w []float32, f func(y, t []float32) float64) float64 {
		sum, total := 0.0, 0.0
		for r := range rows {
			wr := 1.0
			if w != nil {
				wr = float64(w[r])
			}
			sum, total = sum+wr*f(y[r*n:(r+1)*n], target[r*n:(r+1)*n]), total+wr
		}
		return sum / total
	}
	kl := func(t float64) func(y, target []float32) float64 {
		return func(y, target []float32) float64 {
			p, s, sum := softmax64(target, t), softmax64(y, t), 0.0
			for i := range p {
				sum += p[i] * math.Log(p[i]/s[i])
			}
			return t * t * sum
		}
	}
	mse := func(y, target []float32) float64 {
		sum := 0.0
		for i := range y {
			sum += math.Pow(float64(y[i])-float64(target[i]), 2)
		}
		return sum / n
	}
	cosine := func(y, target []float32) float64 {
		var a, b, c float64
		for i := range y {
			a, b, c = a+float64(y[i])*float64(y[i]), b+float64(target[i])*float64(target[i]), c+float64(y[i])*float64(target[i])
		}
		return 1 - c/math.Sqrt(a*b)
	}
	entropy := func(smooth float64) func(y []float32) float64 {
		return func(y []float32) float64 {
			sum, count := 0.0, 0.0
			for r, l := range labels {
				if l < 0 {
					continue
				}
				count++
				for i, p := range softmax64(y[r*n:(r+1)*n], 1) {
					w := smooth / n
					if i == int(l) {
						w += 1 - smooth
					}
					sum -= w * math.Log(p)
				}
			}
			return sum / count
		}
	}
	targets := func(q *autodiff.Pass) *gorgonia.Node { return q.Floats("target", rows, n) }
	weights := func(q *autodiff.Pass) *gorgonia.Node { return q.Floats("weight", rows) }
	type lossCase = struct {
		name string
		term func(q *autodiff.Pass, y *gorgonia.Node) (*gorgonia.Node, error)
		want func(y []float32) float64
	}
	return []lossCase{
		{"cross-entropy", func(q *autodiff.Pass, y *gorgonia.Node) (*gorgonia.Node, error) {
			return autodiff.CrossEntropy(y, q.Ints("labels", rows), 0)
		}, entropy(0)},
		{"smoothed cross-entropy", func(q *autodiff.Pass, y *gorgonia.Node) (*gorgonia.Node, error) {
			return autodiff.CrossEntropy(y, q.Ints("labels", rows), 0.2)
		}, entropy(0.2)},
		{"weighted cross-entropy", func(q *autodiff.Pass, y *gorgonia.Node) (*gorgonia.Node, error) {
			return autodiff.HardLabels(y, q.Ints("labels", rows), autodiff.Hard{Weight: weights(q)})
		}, func(y []float32) float64 {
			sum, total := 0.0, 0.0
			for r, l := range labels {
				if l >= 0 {
					sum -= float64(weight[r]) * math.Log(softmax64(y[r*n:(r+1)*n], 1)[l])
					total += float64(weight[r])
				}
			}
			return sum / total
		}},
		{"fed temperature", func(q *autodiff.Pass, y *gorgonia.Node) (*gorgonia.Node, error) {
			return autodiff.SoftLabels(y, targets(q), autodiff.Soft{Heat: q.Floats("heat", 1)})
		}, func(y []float32) float64 { return mean(y, nil, kl(3)) }},
		{"MSE of logits", func(q *autodiff.Pass, y *gorgonia.Node) (*gorgonia.Node, error) {
			return autodiff.SoftLabels(y, targets(q), autodiff.Soft{Form: kernel.FormMSE, Weight: weights(q)})
		}, func(y []float32) float64 { return mean(y, weight, mse) }},
		{"JS", func(q *autodiff.Pass, y *gorgonia.Node) (*gorgonia.Node, error) {
			return autodiff.SoftLabels(y, targets(q), autodiff.Soft{Form: kernel.FormJS, Temperature: 2})
		}, func(y []float32) float64 {
			return mean(y, nil, func(y, target []float32) float64 {
				p, s, sum := softmax64(target, 2), softmax64(y, 2), 0.0
				for i := range p {
					m := (p[i] + s[i]) / 2
					sum += p[i]*math.Log(p[i]/m) + s[i]*math.Log(s[i]/m)
				}
				return 4 * sum / 2
			})
		}},
		{"DKD without labels", func(q *autodiff.Pass, y *gorgonia.Node) (*gorgonia.Node, error) {
			return autodiff.SoftLabels(y, targets(q), autodiff.Soft{Form: kernel.FormDKD, Temperature: 2, Alpha: 0.5, Beta: 3})
		}, func(y []float32) float64 {
			return mean(y, nil, func(y, target []float32) float64 { return dkd(y, target, best(target), 2, 0.5, 3) })
		}},
		{"DKD", func(q *autodiff.Pass, y *gorgonia.Node) (*gorgonia.Node, error) {
			return autodiff.SoftLabels(y, targets(q), autodiff.Soft{Form: kernel.FormDKD, Temperature: 2, Alpha: 0.5, Beta: 3, Labels: q.Ints("labels", rows)})
		}, func(y []float32) float64 {
			sum := 0.0
			for r, l := range labels {
				y, target := y[r*n:(r+1)*n], target[r*n:(r+1)*n]
				if l < 0 {
					l = int32(best(target))
				}
				sum += dkd(y, target, int(l), 2, 0.5, 3)
			}
			return sum / float64(rows)
		}},
		{"distances", func(q *autodiff.Pass, y *gorgonia.Node) (*gorgonia.Node, error) {
			return autodiff.Distances(y, q.Ints("labels", rows), axes, 2, nil)
		}, func(y []float32) float64 {
			sum, count := 0.0, 0.0
			for r, l := range labels {
				if l < 0 {
					continue
				}
				p := softmax64(y[r*n:(r+1)*n], 1)
				first := best(y[r*n : (r+1)*n])
				rest := append([]float32(nil), y[r*n:(r+1)*n]...)
				rest[first] = float32(math.Inf(-1))
				for _, v := range []int{first, best(rest)} {
					if v != int(l) {
						sum += p[v]
					}
				}
				count++
			}
			return sum / count
		}},
		{"KL", func(q *autodiff.Pass, y *gorgonia.Node) (*gorgonia.Node, error) {
			return autodiff.KL(y, targets(q), 1, nil)
		}, func(y []float32) float64 { return mean(y, nil, kl(1)) }},
		{"weighted KL at T=4", func(q *autodiff.Pass, y *gorgonia.Node) (*gorgonia.Node, error) {
			return autodiff.KL(y, targets(q), 4, weights(q))
		}, func(y []float32) float64 { return mean(y, weight, kl(4)) }},
		{"MSE", func(q *autodiff.Pass, y *gorgonia.Node) (*gorgonia.Node, error) {
			return autodiff.MSE(y, targets(q), nil)
		}, func(y []float32) float64 { return mean(y, nil, mse) }},
		{"weighted MSE", func(q *autodiff.Pass, y *gorgonia.Node) (*gorgonia.Node, error) {
			return autodiff.MSE(y, targets(q), weights(q))
		}, func(y []float32) float64 { return mean(y, weight, mse) }},
		{"cosine", func(q *autodiff.Pass, y *gorgonia.Node) (*gorgonia.Node, error) {
			return autodiff.Cosine(y, targets(q), nil)
		}, func(y []float32) float64 { return mean(y, nil, cosine) }},
		{"weighted cosine", func(q *autodiff.Pass, y *gorgonia.Node) (*gorgonia.Node, error) {
			return autodiff.Cosine(y, targets(q), weights(q))
		}, func(y []float32) float64 { return mean(y, weight, cosine) }},
	}
}

func TestLosses(t *testing.T) {
	const b, s, r = 2, 4, 3
	target, weight, labels := normals(r*5, 3), []float32{0.5, 0, 2}, []int32{4, -1, 0}
	in := map[string][]int64{"input_ids": {1, 3, 3, 5, 1, 2, 2, 7}, "attention_mask": masks(b, s), "rows": {3, 6, 6}}
	p := program(t, rowModel(), autodiff.Options{Rows: []string{"y"}})
	y := forward(t, p, b, s, r, "y", in)
	feed := autodiff.Feed{Inputs: in, Floats: map[string][]float32{"target": target, "weight": weight, "heat": {3}}, Ints: map[string][]int32{"labels": labels}}
	for _, c := range lossCases(target, weight, labels) {
		t.Run(c.name, func(t *testing.T) {
			q := built(t, p, b, s, r, func(q *autodiff.Pass) []*gorgonia.Node {
				return []*gorgonia.Node{must(t)(c.term(q, must(t)(q.Output("y"))))}
			})
			got, want := run(t, q, feed)[0], c.want(y)
			if math.Abs(float64(got)-want) > 1e-5*max(1, want) {
				t.Errorf("loss is %v, want %v", got, want)
			}
			checkGrads(t, p, q, feed, 0.01)
		})
	}
}

// TestLossesTogether has all losses on one output, where some share a gradient.
func TestLossesTogether(t *testing.T) {
	const b, s, r = 2, 4, 3
	target, weight, labels := normals(r*5, 3), []float32{0.5, 0, 2}, []int32{4, -1, 0}
	in := map[string][]int64{"input_ids": {1, 3, 3, 5, 1, 2, 2, 7}, "attention_mask": masks(b, s), "rows": {3, 6, 6}}
	cases := lossCases(target, weight, labels)
	feed := autodiff.Feed{Inputs: in, Floats: map[string][]float32{"target": target, "weight": weight, "heat": {3}}, Ints: map[string][]int32{"labels": labels}}
	for i := range cases {
		feed.Weights = append(feed.Weights, 0.5+float32(i%3))
	}
	p := program(t, rowModel(), autodiff.Options{Rows: []string{"y"}})
	y := forward(t, p, b, s, r, "y", in)
	q := built(t, p, b, s, r, func(q *autodiff.Pass) (terms []*gorgonia.Node) {
		for _, c := range cases {
			terms = append(terms, must(t)(c.term(q, must(t)(q.Output("y")))))
		}
		return terms
	})
	for i, l := range run(t, q, feed) {
		if want := cases[i].want(y); math.Abs(float64(l)-want) > 1e-5*max(1, want) {
			t.Errorf("%s is %v, want %v", cases[i].name, l, want)
		}
	}
	checkGrads(t, p, q, feed, 0.01)
}

func TestNothingToLearnFrom(t *testing.T) {
	p := program(t, rowModel(), autodiff.Options{})
	q := built(t, p, 1, 2, 0, func(q *autodiff.Pass) []*gorgonia.Node {
		ok := must(t)
		y := ok(q.Output("y"))
		return []*gorgonia.Node{ok(autodiff.CrossEntropy(y, q.Ints("labels", 2), 0)), ok(autodiff.KL(y, q.Floats("t", 1, 2, 5), 2, q.Floats("w", 2)))}
	})
	l := run(t, q, autodiff.Feed{
		Inputs: map[string][]int64{"input_ids": {1, 2}},
		Ints:   map[string][]int32{"labels": {-1, -1}}, Floats: map[string][]float32{"t": normals(10, 1), "w": {0, 0}},
	})
	if l[0] != 0 || l[1] != 0 {
		t.Errorf("losses %v, want 0", l)
	}
	for _, x := range p.Params() {
		for _, g := range x.Grad {
			if g != 0 {
				t.Fatalf("%s has the gradient %v, want 0", x.Name, g)
			}
		}
	}
}

// A row whose likeliest class is excused counts for nothing, and the share of
// such rows is told.
func TestExcusedLabels(t *testing.T) {
	p := program(t, rowModel(), autodiff.Options{})
	in := map[string][]int64{"input_ids": {1, 2, 5}}
	y := forward(t, p, 1, 3, 0, "y", in)
	labels := []int32{(int32(best(y[:5])) + 1) % 5, int32(best(y[5:10])), -1}
	share := math.NaN()
	q := built(t, p, 1, 3, 0, func(q *autodiff.Pass) []*gorgonia.Node {
		return []*gorgonia.Node{must(t)(autodiff.HardLabels(must(t)(q.Output("y")), q.Ints("labels", 3), autodiff.Hard{
			Excuse: func(label, class int32) bool { return label == labels[0] }, Excused: &share,
		}))}
	})
	got := run(t, q, autodiff.Feed{Inputs: in, Ints: map[string][]int32{"labels": labels}})[0]
	if want := -math.Log(softmax64(y[5:10], 1)[labels[1]]); math.Abs(float64(got)-want) > 1e-6 || share != 0.5 {
		t.Errorf("loss %v with %v of the rows excused, want %v with half", got, share, want)
	}
}

func TestWrongLosses(t *testing.T) {
	p := program(t, rowModel(), autodiff.Options{})
	q, err := p.NewPass(1, 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	y, teacher, labels := must(t)(q.Output("y")), q.Floats("t", 1, 2, 5), q.Ints("l", 2)
	for name, f := range map[string]func() (*gorgonia.Node, error){
		"smoothing":   func() (*gorgonia.Node, error) { return autodiff.CrossEntropy(y, labels, 1) },
		"labels":      func() (*gorgonia.Node, error) { return autodiff.CrossEntropy(y, teacher, 0) },
		"elements":    func() (*gorgonia.Node, error) { return autodiff.CrossEntropy(y, q.Ints("l3", 3), 0) },
		"temperature": func() (*gorgonia.Node, error) { return autodiff.KL(y, teacher, 0, nil) },
		"teacher":     func() (*gorgonia.Node, error) { return autodiff.KL(y, nil, 1, nil) },
		"form":        func() (*gorgonia.Node, error) { return autodiff.SoftLabels(y, teacher, autodiff.Soft{Form: 9}) },
		"table":       func() (*gorgonia.Node, error) { return autodiff.Distances(y, labels, nil, 3, nil) },
		"likeliest":   func() (*gorgonia.Node, error) { return autodiff.Distances(y, labels, axes, 0, nil) },
	} {
		if _, err := f(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// Gorgonia's own operators between the model and a loss, and between losses.
func TestGorgoniaOperators(t *testing.T) {
	p := program(t, rowModel(), autodiff.Options{})
	q := built(t, p, 2, 3, 0, func(q *autodiff.Pass) []*gorgonia.Node {
		ok := must(t)
		y := ok(q.Output("y"))
		prod := ok(gorgonia.HadamardProd(y, q.Floats("scale", 2, 3, 5)))
		square := ok(gorgonia.Square(y))
		return []*gorgonia.Node{
			ok(autodiff.MSE(prod, q.Floats("target", 2, 3, 5), nil)),
			ok(gorgonia.Mean(square)),
			ok(autodiff.CrossEntropy(y, q.Ints("labels", 6), 0)),
		}
	})
	f := autodiff.Feed{
		Inputs:  map[string][]int64{"input_ids": ids(2, 3, 11, 1)},
		Floats:  map[string][]float32{"scale": normals(30, 4), "target": normals(30, 5)},
		Ints:    map[string][]int32{"labels": {0, 1, 2, 3, 4, -1}},
		Weights: []float32{1, 2, 0.5},
	}
	checkGrads(t, p, q, f, 0.01)
	y, want := forward(t, p, 2, 3, 0, "y", f.Inputs), [2]float64{}
	for i, x := range y {
		want[0] += math.Pow(float64(x*f.Floats["scale"][i]-f.Floats["target"][i]), 2) / 30
		want[1] += float64(x) * float64(x) / 30
	}
	for i, l := range run(t, q, f)[:2] {
		if math.Abs(float64(l)-want[i]) > 1e-5 {
			t.Errorf("loss %d is %v, want %v", i, l, want[i])
		}
	}
	// Again after a larger pass has moved the arena.
	big := built(t, p, 4, 9, 0, func(q *autodiff.Pass) []*gorgonia.Node {
		return []*gorgonia.Node{must(t)(autodiff.CrossEntropy(must(t)(q.Output("y")), q.Ints("labels", 36), 0))}
	})
	run(t, big, autodiff.Feed{Inputs: map[string][]int64{"input_ids": ids(4, 9, 11, 1)}, Ints: map[string][]int32{"labels": make([]int32, 36)}})
	checkGrads(t, p, q, f, 0.01)
}
