package inspect

import (
	"context"
	"math"
	"strconv"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
)

// Memory is what a session and one run at the lengths asked for take, in bytes.
type Memory struct {
	// Weights are the constants, which may lie in the mapped file; Packed is
	// what the kernels multiply by besides.
	Weights int64 `json:"weights"`
	Packed  int64 `json:"packed"`
	// Activations is the most that values take at one time, with what
	// operators work in and the results; 0 where From is "".
	Activations int64 `json:"activations"`
	Total       int64 `json:"total"`
	// From is "run" where a run was measured; "shapes" where the activations are
	// a bound for the graph as written, from inferred shapes, in which fused
	// operators need less and some operators work in more; "" where lengths
	// are open.
	From string `json:"from"`
	// Note says why there was no run, or what the bound leaves out.
	Note string `json:"note,omitempty"`
}

// maxRun is the most that a run may take by the bound for it to be made.
const maxRun = 1 << 30

// memory asks the session, or where a run would take much, the shapes.
func memory(ctx context.Context, s *exec.Session, m *onnx.Model, inf *onnx.Inference) (*Memory, error) {
	shapes, open := inputShapes(s, inf)
	out := &Memory{}
	bound, unknown := peak(m.Graph, inf)
	if open != "" {
		shapes = nil
		out.Note = "the length " + open + " is open; give it a number for the activations"
	} else if bound > maxRun {
		out.Note = "a run would take much memory and was not made"
	}
	run := out.Note == ""
	var f exec.Footprint
	var err error
	if run {
		f, err = s.Footprint(ctx, shapes)
	} else {
		f = s.WeightFootprint()
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	out.Weights, out.Packed = int64(f.Weights), int64(f.Packed)
	switch {
	case run && err == nil:
		out.Activations, out.From = int64(f.Activations+f.Scratch+f.Results), "run"
	case open == "":
		out.Activations, out.From = bound, "shapes"
		if err != nil {
			out.Note = "a run on zeros fails: " + err.Error()
		}
		if unknown > 0 {
			out.Note += "; values of unknown size, which are left out: " + strconv.Itoa(unknown)
		}
	}
	out.Total = out.Weights + out.Packed + out.Activations
	return out, nil
}

// inputShapes are the shapes of the inputs in numbers, or the first length that is open.
func inputShapes(s *exec.Session, inf *onnx.Inference) (map[string][]int, string) {
	shapes := map[string][]int{}
	for _, in := range s.Inputs() {
		dims, ok := inf.Shape(in.Name)
		if !ok {
			return nil, "of every axis of " + in.Name
		}
		shape := make([]int, len(dims))
		for i, d := range dims {
			n, ok := d.Number()
			if !ok || n < 0 || n > math.MaxInt32 {
				return nil, inf.Text(d) + " of " + in.Name
			}
			shape[i] = int(n)
		}
		shapes[in.Name] = shape
	}
	return shapes, ""
}

// peak is the most that the values between the nodes take at one time when each
// is dropped after its last reader, and how many are of unknown size.
func peak(g *onnx.Graph, inf *onnx.Inference) (most int64, unknown int) {
	last := map[string]int{}
	for i, n := range g.Nodes {
		for _, in := range n.Inputs {
			last[in] = i
		}
		for _, body := range n.Graphs() {
			for _, in := range body.Free() {
				last[in] = i
			}
		}
	}
	for _, o := range g.Outputs {
		last[o.Name] = len(g.Nodes)
	}
	free := map[int]int64{} // bytes that end with a node
	now := int64(0)
	for i, n := range g.Nodes {
		for _, o := range n.Outputs {
			if o == "" || n.Op == "Constant" {
				continue
			}
			b, ok := bytesOf(o, inf)
			if !ok {
				unknown++
				continue
			}
			now = add(now, b)
			end := max(i, last[o])
			free[end] = add(free[end], b)
		}
		most = max(most, now)
		now = max(0, now-free[i])
	}
	return most, unknown
}

func add(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// bytesOf is the size of a value; float16 and bfloat16 run as float32.
func bytesOf(name string, inf *onnx.Inference) (int64, bool) {
	dims, ok := inf.Shape(name)
	if !ok {
		return 0, false
	}
	kind := inf.Type(name)
	n := int64(max(1, kind.Size()))
	if kind == onnx.Float16 || kind == onnx.BFloat16 {
		n = 4
	}
	for _, d := range dims {
		v, ok := d.Number()
		switch {
		case !ok || v < 0:
			return 0, false
		case v > 0 && n > math.MaxInt64/v:
			return math.MaxInt64, true
		}
		n *= v
	}
	return n, true
}
