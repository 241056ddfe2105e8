package kernel

import "math"

// The plain twins of the tiles of attention. b is panels of attnCols columns,
// dp rows of which the first k are read; cols is a multiple of attnCols.

// attnTileGo calls f(i, j, Σ_p a[i,p]·b[p,j]) for h rows and all columns.
func attnTileGo(h, k int, a []float32, lda int, b []float32, cols int, f func(i, j int, sum float32)) {
	for j0 := 0; j0 < cols; j0 += attnCols {
		panel := b[j0*lda:]
		for i := range h {
			var acc [attnCols]float32
			for p, v := range a[i*lda : i*lda+k] {
				for j, x := range panel[p*attnCols : (p+1)*attnCols] {
					acc[j] += float32(v * x)
				}
			}
			for j, v := range acc {
				f(i, j0+j, v)
			}
		}
	}
}

func attnScoresGo(h, k int, a []float32, lda int, b []float32, cols int, bias []float32, ldbias int, s []float32, lds int, top []float32) {
	for i := range h {
		top[i] = float32(math.Inf(-1))
	}
	attnTileGo(h, k, a, lda, b, cols, func(i, j int, sum float32) {
		sum += bias[i*ldbias+j]
		s[i*lds+j] = sum
		if sum > top[i] {
			top[i] = sum
		}
	})
}

func attnProbsGo(h, k int, a []float32, lda int, b []float32, cols int, bias []float32, ldbias int, p []float32, ldp int, lse []float32) {
	attnTileGo(h, k, a, lda, b, cols, func(i, j int, sum float32) {
		p[i*ldp+j] = exp32(sum + bias[i*ldbias+j] - lse[i])
	})
}

func attnGradGo(h, k int, a []float32, lda int, b []float32, cols int, p, ds []float32, ldp int, delta []float32) {
	attnTileGo(h, k, a, lda, b, cols, func(i, j int, sum float32) {
		ds[i*ldp+j] = p[i*ldp+j] * (sum - delta[i])
	})
}

// attnMulGo sets C[h,cols] = A·B, or adds it; element (i,p) of A is
// a[i·rs + p·cs].
func attnMulGo(h, k int, a []float32, rs, cs int, b []float32, ldb int, c []float32, ldc, cols int, add bool) {
	for i := range h {
		for j0 := 0; j0 < cols; j0 += attnCols {
			var acc [attnCols]float32
			for p := range k {
				v := a[i*rs+p*cs]
				for j, x := range b[p*ldb+j0 : p*ldb+j0+attnCols] {
					acc[j] += float32(v * x)
				}
			}
			out := c[i*ldc+j0:][:attnCols]
			for j, v := range acc {
				if add {
					v += out[j]
				}
				out[j] = v
			}
		}
	}
}

// attnGatherGo sets dst[rows,dp] to scale times the first d elements of rows of
// src, filled up with zeros.
func attnGatherGo(dst, src []float32, ld, rows, d int, scale float32) {
	dp := len(dst) / rows
	for r := range rows {
		row := dst[r*dp : (r+1)*dp]
		for i, v := range src[r*ld : r*ld+d] {
			row[i] = v * scale
		}
		clear(row[d:])
	}
}

func attnScatterGo(dst []float32, ld int, src []float32, rows, d int, scale []float32, step int) {
	dp := len(src) / rows
	for r := range rows {
		row := dst[r*ld : r*ld+d]
		for i, v := range src[r*dp : r*dp+d] {
			row[i] = v * scale[r*step]
		}
	}
}

// attnTransposeGo sets dst[n,attnCols] to the transpose of src.
func attnTransposeGo(dst, src []float32, n int) {
	for j := range attnCols {
		for i, v := range src[j*n : (j+1)*n] {
			dst[i*attnCols+j] = v
		}
	}
}
