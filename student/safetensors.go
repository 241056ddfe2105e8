package student

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/litekit/lite/onnx"
)

// SafetensorsFile is the name under which Hugging Face looks for weights.
const SafetensorsFile = "model.safetensors"

// EncodeSafetensors returns the parameters of an encoder as a safetensors file
// (https://github.com/huggingface/safetensors, format 0.3: header length
// uint64, JSON header, float32 data, little-endian) with the names and layouts
// of PyTorch, as [Safetensors] gives them. Beside config.json it loads with
// from_pretrained.
//
// Errors: no encoder found, weights that are not float, layers that differ in
// size or have lost heads (which config.json cannot say).
func EncodeSafetensors(m *onnx.Model) ([]byte, error) {
	if l, err := ReadLite(m.Config); err == nil && (uneven(l.AttentionHeads) || uneven(l.IntermediateSizes)) {
		return nil, fmt.Errorf("student: layers of different sizes (heads %v, neurons %v) have no place in a safetensors file: Hugging Face's config.json has one size for all", l.AttentionHeads, l.IntermediateSizes)
	}
	list, err := Safetensors(m)
	if err != nil {
		return nil, err
	}
	for _, t := range list {
		if strings.HasSuffix(t.Name, "attention.self.query.weight") && t.Dims[0] != t.Dims[1] {
			return nil, fmt.Errorf("student: %s is %v: attention of another width than the hidden states, as after heads are removed, cannot be told by Hugging Face's config.json", t.Name, t.Dims)
		}
	}
	type entry struct {
		Type    string  `json:"dtype"`
		Shape   []int64 `json:"shape"`
		Offsets [2]int  `json:"data_offsets"`
	}
	header := map[string]any{"__metadata__": map[string]string{"format": "pt"}}
	at := 0
	for _, t := range list {
		end := at + len(t.Raw)
		header[t.Name] = entry{"F32", t.Dims, [2]int{at, end}}
		at = end
	}
	text, err := json.Marshal(header) // keys in order
	if err != nil {
		return nil, fmt.Errorf("student: %w", err)
	}
	for len(text)%8 != 0 {
		text = append(text, ' ') // the data begins at a multiple of 8
	}
	var out bytes.Buffer
	out.Grow(8 + len(text) + at)
	out.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(text))))
	out.Write(text)
	for _, t := range list {
		out.Write(t.Raw)
	}
	return out.Bytes(), nil
}

func uneven(sizes []int) bool { return len(sizes) > 0 && slices.Min(sizes) != slices.Max(sizes) }
