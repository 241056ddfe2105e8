package kernel

import (
	"fmt"
	"math"
	"testing"
)

var acts = []Act{ActNone, ActGelu, ActGeluTanh, ActRelu, ActTanh}

// act64 is written from the definitions, apart from the kernels.
func act64(act Act, x float64) float64 {
	switch act {
	case ActGelu:
		if math.IsInf(x, -1) {
			return 0
		}
		return x / 2 * math.Erfc(-x/math.Sqrt2)
	case ActGeluTanh:
		if math.IsInf(x, -1) {
			return 0
		}
		return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
	case ActRelu:
		return math.Max(x, 0)
	case ActTanh:
		return math.Tanh(x)
	}
	return x
}

// grid covers the range of float32 with its special values.
func grid() []float32 {
	var x []float32
	for v := -20.0; v <= 20; v += 0.0037 {
		x = append(x, float32(v))
	}
	for e := -149; e < 128; e += 3 {
		v := float32(math.Ldexp(1.37, e))
		x = append(x, v, -v)
	}
	return append(x, 0, float32(math.Copysign(0, -1)), float32(math.Inf(1)), float32(math.Inf(-1)), nan32, -1e4, 1e4, math.MaxFloat32, -math.MaxFloat32)
}

var lengths = []int{0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 312, 1001}

func TestActivate(t *testing.T) {
	x := grid()
	for _, act := range acts {
		y := make([]float32, len(x))
		Activate(act, y, x)
		for i, v := range x {
			if want := act64(act, float64(v)); !close32(y[i], want, 1e-6, 1e-6) {
				t.Errorf("%v(%v) = %v, want %v", act, v, y[i], want)
			}
		}
		in := append([]float32(nil), x...)
		Activate(act, in, in)
		sameBits(t, "in place", in, y)
	}
}

// Near 0 the relative error counts too, since small activations train as well.
func TestActivateSmall(t *testing.T) {
	for _, act := range acts {
		for e := -120; e < 0; e++ {
			for _, v := range []float32{float32(math.Ldexp(1.1, e)), float32(math.Ldexp(-1.9, e))} {
				y := []float32{0}
				Activate(act, y, []float32{v})
				if want := act64(act, float64(v)); !close32(y[0], want, 0, 3e-6) {
					t.Errorf("%v(%v) = %v, want %v", act, v, y[0], want)
				}
			}
		}
	}
}

func TestActivateGrad(t *testing.T) {
	for _, act := range acts {
		var x []float32
		for v := -12.0; v < 12; v += 0.00371 {
			x = append(x, float32(v))
		}
		dy := random(1, len(x))
		dx := make([]float32, len(x))
		ActivateGrad(act, dx, x, dy)
		for i := range x {
			at := []float64{float64(x[i])}
			want := difference(func() float64 { return act64(act, at[0]) }, at, 0)
			if !close32(dx[i], want*float64(dy[i]), 2e-6*(1+math.Abs(float64(dy[i]))), 2e-6) {
				t.Fatalf("%v'(%v) = %v, want %v", act, x[i], dx[i]/dy[i], want)
			}
		}
	}
}

// ActivateBoth is Activate and ActivateGrad to the bit, NaN included.
func TestActivateBoth(t *testing.T) {
	x := append(random(1, 5000), 0, nan32, 30, -30, float32(math.Inf(1)), float32(math.Inf(-1)), 1e-30, -1e-30)
	for i := range x[:4000] {
		x[i] *= 4
	}
	for _, act := range acts {
		y, dx := make([]float32, len(x)), make([]float32, len(x))
		Activate(act, y, x)
		ActivateGrad(act, dx, x, filled(len(x), 1))
		y2, g := make([]float32, len(x)), append([]float32(nil), x...)
		ActivateBoth(act, y2, g, g)
		for i := range x {
			if y[i] == y[i] && y[i] != y2[i] || dx[i] == dx[i] && dx[i] != g[i] {
				t.Errorf("%v(%v) is %v and %v, derivative %v and %v", act, x[i], y[i], y2[i], dx[i], g[i])
			}
			if y[i] != y[i] && y2[i] == y2[i] || dx[i] != dx[i] && g[i] == g[i] {
				t.Errorf("%v: NaN became %v, derivative %v", act, y2[i], g[i])
			}
		}
	}
}

// A NaN of any payload must come through.
func TestActivateNaN(t *testing.T) {
	for _, bits := range []uint32{0x7fc00000, 0xffc00000, 0x7fc00001, 0x7fffffff, 0xffc00123, 0x7f800001} {
		for _, act := range acts {
			x := filled(9, math.Float32frombits(bits))
			y, dx := make([]float32, 9), make([]float32, 9)
			Activate(act, y, x)
			ActivateGrad(act, dx, x, filled(9, 1))
			for i := range x {
				if y[i] == y[i] || act != ActNone && dx[i] == dx[i] {
					t.Errorf("%v of NaN %08x is %v, derivative %v", act, bits, y[i], dx[i])
				}
			}
		}
	}
}

func TestActivateGradSpecial(t *testing.T) {
	inf := float32(math.Inf(1))
	x := []float32{inf, -inf, 1e4, -1e4, 1e30, -1e30, 0, 1e-40, nan32}
	for _, c := range []struct {
		act  Act
		want []float64
	}{
		{ActGelu, []float64{1, 0, 1, 0, 1, 0, 0.5, 0.5, math.NaN()}},
		{ActGeluTanh, []float64{1, 0, 1, 0, 1, 0, 0.5, 0.5, math.NaN()}},
		{ActRelu, []float64{1, 0, 1, 0, 1, 0, 0, 1, math.NaN()}},
		{ActTanh, []float64{0, 0, 0, 0, 0, 0, 1, 1, math.NaN()}},
		{ActNone, []float64{1, 1, 1, 1, 1, 1, 1, 1, 1}},
	} {
		dx := make([]float32, len(x))
		ActivateGrad(c.act, dx, x, filled(len(x), 1))
		compare(t, c.act.String(), dx, c.want, 1e-6, 0)
	}
}

// Every primitive with a twin, over lengths that end in every kind of tail.
func TestElementTwins(t *testing.T) {
	for _, n := range lengths {
		for _, off := range []int{0, 1, 3} {
			a, b, c := random(1, n+off)[off:], random(2, n+off)[off:], random(3, n+off)[off:]
			twins(t, n, a, b, c)
		}
	}
}

func twins(t *testing.T, n int, a, b, c []float32) {
	t.Helper()
	check := func(what string, dst []float32, fast, plain func(y []float32)) {
		t.Helper()
		got := append(append([]float32(nil), dst...), 77) // a guard behind the end
		want := append([]float32(nil), dst...)
		fast(got[:n])
		plain(want)
		if got[n] != 77 {
			t.Fatalf("%s: wrote behind %d elements", what, n)
		}
		compare(t, fmt.Sprintf("%s of %d", what, n), got, wide(want), 2e-6, 2e-6)
	}
	scalar := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-5*float64(n+1) && got != want {
			t.Fatalf("%s of %d: %v, want %v", what, n, got, want)
		}
	}
	check("add", c, func(y []float32) { vAdd(y, a, b) }, func(y []float32) { addGo(y, a, b) })
	check("axpy", c, func(y []float32) { vAxpy(0.3, a, y) }, func(y []float32) { axpyGo(0.3, a, y) })
	check("scale", c, func(y []float32) { vScale(0.3, y) }, func(y []float32) { scaleGo(0.3, y) })
	check("affine", c, func(y []float32) { vAffine(0.3, 0.7, y) }, func(y []float32) { affineGo(0.3, 0.7, y) })
	check("shift", c, func(y []float32) { vShift(y, a, 0.3, 0.7) }, func(y []float32) { shiftGo(y, a, 0.3, 0.7) })
	check("multiply", c, func(y []float32) { vMul(y, a, b) }, func(y []float32) { mulGo(y, a, b) })
	check("exp scaled", c, func(y []float32) { vExpScale(y, a, 8, 0.5, 3) }, func(y []float32) { expScaleGo(y, a, 8, 0.5, 3) })
	check("exp added", c, func(y []float32) { vExpAdd(y, a, 8, 0.5, -3) }, func(y []float32) { expAddGo(y, a, 8, 0.5, -3) })
	check("normalize", c, func(y []float32) { vNormalize(y, a, b, c, 0.1, 1.7) }, func(y []float32) { normalizeGo(y, a, b, c, 0.1, 1.7) })
	check("norm dx", c, func(y []float32) { vNormGradDx(y, a, b, c, 0.1, 1.7, 0.2, 0.3) }, func(y []float32) { normGradDxGo(y, a, b, c, 0.1, 1.7, 0.2, 0.3) })
	for _, act := range acts {
		check("act", c, func(y []float32) { vAct(act, y, a) }, func(y []float32) { actGo(act, y, a) })
		check("bias act", c, func(y []float32) { vBiasAct(act, y, a) }, func(y []float32) { biasActGo(act, y, a) })
		check("act of both", c, func(y []float32) { vActBoth(act, y, make([]float32, n), a) }, func(y []float32) { actGo(act, y, a) })
		check("gradient of both", c, func(y []float32) { vActBoth(act, make([]float32, n), y, a) }, func(y []float32) { actGradGo(act, y, a, filled(n, 1)) })
		check("act gradient", c, func(y []float32) { vActGrad(act, y, a, b) }, func(y []float32) { actGradGo(act, y, a, b) })
	}
	var s1, s2 float32
	check("exp", c, func(y []float32) { s1 = vExpSum(y, a, 8, 0.5) }, func(y []float32) { s2 = expSumGo(y, a, 8, 0.5) })
	scalar("exp sum", float64(s1), float64(s2))
	var g1, g2 float32
	check("dgamma", c, func(y []float32) { s1, g1 = vNormGradSums(y, make([]float32, n), a, b, c, 0.1, 1.7) },
		func(y []float32) { s2, g2 = normGradSumsGo(y, make([]float32, n), a, b, c, 0.1, 1.7) })
	check("dbeta", c, func(y []float32) { vNormGradSums(make([]float32, n), y, a, b, c, 0.1, 1.7) },
		func(y []float32) { normGradSumsGo(make([]float32, n), y, a, b, c, 0.1, 1.7) })
	scalar("norm sum", float64(s1), float64(s2))
	scalar("norm product", float64(g1), float64(g2))
	scalar("sum", float64(vSum(a)), float64(sumGo(a)))
	scalar("dot", float64(vDot(a, b)), float64(dotGo(a, b)))
	e := append([]float32(nil), a...)
	actGo(ActRelu, e, e) // some zeros
	scalar("dot of differences", float64(vDotDiff(e, b, c, 0.2)), float64(dotDiffGo(e, b, c, 0.2)))
	scalar("squares", vSumSquares(a), sumSquaresGo(a))
	scalar("squared differences", float64(vSquaredDiff(a, 0.5)), float64(squaredDiffGo(a, 0.5)))
	scalar("maximum", float64(vMax(a)), float64(maxGo(a)))
	l1, h1 := vMinMax(a)
	l2, h2 := minMaxGo(a)
	scalar("low", float64(l1), float64(l2))
	scalar("high", float64(h1), float64(h2))
}

func TestDotDiffIgnoresZeroWeight(t *testing.T) {
	inf := float32(math.Inf(1))
	for n := 1; n < 40; n++ {
		e, u, s := random(1, n), random(2, n), random(3, n)
		e[n/2], u[n/2], s[n/2] = 0, -inf, -inf
		if got, want := vDotDiff(e, u, s, 0), dotDiffGo(e, u, s, 0); !close32(got, float64(want), 1e-4, 0) {
			t.Fatalf("%d: %v, want %v", n, got, want)
		}
	}
}

// expSum is only ever asked for arguments up to 0; below the normal range it
// may give 0.
func TestExp(t *testing.T) {
	x := append(grid(), -86.9, -87, -87.1, -87.4, -88, -100, -103, -104, -105)
	for i, v := range x {
		if v > 0 {
			x[i] = -v
		}
	}
	y := make([]float32, len(x))
	vExpSum(y, x, 0, 1)
	for i, v := range x {
		if want := math.Exp(float64(v)); !close32(y[i], want, 1.7e-38, 3e-7) {
			t.Errorf("exp(%v) = %v, want %v", v, y[i], want)
		}
	}
	vExpSum(y[:1], []float32{-1e4}, 0, 1)
	if y[0] != 0 {
		t.Errorf("exp(-1e4) = %v", y[0])
	}
}

func TestColSum(t *testing.T) {
	for _, n := range []int{0, 1, 7, 63, 64, 65, 130, 312} {
		for _, rows := range []int{0, 1, 2, 33} {
			for _, beta := range []float32{0, 1, 0.5} {
				x, dst := random(1, rows*n), random(2, n)
				want := make([]float64, n)
				for j := range n {
					want[j] = float64(beta) * float64(dst[j])
					for r := range rows {
						want[j] += float64(x[r*n+j])
					}
				}
				if beta == 0 {
					dst = filled(n, nan32)
				}
				ColSum(dst, x, rows, n, beta)
				compare(t, fmt.Sprint("column sums ", rows, n, beta), dst, want, 1e-5, 1e-6)
			}
		}
	}
}

func TestElementwisePublic(t *testing.T) {
	const n = 70001 // several chunks
	a, b := random(1, n), random(2, n)
	dst := make([]float32, n)
	Add(dst, a, b)
	for i := range dst {
		if dst[i] != a[i]+b[i] {
			t.Fatal("Add", i)
		}
	}
	y := append([]float32(nil), b...)
	Axpy(0.5, a, y)
	Scale(2, y)
	for i := range y {
		if !close32(y[i], 2*(0.5*float64(a[i])+float64(b[i])), 1e-6, 1e-6) {
			t.Fatal("Axpy, Scale", i)
		}
	}
	z := append([]float32(nil), a[:100*70]...)
	BiasAct(z, 100, 70, b, ActTanh)
	for i := range z {
		if !close32(z[i], math.Tanh(float64(a[i]+b[i%70])), 1e-6, 0) {
			t.Fatal("BiasAct", i)
		}
	}
	eachThreads(t, "elementwise", func() []float32 {
		y := make([]float32, n)
		Activate(ActGelu, y, a)
		ActivateGrad(ActGeluTanh, y, y, b)
		Axpy(0.3, a, y)
		sum := make([]float32, 70)
		ColSum(sum, y, 1000, 70, 0)
		return append(y, sum...)
	})
}
