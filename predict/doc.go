// Package predict answers texts with a model: a classifier with labels and
// scores, a regression model with a number, an embedding model with a vector or
// with how near two texts are, a masked language model with what fits at each
// mask, a token classifier with a tag for each word.
//
// A [Predictor] is made once from a model directory's model and is safe for
// concurrent use, as a service wants it:
//
//	m, err := onnx.Open("small")
//	p, err := predict.New(m, predict.Options{})
//	answers, err := p.Classify(ctx, predict.Texts("a gripping film"))
//
// A [Graph] runs any ONNX graph on tensors, for what a Predictor does not know.
//
// Shapes: B batch, S sequence, C classes, H the size of a vector, R masked
// positions, V vocabulary.
package predict
