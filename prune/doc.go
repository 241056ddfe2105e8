// Package prune removes what a transformer encoder needs least: single
// weights (set to zero, freely or in n:m patterns), attention heads,
// feed-forward neurons and whole layers (truly removed: the weights, the
// shapes in the graph and config.json shrink).
//
// [Config] says what to remove and how much, and is a step: model to model; a
// [Criterion] says what matters. [Vocabulary] removes the tokens that texts do
// not use.
// Criteria that need gradients are computed by the caller and handed over as
// [Scores], see [MaskGradients] and [Importance]. After unstructured pruning
// [Masks] tells a trainer which weights must stay zero.
//
// Letters: B batch, S sequence, H hidden size, A heads, d size of a head, F
// neurons of the feed-forward layer. Linear weights W are [in,out] unless said
// otherwise, and compute x·W.
//
// No function changes the model it is given. The same model, configuration
// and seed give the same bytes.
package prune
