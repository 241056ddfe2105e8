package eval

import (
	"fmt"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/teacher"
)

// Options says how models are evaluated. The zero value is usable.
type Options struct {
	// Metrics names the metrics of the primary head, the first being the one
	// compared; empty is the task's own: accuracy and macro F1 for classes,
	// accuracy and perplexity for masked language modelling, accuracy for parts
	// of speech and sentence order, entity F1 and accuracy for entities,
	// correlations for scores and for the similarity of two embeddings. See
	// [MetricsFor].
	Metrics []string
	// Heads limits evaluation to these kinds of heads; empty is every head
	// that the data can score.
	Heads []student.Kind
	// MaxLength is the most tokens of a sequence; 0 is 128.
	MaxLength int
	// BatchSize is the number of sequences run together; 0 is 32. It does not
	// change what is measured, except through int8 scales that span a batch.
	BatchSize int
	// MaskRate is the share of tokens masked for masked language modelling and
	// in the segments of sentence order, as in pre-training; 0 is 0.15. The same
	// Seed masks the same tokens.
	MaskRate float64
	// Seed draws the masks, the swaps and the resamples of intervals.
	Seed uint64
	// Tokenizer overrides the one that comes with the model.
	Tokenizer *corpus.Tokenizer
	// Bytes is the size of the model's file where the caller knows it; 0
	// encodes the model to find out.
	Bytes int64
	// Latency lists the shapes to time; empty times nothing.
	Latency []Shape
	// Timing says how the shapes are timed.
	Timing TimingOptions
	// Reference is what another model measured on the same data: the cosine of
	// embeddings is that with its vectors. [Compare] takes the first model's.
	Reference *Result
	// itself lets an embedding be its own reference.
	itself bool
	// Progress, where set, is called after each batch of each pass.
	Progress func(stage string, done, total int)
}

func (o Options) withDefaults() (Options, error) {
	if o.MaxLength == 0 {
		o.MaxLength = 128
	}
	if o.BatchSize == 0 {
		o.BatchSize = 32
	}
	if o.MaxLength < 0 || o.BatchSize < 0 {
		return o, fmt.Errorf("eval: MaxLength %d and BatchSize %d must be positive", o.MaxLength, o.BatchSize)
	}
	if o.MaskRate < 0 || o.MaskRate > 1 {
		return o, fmt.Errorf("eval: MaskRate %g is not a share between 0 and 1", o.MaskRate)
	}
	for _, name := range o.Metrics {
		if _, err := MetricByName(name); err != nil {
			return o, err
		}
		if name == "agreement" || name == "kl" {
			return o, fmt.Errorf("eval: metric %q is of two models; Compare measures it for every row beside what Metrics names", name)
		}
	}
	return o, nil
}

// tokenizer is the one of the options or of the model's files.
func (o Options) tokenizer(m *onnx.Model, data corpus.Corpus) (*corpus.Tokenizer, error) {
	if o.Tokenizer != nil {
		return o.Tokenizer, nil
	}
	if len(m.Files) == 0 && !corpus.Tokenized(data) {
		return nil, fmt.Errorf("eval: the model comes without a tokenizer; open its directory (with tokenizer.json or vocab.txt), not the bare .onnx file")
	}
	t, err := teacher.Tokenizer(m, data)
	if err != nil {
		return nil, fmt.Errorf("eval: the model's tokenizer: %w", err)
	}
	return t, nil
}
