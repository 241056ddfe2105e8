//go:build !amd64 || noasm

package kernel

// attnStep is how many queries make a tile.
func attnStep() int { return attnRows }

func attnScores(h, k int, a []float32, lda int, b []float32, cols int, bias []float32, ldbias int, s []float32, lds int, top []float32) {
	attnScoresGo(h, k, a, lda, b, cols, bias, ldbias, s, lds, top)
}

func attnProbs(h, k int, a []float32, lda int, b []float32, cols int, bias []float32, ldbias int, p []float32, ldp int, lse []float32) {
	attnProbsGo(h, k, a, lda, b, cols, bias, ldbias, p, ldp, lse)
}

func attnGrad(h, k int, a []float32, lda int, b []float32, cols int, p, ds []float32, ldp int, delta []float32) {
	attnGradGo(h, k, a, lda, b, cols, p, ds, ldp, delta)
}

func attnMul(h, k int, a []float32, rs, cs int, b []float32, ldb int, c []float32, ldc, cols int, add bool) {
	attnMulGo(h, k, a, rs, cs, b, ldb, c, ldc, cols, add)
}

func vAttnGather(dst, src []float32, ld, rows, d int, _ []float32, scale float32) {
	attnGatherGo(dst, src, ld, rows, d, scale)
}

func vAttnScatter(dst []float32, ld int, src []float32, rows, d int, _, scale []float32, step int) {
	attnScatterGo(dst, ld, src, rows, d, scale, step)
}

func vAttnTranspose(dst, src []float32, n int) { attnTransposeGo(dst, src, n) }
