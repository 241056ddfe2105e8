package fuse_test

import (
	"bytes"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/onnx"
)

// FuzzFuse: Fuse and Detect return in bounded time whatever the graph, leave it
// as it was, and what Fuse returns can be written.
func FuzzFuse(f *testing.F) {
	all := patterns()
	for _, group := range slices.Sorted(maps.Keys(all)) {
		for i, c := range all[group] {
			b, err := c.b.model().Encode()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
			if i%4 == 0 {
				flipped := bytes.Clone(b)
				flipped[len(b)/3] ^= 4
				f.Add(b[:len(b)/2])
				f.Add(flipped)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<14 {
			return
		}
		m, err := onnx.Decode(data)
		if err != nil {
			return
		}
		before := m.Hash()
		start := time.Now()
		fused, err := fuse.Fuse(m)
		if err == nil {
			if _, err := fused.Model.Encode(); err != nil {
				t.Fatal(err)
			}
			for _, o := range fused.Model.Graph.Outputs {
				_, _ = fuse.SelectRows(fused.Model, []string{o.Name})
			}
			_, _ = fuse.Detect(m)
			fuse.Untie(m)
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Fatalf("%d bytes took %v", len(data), took)
		}
		if m.Hash() != before {
			t.Fatal("Fuse or Detect changed the model")
		}
	})
}
