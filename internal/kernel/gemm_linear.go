package kernel

// Linear computes Z[m,n] = A[m,k]·op(B) + bias[n] and, where y is not nil, Y =
// act(Z): the forward pass of a linear layer that is trained, whose weight changes
// too often to be packed ahead. Bias and activation are applied to a part of Z
// before it leaves the cache. Z and Y have the bits of [Gemm], [BiasAct] and
// [Activate] one after the other; bias may be nil. Z and Y are [m,n] without gaps
// and overlap neither each other nor A nor B.
func Linear(transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, bias []float32, act Act, z, y []float32) {
	checkGemm(false, transB, m, n, k, 1, a, lda, b, ldb, z, n)
	if bias != nil {
		need("bias", len(bias), n)
	}
	if y != nil {
		need("Y", len(y), m*n)
	}
	if m <= smallM || n <= 0 || k <= 0 {
		gemm(false, transB, m, n, k, 1, a, lda, b, ldb, 0, z, n, true)
		if bias != nil {
			BiasAct(z, m, n, bias, ActNone)
		}
		if y != nil && m > 0 && n > 0 {
			Activate(act, y[:m*n], z[:m*n])
		}
		return
	}
	if y == nil {
		act = ActNone // which a product would apply to Z itself
	}
	g := gemmCall{m: m, n: n, k: k, a: a, lda: lda, b: b, ldb: ldb, c: z, ldc: n, transB: transB, alpha: 1, wide: true, bias: bias, act: act, y: y}
	g.run()
}
