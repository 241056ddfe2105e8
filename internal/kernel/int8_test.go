package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func TestGemmInt8(t *testing.T) {
	eachPath(t, testGemmInt8)
}

func testGemmInt8(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, s := range [][3]int{{0, 3, 3}, {1, 1, 1}, {1, 16, 2}, {2, 17, 3}, {5, 15, 7}, {6, 32, 64}, {7, 33, 65}, {13, 40, 101}, {50, 270, 33}, {3, 5, 0}, {61, 64, 770}, {1, 130, 36}, {4, 70, 40}, {12, 96, 17}, {200, 48, 21}} {
		m, n, k := s[0], s[1], s[2]
		for kind := range fillings {
			a, w := make([]uint8, m*k), make([]int8, k*n)
			fillings[kind](r, k, a, w)
			zeros := make([]int8, n)
			for i := range zeros {
				zeros[i] = int8(r.Uint32())
			}
			for _, az := range []uint8{0, 77, 255} {
				for _, wz := range [][]int8{nil, {-5}, zeros} {
					c := make([]int32, m*n)
					GemmInt8(m, a, az, PackInt8(k, n, w), wz, c)
					checkInt8(t, fmt.Sprint(s, kind, az, len(wz)), m, n, k, a, az, w, wz, c)
				}
			}
		}
	}
}

// fillings are factors of which some, none or all would saturate 16-bit sums.
var fillings = []func(r *rand.Rand, k int, a []uint8, w []int8){
	func(r *rand.Rand, _ int, a []uint8, w []int8) {
		randomBytes(r, a, w)
	},
	func(_ *rand.Rand, _ int, a []uint8, w []int8) {
		for i := range a {
			a[i] = 255
		}
		for i := range w {
			w[i] = -128
		}
	},
	func(r *rand.Rand, _ int, a []uint8, w []int8) { // as activations are
		randomBytes(r, a, w)
		for i := range a {
			a[i] = uint8(max(0, min(255, 90+40*r.NormFloat64())))
		}
	},
	func(r *rand.Rand, k int, a []uint8, w []int8) { // far from the mean of a row, now and then
		for i := range a {
			a[i] = 3
			if i/max(k, 1)%3 != 1 && r.IntN(12) < 2 {
				a[i] = 255
			}
		}
		for i := range w {
			w[i] = int8(127 - 255*r.IntN(2))
		}
	},
	func(r *rand.Rand, k int, a []uint8, w []int8) { // half of each row at either end
		randomBytes(r, a, w)
		for i := range a {
			a[i] = uint8(255 * (i % max(k, 1) * 2 / max(k, 1)))
		}
	},
}

func randomBytes(r *rand.Rand, a []uint8, w []int8) {
	for i := range a {
		a[i] = uint8(r.Uint32())
	}
	for i := range w {
		w[i] = int8(r.Uint32())
	}
}

// The fused forms are the sums, scaled, with bias and activation, step by step.
func TestGemmInt8Fused(t *testing.T) {
	eachPath(t, testGemmInt8Fused)
}

func testGemmInt8Fused(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, s := range [][3]int{{1, 1, 1}, {1, 70, 33}, {7, 40, 64}, {30, 330, 19}, {100, 100, 130}, {2, 3, 0}} {
		m, n, k := s[0], s[1], s[2]
		a, w := make([]uint8, m*k), make([]int8, k*n)
		for i := range a {
			a[i] = uint8(r.Uint32())
		}
		for i := range w {
			w[i] = int8(r.Uint32())
		}
		zeros := make([]int8, n)
		for i := range zeros {
			zeros[i] = int8(r.Uint32())
		}
		scale, bias := random(1, n), random(2, n)
		for i := range scale {
			scale[i] *= 0.01
		}
		b := PackInt8(k, n, w)
		for _, act := range []Act{ActNone, ActGelu, ActRelu} {
			for _, wz := range [][]int8{nil, {7}, zeros} {
				for _, bias := range [][]float32{nil, bias} {
					sums, got, want := make([]int32, m*n), make([]float32, m*n), make([]float32, m*n)
					GemmInt8(m, a, 99, b, wz, sums)
					for i, v := range sums {
						want[i] = float32(v) * scale[i%n]
					}
					if bias != nil || act != ActNone {
						BiasAct(want, m, n, bias, act)
					}
					GemmInt8Float(m, a, 99, b, wz, scale, bias, act, got)
					sameBits(t, fmt.Sprint(s, act, len(wz), bias != nil), got, want)
					q := make([]uint8, m*n)
					GemmInt8U8(m, a, 99, b, wz, scale, bias, act, 100, q)
					for i, v := range want {
						if x := math.Max(0, math.Min(255, math.RoundToEven(float64(v))+100)); float64(q[i]) != x {
							t.Fatalf("%v: %v is %d, want %v", s, v, q[i], x)
						}
					}
				}
			}
		}
	}
}

func checkInt8(t *testing.T, what string, m, n, k int, a []uint8, az uint8, w []int8, wz []int8, c []int32) {
	t.Helper()
	for i := range m {
		for j := range n {
			z := 0
			if len(wz) == 1 {
				z = int(wz[0])
			} else if wz != nil {
				z = int(wz[j])
			}
			sum := 0
			for p := range k {
				sum += (int(a[i*k+p]) - int(az)) * (int(w[p*n+j]) - z)
			}
			if int(c[i*n+j]) != sum {
				t.Fatalf("%s: C[%d,%d] = %d, want %d", what, i, j, c[i*n+j], sum)
			}
		}
	}
}

func TestInt8Twins(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range lengths {
		a := make([]uint8, n)
		for i := range a {
			a[i] = uint8(r.Uint32())
		}
		if s, w := vSumBytes(a), sumBytesGo(a); s != w {
			t.Fatalf("sum of %d bytes: %d, want %d", n, s, w)
		}
		ld := roundUp(max(n, 1), centreBlock)
		d1, d2, o1, o2 := make([]uint8, ld), make([]uint8, ld), make([]uint64, ld/centreBlock), make([]uint64, ld/centreBlock)
		for _, c := range []uint8{0, 100, 255} {
			vCentre(d1, a, c, o1)
			centreGo(d2, a, c, o2)
			if string(d1) != string(d2) || fmt.Sprint(o1) != fmt.Sprint(o2) {
				t.Fatalf("%d bytes less %d: %v %x, want %v %x", n, c, d1, o1, d2, o2)
			}
		}
		row, sums := make([]int32, n), make([]int32, n)
		for i := range row {
			row[i], sums[i] = int32(r.Uint32()), int32(r.Uint32()>>8)
		}
		other := append([]int32(nil), row...)
		vSubScaled(row, sums, 255, -77)
		subScaledGo(other, sums, 255, -77)
		if fmt.Sprint(row) != fmt.Sprint(other) {
			t.Fatalf("subtract %d: %v, want %v", n, row, other)
		}
		x := random(3, n)
		for i := range x {
			x[i] *= 100
			if i%5 == 0 {
				x[i] = float32(i) - 8.5 // halves
			}
		}
		q1, q2 := make([]uint8, n), make([]uint8, n)
		vQuantize(q1, x, 1, 128)
		quantizeGo(q2, x, 1, 128)
		if string(q1) != string(q2) {
			t.Fatalf("quantize %d: %v, want %v", n, q1, q2)
		}
		bytes, y1, y2 := make([]int8, n), append(make([]float32, n), 77), make([]float32, n)
		for i, v := range a {
			bytes[i] = int8(v)
		}
		vScaleBytes(y1[:n], bytes, 0.01)
		scaleBytesGo(y2, bytes, 0.01)
		sameBits(t, fmt.Sprint("scaled bytes ", n), y1[:n], y2)
		for i := range row {
			row[i] %= 1 << 20
		}
		scale, bias := filled(n, 1e-5), random(4, n)
		for _, act := range acts {
			vFinishSums(act, y1[:n], row, sums[:n], scale, bias, 3, -7)
			finishSumsGo(act, y2, row, sums, scale, bias, 3, -7)
			compare(t, fmt.Sprint(act, " of sums ", n), y1[:n], wide(y2), 2e-6, 2e-6)
			steps := make([]float32, n) // the same in two steps has the same bits
			vDequantize(steps, row, sums, scale, 3, -7)
			vBiasAct(act, steps, bias)
			sameBits(t, fmt.Sprint(act, " of sums in two steps ", n), y1[:n], steps)
		}
		if y1[n] != 77 {
			t.Fatalf("%d sums: wrote behind the end", n)
		}
	}
}

func TestQuantizeU8(t *testing.T) {
	check := func(x []float32) {
		t.Helper()
		low, high := float32(0), float32(0)
		for _, v := range x {
			low, high = min(low, v), max(high, v)
		}
		scale := (high - low) / 255
		if low == high {
			scale = 1
		}
		zero := math.RoundToEven(math.Max(0, math.Min(255, float64(-low/scale))))
		dst := make([]uint8, len(x))
		s, z := QuantizeU8(dst, x)
		if s != scale || float64(z) != zero {
			t.Fatalf("scale %v zero %d, want %v %v", s, z, scale, zero)
		}
		for i, v := range x {
			want := math.Max(0, math.Min(255, math.RoundToEven(float64(v/scale))+zero))
			if float64(dst[i]) != want {
				t.Fatalf("%v of scale %v zero %v is %d, want %v", v, scale, zero, dst[i], want)
			}
		}
	}
	huge := []float32{3e9, -3e9, 0, 3e9, -3e9, 1, 2, 3e9}
	q := make([]uint8, len(huge))
	vQuantize(q, huge, 1, 7)
	if fmt.Sprint(q) != "[255 0 7 255 0 8 9 255]" {
		t.Errorf("beyond int32: %d", q)
	}
	check(nil)
	check([]float32{0, 0, 0})
	check([]float32{1, 2, 3, 255, 0.5, 1.5, 2.5, 3.5, 4.5}) // scale 1, halves
	check([]float32{-1, -2, -7})
	check([]float32{3, 9})
	check(random(1, 1001))
	check(random(2, 100001))
	// The example of the ONNX operator's documentation.
	dst := make([]uint8, 6)
	s, z := QuantizeU8(dst, []float32{0, 2, -3, -2.5, 1.34, 0.5})
	if math.Abs(float64(s)-0.0196078438) > 1e-9 || z != 153 || fmt.Sprint(dst) != "[153 255 0 26 221 179]" {
		t.Errorf("scale %v zero %d %v", s, z, dst)
	}
}

func TestGemmInt8Threads(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const m, n, k = 151, 307, 99
	a, w := make([]uint8, m*k), make([]int8, k*n)
	for i := range a {
		a[i] = uint8(r.Uint32())
	}
	for i := range w {
		w[i] = int8(r.Uint32())
	}
	b := PackInt8(k, n, w)
	for _, threads := range []int{1, 2, 3, 5} {
		SetThreads(threads)
		c := make([]int32, m*n)
		GemmInt8(m, a, 99, b, []int8{3}, c)
		checkInt8(t, fmt.Sprint(threads, " threads"), m, n, k, a, 99, w, []int8{3}, c)
	}
	SetThreads(0)
}
