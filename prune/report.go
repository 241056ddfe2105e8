package prune

import (
	"fmt"
	"strings"

	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/onnx"
)

// Report says what was removed. Its JSON names are stable.
type Report struct {
	Unit      Unit   `json:"unit"`      // what was removed
	Criterion string `json:"criterion"` // its name; "choice" for layers
	// Layers describes every layer of the model that was given.
	Layers []LayerReport `json:"layers"`
	// Tensors describes every parameter that unstructured pruning treated.
	Tensors []TensorReport `json:"tensors,omitempty"`
	// Params counts the elements of float initializers, Bytes the bytes of all initializers.
	ParamsBefore int64 `json:"parameters_before"`
	ParamsAfter  int64 `json:"parameters_after"`
	BytesBefore  int64 `json:"bytes_before"`
	BytesAfter   int64 `json:"bytes_after"`
	// Sparsity is the fraction reached, of the units that were eligible.
	Sparsity float64 `json:"sparsity"`
}

// LayerReport is what one layer had and has.
type LayerReport struct {
	Layer          int   `json:"layer"` // from 0, counted in the model that was given
	Heads          int   `json:"heads"` // A and F that are left, and that there were
	HeadsBefore    int   `json:"heads_before"`
	Neurons        int   `json:"neurons"`
	NeuronsBefore  int   `json:"neurons_before"`
	RemovedHeads   []int `json:"removed_heads,omitempty"` // their numbers, likewise
	RemovedNeurons []int `json:"removed_neurons,omitempty"`
	Dropped        bool  `json:"dropped,omitempty"` // the whole layer is gone
}

// TensorReport counts the zeros of one parameter.
type TensorReport struct {
	Name           string `json:"name"` // of the initializer
	Elements       int    `json:"elements"`
	Zeros          int    `json:"zeros"` // that there are, and that there were
	ZerosBefore    int    `json:"zeros_before"`
	PatternSkipped int    `json:"pattern_skipped,omitempty"` // elements in incomplete groups of an n:m pattern
}

func newReport(unit Unit, m *onnx.Model, enc *fuse.Encoder) *Report {
	r := &Report{Unit: unit}
	r.ParamsBefore, r.BytesBefore = size(m)
	for i, l := range enc.Layers {
		r.Layers = append(r.Layers, LayerReport{
			Layer: i, Heads: l.Heads, HeadsBefore: l.Heads, Neurons: l.Up.Out, NeuronsBefore: l.Up.Out,
		})
	}
	return r
}

func (r *Report) finish(out *onnx.Model) { r.ParamsAfter, r.BytesAfter = size(out) }

func size(m *onnx.Model) (params, bytes int64) {
	for _, t := range m.Graph.Initializers {
		bytes += int64(len(t.Raw))
		if t.Type == onnx.Float || t.Type == onnx.Float16 || t.Type == onnx.BFloat16 || t.Type == onnx.Double {
			params += int64(t.Len())
		}
	}
	return params, bytes
}

// String is the report in a few lines.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %.1f%% removed; parameters %d → %d, weights %.1f → %.1f MB\n", r.Unit, 100*r.Sparsity,
		r.ParamsBefore, r.ParamsAfter, float64(r.BytesBefore)/1e6, float64(r.BytesAfter)/1e6)
	for _, l := range r.Layers {
		switch {
		case l.Dropped:
			fmt.Fprintf(&b, "  layer %d: dropped\n", l.Layer)
		case l.Heads != l.HeadsBefore || l.Neurons != l.NeuronsBefore:
			fmt.Fprintf(&b, "  layer %d: heads %d → %d, neurons %d → %d\n", l.Layer, l.HeadsBefore, l.Heads, l.NeuronsBefore, l.Neurons)
		}
	}
	return b.String()
}
