package eval_test

import (
	"encoding/json"
	"errors"
	"math"
	"testing"

	"github.com/litekit/lite/eval"
)

func TestWilson(t *testing.T) {
	// All or none right: n/(n+z²) and 1 − n/(n+z²), z² = 3.8415. One of two: ½ ± z/(2√(2+z²)).
	for _, c := range []struct {
		right, n  int
		low, high float64
	}{{8, 10, 0.4901625, 0.9433178}, {0, 10, 0, 0.2775328}, {10, 10, 0.7224672, 1}, {1, 2, 0.0945312, 0.9054688}} {
		i := eval.Wilson(c.right, c.n)
		if math.Abs(float64(i.Low)-c.low) > 1e-6 || math.Abs(float64(i.High)-c.high) > 1e-6 {
			t.Errorf("%d of %d: got %v, want %v–%v", c.right, c.n, i, c.low, c.high)
		}
	}
	if i := eval.Wilson(0, 0); !math.IsNaN(float64(i.Low)) {
		t.Errorf("of nothing: %v", i)
	}
}

func TestMcNemar(t *testing.T) {
	for _, c := range []struct {
		b, c int
		want float64
	}{{0, 0, 1}, {0, 5, 2. / 32}, {5, 0, 2. / 32}, {1, 9, 2 * 11. / 1024}, {4, 4, 1}, {3, 7, 2 * (1 + 10 + 45 + 120.) / 1024}} {
		if got := eval.McNemar(c.b, c.c); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("McNemar(%d, %d) = %v, want %v", c.b, c.c, got, c.want)
		}
	}
	if p := eval.McNemar(3000, 3400); !(p > 0 && p < 1e-5) {
		t.Errorf("large counts give %v", p)
	}
}

func TestBootstrap(t *testing.T) {
	share := func(index []int) float64 {
		n := 0
		for _, i := range index {
			if i < 80 {
				n++
			}
		}
		return float64(n) / float64(len(index))
	}
	a := eval.Bootstrap(100, 2000, 7, share)
	// Normal approximation: 0.8 ± 1.96·0.04.
	if math.Abs(float64(a.Low)-0.7216) > 0.02 || math.Abs(float64(a.High)-0.8784) > 0.02 {
		t.Errorf("got %v", a)
	}
	if b := eval.Bootstrap(100, 2000, 7, share); a != b {
		t.Errorf("the same seed gives %v and %v", a, b)
	}
	if i := eval.Bootstrap(0, 10, 7, share); !math.IsNaN(float64(i.Low)) {
		t.Errorf("of nothing: %v", i)
	}
}

func TestBudgets(t *testing.T) {
	for s, want := range map[string]eval.Budget{"1%": eval.Relative(0.01), "0.02": eval.Absolute(0.02), "0": eval.Absolute(0)} {
		b, err := eval.ParseBudget(s)
		if err != nil || b != want || b.String() != s {
			t.Errorf("%q: %v %v", s, b, err)
		}
	}
	for _, s := range []string{"", "%", "-1%", "x", "nan", "inf"} {
		if _, err := eval.ParseBudget(s); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
	for _, c := range []struct {
		b           eval.Budget
		base, value float64
		lower, want bool
	}{
		{eval.Absolute(0.01), 0.9, 0.89, false, true},
		{eval.Absolute(0.01), 0.9, 0.8899, false, false},
		{eval.Relative(0.1), 20, 22, true, true},
		{eval.Relative(0.1), 20, 22.01, true, false},
		{eval.Absolute(0.1), 0.7, 0.8, true, true}, // 0.7 + 0.1 is less than 0.8 in its last digit
		{eval.Relative(0.1), -0.5, -0.55, false, true},
		{eval.Relative(0.1), -0.5, -0.56, false, false},
		{eval.Absolute(1), 0.9, math.NaN(), false, false},
	} {
		if got := eval.Within(c.b, c.base, c.value, c.lower); got != c.want {
			t.Errorf("%v of %v: %v is %v", c.b, c.base, c.value, got)
		}
	}
	var err error = &eval.BudgetError{What: "prune", Metric: "accuracy", Baseline: 0.9, Value: 0.8, Budget: eval.Absolute(0.01)}
	if !errors.Is(err, eval.ErrBudget) {
		t.Error("a BudgetError is not ErrBudget")
	}
}

func TestFloatInJSON(t *testing.T) {
	b, err := json.Marshal([]eval.Float{0.5, eval.Float(math.NaN()), eval.Float(math.Inf(1)), 1e-9})
	if err != nil || string(b) != "[0.5,null,null,1e-09]" {
		t.Fatalf("%s %v", b, err)
	}
	var back []eval.Float
	if err := json.Unmarshal(b, &back); err != nil || back[0] != 0.5 || !math.IsNaN(float64(back[1])) {
		t.Fatalf("%v %v", back, err)
	}
}
