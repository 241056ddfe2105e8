package exec_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/shared"
	"github.com/litekit/lite/onnx"
)

// decodeTensor reads a TensorProto: as the one initializer of an empty model.
func decodeTensor(data []byte) (*onnx.Tensor, error) {
	graph := protowire.AppendBytes(protowire.AppendTag(nil, 5, protowire.BytesType), data)
	model := protowire.AppendBytes(protowire.AppendTag(nil, 7, protowire.BytesType), graph)
	m, err := onnx.Decode(model)
	if err != nil {
		return nil, err
	}
	if len(m.Graph.Initializers) != 1 {
		return nil, fmt.Errorf("%d tensors", len(m.Graph.Initializers))
	}
	return m.Graph.Initializers[0], nil
}

// skipCases are cases whose operators are implemented but for what the case is about.
var skipCases = map[string]string{
	"test_qlinearmatmul_3D_int8_float16": "the expected values wrap around at int8; the standard and ONNX Runtime saturate",
	"test_qlinearmatmul_3D_int8_float32": "the expected values wrap around at int8; the standard and ONNX Runtime saturate",
	"test_training_dropout":              "random; only inference is implemented",
	"test_training_dropout_default":      "random; only inference is implemented",
	"test_training_dropout_default_mask": "random; only inference is implemented",
	"test_training_dropout_mask":         "random; only inference is implemented",
}

func TestONNXNodes(t *testing.T) {
	root := shared.Path(t, "conformance", "onnx-1.19-node")
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	var passed, unsupported, failed int
	missing := map[string]int{}
	for _, e := range entries {
		name := e.Name()
		if skipCases[name] != "" {
			continue
		}
		err := nodeCase(filepath.Join(root, name))
		switch {
		case err == nil:
			passed++
		case errors.Is(err, errUnsupported):
			unsupported++
			missing[err.Error()]++
		default:
			failed++
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Logf("passed %d, failed %d, unsupported %d, skipped %d", passed, failed, unsupported, len(skipCases))
	if testing.Verbose() {
		var l []string
		for k, n := range missing {
			l = append(l, fmt.Sprintf("%4d %s", n, strings.ReplaceAll(k, "\n", " ")))
		}
		slices.Sort(l)
		t.Log("\n" + strings.Join(l, "\n"))
	}
	if passed < 500 {
		t.Errorf("only %d cases passed; 500 did when this test was written", passed)
	}
}

var errUnsupported = errors.New("unsupported")

// nodeCase runs one directory of the suite, fused and unfused.
func nodeCase(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, "model.onnx"))
	if err != nil {
		return err
	}
	m, err := onnx.Decode(data)
	if err != nil {
		return fmt.Errorf("%w: decode: %v", errUnsupported, err)
	}
	ins, err := readTensors(dir, "input")
	if err != nil {
		return err
	}
	want, err := readTensors(dir, "output")
	if err != nil {
		return err
	}
	for _, unfused := range []bool{true, false} {
		s, err := exec.New(m, exec.Options{Unfused: unfused})
		if err != nil {
			return mark(err)
		}
		feed := map[string]*exec.Tensor{}
		if len(ins) > len(m.Graph.Inputs) {
			return fmt.Errorf("%d inputs for %d", len(ins), len(m.Graph.Inputs))
		}
		for i, in := range ins {
			if feed[m.Graph.Inputs[i].Name], err = exec.FromONNX(in); err != nil {
				return mark(err)
			}
		}
		for n := range feed { // an initializer may be listed as an input
			if !slices.ContainsFunc(s.Inputs(), func(d *onnx.ValueInfo) bool { return d.Name == n }) {
				delete(feed, n)
			}
		}
		got, err := s.Run(context.Background(), feed)
		if err != nil {
			return mark(err)
		}
		for i, w := range want {
			name := m.Graph.Outputs[i].Name
			wt, err := exec.FromONNX(w)
			if err != nil {
				return mark(err)
			}
			if err := sameTensor(got[name], wt, 1e-3, 1e-5); err != nil {
				return fmt.Errorf("unfused %v: output %s: %w", unfused, name, err)
			}
		}
	}
	return nil
}

func mark(err error) error {
	var u *exec.UnsupportedError
	if errors.As(err, &u) {
		return fmt.Errorf("%w: %s", errUnsupported, strings.Join(u.Items, "; "))
	}
	if errors.Is(err, exec.ErrType) {
		return fmt.Errorf("%w: %v", errUnsupported, err)
	}
	return err
}

func readTensors(dir, kind string) ([]*onnx.Tensor, error) {
	var out []*onnx.Tensor
	for i := 0; ; i++ {
		data, err := os.ReadFile(filepath.Join(dir, "test_data_set_0", fmt.Sprintf("%s_%d.pb", kind, i)))
		if err != nil {
			return out, nil
		}
		t, err := decodeTensor(data)
		if err != nil {
			return nil, fmt.Errorf("%w: %s %d: %v", errUnsupported, kind, i, err)
		}
		out = append(out, t)
	}
}

// sameTensor compares within rtol·|want| + atol; integers must be equal.
func sameTensor(got, want *exec.Tensor, rtol, atol float64) error {
	if got == nil {
		return errors.New("missing")
	}
	if got.Type != want.Type || !slices.Equal(got.Shape, want.Shape) {
		return fmt.Errorf("is type %d %v; want type %d %v", got.Type, got.Shape, want.Type, want.Shape)
	}
	g, w := reals(got), reals(want)
	if len(g) != len(w) {
		return fmt.Errorf("%d elements; want %d", len(g), len(w))
	}
	for i := range w {
		if g[i] == w[i] || math.IsNaN(g[i]) && math.IsNaN(w[i]) {
			continue
		}
		real := want.Type == onnx.Float || want.Type == onnx.Double
		if !real || !(math.Abs(g[i]-w[i]) <= atol+rtol*math.Abs(w[i])) {
			return fmt.Errorf("element %d is %v; want %v", i, g[i], w[i])
		}
	}
	return nil
}

func reals(t *exec.Tensor) []float64 {
	out := make([]float64, 0, t.Len())
	for _, v := range t.F32 {
		out = append(out, float64(v))
	}
	out = append(out, t.F64...)
	for _, v := range t.I64 {
		out = append(out, float64(v))
	}
	for _, v := range t.I32 {
		out = append(out, float64(v))
	}
	for _, v := range t.U8 {
		out = append(out, float64(v))
	}
	for _, v := range t.I8 {
		out = append(out, float64(v))
	}
	for _, v := range t.Bool {
		if v {
			out = append(out, 1)
		} else {
			out = append(out, 0)
		}
	}
	return out
}
