package eval_test

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/litekit/lite/eval"
)

// What follows computes each metric a second time, from its definition and
// without regard to speed, and compares on random rows: many and few classes,
// ties, rows that are not scored, classes that never occur.

// drawn is rows of random scores with ties, gold labels of which some are not scored, and groups.
func drawn(rng *rand.Rand, n, classes int) eval.Rows {
	r := eval.Rows{Classes: classes}
	for i := range n {
		for range classes {
			r.Logits = append(r.Logits, float32(rng.IntN(7)-3)/2)
			r.Reference = append(r.Reference, float32(rng.NormFloat64()))
		}
		r.Gold = append(r.Gold, int32(rng.IntN(classes+1)-1))
		r.Group = append(r.Group, i/5)
	}
	return r
}

// answers are the gold label and the predicted class of the scored rows.
func answers(r eval.Rows) (gold, predicted []int) {
	for i, g := range r.Gold {
		if g < 0 {
			continue
		}
		top, row := 0, r.Logits[i*r.Classes:(i+1)*r.Classes]
		for k := 1; k < len(row); k++ {
			if row[k] > row[top] {
				top = k
			}
		}
		gold, predicted = append(gold, int(g)), append(predicted, top)
	}
	return gold, predicted
}

// softmax is a row's distribution.
func softmax(row []float32) []float64 {
	out, sum := make([]float64, len(row)), 0.0
	for i, x := range row {
		out[i] = math.Exp(float64(x))
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

func share(gold, predicted []int) float64 {
	n := 0.0
	for i := range gold {
		if gold[i] == predicted[i] {
			n++
		}
	}
	return n / float64(len(gold))
}

// harmonic is the mean over the classes that occur of 2pr/(p+r).
func harmonic(gold, predicted []int, classes int) float64 {
	sum, occur := 0.0, 0.0
	for k := range classes {
		var both, g, p float64
		for i := range gold {
			if gold[i] == k {
				g++
			}
			if predicted[i] == k {
				p++
			}
			if gold[i] == k && predicted[i] == k {
				both++
			}
		}
		if g+p > 0 {
			occur++
		}
		if both > 0 {
			precision, recall := both/p, both/g
			sum += 2 * precision * recall / (precision + recall)
		}
	}
	return sum / occur
}

// indicators is R_K as Gorodkin defines it, by the covariances of the indicator
// vectors of labels and predictions (2004, eq. 4 and 5).
func indicators(gold, predicted []int, classes int) float64 {
	covariance := func(a, b []int) (sum float64) {
		for k := range classes {
			one := func(x int) float64 { return map[bool]float64{true: 1}[x == k] }
			ma, mb, n := 0.0, 0.0, float64(len(a))
			for i := range a {
				ma, mb = ma+one(a[i])/n, mb+one(b[i])/n
			}
			for i := range a {
				sum += (one(a[i]) - ma) * (one(b[i]) - mb)
			}
		}
		return sum
	}
	d := math.Sqrt(covariance(gold, gold) * covariance(predicted, predicted))
	if d < 1e-12 {
		return 0
	}
	return covariance(gold, predicted) / d
}

// placed is each value's mean place in the sorted order, by counting.
func placed(v []float64) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		for _, y := range v {
			if y < x {
				out[i]++
			} else if y == x {
				out[i] += 0.5
			}
		}
	}
	return out
}

func TestMetricsAgainstTheirDefinitions(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for round := range 60 {
		classes := 2 + round%6
		r := drawn(rng, 4+round, classes)
		gold, predicted := answers(r)
		if len(gold) < 2 {
			continue
		}
		nll, expected, classNumber := 0.0, []float64{}, []float64{}
		for i, g := range r.Gold {
			if g >= 0 {
				p := softmax(r.Logits[i*classes : (i+1)*classes])
				nll -= math.Log(p[g]) / float64(len(gold))
				mean := 0.0
				for k, x := range p {
					mean += float64(k) * x
				}
				expected, classNumber = append(expected, mean), append(classNumber, float64(g))
			}
		}
		kl, same := 0.0, 0.0
		for i := range r.Gold {
			p, q := softmax(r.Reference[i*classes:(i+1)*classes]), softmax(r.Logits[i*classes:(i+1)*classes])
			for k := range p {
				kl += p[k] * math.Log(p[k]/q[k]) / float64(len(r.Gold))
			}
			if slices.Index(p, slices.Max(p)) == slices.Index(q, slices.Max(q)) {
				same += 1 / float64(len(r.Gold))
			}
		}
		for i := range expected { // scores that differ in the last digits would tie in one order only
			expected[i] = math.Round(expected[i]*1e9) / 1e9
		}
		for name, want := range map[string]float64{
			"accuracy":   share(gold, predicted),
			"f1":         harmonic(gold, predicted, classes),
			"mcc":        indicators(gold, predicted, classes),
			"perplexity": math.Exp(nll),
			"pearson":    pearson(expected, classNumber),
			"kl":         kl,
			"agreement":  same,
		} {
			m := metric(t, name)
			m.Add(r)
			if got := m.Value(); math.Abs(got-want) > 1e-6*max(1, math.Abs(want)) && !(got != got && want != want) {
				t.Errorf("round %d, %d classes: %s %v, by its definition %v", round, classes, name, got, want)
			}
		}
	}
}

// With two classes R_K is Matthews' own coefficient.
func TestMatthewsOfTwoClasses(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		r := drawn(rng, 40, 2)
		var n [2][2]float64
		gold, predicted := answers(r)
		for i := range gold {
			n[gold[i]][predicted[i]]++
		}
		tn, fp, fn, tp := n[0][0], n[0][1], n[1][0], n[1][1]
		want := (tp*tn - fp*fn) / math.Sqrt((tp+fp)*(tp+fn)*(tn+fp)*(tn+fn))
		m := metric(t, "mcc")
		m.Add(r)
		if math.Abs(m.Value()-want) > 1e-12 {
			t.Errorf("%v of %v, want %v", m.Value(), n, want)
		}
	}
}

func TestCorrelationsWithTies(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for round := range 40 {
		r := eval.Rows{Classes: 1}
		var x, y []float64
		for range 3 + 2*round {
			a, b := float32(rng.IntN(9)), float32(rng.IntN(6))/4
			r.Logits, r.Target, r.Gold = append(r.Logits, a), append(r.Target, b), append(r.Gold, 0)
			x, y = append(x, float64(a)), append(y, float64(b))
		}
		r.Logits, r.Target, r.Gold = append(r.Logits, 99), append(r.Target, -99), append(r.Gold, -1) // not scored
		for name, want := range map[string]float64{"pearson": pearson(x, y), "spearman": pearson(placed(x), placed(y))} {
			m := metric(t, name)
			m.Add(r)
			if got := m.Value(); math.Abs(got-want) > 1e-9 && !(got != got && want != want) {
				t.Errorf("round %d: %s %v, by its definition %v", round, name, got, want)
			}
		}
	}
}

// chunks are conlleval's entities: its two rules say where one begins and where
// one ends, from a tag and the one before.
func chunks(tags []string) map[string]bool {
	prefix := func(tag string) (byte, string) {
		if len(tag) > 2 && tag[1] == '-' && (tag[0] == 'B' || tag[0] == 'I') {
			return tag[0], tag[2:]
		}
		return 'O', ""
	}
	out, start := map[string]bool{}, -1
	for i := range len(tags) + 1 {
		p, kind, lastP, last := byte('O'), "", byte('O'), ""
		if i < len(tags) {
			p, kind = prefix(tags[i])
		}
		if i > 0 {
			lastP, last = prefix(tags[i-1])
		}
		ends := lastP != 'O' && (p == 'O' || p == 'B' || kind != last)
		begins := p != 'O' && (p == 'B' || lastP == 'O' || kind != last)
		if ends {
			out[fmt.Sprint(last, start, i)] = true
		}
		if begins {
			start = i
		}
	}
	return out
}

func TestEntityF1AgainstItsDefinition(t *testing.T) {
	labels := []string{"O", "B-PER", "I-PER", "B-LOC", "I-LOC"}
	rng := rand.New(rand.NewPCG(9, 10))
	for round := range 60 {
		r := drawn(rng, 5+2*round, len(labels))
		var right, found, wanted float64
		for lo := 0; lo < len(r.Gold); lo += 5 {
			hi := min(lo+5, len(r.Gold))
			part := eval.Rows{Classes: r.Classes, Logits: r.Logits[lo*r.Classes : hi*r.Classes], Gold: r.Gold[lo:hi]}
			gold, predicted := answers(part)
			var g, p []string
			for i := range gold {
				g, p = append(g, labels[gold[i]]), append(p, labels[predicted[i]])
			}
			a, b := chunks(g), chunks(p)
			for k := range b {
				if a[k] {
					right++
				}
			}
			found, wanted = found+float64(len(b)), wanted+float64(len(a))
		}
		want := 0.0
		if right > 0 {
			want = 2 * (right / found) * (right / wanted) / (right/found + right/wanted)
		}
		m := metric(t, "ner_f1", labels...)
		m.Add(r)
		if math.Abs(m.Value()-want) > 1e-12 {
			t.Errorf("round %d: %v, by its definition %v", round, m.Value(), want)
		}
	}
}

func TestMcNemarAgainstBinomials(t *testing.T) {
	for n := range 40 {
		for b := range n + 1 {
			sum := new(big.Int)
			for i := range min(b, n-b) + 1 {
				sum.Add(sum, new(big.Int).Binomial(int64(n), int64(i)))
			}
			want, _ := new(big.Rat).SetFrac(sum.Lsh(sum, 1), new(big.Int).Lsh(big.NewInt(1), uint(n))).Float64()
			if got := eval.McNemar(b, n-b); math.Abs(got-min(1, want)) > 1e-12 {
				t.Errorf("McNemar(%d, %d) = %v, want %v", b, n-b, got, min(1, want))
			}
		}
	}
}

// The bounds of the score interval are the proportions from which what was seen
// lies 1.96 standard deviations away.
func TestWilsonSolvesItsEquation(t *testing.T) {
	for _, n := range []int{1, 2, 7, 30, 1000} {
		for right := range min(n, 30) + 1 {
			seen, i := float64(right)/float64(n), eval.Wilson(right, n)
			for _, p := range []float64{float64(i.Low), float64(i.High)} {
				if off := math.Abs(seen-p) - 1.959963984540054*math.Sqrt(p*(1-p)/float64(n)); math.Abs(off) > 1e-7 { // near 1 a last digit of p moves its deviation by 1e-9
					t.Errorf("%d of %d: bound %v is off by %v", right, n, p, off)
				}
			}
			if !(float64(i.Low) <= seen+1e-12 && seen <= float64(i.High)+1e-12) {
				t.Errorf("%d of %d: %v", right, n, i)
			}
		}
	}
}

// Of the values 0 … 999 the interval leaves out 25 on each side, less one.
func TestBootstrapTakesPercentiles(t *testing.T) {
	next := 999.0
	i := eval.Bootstrap(3, 1000, 1, func(index []int) float64 {
		if len(index) != 3 || slices.Min(index) < 0 || slices.Max(index) > 2 {
			t.Fatalf("drawn %v of 3", index)
		}
		next--
		return next + 1
	})
	if i.Low != 25 || i.High != 975 {
		t.Errorf("interval %v", i)
	}
	odd := 0
	i = eval.Bootstrap(3, 100, 1, func([]int) float64 {
		if odd++; odd%2 == 1 {
			return math.NaN()
		}
		return 7
	})
	if i.Low != 7 || i.High != 7 {
		t.Errorf("with half of the draws NaN: %v", i)
	}
	if i = eval.Bootstrap(3, 10, 1, func([]int) float64 { return math.NaN() }); !math.IsNaN(float64(i.Low)) || !math.IsNaN(float64(i.High)) {
		t.Errorf("all NaN: %v", i)
	}
}

// A row of NaN has no answer: it is wrong, and what has no number has no order.
func TestRowsOfNaN(t *testing.T) {
	nan := float32(math.NaN())
	labels := []string{"O", "B-X"}
	r := eval.Rows{Classes: 2, Logits: []float32{nan, nan, 0, 1, nan, nan, 3, 2}, Gold: []int32{0, 1, 1, 0}}
	for name, want := range map[string]float64{
		"accuracy":   0.5,
		"f1":         (2./3 + 2./3 + 0) / 3, // the answer that there is not is a class of its own
		"ner_f1":     2. / 3,                // of two B-X one is found
		"perplexity": math.NaN(), "pearson": math.NaN(), "spearman": math.NaN(),
	} {
		m := metric(t, name, labels...)
		m.Add(r)
		if !near(m.Value(), want) {
			t.Errorf("%s is %v, want %v", name, m.Value(), want)
		}
	}
}

func TestOneClassAndNothing(t *testing.T) {
	one := eval.Rows{Classes: 2, Logits: onehot(2, 1, 1, 1), Gold: []int32{1, 1, 1}, Reference: onehot(2, 1, 1, 1)}
	for name, want := range map[string]float64{"accuracy": 1, "f1": 1, "mcc": 0, "agreement": 1, "kl": 0, "pearson": math.NaN(), "spearman": math.NaN(), "cosine": 1} {
		m := metric(t, name)
		m.Add(one)
		if !near(m.Value(), want) {
			t.Errorf("%s of one class is %v, want %v", name, m.Value(), want)
		}
	}
	for _, m := range eval.Metrics() {
		nothing := m.New(nil)
		nothing.Add(eval.Rows{Classes: 2, Logits: onehot(2, 1), Gold: []int32{-1}}) // a row that is not scored
		if v := nothing.Value(); !math.IsNaN(v) {
			t.Errorf("%s of nothing is %v", m.Name, v)
		}
	}
}
