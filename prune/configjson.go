package prune

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// updateConfig writes what a structural pruning changed into config.json:
// num_hidden_layers; pruned_heads as Hugging Face writes it (layer → heads,
// counted in the model before any pruning); intermediate_size where all
// layers agree; and in the entry "lite" the sizes of each layer where they do
// not follow from the rest.
func updateConfig(m *onnx.Model, r *Report) error {
	c := m.Config
	if c == nil {
		return nil
	}
	old, err := readPrunedHeads(c)
	if err != nil {
		return err
	}
	pruned := map[string][]int{}
	var heads, inner []int
	for _, l := range r.Layers {
		if l.Dropped {
			continue
		}
		before := old[strconv.Itoa(l.Layer)]
		if all := originalHeads(before, l.HeadsBefore, l.RemovedHeads); len(all) > 0 {
			pruned[strconv.Itoa(len(heads))] = all
		}
		heads = append(heads, l.Heads)
		inner = append(inner, l.Neurons)
	}
	c.NumHiddenLayers = len(heads)
	c.Extra = maps.Clone(c.Extra)
	if c.Extra == nil {
		c.Extra = map[string]json.RawMessage{}
	}
	delete(c.Extra, "pruned_heads")
	if len(pruned) > 0 {
		// encoding/json sorts the keys of a map.
		if c.Extra["pruned_heads"], err = json.Marshal(pruned); err != nil {
			return err
		}
	}
	lite, err := student.ReadLite(c)
	if err != nil {
		return err
	}
	lite.AttentionHeads, lite.IntermediateSizes = nil, nil
	if same(inner) {
		c.IntermediateSize = inner[0]
	} else {
		lite.IntermediateSizes = inner
	}
	if !same(heads) || heads[0] != c.NumAttentionHeads {
		lite.AttentionHeads = heads
	}
	return student.WriteLite(c, lite)
}

func same(x []int) bool {
	return len(x) > 0 && !slices.ContainsFunc(x, func(v int) bool { return v != x[0] })
}

func readPrunedHeads(c *onnx.Config) (map[string][]int, error) {
	out := map[string][]int{}
	if raw := c.Extra["pruned_heads"]; raw != nil {
		if err := json.Unmarshal(raw, &out); err != nil {
			return nil, fmt.Errorf("prune: pruned_heads of config.json: %w", err)
		}
	}
	return out, nil
}

// originalHeads joins the heads that were pruned before with those removed
// now, which are counted among the heads that were left.
func originalHeads(before []int, left int, removed []int) []int {
	all := slices.Clone(before)
	i := 0
	for h := 0; i < left; h++ {
		if slices.Contains(before, h) {
			continue
		}
		if slices.Contains(removed, i) {
			all = append(all, h)
		}
		i++
	}
	slices.Sort(all)
	return slices.Compact(all)
}
