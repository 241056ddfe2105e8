package exec_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/ort"
	"github.com/litekit/lite/internal/shared"
	"github.com/litekit/lite/onnx"
)

// modelsEnv names folders of models to compare instead of the shared one, separated by colons.
const modelsEnv = "LITE_ORT_MODELS"

// sizeEnv raises the number of elements of inputs above which a model is left out.
const sizeEnv = "LITE_ORT_ELEMENTS"

// verdict is what became of one model.
type verdict int

const (
	agree verdict = iota
	differ
	onlyORT
	onlyLite
	neither
	untried
)

var verdictNames = [...]string{"agree", "differ", "only ONNX Runtime", "only lite", "neither", "not tried"}

// candidate is a model with the inputs to try on both.
type candidate struct {
	name, path string
	m          *onnx.Model
	openErr    error
	feeds      []map[string]ort.Tensor
	feedErr    error
}

// TestORTModels runs models through ONNX Runtime and through lite on inputs
// from a seed. They must agree on every model that both can run.
func TestORTModels(t *testing.T) {
	ort.Need(t)
	var all []*candidate
	for _, dir := range ortModelFolders(t) {
		files, err := filepath.Glob(filepath.Join(dir, "*.onnx"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no models in %s (%v)", dir, err)
		}
		for _, f := range files {
			all = append(all, newCandidate(f))
		}
	}
	cases := make([]ort.Case, len(all))
	for i, c := range all {
		cases[i] = ort.Case{Path: c.path, Batches: c.feeds}
	}
	tried := ort.Try(t, cases, enoughFeeds, "all", "disabled")
	var count [len(verdictNames)]int
	var notes [len(verdictNames)][]string
	for i, c := range all {
		v, note := c.judge(tried[i][0], tried[i][1])
		count[v]++
		if note != "" {
			notes[v] = append(notes[v], c.name+": "+strings.ReplaceAll(note, "\n", " "))
		}
	}
	var table strings.Builder
	for v, name := range verdictNames {
		fmt.Fprintf(&table, "\n%4d %s", count[v], name)
		for _, n := range notes[v] {
			fmt.Fprintf(&table, "\n       %.400s", n)
		}
	}
	t.Logf("%d models:%s", len(all), table.String())
	if count[differ] > 0 {
		t.Errorf("%d models differ", count[differ])
	}
	if both := count[agree] + count[differ] + count[onlyORT]; 10*count[onlyORT] > both {
		t.Errorf("%d of the %d models that ONNX Runtime runs do not run here; at most a tenth may", count[onlyORT], both)
	}
}

func ortModelFolders(t *testing.T) []string {
	if list := os.Getenv(modelsEnv); list != "" {
		return filepath.SplitList(list)
	}
	return []string{shared.Path(t, "conformance", "ort-models")}
}

func newCandidate(path string) *candidate {
	c := &candidate{name: filepath.Base(path), path: path}
	if c.m, c.openErr = onnx.Open(path); c.openErr != nil {
		return c
	}
	if n, err := strconv.Atoi(os.Getenv(sizeEnv)); err == nil {
		maxElements = n
	}
	g := newGuesser(c.m)
	for i, s := range schemes {
		feed, err := g.feed(s, uint64(i))
		if err != nil {
			c.feedErr = err
			continue
		}
		c.feeds = append(c.feeds, feed)
	}
	return c
}

// enoughFeeds is how many inputs that ONNX Runtime takes are compared.
const enoughFeeds = 2

// judge compares lite with ONNX Runtime on the inputs that the latter takes
// with and without its optimizations, and only where there are none on those
// that it takes with them: a fused node may well skip the check that the nodes
// it was made of fail. Where its two results differ from each other, being as
// near to either as they are to each other is enough, and the note says so:
// such a model magnifies rounding, as a sum that is quantized does.
func (c *candidate) judge(optimized, plain []ort.Attempt) (verdict, string) {
	if errors.Is(c.feedErr, errTooLarge) && len(c.feeds) == 0 {
		return untried, c.feedErr.Error()
	}
	s, err := c.session()
	var valid, first []int
	for i := range optimized {
		if optimized[i].Err == nil {
			first = append(first, i)
			if plain[i].Err == nil {
				valid = append(valid, i)
			}
		}
	}
	if len(valid) == 0 {
		valid = first
	}
	why := optimized[0].Err
	switch {
	case len(valid) == 0 && err != nil:
		return neither, fmt.Sprintf("ONNX Runtime: %v; lite: %v", why, err)
	case len(valid) == 0:
		return c.alone(s, why)
	case err != nil:
		return onlyORT, err.Error()
	case len(c.feeds) == 0:
		return onlyORT, c.feedErr.Error()
	}
	note := ""
	for _, i := range valid {
		got, err := runORTFeed(s, c.feeds[i])
		if err != nil {
			return onlyORT, fmt.Sprintf("inputs %d: %v", i, err)
		}
		if err = c.compare(got, optimized[i].Outputs); err == nil {
			continue
		}
		if plain[i].Err != nil {
			return differ, fmt.Sprintf("inputs %d: %v", i, err)
		}
		if c.compare(got, plain[i].Outputs) == nil {
			note = fmt.Sprintf("as ONNX Runtime without optimizations; with them inputs %d: %v", i, err)
			continue
		}
		own, ours := c.spread(optimized[i].Outputs, plain[i].Outputs), math.Inf(1)
		for _, w := range []map[string]ort.Tensor{optimized[i].Outputs, plain[i].Outputs} {
			ours = min(ours, c.spread(toORT(got), w))
		}
		if !(ours <= own) {
			return differ, fmt.Sprintf("inputs %d: %v; mean difference %.2g, of ONNX Runtime with and without optimizations %.2g", i, err, ours, own)
		}
		note = fmt.Sprintf("no farther from ONNX Runtime (mean difference %.2g) than its optimizations move it (%.2g); inputs %d: %v", ours, own, i, err)
	}
	return agree, note
}

// alone tells whether lite runs a model that ONNX Runtime does not run, because of why.
func (c *candidate) alone(s *exec.Session, why error) (verdict, string) {
	err := c.feedErr
	for _, feed := range c.feeds {
		if _, err = runORTFeed(s, feed); err == nil {
			return onlyLite, fmt.Sprint(why)
		}
	}
	return neither, fmt.Sprintf("ONNX Runtime: %v; lite: %v", why, err)
}

func (c *candidate) session() (*exec.Session, error) {
	if c.openErr != nil {
		return nil, c.openErr
	}
	return exec.New(c.m, exec.Options{})
}

func runORTFeed(s *exec.Session, feed map[string]ort.Tensor) (map[string]*exec.Tensor, error) {
	in := map[string]*exec.Tensor{}
	for name, t := range feed {
		x, err := fromORT(t)
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", name, err)
		}
		in[name] = x
	}
	return s.Run(context.Background(), in)
}

// fromORT is the tensor as the executor holds it.
func fromORT(t ort.Tensor) (*exec.Tensor, error) {
	x := &exec.Tensor{Shape: t.Shape}
	wide := func(typ onnx.DataType, n int, at func(i int) int64) {
		x.Type, x.I64 = typ, fillOf(n, at)
	}
	switch {
	case t.F32 != nil:
		x.Type, x.F32 = onnx.Float, t.F32
	case t.F16 != nil:
		x.Type, x.F32 = onnx.Float, fillOf(len(t.F16), func(i int) float32 { return onnx.Float16ToFloat32(t.F16[i]) })
	case t.F64 != nil:
		x.Type, x.F64 = onnx.Double, t.F64
	case t.I64 != nil:
		x.Type, x.I64 = onnx.Int64, t.I64
	case t.I32 != nil:
		x.Type, x.I32 = onnx.Int32, t.I32
	case t.U8 != nil:
		x.Type, x.U8 = onnx.Uint8, t.U8
	case t.I8 != nil:
		x.Type, x.I8 = onnx.Int8, t.I8
	case t.Bool != nil:
		x.Type, x.Bool = onnx.Bool, t.Bool
	case t.U16 != nil:
		wide(onnx.Uint16, len(t.U16), func(i int) int64 { return int64(t.U16[i]) })
	case t.I16 != nil:
		wide(onnx.Int16, len(t.I16), func(i int) int64 { return int64(t.I16[i]) })
	case t.U32 != nil:
		wide(onnx.Uint32, len(t.U32), func(i int) int64 { return int64(t.U32[i]) })
	case t.U64 != nil:
		wide(onnx.Uint64, len(t.U64), func(i int) int64 { return int64(t.U64[i]) })
	default:
		return nil, errors.New("elements of a type that the executor does not hold")
	}
	return x, nil
}

// toORT is the other way round for the types of outputs.
func toORT(all map[string]*exec.Tensor) map[string]ort.Tensor {
	out := map[string]ort.Tensor{}
	for name, t := range all {
		out[name] = ort.Tensor{Shape: t.Shape, F32: t.F32, F64: t.F64, I64: t.I64, I32: t.I32, U8: t.U8, I8: t.I8, Bool: t.Bool}
	}
	return out
}

// compare holds every output to ONNX Runtime's.
func (c *candidate) compare(got map[string]*exec.Tensor, want map[string]ort.Tensor) error {
	tol := 1e-4
	if c.narrow() {
		tol = 5e-3
	}
	for _, o := range c.m.Graph.Outputs {
		w, ok := want[o.Name]
		if !ok {
			return fmt.Errorf("ONNX Runtime has no output %q", o.Name)
		}
		wt, err := fromORT(w)
		if err != nil {
			return fmt.Errorf("output %q: %w", o.Name, err)
		}
		if err := closeTo(got[o.Name], wt, tol); err != nil {
			return fmt.Errorf("output %q: %w", o.Name, err)
		}
	}
	return nil
}

// spread is the mean difference of all elements of all outputs, infinite where shapes or types differ.
func (c *candidate) spread(a, b map[string]ort.Tensor) float64 {
	sum, n := 0.0, 0
	for _, o := range c.m.Graph.Outputs {
		x, errX := fromORT(a[o.Name])
		y, errY := fromORT(b[o.Name])
		if errX != nil || errY != nil || x.Type != y.Type || !slices.Equal(x.Shape, y.Shape) {
			return math.Inf(1)
		}
		v, w := reals(x), reals(y)
		for i := range v {
			if d := math.Abs(v[i] - w[i]); d > 0 {
				sum += d
			}
		}
		n += len(v)
	}
	return sum / float64(max(n, 1))
}

// narrow reports whether the model computes in float16.
func (c *candidate) narrow() bool {
	for _, list := range [][]*onnx.ValueInfo{c.m.Graph.Inputs, c.m.Graph.Outputs, c.m.Graph.Values} {
		if slices.ContainsFunc(list, func(v *onnx.ValueInfo) bool { return v.Type == onnx.Float16 }) {
			return true
		}
	}
	return slices.ContainsFunc(c.m.Graph.Initializers, func(t *onnx.Tensor) bool { return t.Type == onnx.Float16 }) ||
		slices.ContainsFunc(c.m.Graph.Nodes, func(n *onnx.Node) bool { return n.Op == "Cast" && n.Int("to", 0) == int64(onnx.Float16) })
}

// oneStep is the share of elements of a quantized output that may be one step
// off: a sum whose last bit differs may fall on the other side of a half.
const oneStep = 0.01

// closeTo compares floats within tol, absolute or relative to the largest
// magnitude, and integers exactly but for oneStep.
func closeTo(got, want *exec.Tensor, tol float64) error {
	if got == nil {
		return errors.New("missing")
	}
	if got.Type != want.Type || !slices.Equal(got.Shape, want.Shape) {
		return fmt.Errorf("is type %d %v; want type %d %v", got.Type, got.Shape, want.Type, want.Shape)
	}
	g, w := reals(got), reals(want)
	largest := 1.0
	for _, v := range w {
		if !math.IsInf(v, 0) && !math.IsNaN(v) {
			largest = max(largest, math.Abs(v))
		}
	}
	real := want.Type == onnx.Float || want.Type == onnx.Double
	quantized := !real && want.Type != onnx.Int64 && want.Type != onnx.Int32 && want.Type != onnx.Bool
	off := 0
	for i := range w {
		d := math.Abs(g[i] - w[i])
		switch {
		case g[i] == w[i] || math.IsNaN(g[i]) && math.IsNaN(w[i]):
		case real && d <= tol*largest:
		case quantized && d == 1 && float64(off) < max(1, oneStep*float64(len(w))):
			off++
		default:
			return fmt.Errorf("element %d of %v is %v; want %v", i, want.Shape, g[i], w[i])
		}
	}
	return nil
}
