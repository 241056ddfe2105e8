package teacher

import (
	"fmt"

	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/onnx"
)

// Encoder names the values inside a transformer encoder that can be tapped. They
// are found by the structure of the graph, whatever the exporter called them.
type Encoder struct {
	// Embeddings is the value behind the embedding LayerNorm, [B,S,EmbeddingWidth].
	Embeddings     string
	EmbeddingWidth int
	// Width is H, that of the hidden states.
	Width  int
	Layers []Layer
}

// Layer names the values of one encoder layer.
type Layer struct {
	// Hidden is the layer's output, [B,S,H].
	Hidden string
	// Query, Key and Value are the outputs of those linear layers, [B,S,A·d],
	// with the heads side by side; Attention is what the heads give, [B,S,A·d].
	Query, Key, Value, Attention string
	// Heads is A, HeadDim d.
	Heads, HeadDim int
}

// EncoderOf finds the encoder of a model. The error says what of an encoder with
// LayerNorm after each residual sum (BERT and its kin) was not found.
func EncoderOf(m *onnx.Model) (*Encoder, error) {
	d, err := fuse.Detect(m)
	if err != nil {
		return nil, fmt.Errorf("teacher: %w", err)
	}
	e := &Encoder{Embeddings: d.Embeddings, Width: d.Layers[0].Query.In}
	if e.EmbeddingWidth = e.Width; d.Projection != nil {
		e.EmbeddingWidth = d.Projection.In
	}
	for _, l := range d.Layers {
		e.Layers = append(e.Layers, Layer{
			Hidden: l.Hidden, Query: l.Query.Y, Key: l.Key.Y, Value: l.Value.Y, Attention: l.Attention,
			Heads: l.Heads, HeadDim: l.HeadDim,
		})
	}
	return e, nil
}
