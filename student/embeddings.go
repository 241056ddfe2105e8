package student

import (
	"fmt"

	"github.com/litekit/lite/internal/fuse"
	"github.com/litekit/lite/onnx"
)

// WordEmbeddings returns the word embeddings [V,E] of an encoder, whatever its
// exporter called them, and E, their width. The values must not be changed: they may be the
// model's own.
//
// Errors: no encoder is found, or its embeddings are not floats (a quantized
// model).
func WordEmbeddings(m *onnx.Model) (emb []float32, dim int, err error) {
	if m == nil || m.Graph == nil {
		return nil, 0, fmt.Errorf("student: the model has no graph")
	}
	if m, err = fuse.LiftWeights(m); err != nil {
		return nil, 0, fmt.Errorf("student: %w", err)
	}
	enc, err := fuse.Detect(m)
	if err != nil {
		return nil, 0, fmt.Errorf("student: no encoder found: %w", err)
	}
	t := constants(m)[enc.Word]
	if t == nil || t.Type != onnx.Float || len(t.Dims) != 2 {
		return nil, 0, fmt.Errorf("student: the word embeddings %s are not a float matrix; give the float model that a quantized one was made of", enc.Word)
	}
	if emb, err = t.Floats(); err != nil {
		return nil, 0, fmt.Errorf("student: %w", err)
	}
	return emb, int(t.Dims[1]), nil
}
