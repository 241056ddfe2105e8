package onnx_test

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/litekit/lite/onnx"
)

// TestFloatsAt reads tensors piece by piece, aligned and not, before and after
// the system was told to forget them.
func TestFloatsAt(t *testing.T) {
	raw := make([]byte, 4*100+1)
	for i := range 100 {
		binary.LittleEndian.PutUint32(raw[1+4*i:], math.Float32bits(float32(i)))
	}
	for shift := range 2 {
		x := &onnx.Tensor{Name: "x", Type: onnx.Float, Dims: []int64{10, 10}, Raw: append([]byte{}, raw[1:]...)}
		if shift == 1 {
			x.Raw = raw[1:]
		}
		for _, at := range []int{0, 7, 93} {
			got, err := x.FloatsAt(at, make([]float32, 7))
			if err != nil || len(got) != 7 || got[0] != float32(at) || got[6] != float32(at+6) {
				t.Errorf("7 elements from %d: %v, %v", at, got, err)
			}
			x.Forget()
		}
		for _, at := range []int{-1, 94, 101} {
			if _, err := x.FloatsAt(at, make([]float32, 7)); err == nil {
				t.Errorf("7 elements from %d of 100 is no error", at)
			}
		}
	}
}
