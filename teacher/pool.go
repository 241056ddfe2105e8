package teacher

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/onnx"
)

// Pooling says how the last hidden states of a text become its vector.
type Pooling struct {
	// Mode is MeanPooling or CLSPooling.
	Mode string
	// Normalize divides the vector by its length.
	Normalize bool
}

// The modes of pooling: the mean over the tokens that are not padding, special
// ones included (Reimers and Gurevych, arXiv 1908.10084, section 3), or the
// first token.
const (
	MeanPooling = "mean"
	CLSPooling  = "cls"
)

// PoolingOf reads how a model's vectors are made from the files of
// sentence-transformers, where they are there (1_Pooling/config.json, and
// modules.json for the normalization); otherwise it is the mean, not
// normalized. It is an error where they ask for something else.
func PoolingOf(m *onnx.Model) (Pooling, error) {
	p := Pooling{Mode: MeanPooling}
	if raw := m.Files[onnx.PoolingFile]; raw != nil {
		keys := map[string]json.RawMessage{}
		if err := json.Unmarshal(raw, &keys); err != nil {
			return p, fmt.Errorf("teacher: %s: %w", onnx.PoolingFile, err)
		}
		modes := poolingModes(keys)
		if len(modes) != 1 || modes[0] != MeanPooling && modes[0] != CLSPooling {
			return p, fmt.Errorf("teacher: %s asks for pooling by %q; only %s and %s are known", onnx.PoolingFile, modes, MeanPooling, CLSPooling)
		}
		p.Mode = modes[0]
	}
	var modules []struct{ Type string }
	if raw := m.Files[onnx.ModulesFile]; raw != nil {
		if err := json.Unmarshal(raw, &modules); err != nil {
			return p, fmt.Errorf("teacher: %s: %w", onnx.ModulesFile, err)
		}
	}
	for _, module := range modules {
		switch module.Type {
		case "sentence_transformers.models.Normalize":
			p.Normalize = true
		case "sentence_transformers.models.Transformer", "sentence_transformers.models.Pooling":
		default:
			return p, fmt.Errorf("teacher: %s lists a module %q, which is not in the graph; export the model with an output sentence_embedding, or leave that module out", onnx.ModulesFile, module.Type)
		}
	}
	return p, nil
}

// poolingModes lists the modes that a pooling configuration turns on. It holds
// one flag for each (pooling_mode_mean_tokens), or their names (pooling_mode).
func poolingModes(keys map[string]json.RawMessage) []string {
	var modes []string
	var one string
	if json.Unmarshal(keys["pooling_mode"], &one) == nil && one != "" {
		return []string{one}
	}
	if json.Unmarshal(keys["pooling_mode"], &modes) == nil && len(modes) > 0 {
		return modes
	}
	for _, m := range [][2]string{
		{"pooling_mode_mean_tokens", MeanPooling}, {"pooling_mode_cls_token", CLSPooling}, {"pooling_mode_max_tokens", "max"},
		{"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len"}, {"pooling_mode_weightedmean_tokens", "weightedmean"}, {"pooling_mode_lasttoken", "lasttoken"},
	} {
		var on bool
		if json.Unmarshal(keys[m[0]], &on) == nil && on {
			modes = append(modes, m[1])
		}
	}
	return modes
}

// apply makes vectors [B,H] of hidden states [B,S,H].
func (p Pooling) apply(hidden []float32, b *corpus.Batch, width int) []float32 {
	out := make([]float32, b.B*width)
	sum := make([]float64, width)
	for r := range b.B {
		clear(sum)
		n := 0
		for s := range b.S {
			if at := r*b.S + s; b.Mask[at] != 0 && (n == 0 || p.Mode == MeanPooling) {
				for j, x := range hidden[at*width : (at+1)*width] {
					sum[j] += float64(x)
				}
				n++
			}
		}
		for j, x := range sum {
			out[r*width+j] = float32(x / float64(max(1, n)))
		}
	}
	if p.Normalize {
		normalize(out, width)
	}
	return out
}

// normalize divides every row by its length; a row of zeros stays.
func normalize(v []float32, width int) {
	for row := range slices.Chunk(v, width) {
		sum := 0.0
		for _, x := range row {
			sum += float64(x) * float64(x)
		}
		if sum == 0 {
			continue
		}
		scale := 1 / math.Sqrt(sum)
		for j := range row {
			row[j] = float32(float64(row[j]) * scale)
		}
	}
}
