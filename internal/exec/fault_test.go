package exec_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/modeltest"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
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

// A mapped model whose file is cut short is an error, while a session is made
// and while it runs, also where a worker of the kernels meets it; the process goes on.
func TestFileCutShort(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files are not mapped here")
	}
	const vocab = 8000
	m := modeltest.New(t, student.Shape{Layers: 1, Hidden: 64, Heads: 2, Vocab: vocab}, 1, student.MaskedLM())
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := m.Save(path); err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	sess, err := exec.New(m, exec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	in := modeltest.Inputs(vocab, 8, 64, 5)
	if _, err := sess.Run(context.Background(), in); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 4096); err != nil {
		t.Fatal(err)
	}
	var short *onnx.CutShortError
	if _, err := sess.Run(context.Background(), in); !errors.As(err, &short) || short.Path != path {
		t.Errorf("running: error %v; want one that names %s", err, path)
	}
	if _, err := exec.New(m, exec.Options{}); !errors.As(err, &short) || short.Path != path {
		t.Errorf("making a session: error %v; want one that names %s", err, path)
	}
}
