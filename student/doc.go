// Package student makes transformer encoders as ONNX graphs: from a shape,
// with fresh weights, or with weights taken from a teacher.
//
// The graphs are the post-LayerNorm encoder of BERT (Devlin et al. 2019) as
// Hugging Face exports it: opset 17, LayerNormalization, erf-GELU from
// primitives, inputs input_ids, attention_mask and token_type_ids (int64
// [B,S], both dimensions dynamic), node and parameter names of the PyTorch
// model. Weights of linear layers are stored [in,out], as MatMul reads them.
//
// Embedding tables may be narrower or wider than the hidden states (E ≠ H), with a
// projection behind them, and the masked-LM decoder may be a matrix of its own.
//
// Letters: B batch, S sequence, H hidden size, E width of the embeddings (usually H), A attention heads, d = H/A,
// F size of the feed-forward layer, V vocabulary, P positions, C classes.
//
// No function changes the model it is given.
package student
