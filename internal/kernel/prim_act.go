package kernel

import "math"

const (
	geluTanhScale = 0.7978845608028654 // sqrt(2/π)
	geluTanhCube  = 0.044715
	invSqrt2Pi    = 0.3989422804014327 // 1/sqrt(2π)
)

// act32 evaluates one activation in float64, with its limits at ±Inf.
func act32(act Act, v float32) float32 {
	x := float64(v)
	switch act {
	case ActGelu:
		if math.IsInf(x, -1) {
			return 0
		}
		return float32(0.5 * x * math.Erfc(-x/math.Sqrt2))
	case ActGeluTanh:
		if math.IsInf(x, -1) {
			return 0
		}
		u := geluTanhScale * (x + float64(geluTanhCube*float64(x*float64(x*x))))
		return float32(x / (1 + math.Exp(-2*u)))
	case ActRelu:
		if x < 0 {
			return 0
		}
		return v
	case ActTanh:
		return float32(math.Tanh(x))
	}
	return v
}

// actGrad32 evaluates the derivative of one activation in float64.
func actGrad32(act Act, v float32) float32 {
	x := float64(v)
	switch act {
	case ActGelu, ActGeluTanh:
		if math.IsInf(x, 0) {
			if x > 0 {
				return 1
			}
			return 0
		}
		if act == ActGelu {
			phi := float64(x*invSqrt2Pi) * math.Exp(-0.5*float64(x*x))
			return float32(0.5*math.Erfc(-x/math.Sqrt2) + phi)
		}
		u := geluTanhScale * (x + float64(geluTanhCube*float64(x*float64(x*x))))
		du := geluTanhScale * (1 + float64(3*geluTanhCube*float64(x*x)))
		s := 1 / (1 + math.Exp(-2*u))
		return float32(s + float64(float64(2*x*du)*float64(s*(1-s))))
	case ActRelu:
		if x > 0 {
			return 1
		}
		if x != x {
			return v
		}
		return 0
	case ActTanh:
		t := math.Tanh(x)
		return float32((1 - t) * (1 + t))
	}
	return 1
}

func actGo(act Act, y, x []float32) {
	if act == ActNone {
		copy(y, x)
		return
	}
	for i, v := range x {
		y[i] = act32(act, v)
	}
}

func actGradGo(act Act, dx, x, dy []float32) {
	if act == ActNone {
		copy(dx, dy[:len(x)])
		return
	}
	for i, v := range x {
		dx[i] = dy[i] * actGrad32(act, v)
	}
}

// biasActGo sets y = act(y + bias).
func biasActGo(act Act, y, bias []float32) {
	addGo(y, y, bias)
	if act != ActNone {
		actGo(act, y, y)
	}
}

// actBothGo sets y = act(x) and g = act'(x); g may be x.
func actBothGo(act Act, y, g, x []float32) {
	for i, v := range x {
		y[i], g[i] = act32(act, v), actGrad32(act, v)
	}
}
