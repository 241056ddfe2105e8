package corpus

// Word is one linguistic word of a text.
type Word struct {
	Span
	POS    string // universal part-of-speech tag (see UPOS); "" unknown
	Entity string // BIO tag: "O", "B-PER", "I-PER" …; "" unknown
}

// Example is one item of a corpus: a sentence, a sentence pair or a document.
type Example struct {
	Text      string   // first or only text
	Pair      string   // second text of a pair task; "" none
	Label     int      // index into Corpus.Labels; −1 none
	Target    string   // the label as it was read; "" none
	Score     *float64 // a number to predict, as STS-B's similarity; nil none
	Sentences []Span   // sentence bounds in Text, in order; nil unknown (see SplitSentences)
	Words     []Word   // words of Text, in order, not overlapping; nil not annotated
	Tokens    *Tokens  // in place of Text, Pair, Sentences and Words; nil: Text is to be tokenized
	Origin    Origin   // where it was read from, for messages
}

// Tokens is a text that another tokenizer has made ids of, special tokens
// included and padding left out.
type Tokens struct {
	IDs   []int32
	Types []uint8 // 0 first segment, 1 second; nil all 0
	// Tags are the entity tags of the tokens (BIO), "" unknown; nil none.
	Tags []string
}

// Corpus is a finite sequence of examples with random access. Implementations
// are safe for concurrent reading.
type Corpus interface {
	// Len returns the number of examples.
	Len() int
	// At returns example i, 0 ≤ i < Len.
	At(i int) (Example, error)
	// Labels returns the class names, index = Example.Label; empty when the
	// corpus is not labelled. The caller must not change the slice.
	Labels() []string
}

// Batch is one training or evaluation batch. B rows, S positions in each, R
// selected flat positions b·S+s. Slices are row-major and owned by the caller.
type Batch struct {
	B, S, R int
	Index   []int   // [B] example numbers, −1 on a padding row
	IDs     []int64 // [B,S] token ids; masked in a denoise view
	Mask    []int64 // [B,S] 1 on real tokens, 0 on padding
	Types   []int64 // [B,S] segment (token type) ids
	Labels  []int32 // [B] class, −1 none
	// Scores holds Example.Score [B], NaN where there is none and on padding
	// rows; nil where no example of the corpus has one.
	Scores []float32

	// The rest is filled by denoise views, and by task views with
	// ViewOptions.TokenLabels; empty (R = 0) otherwise.

	// Rows holds the flat positions of the targets [R], ascending. Padding rows
	// repeat the first position with MLM = POS = NER = −1.
	Rows []int64
	MLM  []int32 // [R] original token id; −1 not masked
	POS  []int32 // [R] index into View.POSTags of the original word; −1 unknown
	NER  []int32 // [R] index into View.NERTags of the original piece; −1 unknown
	// First tells, with ViewOptions.TokenLabels [R], the first token of each word:
	// an annotated one, or where there are none what the tokenizer takes for one;
	// of token ids with tags those that have one. False on padding rows.
	First []bool
	Order []int32 // [B] sentence order: 0 in order, 1 swapped, −1 none
	// Next holds the target of next-sentence prediction [B], filled with
	// ViewOptions.NextSentence: 0 where the second segment follows the first one
	// in its document, 1 where it is of another document, −1 where there is one
	// segment only (and everywhere without the option).
	Next []int32
}
