// Package distill trains students: under a teacher's logits, under labels, and
// under the linguistic and denoising objectives of the Mengzi line of work
// (arXiv 2110.06696), in any weighted sum.
//
// [Run] trains a model under a [Config]; [NewStudent] makes the model to train
// from a teacher's. A run that keeps checkpoints and is started again with the
// same configuration goes on where it stopped and ends in the same bytes as
// one that was never stopped, at any number of threads.
//
// [RunStages] trains in several stages, [Plan] tells beforehand what memory, disk and
// time a run takes, and [Config].Evaluate chooses the best weights on the way.
//
// Each step sees one batch of clean text (soft and hard labels of sequences)
// and one of masked text (denoising, tags, sentence order), as far as the
// losses want them; the gradients of both are added before the update.
//
// Shapes: B batch, S sequence, H hidden, C classes, V vocabulary, R selected
// rows (masked positions).
package distill
