package student

import (
	"fmt"
	"slices"

	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/internal/kernel"
)

// projected is a table whose rows v, [rows,E], pass the linear layer l before the
// LayerNorm of their sum, as the table [rows,H] that the LayerNorm sums: a lookup
// and a product change places. So the encoder is one without projection. The bias
// goes into one of the tables that have the layer in common.
func (a *anatomy) projected(s slot, l fuse.Linear, v []float32) ([]float32, []int64, error) {
	w, err := a.floats(l.Weight, projectName+".weight")
	if err != nil {
		return nil, nil, err
	}
	if len(w) != l.In*l.Out || l.In == 0 || len(v)%l.In != 0 {
		return nil, nil, fmt.Errorf("student: %s (%s): a projection from %d to %d values does not fit its rows", s.init, s.name, l.In, l.Out)
	}
	rows := len(v) / l.In
	if l.TransB {
		w = transpose(w, l.Out, l.In)
	}
	out := make([]float32, rows*l.Out)
	kernel.Gemm(false, false, rows, l.Out, l.In, 1, v, l.In, w, l.Out, 0, out, l.Out)
	dims := []int64{int64(rows), int64(l.Out)}
	tables := []string{a.enc.Word, a.enc.Position, a.enc.Type}
	first := slices.IndexFunc(tables, func(t string) bool { return a.enc.Projected[t].MatMul == l.MatMul })
	if l.Bias == "" || tables[first] != s.init {
		return out, dims, nil
	}
	bias, err := a.floats(l.Bias, projectName+".bias")
	if err != nil {
		return nil, nil, err
	}
	for i := range out {
		out[i] += bias[i%len(bias)]
	}
	return out, dims, nil
}
