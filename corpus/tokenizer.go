package corpus

import (
	"iter"

	"github.com/litekit/lite/corpus/tokenizer"
)

// Tokenizer turns text into token ids; see package corpus/tokenizer, which has
// more of it: windows over long texts, decoding, training, pruning.
type Tokenizer = tokenizer.Tokenizer

// Encoding is a tokenized text.
type Encoding = tokenizer.Encoding

// Span is a half-open range of byte offsets [Start, End) into a text.
type Span = tokenizer.Span

// TrainOptions says how a vocabulary is learned.
type TrainOptions = tokenizer.TrainOptions

// OpenTokenizer loads the tokenizer of a model directory, or of one file; see
// [tokenizer.Open].
func OpenTokenizer(path string) (*Tokenizer, error) { return tokenizer.Open(path) }

// LoadTokenizer builds a tokenizer from the files of a model directory, by
// name; see [tokenizer.Load].
func LoadTokenizer(files map[string][]byte) (*Tokenizer, error) { return tokenizer.Load(files) }

// NewWordPiece returns a BERT tokenizer over vocab; see [tokenizer.NewWordPiece].
func NewWordPiece(vocab []string, lowercase bool) (*Tokenizer, error) {
	return tokenizer.NewWordPiece(vocab, lowercase)
}

// TrainWordPiece learns a WordPiece vocabulary of at most size entries; see
// [tokenizer.TrainWordPiece].
func TrainWordPiece(texts iter.Seq[string], size int, opts TrainOptions) (*Tokenizer, error) {
	return tokenizer.TrainWordPiece(texts, size, opts)
}
