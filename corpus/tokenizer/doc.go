// Package tokenizer turns text into the token ids of encoders and tells for
// every token which bytes of the original text it stands for.
//
// It reads Hugging Face's tokenizer.json whole: the models WordPiece, BPE (of
// bytes and of characters), Unigram and WordLevel with every normalizer,
// pre-tokenizer, post-processor and decoder of that format; and where there is
// no tokenizer.json, vocab.txt, vocab.json with merges.txt, or a sentencepiece
// model. What it does not know is an error that names the component.
//
// # Why it is written here
//
// The existing Go libraries either bind the Rust original through cgo, which
// lite does without, or reimplement parts of it with other ids on text that is
// out of the ordinary, and none keeps offsets through every normalizer. Regular
// expressions are matched by an engine of its own (see [Regexp]): Go's package
// lacks the look-ahead of GPT-2's pattern, and no Go package has the Unicode
// classes of Oniguruma, which the original uses.
//
// # Exactness
//
// Ids, tokens and offsets are those of the original (the Rust crate tokenizers
// 0.23); testdata holds its answers, and the tests of internal/ort ask it and
// transformers.js anew. Deliberate differences:
//
//   - Lower-casing gives ς for Σ at the end of a word, as BERT's own code, Python
//     and JavaScript do; the Rust crate always gives σ.
//   - Bytes that are not UTF-8 count as U+FFFD each, with their own offsets.
//   - A BPE model without unknown token drops what it does not know; the offsets
//     of what follows stay right, where the Rust crate's slip.
//   - An added token is named by its content, also where it took white space.
//   - BPE dropout is off: ids must not depend on chance.
//   - Unicode is Go's version 15; the Rust crate's tables differ in characters
//     that are newer than its own.
//   - [Encoding].Word is finer where a pre-token is more than a word (see there).
//
// # Use
//
//	func Open(dir string) (*Tokenizer, error)
//	func Load(files map[string][]byte) (*Tokenizer, error)
//	func NewWordPiece(vocab []string, lowercase bool) (*Tokenizer, error)
//	func TrainWordPiece, TrainBPE, TrainUnigram(texts iter.Seq[string], size int, opts TrainOptions) (*Tokenizer, error)
//	func (t *Tokenizer) Encode(text string) Encoding
//	func (t *Tokenizer) EncodePair(a, b string) Encoding
//	func (t *Tokenizer) EncodeMax(a, b string, maxLength int) Encoding
//	func (t *Tokenizer) Windows(a, b string, tr Truncation) ([]Encoding, error)
//	func (t *Tokenizer) Decode(ids []int64, skipSpecial bool) string
//	func (t *Tokenizer) Pieces(text string, to []Piece) []Piece
//	func (t *Tokenizer) Prune(keep func(id int64) bool) (*Tokenizer, []int64, error)
//	func (t *Tokenizer) Files() map[string][]byte
//
// A Tokenizer is immutable and safe for concurrent use.
package tokenizer
