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
//	func Shuffle(c Corpus, seed uint64) Corpus
//	func Unlabeled(c Corpus) Corpus
//	func WithLabels(c Corpus, labels []string) (Corpus, error)       // re-map onto a model's classes
//	func Texts(c Corpus) iter.Seq[string]                            // first and second texts, in order
//	func WriteJSONL(w io.Writer, c Corpus) error                     // annotated format, exact round trip
//
// # Tokenizer
//
//	func LoadTokenizer(files map[string][]byte) (*Tokenizer, error)  // keys: tokenizer.json, vocab.txt, tokenizer_config.json …
//	func OpenTokenizer(dir string) (*Tokenizer, error)
//	func NewWordPiece(vocab []string, lowercase bool) (*Tokenizer, error)
//	func TrainWordPiece(texts iter.Seq[string], size int, opts TrainOptions) (*Tokenizer, error) // Texts(c) gives the texts
//	func (t *Tokenizer) Encode(text string) Encoding                 // with special tokens
//	func (t *Tokenizer) EncodePair(a, b string) Encoding
//	func (t *Tokenizer) EncodeMax(a, b string, maxLength int) Encoding // b "" = single; truncates, longest first
//	func (t *Tokenizer) PadID() int64                                // also ClsID, SepID, MaskID, UnkID; −1 absent
//	func (t *Tokenizer) VocabSize() int
//	func (t *Tokenizer) Token(id int64) string
//	func (t *Tokenizer) ID(token string) (int64, bool)
//	func (t *Tokenizer) IsSpecial(id int64) bool
//	func (t *Tokenizer) Files() map[string][]byte                    // what a model directory needs
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
// # Batches
//
// A View is a pure function of (options, seed, epoch, index): a batch can be
// asked for in any order and from any goroutine, so resuming costs nothing.
//
//	func NewTaskView(c Corpus, tok *Tokenizer, opts ViewOptions) (*View, error)
//	func NewDenoiseView(c Corpus, tok *Tokenizer, opts ViewOptions) (*View, error)
//	func (v *View) Batches(epoch int) int
//	func (v *View) Batch(epoch, i int) (*Batch, error)
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
// "label"} under their usual names, spaCy's doc.to_json(), or {"tokens",
// "ner_tags"} with tags by name, or by number of Options.Tags. conllu gives
// words with parts of speech, bio words with entities. Text must be UTF-8.
package corpus
