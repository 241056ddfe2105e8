//go:build !amd64 || noasm

package kernel

func tileRows() int { return mr }

// directRows is up to how many rows of C packing B costs more than it saves.
func directRows(int) int { return 4 * mr }

func (t *gemmTask) block(b *block) { t.narrow(b) }

func packWhole(dst, b []float32, ldb, rows, panels, ps int) {
	packWholeGo(dst, b, ldb, rows, panels, ps)
}
func packColumnsT(dst, b []float32, ldb, k, w int) { packColumnsTGo(dst, b, ldb, k, w) }
func packRows(dst, a []float32, ld, k, panels int) {
	for q := range panels {
		packRowsGo(dst[q*mr*k:], a[q*mr:], ld, k, mr)
	}
}
func vecMat(y, x, b []float32, ldb int, alpha, beta float32) {
	vecMatGo(y, x, b, ldb, alpha, beta)
}

func vAdd(dst, a, b []float32)                        { addGo(dst, a, b) }
func vMul(dst, a, b []float32)                        { mulGo(dst, a, b) }
func vExpScale(y, x []float32, top, scale, c float32) { expScaleGo(y, x, top, scale, c) }
func vExpAdd(y, x []float32, top, scale, c float32)   { expAddGo(y, x, top, scale, c) }
func vJSTerms(ours, both, p, q []float32)             { jsTermsGo(ours, both, p, q) }
func vJSGrad(acc, p, q []float32, c, mean float32)    { jsGradGo(acc, p, q, c, mean) }
func vActBoth(act Act, y, g, x []float32)             { actBothGo(act, y, g, x) }
func vDropout(y, x []float32, from, key0, key1, limit uint32, scale float32) {
	dropoutGo(y, x, from, key0, key1, limit, scale)
}
func vAxpy(alpha float32, x, y []float32)                { axpyGo(alpha, x, y) }
func vScale(alpha float32, x []float32)                  { scaleGo(alpha, x) }
func vAffine(alpha, beta float32, x []float32)           { affineGo(alpha, beta, x) }
func vShift(y, x []float32, a, b float32)                { shiftGo(y, x, a, b) }
func vSum(x []float32) float32                           { return sumGo(x) }
func vDot(a, b []float32) float32                        { return dotGo(a, b) }
func vDotDiff(e, u, s []float32, shift float32) float32  { return dotDiffGo(e, u, s, shift) }
func vSumSquares(x []float32) float64                    { return sumSquaresGo(x) }
func vSquaredDiff(x []float32, mean float32) float32     { return squaredDiffGo(x, mean) }
func vMax(x []float32) float32                           { return maxGo(x) }
func vMinMax(x []float32) (low, high float32)            { return minMaxGo(x) }
func vExpSum(y, x []float32, top, scale float32) float32 { return expSumGo(y, x, top, scale) }
func vColSum(dst, x []float32, rows, ld int, beta float32) {
	colSumGo(dst, x, rows, ld, beta)
}
func vNormalize(y, x, gamma, beta []float32, mean, rstd float32) {
	normalizeGo(y, x, gamma, beta, mean, rstd)
}
func vNormGradSums(dgamma, dbeta, dy, x, gamma []float32, mean, rstd float32) (sg, sgh float32) {
	return normGradSumsGo(dgamma, dbeta, dy, x, gamma, mean, rstd)
}
func vNormGradDx(dx, dy, x, gamma []float32, mean, rstd, c1, c2 float32) {
	normGradDxGo(dx, dy, x, gamma, mean, rstd, c1, c2)
}
func vAct(act Act, y, x []float32)              { actGo(act, y, x) }
func vActGrad(act Act, dx, x, dy []float32)     { actGradGo(act, dx, x, dy) }
func vBiasAct(act Act, y, bias []float32)       { biasActGo(act, y, bias) }
func vAdamW(w, g, m, v []float32, c *adamConst) { adamWGo(w, g, m, v, c) }
func vLAMBMoments(w, g, m, v []float32, c *lambConst) float64 {
	return lambMomentsGo(w, g, m, v, c)
}
func vLAMBStep(w, m, v []float32, c *lambConst)        { lambStepGo(w, m, v, c) }
func vCentre(dst, a []uint8, c uint8, over []uint64)   { centreGo(dst, a, c, over) }
func vSubScaled(row, sums []int32, z, c int32)         { subScaledGo(row, sums, z, c) }
func vQuantize(dst []uint8, x []float32, s, z float32) { quantizeGo(dst, x, s, z) }
func vSumBytes(a []uint8) int32                        { return sumBytesGo(a) }
func vScaleBytes(y []float32, x []int8, scale float32) { scaleBytesGo(y, x, scale) }
func vFinishSums(act Act, y []float32, acc, sums []int32, scale, bias []float32, z, c int32) {
	finishSumsGo(act, y, acc, sums, scale, bias, z, c)
}
func vDequantize(y []float32, acc, sums []int32, scale []float32, z, c int32) {
	dequantizeGo(y, acc, sums, scale, z, c)
}
func int8Step() int { return int8Rows }

func vUnpackFours(dst []float32, ps int, data []uint8, params []float32, k, left, block int) {
	unpackFoursGo(dst, ps, data, params, k, left, block)
}

// foursRows is for how many rows vFours is the faster way: none here.
func foursRows() int { return 0 }

func vFours(int, int, []float32, int, []uint8, []float32, int, int, []float32, float32) {}
