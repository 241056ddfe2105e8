package onnxgo_test

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	onnxgo "github.com/owulveryck/onnx-go"
	"github.com/owulveryck/onnx-go/backend/testbackend"
	_ "github.com/owulveryck/onnx-go/backend/testbackend/onnx" // registers the cases
	"gorgonia.org/tensor"

	lite "github.com/litekit/lite/teacher/onnxgo"
)

// Why a case of the suite does not pass.
const (
	rounding = "float32 results of more than 16 are further apart than the 1e-6 that the suite allows; agrees to 1e-6 of the value"
	digits   = "the suite's expected values are rounded to 4 digits"
	scalar   = "the result is a scalar; the suite's generator wrote all tensors of one element as float32 of shape (1)"
	decoder  = "onnx-go does not decode attributes that hold graphs"
)

// exceptions are the cases that do not pass, each with the reason.
var exceptions = map[string]string{
	"TestPow":                                      rounding,
	"TestReduceL1DefaultAxesKeepdimsRandom":        rounding,
	"TestReduceProdDefaultAxesKeepdimsRandom":      rounding,
	"TestReduceSumDefaultAxesKeepdimsRandom":       rounding,
	"TestReduceSumSquareDefaultAxesKeepdimsRandom": rounding,
	"TestRoialign":                                 digits,
	"TestSize":                                     scalar,
	"TestSizeExample":                              scalar,
	"TestScan9Sum":                                 decoder,
}

// TestSuite runs every case of onnx-go's operator suite: by the suite's own
// RunTest where it passes, and the exceptions to see that the reason holds.
func TestSuite(t *testing.T) {
	var list []*testbackend.TestCase
	for _, c := range testbackend.GetAllRegisteredTests() {
		list = append(list, c())
	}
	slices.SortFunc(list, func(a, b *testbackend.TestCase) int { return cmp.Compare(a.Title, b.Title) })
	passed, rounded, undecoded := 0, 0, 0
	for _, c := range list {
		why := exceptions[c.Title]
		if why == "" {
			if t.Run(c.Title, c.RunTest(lite.New(), false)) && !c.Skipped {
				passed++
			} else {
				t.Errorf("%s: the case must pass or stand in the table of exceptions", c.Title)
			}
			continue
		}
		err := runCase(c)
		switch {
		case err == nil && why == rounding:
			rounded++
		case err == nil:
			t.Logf("%s passes now; take it from the table", c.Title)
			passed++
		case why == rounding:
			t.Errorf("%s: %v", c.Title, err)
		case why == decoder:
			undecoded++
		}
		if want := map[string]string{
			digits: "want 0.4664", scalar: "shape (), want (1)", decoder: "GRAPH not handled",
		}[why]; err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s fails for another reason than that %s: %v", c.Title, why, err)
		}
	}
	t.Logf("%d cases: %d pass, %d more but for float32 rounding, %d cannot be decoded by onnx-go, %d fail",
		len(list), passed, rounded, undecoded, len(list)-passed-rounded-undecoded)
	if len(list) != 348 || passed < 339 || passed+rounded < 344 {
		t.Errorf("of 348 cases 339 must pass and 5 more but for rounding")
	}
}

// runCase does what RunTest of the suite does and returns the failure. It also
// allows a difference of 1e-6 of the value.
func runCase(c *testbackend.TestCase) error {
	b := lite.New()
	m := onnxgo.NewModel(b)
	if err := m.UnmarshalBinary(c.ModelB); err != nil {
		return err
	}
	for i, in := range c.Input {
		if err := m.SetInput(i, in); err != nil {
			return err
		}
	}
	if err := b.Run(); err != nil {
		return err
	}
	out, err := m.GetOutputTensors()
	if err != nil {
		return err
	}
	if len(out) != len(c.ExpectedOutput) {
		return fmt.Errorf("%d outputs, want %d", len(out), len(c.ExpectedOutput))
	}
	for i, want := range c.ExpectedOutput {
		if err := near(out[i], want); err != nil {
			return fmt.Errorf("output %d: %w", i, err)
		}
	}
	return nil
}

func near(got, want tensor.Tensor) error {
	if got == nil {
		return errors.New("no value")
	}
	if !slices.Equal([]int(got.Shape()), []int(want.Shape())) {
		return fmt.Errorf("shape %v, want %v", got.Shape(), want.Shape())
	}
	g, ok := got.Data().([]float32)
	w, ok2 := want.Data().([]float32)
	if !ok || !ok2 || len(g) != len(w) {
		return fmt.Errorf("type %v, want %v", got.Dtype(), want.Dtype())
	}
	for i := range w {
		if d := math.Abs(float64(g[i]) - float64(w[i])); !(d <= 1e-6*(1+math.Abs(float64(w[i])))) {
			return fmt.Errorf("element %d is %v, want %v", i, g[i], w[i])
		}
	}
	return nil
}
