// Package augment makes more training examples out of those there are, by
// replacing words: the data augmentation of TinyBERT (Jiao et al., arXiv
// 1909.10351, algorithm 1).
//
// For each copy of an example every word is replaced with probability p by one
// of K candidates, drawn evenly. The candidates of a word that is one token are
// what a masked language model expects most in its place; those of a word of
// several tokens are the tokens whose embeddings are nearest by cosine. Labels,
// pairs and scores are the example's own.
//
// Deviations from the paper: the embeddings are those of the masked language
// model (a word of several tokens has their mean), not GloVe's; a word is never
// a candidate for itself, and only whole words with a letter or digit are
// candidates or replaced; what is beyond MaxLength tokens stays.
package augment

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/teacher"
)

// Config says how examples are augmented.
type Config struct {
	// Teacher is a masked language model with its config.json.
	Teacher *onnx.Model
	// Tokenizer overrides the one that comes with the model.
	Tokenizer *corpus.Tokenizer
	// Probability that a word is replaced, above 0 and at most 1; 0 = 0.4.
	Probability float64
	TopK        int // candidates of a word; 0 = 15
	Copies      int // of each example, before equal ones are dropped; 0 = 20
	MaxLength   int // tokens of an example that are looked at; 0 = 128
	// Seed decides what is replaced, and by which candidate.
	Seed uint64
	// CopiesOnly leaves out the examples themselves.
	CopiesOnly bool
	Workers    int // examples at a time; 0 = 1
	// Progress is told how many of the examples are done; nil nobody.
	Progress func(done, total int)
}

// Default returns the usual settings, those of TinyBERT, without a teacher.
func Default() Config { return Config{Probability: 0.4, TopK: 15, Copies: 20, MaxLength: 128} }

func (c Config) check() (Config, error) {
	d := Default()
	if c.Probability == 0 {
		c.Probability = d.Probability
	}
	for _, f := range []struct {
		name string
		p    *int
		def  int
	}{{"TopK", &c.TopK, d.TopK}, {"Copies", &c.Copies, d.Copies}, {"MaxLength", &c.MaxLength, d.MaxLength}, {"Workers", &c.Workers, 1}} {
		if *f.p == 0 {
			*f.p = f.def
		}
		if *f.p < 1 {
			return c, fmt.Errorf("augment: %s is %d; it must be positive", f.name, *f.p)
		}
	}
	if !(c.Probability > 0 && c.Probability <= 1) {
		return c, fmt.Errorf("augment: a word is replaced with probability %v; give a number above 0 and at most 1", c.Probability)
	}
	if c.Teacher == nil || c.Teacher.Graph == nil {
		return c, errors.New("augment: there is no masked language model")
	}
	return c, nil
}

// Augmenter makes copies of examples. It is safe for concurrent use.
type Augmenter struct {
	cfg    Config
	tok    *corpus.Tokenizer
	lm     *teacher.Teacher
	words  *vocabulary
	nearby *nearby
}

// New prepares the model.
//
// Errors: settings out of range, a model that is no masked language model or
// has no tokenizer with a mask token beside it, or whose word embeddings are
// not found.
func New(cfg Config) (*Augmenter, error) {
	cfg, err := cfg.check()
	if err != nil {
		return nil, err
	}
	a := &Augmenter{cfg: cfg, tok: cfg.Tokenizer}
	if a.tok == nil {
		if len(cfg.Teacher.Files) == 0 {
			return nil, errors.New("augment: the masked language model comes without a tokenizer; open its directory (with tokenizer.json or vocab.txt), not the bare .onnx file")
		}
		if a.tok, err = corpus.LoadTokenizer(cfg.Teacher.Files); err != nil {
			return nil, fmt.Errorf("augment: %w", err)
		}
	}
	if a.tok.MaskID() < 0 {
		return nil, errors.New("augment: the tokenizer has no mask token, which a masked language model needs")
	}
	if a.lm, err = teacher.New(cfg.Teacher, teacher.Options{}); err != nil {
		return nil, fmt.Errorf("augment: %w", err)
	}
	if a.lm.Task() != onnx.MaskedLM {
		return nil, misfit.Errorf("augment: the model classifies texts; candidates come from a masked language model (…ForMaskedLM)")
	}
	a.cfg.MaxLength = min(a.cfg.MaxLength, teacher.MaxLength(cfg.Teacher, a.cfg.MaxLength))
	if a.words, err = newVocabulary(a.tok); err != nil {
		return nil, err
	}
	a.nearby, err = newNearby(cfg.Teacher, a.words)
	return a, err
}

// Example returns the copies of an example that differ from it and from each
// other, at most Config.Copies. index is its number: with the seed it decides
// what is replaced. Words and sentences of the example keep their tags and move
// with the text.
func (a *Augmenter) Example(ctx context.Context, e corpus.Example, index int) ([]corpus.Example, error) {
	if e.Tokens != nil {
		return nil, errors.New("augment: it holds token ids; words of a text are replaced, so give the text")
	}
	enc := a.tok.EncodeMax(e.Text, e.Pair, a.cfg.MaxLength)
	places := a.places(e, &enc)
	if len(places) == 0 {
		return nil, nil
	}
	draws := make([][]uint64, a.cfg.Copies) // what a copy takes at each place; 0 stays
	for c := range draws {
		rng := rand.New(rand.NewPCG(a.cfg.Seed, uint64(index)<<24^uint64(c)))
		draws[c] = make([]uint64, len(places))
		for i := range places {
			replaced, which := rng.Float64() < a.cfg.Probability, rng.Uint64()
			if replaced {
				draws[c][i] = which | 1<<63
				places[i].needed = true
			}
		}
	}
	if err := a.candidates(ctx, &enc, places); err != nil {
		return nil, err
	}
	seen := map[string]bool{key(e): true}
	var out []corpus.Example
	for _, d := range draws {
		var edits [2][]edit
		for i, p := range places {
			if d[i] != 0 && len(p.candidates) > 0 {
				id := p.candidates[d[i]%uint64(len(p.candidates))]
				edits[p.seq] = append(edits[p.seq], edit{p.span, a.words.spell(id, p.form)})
			}
		}
		copied := apply(e, edits)
		if k := key(copied); !seen[k] {
			seen[k] = true
			out = append(out, copied)
		}
	}
	return out, nil
}

func key(e corpus.Example) string { return e.Text + "\x00" + e.Pair }

// place is a word that can be replaced.
type place struct {
	seq        int // 0 text, 1 pair
	span       corpus.Span
	form       string
	at, tokens int // in the encoding
	needed     bool
	candidates []int32
}

// places finds the words of an encoding that have a letter or digit.
func (a *Augmenter) places(e corpus.Example, enc *corpus.Encoding) (out []place) {
	texts := [2]string{e.Text, e.Pair}
	for i := 0; i < enc.Len(); {
		j := i + 1
		for j < enc.Len() && enc.Word[j] == enc.Word[i] && enc.Seq[j] == enc.Seq[i] {
			j++
		}
		if seq := enc.Seq[i]; seq >= 0 && enc.Word[i] >= 0 {
			text := texts[seq]
			s := corpus.Span{Start: enc.Offsets[i].Start, End: enc.Offsets[j-1].End}
			s = trim(text, s)
			cut := j == enc.Len() || enc.Seq[j] != seq // the last word may have been cut by MaxLength
			whole := !cut || s.End == len(text) || !wordRune(text[s.End:])
			if form := text[s.Start:s.End]; whole && strings.IndexFunc(form, isWordRune) >= 0 && (len(out) == 0 || out[len(out)-1].seq != seq || out[len(out)-1].span.End <= s.Start) {
				out = append(out, place{seq: seq, span: s, form: form, at: i, tokens: j - i})
			}
		}
		i = j
	}
	return out
}

// trim takes white space off the ends of a span.
func trim(text string, s corpus.Span) corpus.Span {
	form := text[s.Start:s.End]
	s.Start += len(form) - len(strings.TrimLeftFunc(form, unicode.IsSpace))
	s.End = s.Start + len(strings.TrimSpace(form))
	return s
}

func isWordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

func wordRune(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return isWordRune(r)
}

// maskedRows is how many masked copies of an example are run together.
const maskedRows = 32

// candidates finds what can stand at the places that are needed.
func (a *Augmenter) candidates(ctx context.Context, enc *corpus.Encoding, places []place) error {
	var masked []*place
	for i := range places {
		p := &places[i]
		switch {
		case !p.needed:
		case p.tokens == 1 && enc.IDs[p.at] != a.tok.UnkID():
			masked = append(masked, p)
		default:
			p.candidates = a.nearby.of(enc.IDs[p.at:p.at+p.tokens], p.form, a.cfg.TopK)
		}
	}
	for part := range slices.Chunk(masked, maskedRows) {
		b := &corpus.Batch{B: len(part), S: enc.Len(), R: len(part)}
		for k, p := range part {
			b.IDs, b.Types = append(b.IDs, enc.IDs...), append(b.Types, enc.Types...)
			b.IDs[k*b.S+p.at] = a.tok.MaskID()
			b.Rows = append(b.Rows, int64(k*b.S+p.at))
		}
		b.Mask = slices.Repeat([]int64{1}, b.B*b.S)
		logits, err := a.lm.Logits(ctx, b)
		if err != nil {
			return fmt.Errorf("augment: %w", err)
		}
		v := len(logits) / len(part)
		for k, p := range part {
			id := int32(enc.IDs[p.at])
			p.candidates = a.words.top(logits[k*v:(k+1)*v], a.cfg.TopK, a.words.kind(id), p.form)
		}
	}
	return nil
}

// edit replaces a span of a text.
type edit struct {
	span corpus.Span
	by   string
}

// apply carries out the edits of both texts, which are in order.
func apply(e corpus.Example, edits [2][]edit) corpus.Example {
	out := e
	out.Text, out.Pair = replace(e.Text, edits[0]), replace(e.Pair, edits[1])
	out.Words, out.Sentences = slices.Clone(e.Words), slices.Clone(e.Sentences)
	for i, w := range out.Words {
		out.Words[i].Span = moved(w.Span, edits[0])
	}
	for i, s := range out.Sentences {
		out.Sentences[i] = moved(s, edits[0])
	}
	return out
}

func replace(text string, edits []edit) string {
	if len(edits) == 0 {
		return text
	}
	var b strings.Builder
	at := 0
	for _, x := range edits {
		b.WriteString(text[at:x.span.Start])
		b.WriteString(x.by)
		at = x.span.End
	}
	b.WriteString(text[at:])
	return b.String()
}

// moved is where a span of the text lies after the edits. A bound inside a
// replaced word moves to that word's end.
func moved(s corpus.Span, edits []edit) corpus.Span {
	move := func(at int) int {
		shift := 0
		for _, x := range edits {
			switch {
			case at <= x.span.Start:
				return at + shift
			case at < x.span.End:
				return x.span.Start + shift + len(x.by)
			}
			shift += len(x.by) - x.span.Len()
		}
		return at + shift
	}
	return corpus.Span{Start: move(s.Start), End: move(s.End)}
}
