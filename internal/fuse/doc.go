// Package fuse rewrites a transformer's ONNX graph into a small set of fused
// operators and reads the architecture off the result.
//
// [Fuse] recognises, by structure alone (never by name), the linear layers,
// layer normalisations, GELUs, attentions and dynamic int8 linear layers that
// exporters write as many primitive nodes, and replaces each by one node of the
// domain "lite". [SelectRows] restricts outputs of a fused model to chosen token
// positions, and [Detect] describes the encoder in terms of the original model.
//
// Letters in shapes: B batch, S sequence, H hidden size, A heads, d = H/A head
// size, R selected rows (flat positions b·S+s).
//
// The operators (inputs in order, ? marks optional ones):
//
//	Linear(X, W[in,out], bias[out]?)          act, trans_b: act(X·W + b); with trans_b = 1, W is [out,in]
//	LayerNorm(X, gamma, beta, residual?)      eps: LN(X + residual) over the last axis
//	Attention(Q, K, V [B,S,A·d], bias?)       heads, scale: softmax(Q·Kᵀ·scale + bias)·V, [B,S,A·d]
//	Gelu(X)                                   approximate: "none" or "tanh"
//	GatherRows(X [B,S,H], rows int64 [R])     [R,H]
//	QLinear(X, Wq[in,out], scale, zero, bias?) act, trans_b (Wq is [out,in]): dynamic int8 linear layer
//
// A fused node keeps the name of the value that the last node it replaces
// computed, so every value that remains has the name it had.
package fuse
