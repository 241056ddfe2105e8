package exec_test

import (
	"math"
	"strings"
	"testing"

	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
)

func bytes8(v []uint8, shape ...int) *exec.Tensor {
	return &exec.Tensor{Type: onnx.Uint8, Shape: shape, U8: v}
}

// TestQuantizedArithmetic compares com.microsoft's operators with what their values stand for.
func TestQuantizedArithmetic(t *testing.T) {
	a, b := []uint8{0, 10, 128, 255}, []uint8{7, 200}
	as, bs, ys := float32(0.1), float32(0.05), float32(0.2)
	f := func(v uint8, s float32, z uint8) float64 { return (float64(v) - float64(z)) * float64(s) }
	scalar := func(v float32) *exec.Tensor { return exec.Floats([]float32{v}) }
	for op, want := range map[string]func(x, y float64) float64{
		"QLinearAdd": func(x, y float64) float64 { return x + y },
		"QLinearMul": func(x, y float64) float64 { return x * y },
	} {
		got, err := runOne(t, node("com.microsoft:"+op, nil, nil), bytes8(a, 2, 2), scalar(as), bytes8([]uint8{100}), bytes8(b, 2), scalar(bs), bytes8([]uint8{50}),
			scalar(ys), bytes8([]uint8{20}))
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range a {
			w := min(max(want(f(v, as, 100), f(b[i%2], bs, 50))/float64(ys)+20, 0), 255)
			if math.Abs(float64(got.U8[i])-w) > 0.51 {
				t.Errorf("%s: element %d is %d; want %v", op, i, got.U8[i], w)
			}
		}
	}
	got, err := runOne(t, node("com.microsoft:QLinearSigmoid", nil, nil), bytes8(a, 4), scalar(as), bytes8([]uint8{100}), scalar(1.0/256), bytes8([]uint8{0}))
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range a {
		if w := min(256/(1+math.Exp(-f(v, as, 100))), 255); math.Abs(float64(got.U8[i])-w) > 0.51 {
			t.Errorf("QLinearSigmoid: element %d is %d; want %v", i, got.U8[i], w)
		}
	}
	got, err = runOne(t, node("com.microsoft:QLinearConcat", nil, nil, onnx.IntAttr("axis", 0)), scalar(ys), bytes8([]uint8{128}),
		bytes8(a, 4), scalar(as), bytes8([]uint8{100}), bytes8(b, 2), scalar(bs), bytes8([]uint8{50}))
	if err != nil {
		t.Fatal(err)
	}
	if w := f(b[1], bs, 50)/float64(ys) + 128; len(got.U8) != 6 || math.Abs(float64(got.U8[5])-w) > 0.51 {
		t.Errorf("QLinearConcat: %v; the last is %v", got.U8, w)
	}
}

// TestMatMulNBits has 20 inputs in blocks of 16, so that the second is not full.
func TestMatMulNBits(t *testing.T) {
	const k, n, block, blocks = 20, 3, 16, 2
	attrs := []*onnx.Attribute{onnx.IntAttr("K", k), onnx.IntAttr("N", n), onnx.IntAttr("bits", 4), onnx.IntAttr("block_size", block)}
	b := make([]uint8, n*blocks*block/2)
	for i := range b {
		b[i] = uint8(i * 91)
	}
	x, scales, zeros := sample(2*k, 1), sample(n*blocks, 2), []uint8{0x3a, 0x91, 0x07}
	want := func(r, c int, zero func(blk int) int) (sum float64) {
		for i := range k {
			at := c*blocks*block + i
			q := int(b[at/2]>>(at%2*4)) & 15
			sum += float64(x[r*k+i]) * float64(q-zero(i/block)) * float64(scales[c*blocks+i/block])
		}
		return sum
	}
	for _, given := range []bool{false, true} {
		in := []*exec.Tensor{exec.Floats(x, 2, k), bytes8(b, n, blocks, block/2), exec.Floats(scales, n*blocks)}
		if given {
			in = append(in, bytes8(zeros, n))
		}
		got, err := runOne(t, node("com.microsoft:MatMulNBits", nil, nil, attrs...), in...)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range got.F32 {
			w := want(i/n, i%n, func(blk int) int {
				if given {
					return int(zeros[i%n]>>(4*blk)) & 15
				}
				return 8
			})
			if math.Abs(float64(v)-w) > 1e-4 {
				t.Errorf("zero points %v: element %d is %v; want %v", given, i, v, w)
			}
		}
	}
	_, err := runOne(t, node("com.microsoft:MatMulNBits", nil, nil, attrs...), exec.Floats(x, 2, k), bytes8(b[1:], len(b)-1), exec.Floats(scales, n*blocks))
	if err == nil || !strings.Contains(err.Error(), "the_MatMulNBits") || strings.Contains(err.Error(), "fault") {
		t.Errorf("a weight that is cut short: %v", err)
	}
}

func TestGemmFastGelu(t *testing.T) {
	x, w, bias := exec.Floats(sample(6, 1), 2, 3), exec.Floats(sample(12, 2), 3, 4), exec.Floats(sample(4, 3), 4)
	got, err := runOne(t, node("com.microsoft:GemmFastGelu", nil, nil), x, w, bias)
	if err != nil {
		t.Fatal(err)
	}
	p, err := runOne(t, node("MatMul", nil, nil), x, w)
	if err != nil {
		t.Fatal(err)
	}
	want, err := runOne(t, node("com.microsoft:FastGelu", nil, nil), p, bias)
	if err != nil {
		t.Fatal(err)
	}
	if err := sameTensor(got, want, 1e-5, 1e-6); err != nil {
		t.Error(err)
	}
}
