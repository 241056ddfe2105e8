package exec_test

import (
	"context"
	"strings"
	"testing"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
)

// Graphs found by fuzzing in which an operator was given too little, too much
// or something else: each runs or is refused by the operator, none is a fault.
func TestFormerFaults(t *testing.T) {
	for name, m := range map[string]*onnx.Model{
		"one of three outputs": graph(s("x"), s("q:u8"), nil, node("DynamicQuantizeLinear", s("x"), s("q"))),
	} {
		for _, unfused := range []bool{false, true} {
			sess, err := exec.New(m, exec.Options{Unfused: unfused})
			if err == nil {
				_, err = sess.Run(context.Background(), map[string]*exec.Tensor{"x": exec.Floats(sample(4, 1), 2, 2)})
			}
			if err != nil && strings.Contains(err.Error(), "fault: ") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
