package eval

import (
	"errors"
	"fmt"
	"math"
	"strconv"
)

// ErrBudget is what every error about a budget that was not met wraps: test
// with errors.Is. The command line turns it into exit code 3.
var ErrBudget = errors.New("budget not met")

// Budget is how much of a metric may be lost.
type Budget interface {
	// Limit is the worst value still accepted beside that baseline. For
	// metrics where lower is better (see [LowerIsBetter]) it lies above it.
	Limit(baseline float64, lowerIsBetter bool) float64
	String() string
}

// Relative is a share of the baseline: 0.01 allows a drop of 1% of it.
type Relative float64

// Absolute is a difference in the metric's own units: 0.01 allows one point of accuracy.
type Absolute float64

// Limit implements [Budget].
func (r Relative) Limit(baseline float64, lower bool) float64 {
	d := float64(r) * math.Abs(baseline)
	if lower {
		return baseline + d
	}
	return baseline - d
}

// Limit implements [Budget].
func (a Absolute) Limit(baseline float64, lower bool) float64 {
	if lower {
		return baseline + float64(a)
	}
	return baseline - float64(a)
}

// String gives the form that [ParseBudget] reads.
func (r Relative) String() string { return strconv.FormatFloat(float64(r)*100, 'g', 6, 64) + "%" }

// String gives the form that [ParseBudget] reads.
func (a Absolute) String() string { return strconv.FormatFloat(float64(a), 'g', -1, 64) }

// ParseBudget reads "1%" as Relative(0.01) and "0.01" as Absolute(0.01).
func ParseBudget(s string) (Budget, error) {
	number, percent := s, false
	if n := len(s); n > 0 && s[n-1] == '%' {
		number, percent = s[:n-1], true
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || v < 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return nil, fmt.Errorf("eval: budget %q is not a drop; write 1%% (of the baseline) or 0.01 (in the metric's units)", s)
	}
	if percent {
		return Relative(v / 100), nil
	}
	return Absolute(v), nil
}

// Within reports whether value keeps the budget beside the baseline. Values
// within 1e-12 of the limit are accepted; NaN is not.
func Within(b Budget, baseline, value float64, lowerIsBetter bool) bool {
	limit := b.Limit(baseline, lowerIsBetter)
	slack := 1e-12 * math.Max(1, math.Abs(limit))
	if lowerIsBetter {
		return value <= limit+slack
	}
	return value >= limit-slack
}

// BudgetError says by how much a budget was missed; it wraps [ErrBudget].
type BudgetError struct {
	// What names the step or model that missed it.
	What string
	// Metric, Baseline and Value are the measure, its reference and the best
	// reached, Budget what might be lost of the reference.
	Metric          string
	Baseline, Value float64
	Budget          Budget
	// Advice is what the user can do, "" if nothing particular.
	Advice string
}

// Error implements error.
func (e *BudgetError) Error() string {
	limit := e.Budget.Limit(e.Baseline, LowerIsBetter(e.Metric))
	s := fmt.Sprintf("%s: budget not met: %s %.4f, the limit is %.4f (baseline %.4f, allowed drop %s)", e.What, e.Metric, e.Value, limit, e.Baseline, e.Budget)
	if e.Advice != "" {
		s += "; " + e.Advice
	}
	return s
}

// Unwrap returns [ErrBudget].
func (e *BudgetError) Unwrap() error { return ErrBudget }
