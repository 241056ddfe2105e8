package eval_test

import (
	"math"
	"strings"
	"testing"

	"github.com/litekit/lite/eval"
)

func TestClassMetrics(t *testing.T) {
	// Confusion (gold → predicted): 0→0 3, 0→1 1, 1→1 2, 1→2 1, 2→2 2, 2→0 1; n = 10, 7 right.
	// F1: class 0 2·3/(4+4) = 3/4; class 1 2·2/(3+3) = 2/3; class 2 2·2/(3+3) = 2/3; mean 25/36.
	// R_K: (7·10 − (4·4+3·3+3·3)) / sqrt((100 − 34)(100 − 34)) = 36/66.
	gold := []int32{0, 0, 0, 0, 1, 1, 1, 2, 2, 2, -1}
	pred := []int{0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 0}
	for name, want := range map[string]float64{"accuracy": 0.7, "f1": 25. / 36, "mcc": 36. / 66} {
		m := metric(t, name, "a", "b", "c")
		// In two blocks: metrics accumulate.
		m.Add(eval.Rows{Logits: onehot(3, pred[:4]...), Classes: 3, Gold: gold[:4]})
		m.Add(eval.Rows{Logits: onehot(3, pred[4:]...), Classes: 3, Gold: gold[4:]})
		if !near(m.Value(), want) {
			t.Errorf("%s: got %v, want %v", name, m.Value(), want)
		}
		if !math.IsNaN(metric(t, name).Value()) && name != "mcc" {
			t.Errorf("%s of nothing is not NaN", name)
		}
	}
	m := metric(t, "f1", "a", "b")
	m.Add(eval.Rows{Logits: onehot(3, pred...), Classes: 3, Gold: gold})
	details := m.(eval.Detailer).Details()
	if len(details) != 9 || details[3].Name != "b.precision" || !near(float64(details[3].Value), 2./3) || details[6].Name != "class2.precision" {
		t.Errorf("details %v", details)
	}
	// Always "a": precision 0.4, recall 1, F1 4/7, the others 0.
	if name, v := m.(eval.Baseliner).Baseline(); name != "majority" || !near(v, 4./7/3) {
		t.Errorf("baseline %s %v", name, v)
	}
	m = metric(t, "accuracy")
	m.Add(eval.Rows{Logits: onehot(3, pred...), Classes: 3, Gold: gold})
	if name, v := m.(eval.Baseliner).Baseline(); name != "majority" || !near(v, 0.4) {
		t.Errorf("baseline %s %v", name, v)
	}
}

func TestALabelBeyondTheClassesIsWrong(t *testing.T) {
	for _, name := range []string{"accuracy", "f1", "mcc"} {
		m := metric(t, name)
		m.Add(eval.Rows{Logits: onehot(2, 0, 1), Classes: 2, Gold: []int32{0, 3}})
		if v := m.Value(); v >= 1 {
			t.Errorf("%s is %v with one of two rows wrong", name, v)
		}
	}
}

func TestPerplexity(t *testing.T) {
	m := metric(t, "perplexity")
	// Probabilities 1/4 (of four equal scores) and 1/2 (ln 3 beside three zeros):
	// exp((ln 4 + ln 2)/2) = sqrt(8).
	logits := []float32{5, 5, 5, 5, float32(math.Log(3)), 0, 0, 0, 9, 9, 9, 9}
	m.Add(eval.Rows{Logits: logits, Classes: 4, Gold: []int32{2, 0, -1}})
	if math.Abs(m.Value()-math.Sqrt(8)) > 1e-6 {
		t.Errorf("got %v, want %v", m.Value(), math.Sqrt(8))
	}
	// Two labels, each half: entropy ln 2.
	if name, v := m.(eval.Baseliner).Baseline(); name != "unigram" || !near(v, 2) {
		t.Errorf("baseline %s %v", name, v)
	}
	m = metric(t, "perplexity")
	m.Add(eval.Rows{Logits: []float32{1e30, -1e30, 0}, Classes: 3, Gold: []int32{0}})
	if !near(m.Value(), 1) {
		t.Errorf("great scores give %v, want 1", m.Value())
	}
}

func TestAgreementAndKL(t *testing.T) {
	r := eval.Rows{Classes: 2, Gold: []int32{-1, -1, -1},
		Logits: []float32{0, 0, 0, 1, 2, 0}, Reference: []float32{float32(math.Log(3)), 0, 0, 1, 0, 2}}
	a, kl := metric(t, "agreement"), metric(t, "kl")
	a.Add(r)
	kl.Add(r)
	// Row 1: equal scores give class 0 as in the reference; row 2 equal; row 3 not.
	if !near(a.Value(), 2./3) {
		t.Errorf("agreement %v", a.Value())
	}
	// Row 1: KL((3/4, 1/4) ‖ (1/2, 1/2)); row 2: 0; row 3: logits ±2, KL = 2·(2σ(2) − 1).
	want := (0.75*math.Log(1.5) + 0.25*math.Log(0.5) + 2*(2/(1+math.Exp(-2))-1)) / 3
	if math.Abs(kl.Value()-want) > 1e-6 {
		t.Errorf("kl %v, want %v", kl.Value(), want)
	}
}

func TestCorrelations(t *testing.T) {
	// x = 1, 2, 3, 10 beside y = 1, 2, 2, 4. Means 4 and 2.25.
	// Σ(x−4)(y−2.25) = 3.75+0.5+0.25+10.5 = 15; Σ(x−4)² = 9+4+1+36 = 50; Σ(y−2.25)² = 4.75.
	// Ranks 1, 2, 3, 4 and 1, 2.5, 2.5, 4: Σ = 2.25+0+0+2.25 = 4.5; 5 and 4.5.
	r := eval.Rows{Logits: []float32{1, 2, 3, 10}, Classes: 1, Gold: []int32{1, 2, 2, 4}}
	for name, want := range map[string]float64{"pearson": 15 / math.Sqrt(50*4.75), "spearman": 4.5 / math.Sqrt(5*4.5)} {
		m := metric(t, name)
		m.Add(r)
		if !near(m.Value(), want) {
			t.Errorf("%s: got %v, want %v", name, m.Value(), want)
		}
	}
}

func TestArgmax(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		row  []float32
		want int
	}{{nil, -1}, {[]float32{1, 1}, 0}, {[]float32{nan, -3, -2}, 2}, {[]float32{nan, nan}, -1}, {[]float32{2, nan, 1}, 0}, {[]float32{nan, float32(math.Inf(-1))}, 1}, {[]float32{-1, 5, 5}, 1}} {
		if got := eval.Argmax(c.row); got != c.want {
			t.Errorf("Argmax(%v) = %d, want %d", c.row, got, c.want)
		}
	}
}

func TestUnknownMetricNamesTheKnown(t *testing.T) {
	if _, err := eval.MetricByName("bleu"); err == nil || !strings.Contains(err.Error(), "ner_f1") {
		t.Errorf("got %v", err)
	}
}
