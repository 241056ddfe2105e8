package exec_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
	// An operator that leaves elements of its outputs unwritten must not be
	// lucky with what memory holds.
	exec.Poison(true)
	defer exec.Poison(false)
	var passed, unsupported, failed, skipped int
	missing := map[string]int{}
	tally := map[string]*[3]int{} // operator → passed, failed, unsupported
	for _, dir := range nodeSuites(t) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			name := e.Name()
			if skipCases[name] != "" {
				skipped++
				continue
			}
			path := filepath.Join(dir, name)
			op := caseOperator(path)
			if tally[op] == nil {
				tally[op] = new([3]int)
			}
			err := nodeCase(path)
			switch {
			case err == nil:
				passed++
				tally[op][0]++
			case errors.Is(err, errUnsupported):
				unsupported++
				tally[op][2]++
				missing[err.Error()]++
			default:
				failed++
				tally[op][1]++
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	t.Logf("passed %d, failed %d, unsupported %d, skipped %d", passed, failed, unsupported, skipped)
	if testing.Verbose() {
		var table strings.Builder
		for _, op := range slices.Sorted(maps.Keys(tally)) {
			fmt.Fprintf(&table, "\n%-32s passed %3d, failed %3d, unsupported %3d", op, tally[op][0], tally[op][1], tally[op][2])
		}
		t.Log(table.String())
		var l []string
		for k, n := range missing {
			l = append(l, fmt.Sprintf("%4d %s", n, strings.ReplaceAll(k, "\n", " ")))
		}
		slices.Sort(l)
		t.Log("\n" + strings.Join(l, "\n"))
	}
	if os.Getenv(suiteEnv) != "" {
		return
	}
	if passed < suiteFloor {
		t.Errorf("only %d cases passed; %d did when this test was written", passed, suiteFloor)
	}
	if n := passed + failed + unsupported + skipped; n != suiteCases && os.Getenv("LITE_UPDATE") == "" {
		t.Logf("the suite has %d cases, docs/operators.md was made of %d", n, suiteCases)
		return
	}
	checkDocument(t, operatorTable(tally, passed, failed, unsupported, skipped))
}

// operatorTable is docs/operators.md.
func operatorTable(tally map[string]*[3]int, passed, failed, unsupported, skipped int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Operators

What the executor does with the cases of ONNX's operator suite (1.19, the part that the tests have): %d pass, %d fail, %d need an operator that is not there, %d are left out (the test says why). Made by

    LITE_UPDATE=1 go test -run TestONNXNodes ./internal/exec

"(expanded)" are functions written out in other operators. Operators of com.microsoft are not in the suite; they are held to ONNX Runtime in other tests.

| operator | passed | failed | unsupported |
|---|---:|---:|---:|
`, passed, failed, unsupported, skipped)
	for _, op := range slices.Sorted(maps.Keys(tally)) {
		fmt.Fprintf(&b, "| %s | %d | %d | %d |\n", op, tally[op][0], tally[op][1], tally[op][2])
	}
	return b.String()
}

// checkDocument holds docs/operators.md to the run, or writes it.
func checkDocument(t *testing.T, want string) {
	t.Helper()
	path := filepath.Join("..", "..", "docs", "operators.md")
	if os.Getenv("LITE_UPDATE") != "" {
		if err := os.WriteFile(path, []byte(want), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("docs/operators.md is not what this run gives (%v); LITE_UPDATE=1 writes it", err)
	}
}

const (
	// suiteEnv names folders of cases to run instead of the shared one, separated by colons.
	suiteEnv = "LITE_ONNX_SUITE"
	// suiteFloor is how many cases of the shared suite pass at least.
	suiteFloor = 878
	// suiteCases is how many it has.
	suiteCases = 936
)

// nodeSuites are the folders whose sub-folders are cases.
func nodeSuites(t *testing.T) []string {
	if list := os.Getenv(suiteEnv); list != "" {
		return filepath.SplitList(list)
	}
	return []string{shared.Path(t, "conformance", "onnx-1.19-node")}
}

// caseOperator names what a case is about: its operator, or for a function
// written out in other operators "(expanded)".
func caseOperator(dir string) string {
	data, err := os.ReadFile(filepath.Join(dir, "model.onnx"))
	if err != nil {
		return "(unreadable)"
	}
	m, err := onnx.Decode(data)
	switch {
	case err != nil || m.Graph == nil || len(m.Graph.Nodes) == 0:
		return "(unreadable)"
	case strings.Contains(filepath.Base(dir), "_expanded"):
		return "(expanded)"
	}
	n := m.Graph.Nodes[len(m.Graph.Nodes)-1]
	if n.Domain != "" && n.Domain != "ai.onnx" {
		return n.Domain + "." + n.Op
	}
	return n.Op
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
		for round := range 2 { // the second run has its memory planned
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
					return fmt.Errorf("unfused %v: run %d: output %s: %w", unfused, round, name, err)
				}
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
