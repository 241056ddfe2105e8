// Package corpus turns text files into examples and examples into batches.
//
// # Examples
//
//	func Open(paths []string, opts Options) (Corpus, error)          // format by extension or opts.Format
//	func Read(r io.Reader, name string, opts Options) (Corpus, error) // one source; name is used in errors
//	func FromExamples(examples []Example, labels []string) *Memory
//	func Take(c Corpus, n int) Corpus
//	func Skip(c Corpus, n int) Corpus
//	func Subset(c Corpus, indices []int) (Corpus, error)
//	func Concat(cs ...Corpus) (Corpus, error)                        // label sets are merged by name
//	func Split(c Corpus, fraction float64, seed uint64) (first, rest Corpus, err error) // by hash of the text
//	func Dedupe(c Corpus) (Corpus, error)                            // the first of equal texts
//	func Overlap(train, dev Corpus) ([]int, error)                   // examples of dev that train has
//	func Weighted(cs []Corpus, weights []float64, seed uint64) (Corpus, error)
//	func Shuffle(c Corpus, seed uint64) Corpus
//	func Unlabeled(c Corpus) Corpus
//	func WithLabels(c Corpus, labels []string) (Corpus, error)       // re-map onto a model's classes
//	func Texts(c Corpus) iter.Seq[string]                            // first and second texts, in order
//	func WriteJSONL(w io.Writer, c Corpus) error                     // annotated format, exact round trip
//	func Lines(labels []string, examples ...Example) ([]byte, error) // the same of a few examples
//	func Hash(c Corpus) (string, error)                              // of all that is written
//	func OpenJournal(path, run string, state any) (*Journal, error)  // a file that is written in pieces and gone on with
//
// # Tokenizer
//
// Tokenizers of every kind are package corpus/tokenizer's. Its names that a
// corpus needs stand here too: Tokenizer, Encoding, Span, OpenTokenizer,
// LoadTokenizer, NewWordPiece, TrainWordPiece.
//
// # Annotation
//
//	func UPOS() []string                                         // the 17 universal tags
//	func NERTags(c Corpus) ([]string, error)                         // "O", "B-LOC", "I-LOC", … of a corpus
//	type Annotator interface{ Annotate(text string) ([]Word, error) }
//	func Annotate(ctx context.Context, c Corpus, a Annotator, workers int) (Corpus, error)
//	func Chinese() (Annotator, error)                            // words, tags and names by gse; loaded at the first call
//	func SplitSentences(text string) []Span
//
// Package tagger learns annotators for any language.
//
// # Batches
//
// A View is a pure function of (options, seed, epoch, index): a batch can be
// asked for in any order and from any goroutine, so resuming costs nothing.
//
//	func NewTaskView(c Corpus, tok *Tokenizer, opts ViewOptions) (*View, error)
//	func NewDenoiseView(c Corpus, tok *Tokenizer, opts ViewOptions) (*View, error)
//	func (v *View) Batches(epoch int) int
//	func (v *View) Batch(epoch, i int) (*Batch, error)
//	func (v *View) Nth(k int) (*Batch, error)                    // counted over all epochs
//	func (v *View) Prefetch(first, depth int) *Prefetch          // the next ones, made ahead
//	func (v *View) Sequential() *View                                // file order, same batches in every epoch
//	func (v *View) Len() int                                         // sequences in one epoch
//	func (v *View) POSTags() []string; func (v *View) NERTags() []string
//
// # Formats
//
// txt holds documents between blank lines (or one on each line). tsv and csv
// have a header with usual names (sentence, text_a, label …; Columns names
// others), or none: then the short repeated column is the label. A table whose
// label column has one BIO tag for each space-separated character, as MSRA-NER
// is distributed, becomes words with entities. jsonl is {"text", "pair",
// "label"} under their usual names, {"input_ids", "token_type_ids",
// "attention_mask", "labels"} of another tokenizer, spaCy's doc.to_json(), or {"tokens",
// "ner_tags"} with tags by name, or by number of Options.Tags. conllu gives
// words with parts of speech, bio words with entities, parquet rows with the
// members that jsonl has. Text must be UTF-8.
package corpus
