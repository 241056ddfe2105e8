// Package autodiff builds Gorgonia expression graphs from ONNX encoders and
// differentiates them.
//
// [New] fuses a model and finds its parameters; [Program.NewPass] makes the
// Gorgonia graph of one batch shape; loss functions such as [CrossEntropy] add
// scalar nodes to it; [Pass.Compile] differentiates their weighted sum with
// gorgonia.Grad, and [Pass.Run] executes forward and backward on Gorgonia's
// tape machine. Every node of the model is one Op of this package on
// internal/kernel; Gorgonia's own operators may be used freely on top of
// [Pass.Output] when composing losses.
//
// # Shapes
//
// B batch, S sequence, H hidden, V vocabulary, C classes, R selected rows.
// A pass has all of them fixed; everything is row-major float32.
//
// # Parameters
//
// Parameters are the float32 constants of the model that embeddings, products,
// biases and normalisations read, and vectors and matrices that other operators
// read; scalars of formulas are not. A tensor that several nodes read is one
// parameter, and so are an embedding table and a decoder that equals it, as it
// is or transposed. What depends on no parameter (masks, position ids, shapes)
// is computed by package exec at each run and fed. The Shape or Size
// of a value that does depend on parameters has no gradient either: it is a constant
// of the pass, that of the padded form also where padding is left out, and what is
// computed from it (ConstantOfShape, Range, a mask expanded to the hidden states) is
// data like any mask.
//
// # Gradients
//
// The Op contract of Gorgonia has one output per node and sums the gradients of
// a value that is read several times with a single-threaded, allocating Add.
// Neither suits a transformer, where a hidden state is read by four consumers
// and a Linear has three gradients. Here the gradient of a value lives beside
// the value, in an adjoint: a piece of the arena, or [Param.Grad] for a
// parameter. The backward Op of a node adds to the adjoints of all its inputs
// at once, and what it returns to Gorgonia is a token, a float32 scalar 0, that
// stands for "added" and carries the order of execution. Gorgonia's sums of
// gradients become sums of tokens. At the border, where a value of a pass is
// read by an operator of Gorgonia itself, a real gradient arrives and an absorb
// node adds it to the adjoint; where a loss of this package reads a value made
// by Gorgonia, a release node hands the adjoint out as a real gradient.
//
// The order in which the tape machine runs the nodes is known once the graph is
// differentiated. So the first writer of each adjoint overwrites it and the
// others add, which saves clearing it, and the lifetimes of all buffers are
// known: they are laid out in one arena that all passes of a program share.
// Hence only one pass of a program may run at a time, and values read from the
// nodes of a pass are valid until the next Run of any pass of the program.
//
// An embedding table that nothing but Gather reads has a gradient in few rows.
// [Param.Grad] is there in full, but clearing it, its norm and the optimiser's
// step go by the rows that were touched.
//
// # Padding
//
// A pass made by [Program.NewPackedPass] computes nothing for padding: values
// with a row for each token are [N,·], the tokens of all sequences one after the
// other, from the embeddings to what reads selected rows or first tokens or adds up
// what a mask made 0 at padding (the mean of an embedding), and attention goes by
// where each sequence begins. The bias that the attentions
// share tells at each run which tokens are there. N is rounded up, so that few
// shapes arise; the rows after the last token are 0 and have no gradient.
//
// # Recomputation
//
// With Options.Recompute the buffers that only one encoder layer uses have two
// places in the arena: one for the forward pass, and one from the step on at
// which the backward pass first wants them, before which the layer's Ops run
// again. Gorgonia's graph is the same. [Program.Estimate] tells what a shape is
// going to need, [Pass.Memory] what a pass does need.
//
// # Dropout
//
// As in BERT's training, dropout follows the embedding LayerNorm and the two
// linears in front of the residual LayerNorms of each layer. Dropout on
// attention probabilities is left out: the attention kernel never holds them.
package autodiff
