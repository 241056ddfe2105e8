package teacher

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/onnx"
)

// Value is what a teacher computed inside its graph for one batch, row-major.
type Value struct {
	Shape []int
	Data  []float32
}

// NewTaps prepares a model of any task for [Teacher.Values] of the named values
// inside its graph; it has no logits. Hidden states and the like are named by
// [EncoderOf].
//
// Errors: a name that is no value of the graph (near ones are listed), and those
// of [New].
func NewTaps(m *onnx.Model, names []string) (*Teacher, error) {
	if m == nil || m.Graph == nil {
		return nil, fmt.Errorf("teacher: the model has no graph")
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("teacher: no value to tap is named")
	}
	t := &Teacher{taps: slices.Clone(names)}
	tapped, err := tap(m, names)
	if err != nil {
		return nil, err
	}
	tapped.Graph.Outputs = slices.DeleteFunc(tapped.Graph.Outputs, func(v *onnx.ValueInfo) bool { return !slices.Contains(names, v.Name) })
	weights := tapped.Graph.InitializerMap()
	tapped.Graph.Prune()
	kept := tapped.Graph.InitializerMap()
	tapped.Graph.Inputs = slices.DeleteFunc(tapped.Graph.Inputs, func(v *onnx.ValueInfo) bool { return weights[v.Name] != nil && kept[v.Name] == nil })
	t.once.Do(func() { t.session, t.inputs, t.failure = open(tapped, nil) })
	return t, t.failure
}

// tap returns m with the named values among its outputs.
func tap(m *onnx.Model, names []string) (*onnx.Model, error) {
	if len(names) == 0 {
		return m, nil
	}
	if err := CheckValues(m, names); err != nil {
		return nil, fmt.Errorf("teacher: %w", err)
	}
	m = m.Clone()
	for _, name := range names {
		if !m.Graph.IsOutput(name) {
			m.Graph.Outputs = append(m.Graph.Outputs, &onnx.ValueInfo{Name: name})
		}
	}
	return m, nil
}

// Values returns the tapped values for a batch: those of Options.Taps or
// [NewTaps], computed anew each time. Where they hold tokens [B,S,·], those of
// padding are 0. The data belongs to the caller.
func (t *Teacher) Values(ctx context.Context, b *corpus.Batch) (map[string]Value, error) {
	_, values, err := t.both(ctx, b, t.taps)
	return values, err
}

// LogitsAndValues is [Teacher.Logits] and [Teacher.Values] in one run of the
// model; it neither asks the cache nor fills it.
func (t *Teacher) LogitsAndValues(ctx context.Context, b *corpus.Batch) ([]float32, map[string]Value, error) {
	if t.output == "" {
		return nil, nil, fmt.Errorf("teacher: it was opened for values inside its graph and has no logits; open it with New")
	}
	return t.both(ctx, b, append([]string{t.output}, t.taps...))
}

// both runs the model for the named values, of which the output is the logits.
func (t *Teacher) both(ctx context.Context, b *corpus.Batch, names []string) (logits []float32, values map[string]Value, err error) {
	if err := t.start(); err != nil {
		return nil, nil, err
	}
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	out, err := t.session.Run(ctx, Feed(b, t.inputs), names...)
	if err != nil {
		return nil, nil, fmt.Errorf("teacher: %w", err)
	}
	values = make(map[string]Value, len(names))
	for _, name := range names {
		v := out[name]
		if v.Type != onnx.Float {
			return nil, nil, fmt.Errorf("teacher: the value %q is %v; losses read float32", name, v.Type)
		}
		if name == t.output {
			if err := t.checkLogits(b, v.F32, v.Shape); err != nil {
				return nil, nil, err
			}
			logits = v.F32
		}
		if i := notFinite(v.F32); i >= 0 {
			row := -1
			if len(v.Shape) > 0 && v.Shape[0] == b.B {
				row = i / (len(v.F32) / b.B)
			}
			return nil, nil, &NotFiniteError{Output: name, Row: row, Value: v.F32[i]}
		}
		values[name] = Value{Shape: v.Shape, Data: v.F32}
	}
	return logits, values, nil
}

// notFinite is the place of the first NaN or infinity, −1 without one.
func notFinite(v []float32) int {
	return slices.IndexFunc(v, func(x float32) bool { return x-x != 0 })
}

// NotFiniteError is a teacher that answers a text with a number that is not
// finite: its weights are damaged, or its numbers overflow.
type NotFiniteError struct {
	Output string // or the value inside the teacher
	Row    int    // of the batch, −1 where that is not known
	Value  float32
}

func (e *NotFiniteError) Error() string {
	return fmt.Sprintf("teacher: output %s of row %d of a batch has the number %v; the teacher's weights are damaged, or its numbers overflow", e.Output, e.Row, e.Value)
}

// CheckValues refuses names that no node of the model's graph computes, and says
// which values have names like them.
func CheckValues(m *onnx.Model, names []string) error {
	var all []string
	for _, n := range m.Graph.Nodes {
		all = append(all, n.Outputs...)
	}
	for _, name := range names {
		if name != "" && slices.Contains(all, name) {
			continue
		}
		near := alike(name, all)
		if len(near) == 0 {
			return fmt.Errorf("the graph computes no value %q, nor one with a name like it; lite inspect --shapes lists them all", name)
		}
		return fmt.Errorf("the graph computes no value %q; names like it are %s (lite inspect --shapes lists them all)", name, strings.Join(near, ", "))
	}
	return nil
}

// alike lists the names that share most three-letter pieces with one, best first.
func alike(name string, all []string) []string {
	const most = 5
	pieces := trigrams(name)
	type scored struct {
		name  string
		score float64
	}
	var found []scored
	for _, other := range all {
		if other == "" {
			continue
		}
		theirs, shared := trigrams(other), 0
		for p := range pieces {
			if theirs[p] {
				shared++
			}
		}
		if shared > 0 {
			found = append(found, scored{other, float64(2*shared) / float64(len(pieces)+len(theirs))})
		}
	}
	slices.SortStableFunc(found, func(a, b scored) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		}
		return strings.Compare(a.name, b.name)
	})
	out := make([]string, 0, most)
	for _, f := range found[:min(len(found), most)] {
		out = append(out, f.name)
	}
	return out
}

// trigrams are the three-letter pieces of a name, its ends marked.
func trigrams(s string) map[string]bool {
	s = "^" + strings.ToLower(s) + "$"
	out := map[string]bool{}
	for i := 0; i+3 <= len(s); i++ {
		out[s[i:i+3]] = true
	}
	return out
}
