package kernel

import "math"

// The plain twins of the vector primitives. Products that feed a sum are
// converted explicitly, which forbids fusing them: every machine of this class
// then rounds alike.

func addGo(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] + b[i]
	}
}

func mulGo(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] * b[i]
	}
}

// dropoutGo sets y[i] to 0 where a hash of from+i and the keys, a number below
// 2^31, is below limit, and elsewhere to scale·x[i]. The hash is Wellons's
// lowbias32 with one key before and one between its multiplications.
func dropoutGo(y, x []float32, from, key0, key1, limit uint32, scale float32) {
	y = y[:len(x)]
	for i, v := range x {
		h := (from + uint32(i)) ^ key0
		h = (h ^ h>>16) * 0x7feb352d
		h = (h ^ h>>15 ^ key1) * 0x846ca68b
		h = (h ^ h>>16) >> 1
		if h < limit {
			y[i] = 0
		} else {
			y[i] = scale * v
		}
	}
}

func axpyGo(alpha float32, x, y []float32) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] += float32(alpha * v)
	}
}

func scaleGo(alpha float32, x []float32) {
	for i := range x {
		x[i] *= alpha
	}
}

// affineGo sets x = alpha·x + beta.
func affineGo(alpha, beta float32, x []float32) {
	for i := range x {
		x[i] = float32(alpha*x[i]) + beta
	}
}

// shiftGo sets y = (x - a) - b.
func shiftGo(y, x []float32, a, b float32) {
	for i, v := range x {
		y[i] = (v - a) - b
	}
}

func sumGo(x []float32) float32 {
	var s [4]float32
	for ; len(x) >= 4; x = x[4:] {
		s[0] += x[0]
		s[1] += x[1]
		s[2] += x[2]
		s[3] += x[3]
	}
	for i, v := range x {
		s[i] += v
	}
	return (s[0] + s[1]) + (s[2] + s[3])
}

func dotGo(a, b []float32) float32 {
	b = b[:len(a)]
	var s [4]float32
	for ; len(a) >= 4; a, b = a[4:], b[4:] {
		s[0] += float32(a[0] * b[0])
		s[1] += float32(a[1] * b[1])
		s[2] += float32(a[2] * b[2])
		s[3] += float32(a[3] * b[3])
	}
	for i, v := range a {
		s[i] += float32(v * b[i])
	}
	return (s[0] + s[1]) + (s[2] + s[3])
}

// dotDiffGo returns Σ e·((u-s)-shift) over the elements where e is not 0.
func dotDiffGo(e, u, s []float32, shift float32) float32 {
	var sum float32
	for i, v := range e {
		if v != 0 {
			sum += float32(v * ((u[i] - s[i]) - shift))
		}
	}
	return sum
}

func sumSquaresGo(x []float32) float64 {
	var s [4]float64
	for ; len(x) >= 4; x = x[4:] {
		for j, v := range x[:4] {
			s[j] += float64(float64(v) * float64(v))
		}
	}
	for i, v := range x {
		s[i] += float64(float64(v) * float64(v))
	}
	return (s[0] + s[1]) + (s[2] + s[3])
}

// squaredDiffGo returns Σ (x-mean)².
func squaredDiffGo(x []float32, mean float32) float32 {
	var s [4]float32
	for ; len(x) >= 4; x = x[4:] {
		for j, v := range x[:4] {
			d := v - mean
			s[j] += float32(d * d)
		}
	}
	for i, v := range x {
		d := v - mean
		s[i] += float32(d * d)
	}
	return (s[0] + s[1]) + (s[2] + s[3])
}

// maxGo returns the greatest element, -Inf for none. NaNs may be passed over.
func maxGo(x []float32) float32 {
	top := float32(math.Inf(-1))
	for _, v := range x {
		if v > top {
			top = v
		}
	}
	return top
}

// minMaxGo returns the extrema of x and 0.
func minMaxGo(x []float32) (low, high float32) {
	for _, v := range x {
		if v < low {
			low = v
		}
		if v > high {
			high = v
		}
	}
	return low, high
}

func exp32(x float32) float32 { return float32(math.Exp(float64(x))) }

// expSumGo sets y = exp(scale·(x-top)), for no x above top, and returns the sum.
func expSumGo(y, x []float32, top, scale float32) float32 {
	var sum float32
	y = y[:len(x)]
	for i, v := range x {
		e := exp32((v - top) * scale)
		y[i] = e
		sum += e
	}
	return sum
}

// expScaleGo sets y = c·exp(scale·(x-top)), for no x above top.
func expScaleGo(y, x []float32, top, scale, c float32) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] = c * exp32((v-top)*scale)
	}
}

// jsTermsGo sets ours = ½·q·log(q/m) and both = ours + ½·p·log(p/m), m = (p+q)/2.
func jsTermsGo(ours, both, p, q []float32) {
	for i, a := range p {
		x := halfLog(q[i], a)
		ours[i], both[i] = float32(x), float32(x+halfLog(a, q[i]))
	}
}

// jsGradGo adds c·(½·q·log(q/m) - mean·q) to acc, m = (p+q)/2.
func jsGradGo(acc, p, q []float32, c, mean float32) {
	for i, v := range q {
		acc[i] += float32(float64(c) * (halfLog(v, p[i]) - float64(v*mean)))
	}
}

// halfLog is ½·a·log(a/m) with m = (a+b)/2, and 0 where a is 0.
func halfLog(a, b float32) float64 {
	if a == 0 {
		return 0
	}
	return 0.5 * float64(a) * math.Log(2*float64(a)/(float64(a)+float64(b)))
}

// expAddGo adds c·exp(scale·(x-top)) to y, for no x above top.
func expAddGo(y, x []float32, top, scale, c float32) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] += float32(c * exp32((v-top)*scale))
	}
}

func colSumGo(dst, x []float32, rows, ld int, beta float32) {
	var sum [colBlock]float32
	acc := sum[:len(dst)]
	for r := range rows {
		for j, v := range x[r*ld : r*ld+len(acc)] {
			acc[j] += v
		}
	}
	for j, v := range acc {
		if beta != 0 {
			v += float32(beta * dst[j])
		}
		dst[j] = v
	}
}

// normalizeGo sets y = (x-mean)·rstd·gamma + beta.
func normalizeGo(y, x, gamma, beta []float32, mean, rstd float32) {
	for i, v := range x {
		y[i] = float32((v-mean)*rstd*gamma[i]) + beta[i]
	}
}

// normGradSumsGo adds dy·h to dgamma and dy to dbeta, with h = (x-mean)·rstd,
// and returns Σ dy·gamma and Σ dy·gamma·h.
func normGradSumsGo(dgamma, dbeta, dy, x, gamma []float32, mean, rstd float32) (sg, sgh float32) {
	for i, d := range dy {
		h := (x[i] - mean) * rstd
		g := float32(d * gamma[i])
		dgamma[i] += float32(d * h)
		dbeta[i] += d
		sg += g
		sgh += float32(g * h)
	}
	return sg, sgh
}

// normGradDxGo sets dx = rstd·(dy·gamma - c1 - h·c2), with h = (x-mean)·rstd.
func normGradDxGo(dx, dy, x, gamma []float32, mean, rstd, c1, c2 float32) {
	for i, d := range dy {
		h := (x[i] - mean) * rstd
		dx[i] = (float32(d*gamma[i]) - c1 - float32(h*c2)) * rstd
	}
}

func adamWGo(w, g, m, v []float32, c *adamConst) {
	g, m, v = g[:len(w)], m[:len(w)], v[:len(w)]
	for i := range w {
		gi := g[i] * c.gradScale
		mi := float32(c.beta1*m[i]) + float32(c.rest1*gi)
		vi := float32(c.beta2*v[i]) + float32(float32(c.rest2*gi)*gi)
		m[i], v[i] = mi, vi
		den := float32(float32(math.Sqrt(float64(vi)))*c.unbias2) + c.eps
		w[i] = float32(c.keep*w[i]) - c.rate*mi/den
	}
}

// subScaledGo sets row -= z·sums + c.
func subScaledGo(row, sums []int32, z, c int32) {
	for i, s := range sums {
		row[i] -= z*s + c
	}
}

// dequantizeGo sets y = float(acc - z·sums - c)·scale.
func dequantizeGo(y []float32, acc, sums []int32, scale []float32, z, c int32) {
	for i := range y {
		y[i] = float32(acc[i]-z*sums[i]-c) * scale[i]
	}
}

// scaleBytesGo sets y = scale·x.
func scaleBytesGo(y []float32, x []int8, scale float32) {
	for i := range y {
		y[i] = float32(x[i]) * scale
	}
}

// finishSumsGo sets y = act(float(acc - z·sums - c)·scale + bias).
func finishSumsGo(act Act, y []float32, acc, sums []int32, scale, bias []float32, z, c int32) {
	dequantizeGo(y, acc, sums, scale, z, c)
	biasActGo(act, y, bias)
}

// int8KernelGo is the plain twin of the int8 microkernels: C[h,16] = A·B over k
// rows of a panel, whole groups.
func int8KernelGo(h, k int, a []uint8, lda int, b []int8, c []int32, ldc int) {
	for i := range h {
		var acc [int8Cols]int32
		row := a[i*lda : i*lda+k]
		for p := 0; p < k; p += 4 {
			x := row[p : p+4 : p+4]
			w := b[p*int8Cols : (p+4)*int8Cols : (p+4)*int8Cols]
			for j := range acc {
				for g, v := range x {
					acc[j] += int32(v) * int32(w[4*j+g])
				}
			}
		}
		copy(c[i*ldc:i*ldc+int8Cols], acc[:])
	}
}

func sumBytesGo(a []uint8) int32 {
	var sum int32
	for _, v := range a {
		sum += int32(v)
	}
	return sum
}

func quantizeGo(dst []uint8, x []float32, scale, zero float32) {
	for i, v := range x {
		q := math.RoundToEven(float64(v/scale)) + float64(zero)
		dst[i] = uint8(max(0, min(255, q)))
	}
}

// centreGo is the plain twin of centreAVX2; a may be shorter than dst, which is then
// filled with zeros.
func centreGo(dst, a []uint8, c uint8, over []uint64) {
	clear(over)
	for x := range dst {
		v := int32(0)
		if x < len(a) {
			v = max(-128, min(127, int32(a[x])-int32(c)))
		}
		dst[x] = uint8(v)
	}
	const most = 126
	for x := 0; x < len(dst); x += 2 * int8Rank {
		var up, down [4]int32
		for y, v := range dst[x : x+2*int8Rank] {
			if v := int32(int8(v)); v > 0 {
				up[y/2] += v
			} else {
				down[y/2] -= v
			}
		}
		for p := range up {
			at := x%32 + 2*p
			if max(up[p], down[p]) > most {
				over[x/32] |= 3 << (32 + at)
			}
			if p < 2 {
				up[p], down[p] = up[p]+up[p+2], down[p]+down[p+2]
			}
			if max(up[p], down[p]) > most {
				over[x/32] |= 3 << at
			}
		}
	}
}
