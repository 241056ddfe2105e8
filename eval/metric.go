package eval

import (
	"fmt"
	"math"
	"slices"
)

// Rows is a block of scored positions handed to a [Metric].
type Rows struct {
	// Logits holds the model's scores, [R, Classes] row-major.
	Logits []float32
	// Classes is C (V for masked language modelling).
	Classes int
	// Gold is the label of each row, [R]; a negative label is not scored.
	Gold []int32
	// Target is the number that each row of a regression model should give,
	// [R]; nil for classes. Gold is then 0 where there is one, else −1.
	Target []float32
	// Group is the sequence each row belongs to, [R]; consecutive rows of one
	// group are one tag sequence. Nil where rows are independent.
	Group []int
	// Reference holds another model's scores of the same rows, nil where there is none.
	Reference []float32
}

// Metric accumulates rows and gives one number. Metrics with more than one
// number also implement [Detailer].
type Metric interface {
	// Name is the stable name used in tables and JSON, such as "accuracy".
	Name() string
	// Add accumulates rows. It keeps nothing of r after it returns.
	Add(r Rows)
	// Value is the metric of everything added so far, NaN where nothing was scored.
	Value() float64
}

// Detailer is a metric with further named numbers (precision and recall, per class figures).
type Detailer interface {
	Details() []Detail
}

// Detail is one further number of a metric.
type Detail struct {
	Name  string `json:"name"` // such as "precision", or "PER.f1" of a class
	Value Float  `json:"value"`
	Count int    `json:"count,omitempty"` // of the rows or entities that it is a share of
}

// Baseliner is a metric that knows what a constant guess would have scored on
// the same rows: the majority class, or the unigram distribution.
type Baseliner interface {
	// Baseline returns the guess's name ("majority", "unigram") and its score.
	Baseline() (name string, value float64)
}

// NewMetric makes a metric for C classes named by labels (empty strings and a
// short list are allowed).
type NewMetric func(labels []string) Metric

// LowerIsBetter reports whether a smaller value of the named metric is an improvement.
func LowerIsBetter(metric string) bool {
	return metric == "perplexity" || metric == "kl"
}

// Metrics lists the metrics by name, in the order in which help shows them.
func Metrics() []struct {
	Name string
	New  NewMetric
} {
	return []struct {
		Name string
		New  NewMetric
	}{
		{"accuracy", Accuracy},
		{"f1", MacroF1},
		{"mcc", Matthews},
		{"perplexity", Perplexity},
		{"ner_f1", EntityF1},
		{"ner_f1_strict", StrictEntityF1},
		{"agreement", Agreement},
		{"kl", MeanKL},
		{"pearson", Pearson},
		{"spearman", Spearman},
		{"cosine", MeanCosine},
	}
}

// MetricByName returns the metric of that name, or an error that lists the names.
func MetricByName(name string) (NewMetric, error) {
	var names []string
	for _, m := range Metrics() {
		if m.Name == name {
			return m.New, nil
		}
		names = append(names, m.Name)
	}
	return nil, fmt.Errorf("eval: metric %q is not known; choose one of %v", name, names)
}

// Argmax returns the index of the greatest element, the first among equals. NaN
// is no answer: it never wins, and a row of nothing else, like an empty one, has −1.
func Argmax(row []float32) int {
	best := -1
	for i, x := range row {
		if x == x && (best < 0 || x > row[best]) {
			best = i
		}
	}
	return best
}

// each calls f for every scored row.
func (r Rows) each(f func(i int, row []float32, gold int)) {
	for i, g := range r.Gold {
		if g >= 0 {
			f(i, r.Logits[i*r.Classes:(i+1)*r.Classes], int(g))
		}
	}
}

// confusion counts predictions: cells[gold·C + predicted].
type confusion struct {
	classes int
	cells   []int
}

// add counts rows. One without an answer (see [Argmax]) is of a class beyond those
// that there are, so that it is wrong.
func (c *confusion) add(r Rows) {
	r.each(func(_ int, row []float32, gold int) {
		predicted := Argmax(row)
		if predicted < 0 {
			predicted = max(r.Classes, gold+1)
		}
		c.grow(max(r.Classes, gold+1, predicted+1))
		c.cells[gold*c.classes+predicted]++
	})
}

// grow makes room for n classes.
func (c *confusion) grow(n int) {
	if n <= c.classes {
		return
	}
	next := make([]int, n*n)
	for g := range c.classes {
		copy(next[g*n:], c.cells[g*c.classes:(g+1)*c.classes])
	}
	c.classes, c.cells = n, next
}

// gold and predicted return the marginal counts of class k.
func (c *confusion) gold(k int) (n int) {
	for p := range c.classes {
		n += c.cells[k*c.classes+p]
	}
	return n
}

func (c *confusion) predicted(k int) (n int) {
	for g := range c.classes {
		n += c.cells[g*c.classes+k]
	}
	return n
}

func (c *confusion) total() (n, right int) {
	for g := range c.classes {
		n += c.gold(g)
		right += c.cells[g*c.classes+g]
	}
	return n, right
}

// accuracy counts labels by themselves, so that V classes cost V integers, not V².
type accuracy struct {
	n, right int
	counts   []int
}

// Accuracy is the share of scored rows whose greatest score is at the label;
// its baseline is the share of the most frequent label.
func Accuracy([]string) Metric { return &accuracy{} }

func (a *accuracy) Name() string { return "accuracy" }

func (a *accuracy) Add(r Rows) {
	r.each(func(_ int, row []float32, gold int) {
		a.n++
		if Argmax(row) == gold {
			a.right++
		}
		a.counts = count(a.counts, gold)
	})
}

func (a *accuracy) Value() float64 { return ratio(a.right, a.n) }

func (a *accuracy) Baseline() (string, float64) {
	if a.n == 0 {
		return "majority", math.NaN()
	}
	return "majority", ratio(slices.Max(a.counts), a.n)
}

// count adds one to counts[k], growing it as needed.
func count(counts []int, k int) []int {
	for len(counts) <= k {
		counts = append(counts, make([]int, max(k+1-len(counts), len(counts)))...)
	}
	counts[k]++
	return counts
}

// ratio is a of b, NaN of nothing.
func ratio(a, b int) float64 {
	if b == 0 {
		return math.NaN()
	}
	return float64(a) / float64(b)
}

// macroF1 is the mean F1 over the classes that occur in gold or predictions.
type macroF1 struct {
	confusion
	labels []string
}

// MacroF1 is the unweighted mean of the per-class F1 over the classes that
// occur as a label or as a prediction (scikit-learn's f1_score, average
// "macro"); F1 is 0 where precision and recall are both undefined or 0.
// Details are precision, recall and F1 of each class.
func MacroF1(labels []string) Metric { return &macroF1{labels: labels} }

func (f *macroF1) Name() string { return "f1" }
func (f *macroF1) Add(r Rows)   { f.add(r) }

func (f *macroF1) Value() float64 {
	sum, n := 0.0, 0
	for k := range f.classes {
		gold, pred := f.gold(k), f.predicted(k)
		if gold+pred == 0 {
			continue
		}
		_, _, f1 := prf(f.cells[k*f.classes+k], pred, gold)
		sum += f1
		n++
	}
	if n == 0 {
		return math.NaN()
	}
	return sum / float64(n)
}

func (f *macroF1) Details() []Detail {
	var out []Detail
	for k := range f.classes {
		gold, pred := f.gold(k), f.predicted(k)
		if gold+pred == 0 {
			continue
		}
		p, r, f1 := prf(f.cells[k*f.classes+k], pred, gold)
		name := labelName(f.labels, k)
		out = append(out,
			Detail{Name: name + ".precision", Value: Float(p), Count: pred},
			Detail{Name: name + ".recall", Value: Float(r), Count: gold},
			Detail{Name: name + ".f1", Value: Float(f1), Count: gold})
	}
	return out
}

func (f *macroF1) Baseline() (string, float64) {
	n, best, classes := 0, 0, 0
	for k := range f.classes {
		g := f.gold(k)
		n, best = n+g, max(best, g)
		if g > 0 {
			classes++
		}
	}
	if n == 0 {
		return "majority", math.NaN()
	}
	_, _, f1 := prf(best, n, best)
	return "majority", f1 / float64(classes)
}

// labelName names class k; without a label "class7", without an answer "class-1".
func labelName(labels []string, k int) string {
	if k >= 0 && k < len(labels) && labels[k] != "" {
		return labels[k]
	}
	return fmt.Sprintf("class%d", k)
}

// prf returns precision, recall and F1 from counts; 0 where a denominator is 0.
func prf(right, predicted, gold int) (p, r, f1 float64) {
	if predicted > 0 {
		p = float64(right) / float64(predicted)
	}
	if gold > 0 {
		r = float64(right) / float64(gold)
	}
	if predicted+gold > 0 {
		f1 = 2 * float64(right) / float64(predicted+gold)
	}
	return p, r, f1
}

// matthews is the multi-class correlation coefficient R_K.
type matthews struct{ confusion }

// Matthews is the Matthews correlation coefficient, for more than two classes
// Gorodkin's R_K (2004, eq. 8); 0 where a marginal is constant, as scikit-learn gives.
func Matthews([]string) Metric { return &matthews{} }

func (m *matthews) Name() string { return "mcc" }
func (m *matthews) Add(r Rows)   { m.add(r) }

func (m *matthews) Value() float64 {
	n, right := m.total()
	if n == 0 {
		return math.NaN()
	}
	s, c := float64(n), float64(right)
	var tp, pp, tt float64
	for k := range m.classes {
		t, p := float64(m.gold(k)), float64(m.predicted(k))
		tp, pp, tt = tp+t*p, pp+p*p, tt+t*t
	}
	den := math.Sqrt(s*s-pp) * math.Sqrt(s*s-tt)
	if den == 0 {
		return 0
	}
	return (c*s - tp) / den
}

func (m *matthews) Baseline() (string, float64) { return "majority", 0 }
