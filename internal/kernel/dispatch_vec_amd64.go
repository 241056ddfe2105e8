//go:build !noasm

package kernel

// The loops over vectors, each with its plain twin. Their callers have made
// sure that every slice is long enough.

func vAdd(dst, a, b []float32) {
	if useAVX512 {
		addAVX512(ptr(dst), ptr(a), ptr(b), len(dst))
		return
	}
	if useAVX2 {
		addAVX2(ptr(dst), ptr(a), ptr(b), len(dst))
		return
	}
	addGo(dst, a, b)
}

func vMul(dst, a, b []float32) {
	if useAVX512 {
		mulAVX512(ptr(dst), ptr(a), ptr(b), len(dst))
		return
	}
	if useAVX2 {
		mulAVX2(ptr(dst), ptr(a), ptr(b), len(dst))
		return
	}
	mulGo(dst, a, b)
}

func vDropout(y, x []float32, from, key0, key1, limit uint32, scale float32) {
	if useAVX512 {
		dropoutAVX512(ptr(y), ptr(x), len(x), from, key0, key1, limit, scale)
		return
	}
	if useAVX2 {
		dropoutAVX2(ptr(y), ptr(x), len(x), from, key0, key1, limit, scale)
		return
	}
	dropoutGo(y, x, from, key0, key1, limit, scale)
}

func vAxpy(alpha float32, x, y []float32) {
	if useAVX512 {
		axpyAVX512(ptr(x), ptr(y), len(x), alpha)
		return
	}
	if useAVX2 {
		axpyAVX2(ptr(x), ptr(y), len(x), alpha)
		return
	}
	axpyGo(alpha, x, y)
}

func vScale(alpha float32, x []float32) {
	if useAVX512 {
		scaleAVX512(ptr(x), len(x), alpha)
		return
	}
	if useAVX2 {
		scaleAVX2(ptr(x), len(x), alpha)
		return
	}
	scaleGo(alpha, x)
}

func vAffine(alpha, beta float32, x []float32) {
	if useAVX512 {
		affineAVX512(ptr(x), len(x), alpha, beta)
		return
	}
	if useAVX2 {
		affineAVX2(ptr(x), len(x), alpha, beta)
		return
	}
	affineGo(alpha, beta, x)
}

func vShift(y, x []float32, a, b float32) {
	if useAVX2 {
		shiftAVX2(ptr(y), ptr(x), len(x), a, b)
		return
	}
	shiftGo(y, x, a, b)
}

func vSum(x []float32) float32 {
	if useAVX512 {
		return sumAVX512(ptr(x), len(x))
	}
	if useAVX2 {
		return sumAVX2(ptr(x), len(x))
	}
	return sumGo(x)
}

func vDot(a, b []float32) float32 {
	if useAVX2 {
		return dotAVX2(ptr(a), ptr(b), len(a))
	}
	return dotGo(a, b)
}

func vDotDiff(e, u, s []float32, shift float32) float32 {
	if useAVX512 {
		return dotDiffAVX512(ptr(e), ptr(u), ptr(s), len(e), shift)
	}
	if useAVX2 {
		return dotDiffAVX2(ptr(e), ptr(u), ptr(s), len(e), shift)
	}
	return dotDiffGo(e, u, s, shift)
}

func vSumSquares(x []float32) float64 {
	if useAVX512 {
		return sumSquaresAVX512(ptr(x), len(x))
	}
	if useAVX2 {
		return sumSquaresAVX2(ptr(x), len(x))
	}
	return sumSquaresGo(x)
}

func vSquaredDiff(x []float32, mean float32) float32 {
	if useAVX512 {
		return squaredDiffAVX512(ptr(x), len(x), mean)
	}
	if useAVX2 {
		return squaredDiffAVX2(ptr(x), len(x), mean)
	}
	return squaredDiffGo(x, mean)
}

func vMax(x []float32) float32 {
	if useAVX512 {
		return maxAVX512(ptr(x), len(x))
	}
	if useAVX2 {
		return maxAVX2(ptr(x), len(x))
	}
	return maxGo(x)
}

func vMinMax(x []float32) (low, high float32) {
	if useAVX2 {
		return minMaxAVX2(ptr(x), len(x))
	}
	return minMaxGo(x)
}

func vExpSum(y, x []float32, top, scale float32) float32 {
	if useAVX512 {
		return expSumAVX512(ptr(y), ptr(x), len(x), top, scale)
	}
	if useAVX2 {
		return expSumAVX2(ptr(y), ptr(x), len(x), top, scale)
	}
	return expSumGo(y, x, top, scale)
}

func vExpScale(y, x []float32, top, scale, c float32) {
	if useAVX512 {
		expScaleAVX512(ptr(y), ptr(x), len(x), top, scale, c)
		return
	}
	if useAVX2 {
		expScaleAVX2(ptr(y), ptr(x), len(x), top, scale, c)
		return
	}
	expScaleGo(y, x, top, scale, c)
}

func vExpAdd(y, x []float32, top, scale, c float32) {
	if useAVX512 {
		expAddAVX512(ptr(y), ptr(x), len(x), top, scale, c)
		return
	}
	if useAVX2 {
		expAddAVX2(ptr(y), ptr(x), len(x), top, scale, c)
		return
	}
	expAddGo(y, x, top, scale, c)
}

// vJSTerms may write over p and q.
func vJSTerms(ours, both, p, q []float32) {
	if useAVX2 {
		jsTermsAVX2(ptr(ours), ptr(both), ptr(p), ptr(q), len(p))
		return
	}
	jsTermsGo(ours, both, p, q)
}

func vJSGrad(acc, p, q []float32, c, mean float32) {
	if useAVX2 {
		jsGradAVX2(ptr(acc), ptr(p), ptr(q), len(acc), c, mean)
		return
	}
	jsGradGo(acc, p, q, c, mean)
}

func vNormalize(y, x, gamma, beta []float32, mean, rstd float32) {
	if useAVX512 {
		normalizeAVX512(ptr(y), ptr(x), ptr(gamma), ptr(beta), len(x), mean, rstd)
		return
	}
	if useAVX2 {
		normalizeAVX2(ptr(y), ptr(x), ptr(gamma), ptr(beta), len(x), mean, rstd)
		return
	}
	normalizeGo(y, x, gamma, beta, mean, rstd)
}

func vNormGradSums(dgamma, dbeta, dy, x, gamma []float32, mean, rstd float32) (sg, sgh float32) {
	if useAVX512 {
		return normGradSumsAVX512(ptr(dgamma), ptr(dbeta), ptr(dy), ptr(x), ptr(gamma), len(dy), mean, rstd)
	}
	if useAVX2 {
		return normGradSumsAVX2(ptr(dgamma), ptr(dbeta), ptr(dy), ptr(x), ptr(gamma), len(dy), mean, rstd)
	}
	return normGradSumsGo(dgamma, dbeta, dy, x, gamma, mean, rstd)
}

func vNormGradDx(dx, dy, x, gamma []float32, mean, rstd, c1, c2 float32) {
	if useAVX512 {
		normGradDxAVX512(ptr(dx), ptr(dy), ptr(x), ptr(gamma), len(dy), mean, rstd, c1, c2)
		return
	}
	if useAVX2 {
		normGradDxAVX2(ptr(dx), ptr(dy), ptr(x), ptr(gamma), len(dy), mean, rstd, c1, c2)
		return
	}
	normGradDxGo(dx, dy, x, gamma, mean, rstd, c1, c2)
}

func vAdamW(w, g, m, v []float32, c *adamConst) {
	if useAVX512 {
		adamWAVX512(ptr(w), ptr(g), ptr(m), ptr(v), len(w), &c.beta1)
		return
	}
	if useAVX2 {
		adamWAVX2(ptr(w), ptr(g), ptr(m), ptr(v), len(w), &c.beta1)
		return
	}
	adamWGo(w, g, m, v, c)
}

func vLAMBMoments(w, g, m, v []float32, c *lambConst) float64 {
	if useAVX2 {
		return lambMomentsAVX2(ptr(w), ptr(g), ptr(m), ptr(v), len(w), &c.beta1)
	}
	return lambMomentsGo(w, g, m, v, c)
}

func vLAMBStep(w, m, v []float32, c *lambConst) {
	if useAVX512 {
		lambStepAVX512(ptr(w), ptr(m), ptr(v), len(w), &c.beta1)
		return
	}
	if useAVX2 {
		lambStepAVX2(ptr(w), ptr(m), ptr(v), len(w), &c.beta1)
		return
	}
	lambStepGo(w, m, v, c)
}

func vAct(act Act, y, x []float32) {
	if !useAVX2 {
		actGo(act, y, x)
		return
	}
	if useAVX512 {
		actAVX512(act, y, x)
		return
	}
	switch act {
	case ActNone:
		copy(y, x)
	case ActGelu:
		geluAVX2(ptr(y), ptr(x), len(x))
	case ActGeluTanh:
		geluTanhAVX2(ptr(y), ptr(x), len(x))
	case ActRelu:
		reluAVX2(ptr(y), ptr(x), len(x))
	case ActTanh:
		tanhAVX2(ptr(y), ptr(x), len(x))
	}
}

func vActGrad(act Act, dx, x, dy []float32) {
	if !useAVX2 {
		actGradGo(act, dx, x, dy)
		return
	}
	if useAVX512 {
		actGradAVX512(act, dx, x, dy)
		return
	}
	switch act {
	case ActNone:
		copy(dx, dy[:len(x)])
	case ActGelu:
		geluGradAVX2(ptr(dx), ptr(x), ptr(dy), len(x))
	case ActGeluTanh:
		geluTanhGradAVX2(ptr(dx), ptr(x), ptr(dy), len(x))
	case ActRelu:
		reluGradAVX2(ptr(dx), ptr(x), ptr(dy), len(x))
	case ActTanh:
		tanhGradAVX2(ptr(dx), ptr(x), ptr(dy), len(x))
	}
}

func vActBoth(act Act, y, g, x []float32) {
	if !useAVX2 {
		actBothGo(act, y, g, x)
		return
	}
	if useAVX512 && act != ActNone {
		actBothAVX512(act, y, g, x)
		return
	}
	switch act {
	case ActNone:
		copy(y, x)
		for i := range x {
			g[i] = 1
		}
	case ActGelu:
		geluBothAVX2(ptr(y), ptr(g), ptr(x), len(x))
	case ActGeluTanh:
		geluTanhBothAVX2(ptr(y), ptr(g), ptr(x), len(x))
	case ActRelu:
		reluBothAVX2(ptr(y), ptr(g), ptr(x), len(x))
	case ActTanh:
		tanhBothAVX2(ptr(y), ptr(g), ptr(x), len(x))
	}
}

func vBiasAct(act Act, y, bias []float32) {
	if !useAVX2 {
		biasActGo(act, y, bias)
		return
	}
	if useAVX512 {
		biasActAVX512(act, y, bias)
		return
	}
	switch act {
	case ActNone:
		addAVX2(ptr(y), ptr(y), ptr(bias), len(y))
	case ActGelu:
		geluBiasAVX2(ptr(y), ptr(bias), len(y))
	case ActGeluTanh:
		geluTanhBiasAVX2(ptr(y), ptr(bias), len(y))
	case ActRelu:
		reluBiasAVX2(ptr(y), ptr(bias), len(y))
	case ActTanh:
		tanhBiasAVX2(ptr(y), ptr(bias), len(y))
	}
}

func actAVX512(act Act, y, x []float32) {
	switch act {
	case ActNone:
		copy(y, x)
	case ActGelu:
		geluAVX512(ptr(y), ptr(x), len(x))
	case ActGeluTanh:
		geluTanhAVX512(ptr(y), ptr(x), len(x))
	case ActRelu:
		reluAVX512(ptr(y), ptr(x), len(x))
	case ActTanh:
		tanhAVX512(ptr(y), ptr(x), len(x))
	}
}

func biasActAVX512(act Act, y, bias []float32) {
	switch act {
	case ActNone:
		addAVX512(ptr(y), ptr(y), ptr(bias), len(y))
	case ActGelu:
		geluBiasAVX512(ptr(y), ptr(bias), len(y))
	case ActGeluTanh:
		geluTanhBiasAVX512(ptr(y), ptr(bias), len(y))
	case ActRelu:
		reluBiasAVX512(ptr(y), ptr(bias), len(y))
	case ActTanh:
		tanhBiasAVX512(ptr(y), ptr(bias), len(y))
	}
}

func actGradAVX512(act Act, dx, x, dy []float32) {
	switch act {
	case ActNone:
		copy(dx, dy[:len(x)])
	case ActGelu:
		geluGradAVX512(ptr(dx), ptr(x), ptr(dy), len(x))
	case ActGeluTanh:
		geluTanhGradAVX512(ptr(dx), ptr(x), ptr(dy), len(x))
	case ActRelu:
		reluGradAVX512(ptr(dx), ptr(x), ptr(dy), len(x))
	case ActTanh:
		tanhGradAVX512(ptr(dx), ptr(x), ptr(dy), len(x))
	}
}

func actBothAVX512(act Act, y, g, x []float32) {
	switch act {
	case ActGelu:
		geluBothAVX512(ptr(y), ptr(g), ptr(x), len(x))
	case ActGeluTanh:
		geluTanhBothAVX512(ptr(y), ptr(g), ptr(x), len(x))
	case ActRelu:
		reluBothAVX512(ptr(y), ptr(g), ptr(x), len(x))
	case ActTanh:
		tanhBothAVX512(ptr(y), ptr(g), ptr(x), len(x))
	}
}
