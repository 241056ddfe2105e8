package quantize

import (
	"math"
	"slices"

	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/onnx"
)

// Report is what was done to a model.
type Report struct {
	Mode Mode `json:"mode"`
	// Nodes lists every MatMul, Gemm and embedding Gather in graph order.
	Nodes []NodeReport `json:"nodes"`
	// Quantized and Float count Nodes by what became of them.
	Quantized int `json:"quantized"`
	Float     int `json:"float"`
	// BytesBefore and BytesAfter are the bytes of all weights, to which the
	// file adds only the graph's structure.
	BytesBefore int64 `json:"bytes_before"`
	BytesAfter  int64 `json:"bytes_after"`
	// LargestError is the greatest |dequantized − original| of any weight
	// element, and LargestErrorWeight the tensor it is in.
	LargestError       eval.Float `json:"largest_error"`
	LargestErrorWeight string     `json:"largest_error_weight,omitempty"`
	// Budget tells the search for a model within MaxDrop, nil without one.
	Budget *BudgetReport `json:"budget,omitempty"`
}

// NodeReport is what became of one node.
type NodeReport struct {
	Name string `json:"name"`
	Op   string `json:"op"`
	// Weight is the tensor's name; Shape is [K, N], for a table [V, H].
	Weight string  `json:"weight,omitempty"`
	Shape  []int64 `json:"shape,omitempty"`
	// Int8 tells whether it was quantized, Why the reason it was not.
	Int8 bool   `json:"int8"`
	Why  string `json:"why,omitempty"`
	// SQNR is the weight's signal to quantization noise ratio in dB (null:
	// exact), MaxError its largest error.
	SQNR     eval.Float `json:"sqnr_db"`
	MaxError eval.Float `json:"max_error"`
	// Low and High are the activation's calibrated range, Static only.
	Low  float32 `json:"low,omitempty"`
	High float32 `json:"high,omitempty"`
	// Sensitivity is the SQNR in dB of the model's outputs when only this node
	// is quantized, measured where a budget asked for it; null otherwise.
	Sensitivity eval.Float `json:"sensitivity_db"`
}

// BudgetReport tells how the budget was kept or missed.
type BudgetReport struct {
	// Metric is Baseline in float and Value in the model returned; Met tells
	// whether that is within MaxDrop. Evaluations counts those of the search.
	Metric      string     `json:"metric"`
	Baseline    eval.Float `json:"baseline"`
	Value       eval.Float `json:"value"`
	MaxDrop     string     `json:"max_drop"`
	Met         bool       `json:"met"`
	Evaluations int        `json:"evaluations"`
	// Excluded lists the nodes left in float for the budget's sake, most sensitive first.
	Excluded []string `json:"excluded,omitempty"`
}

// report describes the model just built.
func (b *builder) report(excluded map[*site]bool) *Report {
	r := &Report{Mode: b.config.Mode, BytesBefore: weightBytes(b.model), BytesAfter: weightBytes(b.out)}
	type entry struct {
		index int
		NodeReport
	}
	var list []entry
	for _, k := range b.skips {
		list = append(list, entry{k.index, NodeReport{Name: k.node.Label(), Op: k.node.Op, Why: k.why,
			SQNR: eval.Float(math.NaN()), MaxError: eval.Float(math.NaN()), Sensitivity: eval.Float(math.NaN())}})
	}
	for _, s := range b.sites {
		k := s.key(s.weight.table && b.tables[s.weight.tensor])
		e := entry{s.index, NodeReport{Name: s.node.Label(), Op: s.node.Op, Weight: s.weight.tensor.Name, Shape: []int64{int64(s.k), int64(s.n)},
			Int8: !excluded[s], SQNR: eval.Float(math.NaN()), MaxError: eval.Float(math.NaN()), Sensitivity: eval.Float(math.NaN())}}
		if excluded[s] {
			e.Why = "left in float to keep the budget"
		} else if q, err := b.quantized(k); err == nil {
			e.SQNR, e.MaxError = eval.Float(q.SQNR), eval.Float(q.MaxError)
			if e.MaxError > r.LargestError || r.LargestErrorWeight == "" {
				r.LargestError, r.LargestErrorWeight = e.MaxError, e.Weight
			}
		}
		if v, ok := b.ranges[s.input]; ok && !s.gather {
			e.Low, e.High = v[0], v[1]
		}
		list = append(list, e)
	}
	slices.SortStableFunc(list, func(a, b entry) int { return a.index - b.index })
	for _, e := range list {
		r.Nodes = append(r.Nodes, e.NodeReport)
		if e.Int8 {
			r.Quantized++
		} else {
			r.Float++
		}
	}
	return r
}

// weightBytes is the size of all initializers and Constant nodes.
func weightBytes(m *onnx.Model) (n int64) {
	for _, t := range m.Graph.Initializers {
		n += int64(len(t.Raw))
	}
	for _, node := range m.Graph.Nodes {
		for _, a := range node.Attrs {
			if a.Tensor != nil {
				n += int64(len(a.Tensor.Raw))
			}
		}
	}
	return n
}
