//go:build !noasm

package kernel

// The tiles of attention; see prim_attention.go for what they do. Strides
// become bytes here.

// attnStep is how many queries make a tile.
func attnStep() int {
	if useAVX512 {
		return attnTile
	}
	return attnRows
}

func attnScores(h, k int, a []float32, lda int, b []float32, cols int, bias []float32, ldbias int, s []float32, lds int, top []float32) {
	if !useAVX2 {
		attnScoresGo(h, k, a, lda, b, cols, bias, ldbias, s, lds, top)
		return
	}
	panels, step := cols/attnCols, lda*attnCols*floatSize
	lda, ldbias, lds = lda*floatSize, ldbias*floatSize, lds*floatSize
	switch {
	case h > 8:
		attnScoresz12(k, ptr(a), lda, ptr(b), panels, step, ptr(bias), ldbias, ptr(s), lds, ptr(top))
		return
	case h > 6:
		attnScoresz8(k, ptr(a), lda, ptr(b), panels, step, ptr(bias), ldbias, ptr(s), lds, ptr(top))
		return
	}
	switch h {
	case 6:
		attnScores6(k, ptr(a), lda, ptr(b), panels, step, ptr(bias), ldbias, ptr(s), lds, ptr(top))
	case 5:
		attnScores5(k, ptr(a), lda, ptr(b), panels, step, ptr(bias), ldbias, ptr(s), lds, ptr(top))
	case 4:
		attnScores4(k, ptr(a), lda, ptr(b), panels, step, ptr(bias), ldbias, ptr(s), lds, ptr(top))
	case 3:
		attnScores3(k, ptr(a), lda, ptr(b), panels, step, ptr(bias), ldbias, ptr(s), lds, ptr(top))
	case 2:
		attnScores2(k, ptr(a), lda, ptr(b), panels, step, ptr(bias), ldbias, ptr(s), lds, ptr(top))
	case 1:
		attnScores1(k, ptr(a), lda, ptr(b), panels, step, ptr(bias), ldbias, ptr(s), lds, ptr(top))
	}
}

func attnProbs(h, k int, a []float32, lda int, b []float32, cols int, bias []float32, ldbias int, p []float32, ldp int, lse []float32) {
	if !useAVX2 {
		attnProbsGo(h, k, a, lda, b, cols, bias, ldbias, p, ldp, lse)
		return
	}
	panels, step := cols/attnCols, lda*attnCols*floatSize
	lda, ldbias, ldp = lda*floatSize, ldbias*floatSize, ldp*floatSize
	switch {
	case h > 8:
		attnProbsz12(k, ptr(a), lda, ptr(b), panels, step, ptr(bias), ldbias, ptr(p), ldp, ptr(lse))
		return
	case h > 6:
		attnProbsz8(k, ptr(a), lda, ptr(b), panels, step, ptr(bias), ldbias, ptr(p), ldp, ptr(lse))
		return
	}
	switch h {
	case 6:
		attnProbs6(k, ptr(a), lda, ptr(b), panels, step, ptr(bias), ldbias, ptr(p), ldp, ptr(lse))
	case 5:
		attnProbs5(k, ptr(a), lda, ptr(b), panels, step, ptr(bias), ldbias, ptr(p), ldp, ptr(lse))
	case 4:
		attnProbs4(k, ptr(a), lda, ptr(b), panels, step, ptr(bias), ldbias, ptr(p), ldp, ptr(lse))
	case 3:
		attnProbs3(k, ptr(a), lda, ptr(b), panels, step, ptr(bias), ldbias, ptr(p), ldp, ptr(lse))
	case 2:
		attnProbs2(k, ptr(a), lda, ptr(b), panels, step, ptr(bias), ldbias, ptr(p), ldp, ptr(lse))
	case 1:
		attnProbs1(k, ptr(a), lda, ptr(b), panels, step, ptr(bias), ldbias, ptr(p), ldp, ptr(lse))
	}
}

func attnGrad(h, k int, a []float32, lda int, b []float32, cols int, p, ds []float32, ldp int, delta []float32) {
	if !useAVX2 {
		attnGradGo(h, k, a, lda, b, cols, p, ds, ldp, delta)
		return
	}
	panels, step := cols/attnCols, lda*attnCols*floatSize
	lda, ldp = lda*floatSize, ldp*floatSize
	switch {
	case h > 8:
		attnGradz12(k, ptr(a), lda, ptr(b), panels, step, ptr(p), ldp, ptr(ds), ptr(delta))
		return
	case h > 6:
		attnGradz8(k, ptr(a), lda, ptr(b), panels, step, ptr(p), ldp, ptr(ds), ptr(delta))
		return
	}
	switch h {
	case 6:
		attnGrad6(k, ptr(a), lda, ptr(b), panels, step, ptr(p), ldp, ptr(ds), ptr(delta))
	case 5:
		attnGrad5(k, ptr(a), lda, ptr(b), panels, step, ptr(p), ldp, ptr(ds), ptr(delta))
	case 4:
		attnGrad4(k, ptr(a), lda, ptr(b), panels, step, ptr(p), ldp, ptr(ds), ptr(delta))
	case 3:
		attnGrad3(k, ptr(a), lda, ptr(b), panels, step, ptr(p), ldp, ptr(ds), ptr(delta))
	case 2:
		attnGrad2(k, ptr(a), lda, ptr(b), panels, step, ptr(p), ldp, ptr(ds), ptr(delta))
	case 1:
		attnGrad1(k, ptr(a), lda, ptr(b), panels, step, ptr(p), ldp, ptr(ds), ptr(delta))
	}
}

func attnMul(h, k int, a []float32, rs, cs int, b []float32, ldb int, c []float32, ldc, cols int, add bool) {
	if !useAVX2 {
		attnMulGo(h, k, a, rs, cs, b, ldb, c, ldc, cols, add)
		return
	}
	panels, more := cols/attnCols, 0
	if add {
		more = 1
	}
	rs, cs, ldb, ldc = rs*floatSize, cs*floatSize, ldb*floatSize, ldc*floatSize
	switch {
	case h > 8:
		attnMulz12(k, ptr(a), rs, cs, ptr(b), ldb, ptr(c), ldc, panels, more)
		return
	case h > 6:
		attnMulz8(k, ptr(a), rs, cs, ptr(b), ldb, ptr(c), ldc, panels, more)
		return
	}
	switch h {
	case 6:
		attnMul6(k, ptr(a), rs, cs, ptr(b), ldb, ptr(c), ldc, panels, more)
	case 5:
		attnMul5(k, ptr(a), rs, cs, ptr(b), ldb, ptr(c), ldc, panels, more)
	case 4:
		attnMul4(k, ptr(a), rs, cs, ptr(b), ldb, ptr(c), ldc, panels, more)
	case 3:
		attnMul3(k, ptr(a), rs, cs, ptr(b), ldb, ptr(c), ldc, panels, more)
	case 2:
		attnMul2(k, ptr(a), rs, cs, ptr(b), ldb, ptr(c), ldc, panels, more)
	case 1:
		attnMul1(k, ptr(a), rs, cs, ptr(b), ldb, ptr(c), ldc, panels, more)
	}
}

func vAttnGather(dst, src []float32, ld, rows, d int, mask []float32, scale float32) {
	if !useAVX2 {
		attnGatherGo(dst, src, ld, rows, d, scale)
		return
	}
	attnGather(ptr(dst), len(dst)/rows, ptr(src), ld*floatSize, rows, ptr(mask), scale)
}

func vAttnScatter(dst []float32, ld int, src []float32, rows, d int, mask, scale []float32, step int) {
	if !useAVX2 {
		attnScatterGo(dst, ld, src, rows, d, scale, step)
		return
	}
	attnScatter(ptr(dst), ld*floatSize, ptr(src), len(src)/rows, d, rows, ptr(mask), ptr(scale), step*floatSize)
}

func vAttnTranspose(dst, src []float32, n int) {
	if !useAVX2 {
		attnTransposeGo(dst, src, n)
		return
	}
	attnTranspose(ptr(dst), ptr(src), n)
}
