package student

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/onnx"
)

// Shape is the size of an encoder. Fields that are zero take the defaults
// that [Shape.Defaults] documents, Layers, Hidden and Vocab excepted.
type Shape struct {
	// Layers is the number of encoder layers.
	Layers int `json:"layers,omitempty" yaml:"layers,omitempty"`
	// Hidden is H, the width of the hidden states; a multiple of Heads.
	Hidden int `json:"hidden,omitempty" yaml:"hidden,omitempty"`
	// Embedding is E, the width of the tables of words, positions and token types
	// and of the LayerNorm behind them. Where it is not Hidden, a linear layer E→H
	// follows (ALBERT, Lan et al., arXiv 1909.11942, section 3.1), and the masked-LM
	// transform leads from H back to E. Zero: Hidden, without that layer.
	Embedding int `json:"embedding,omitempty" yaml:"embedding,omitempty"`
	// Heads is A, the number of attention heads of each layer. Zero: one for every 64 of Hidden.
	Heads int `json:"heads,omitempty" yaml:"heads,omitempty"`
	// FFN is F, the width of the feed-forward layer. Zero: 4·Hidden.
	FFN int `json:"ffn,omitempty" yaml:"ffn,omitempty"`
	// Vocab is V, the number of token embeddings.
	Vocab int `json:"vocab,omitempty" yaml:"vocab,omitempty"`
	// Positions is P, the longest sequence. Zero: 512.
	Positions int `json:"positions,omitempty" yaml:"positions,omitempty"`
	// Types is the number of token types. Zero: 2.
	Types int `json:"types,omitempty" yaml:"types,omitempty"`
	// Act is the activation of the feed-forward layer and the masked-LM
	// transform: gelu, gelu_new (the tanh form) or relu. Empty: gelu.
	Act string `json:"act,omitempty" yaml:"act,omitempty"`
	// Eps is the ε of every LayerNorm. Zero: 1e-12.
	Eps float32 `json:"eps,omitempty" yaml:"eps,omitempty"`
	// Decoder says what a masked LM scores tokens with: [Tied], the word embeddings,
	// or [Untied], a matrix [E,V] of its own. Empty: tied.
	Decoder string `json:"decoder,omitempty" yaml:"decoder,omitempty"`
}

// The values of [Shape.Decoder].
const (
	Tied   = "tied"
	Untied = "untied"
)

// EmbeddingWidth is E, also where [Shape.Embedding] is zero.
func (s Shape) EmbeddingWidth() int {
	if s.Embedding == 0 {
		return s.Hidden
	}
	return s.Embedding
}

// factorised reports whether a projection follows the embeddings.
func (s Shape) factorised() bool { return s.EmbeddingWidth() != s.Hidden }

// Preset is a published shape, without a vocabulary.
type Preset struct {
	Name  string
	Shape Shape
}

// Presets lists the published shapes that [ParseShape] knows by name. All
// but TinyBERT 4×312 have F = 4·H.
func Presets() []Preset {
	return []Preset{
		{"bert-tiny", Shape{Layers: 2, Hidden: 128, Heads: 2, FFN: 512}},
		{"bert-mini", Shape{Layers: 4, Hidden: 256, Heads: 4, FFN: 1024}},
		{"bert-small", Shape{Layers: 4, Hidden: 512, Heads: 8, FFN: 2048}},
		{"bert-medium", Shape{Layers: 8, Hidden: 512, Heads: 8, FFN: 2048}},
		{"bert-base", Shape{Layers: 12, Hidden: 768, Heads: 12, FFN: 3072}},
		{"bert-large", Shape{Layers: 24, Hidden: 1024, Heads: 16, FFN: 4096}},
		{"tinybert-4x312", Shape{Layers: 4, Hidden: 312, Heads: 12, FFN: 1200}},
		{"tinybert-6x768", Shape{Layers: 6, Hidden: 768, Heads: 12, FFN: 3072}},
		{"minilm-6x384", Shape{Layers: 6, Hidden: 384, Heads: 12, FFN: 1536}},
		{"minilm-6x768", Shape{Layers: 6, Hidden: 768, Heads: 12, FFN: 3072}},
		{"minilm-12x384", Shape{Layers: 12, Hidden: 384, Heads: 12, FFN: 1536}},
		{"distilbert", Shape{Layers: 6, Hidden: 768, Heads: 12, FFN: 3072}},
		{"distilbert-6x768", Shape{Layers: 6, Hidden: 768, Heads: 12, FFN: 3072}},
		{"electra-small", Shape{Layers: 12, Hidden: 256, Embedding: 128, Heads: 4, FFN: 1024}},
		{"mengzi-base", Shape{Layers: 12, Hidden: 768, Heads: 12, FFN: 3072}},
		{"mengzi-6x768", Shape{Layers: 6, Hidden: 768, Heads: 12, FFN: 3072}},
	}
}

// ParseShape reads a shape as it is written on a command line: a preset's
// name, or layers×hidden[×heads[×ffn]] ("4x312x12"), or key=value pairs
// (layers, hidden, embedding, heads, ffn, vocab, positions, types, act, eps,
// decoder); pairs may follow either of the others after a comma
// ("bert-tiny,vocab=8000", "4x312,embedding=128"). Fields that are not named stay
// zero.
func ParseShape(s string) (Shape, error) {
	var shape Shape
	for i, part := range strings.Split(s, ",") {
		part = strings.TrimSpace(part)
		key, value, pair := strings.Cut(part, "=")
		switch {
		case pair:
			if err := shape.set(strings.TrimSpace(key), strings.TrimSpace(value)); err != nil {
				return Shape{}, fmt.Errorf("student: shape %q: %w", s, err)
			}
		case i > 0:
			return Shape{}, fmt.Errorf("student: shape %q: %q is not key=value", s, part)
		default:
			var err error
			if shape, err = parseHead(part); err != nil {
				return Shape{}, fmt.Errorf("student: shape %q: %w", s, err)
			}
		}
	}
	return shape, nil
}

func parseHead(s string) (Shape, error) {
	names := make([]string, 0, 16)
	for _, p := range Presets() {
		if p.Name == s {
			return p.Shape, nil
		}
		names = append(names, p.Name)
	}
	fields := strings.FieldsFunc(s, func(r rune) bool { return r == 'x' || r == 'X' || r == '×' })
	if len(fields) < 2 || len(fields) > 4 {
		return Shape{}, fmt.Errorf("write LAYERSxHIDDENxHEADS[xFFN], layers=…,hidden=…, or one of %s", strings.Join(names, ", "))
	}
	var n [4]int
	for i, f := range fields {
		v, err := strconv.Atoi(f)
		if err != nil || v <= 0 {
			return Shape{}, fmt.Errorf("%q is not a positive number; write LAYERSxHIDDENxHEADS[xFFN] or one of %s", f, strings.Join(names, ", "))
		}
		n[i] = v
	}
	return Shape{Layers: n[0], Hidden: n[1], Heads: n[2], FFN: n[3]}, nil
}

func (s *Shape) set(key, value string) error {
	targets := map[string]*int{
		"layers": &s.Layers, "hidden": &s.Hidden, "embedding": &s.Embedding, "heads": &s.Heads,
		"ffn": &s.FFN, "vocab": &s.Vocab, "positions": &s.Positions, "types": &s.Types,
	}
	switch key {
	case "act":
		if _, err := canonicalAct(value); err != nil {
			return err
		}
		s.Act = value
		return nil
	case "decoder":
		if value != Tied && value != Untied {
			return fmt.Errorf("decoder=%s is neither %s nor %s", value, Tied, Untied)
		}
		s.Decoder = value
		return nil
	case "eps":
		v, err := strconv.ParseFloat(value, 32)
		if err != nil || !(v > 0) || math.IsInf(v, 0) {
			return fmt.Errorf("eps=%s is not a positive number", value)
		}
		s.Eps = float32(v)
		return nil
	}
	p, ok := targets[key]
	if !ok {
		return fmt.Errorf("unknown key %q; the keys are layers, hidden, embedding, heads, ffn, vocab, positions, types, act, eps, decoder", key)
	}
	v, err := strconv.Atoi(value)
	if err != nil || v <= 0 {
		return fmt.Errorf("%s=%s is not a positive number", key, value)
	}
	*p = v
	return nil
}

// String writes the shape as [ParseShape] reads it.
func (s Shape) String() string {
	var b strings.Builder
	add := func(key string, v int) {
		if v == 0 {
			return
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%s=%d", key, v)
	}
	add("layers", s.Layers)
	add("hidden", s.Hidden)
	add("embedding", s.Embedding)
	add("heads", s.Heads)
	add("ffn", s.FFN)
	add("vocab", s.Vocab)
	add("positions", s.Positions)
	add("types", s.Types)
	if s.Act != "" {
		fmt.Fprintf(&b, ",act=%s", s.Act)
	}
	if s.Eps != 0 {
		fmt.Fprintf(&b, ",eps=%g", s.Eps)
	}
	if s.Decoder != "" {
		fmt.Fprintf(&b, ",decoder=%s", s.Decoder)
	}
	return strings.TrimPrefix(b.String(), ",")
}

// ShapeOf reads the shape from config.json; fields it does not name are zero.
func ShapeOf(c *onnx.Config) Shape {
	if c == nil {
		return Shape{}
	}
	s := Shape{
		Layers: c.NumHiddenLayers, Hidden: c.HiddenSize, Embedding: c.EmbeddingSize, Heads: c.NumAttentionHeads, FFN: c.IntermediateSize,
		Vocab: c.VocabSize, Positions: c.MaxPositionEmbeddings, Types: c.TypeVocabSize,
		Act: c.HiddenAct, Eps: float32(c.LayerNormEps),
	}
	if c.OwnDecoder() {
		s.Decoder = Untied
	}
	return s.plain()
}

// plain writes what is usual as zero: an embedding of H, a tied decoder.
func (s Shape) plain() Shape {
	if s.Embedding == s.Hidden {
		s.Embedding = 0
	}
	if s.Decoder == Tied {
		s.Decoder = ""
	}
	return s
}

// Or fills every field of s that is zero from other.
func (s Shape) Or(other Shape) Shape {
	fill(&s.Layers, other.Layers)
	fill(&s.Hidden, other.Hidden)
	fill(&s.Embedding, other.Embedding)
	fill(&s.Heads, other.Heads)
	fill(&s.FFN, other.FFN)
	fill(&s.Decoder, other.Decoder)
	return s.From(other)
}

// From fills the fields that a student shares with its teacher where they are
// zero: vocabulary, positions, token types, activation and ε.
func (s Shape) From(teacher Shape) Shape {
	fill(&s.Vocab, teacher.Vocab)
	fill(&s.Positions, teacher.Positions)
	fill(&s.Types, teacher.Types)
	fill(&s.Act, teacher.Act)
	fill(&s.Eps, teacher.Eps)
	return s
}

func fill[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// Defaults fills zero fields: Heads max(1, H/64), FFN 4·H, Positions 512, Types 2, Act
// gelu, Eps 1e-12. Layers, Hidden and Vocab have no default. Embedding and
// Decoder become zero where they say what zero says.
func (s Shape) Defaults() Shape {
	s = s.plain()
	fill(&s.Heads, max(1, s.Hidden/64))
	fill(&s.FFN, 4*s.Hidden)
	fill(&s.Positions, 512)
	fill(&s.Types, 2)
	fill(&s.Act, "gelu")
	fill(&s.Eps, 1e-12)
	return s
}

// HalfDepth is the shape with half the layers (at least one), as DistilBERT is to BERT.
func (s Shape) HalfDepth() Shape {
	s.Layers = max(1, s.Layers/2)
	return s
}

// HalfWidth is the shape with half the hidden size, heads and feed-forward
// size; the size of a head stays, and that of factorised embeddings. Heads that
// are odd in number are left, and the heads halve in size instead.
func (s Shape) HalfWidth() Shape {
	s.Hidden /= 2
	s.FFN /= 2
	if s.Heads%2 == 0 {
		s.Heads /= 2
	}
	return s
}

// maxBytes bounds the weights of a fresh student; larger ones are a slip of the keyboard.
const maxBytes = 16 << 30

// Validate reports the first thing that makes the shape impossible.
func (s Shape) Validate() error { return misfit.Of(s.validate()) }

func (s Shape) validate() error {
	sizes := []struct {
		name  string
		value int
	}{
		{"layers", s.Layers}, {"hidden", s.Hidden}, {"heads", s.Heads}, {"ffn", s.FFN},
		{"vocab", s.Vocab}, {"positions", s.Positions}, {"types", s.Types},
	}
	for _, f := range sizes {
		if f.value <= 0 {
			return fmt.Errorf("student: %s is %d; it must be positive", f.name, f.value)
		}
	}
	if s.Embedding < 0 || s.Embedding == 1 {
		return fmt.Errorf("student: embedding is %d; the LayerNorm behind the tables needs at least 2 values (leave it out for the hidden size)", s.Embedding)
	}
	if s.Decoder != "" && s.Decoder != Tied && s.Decoder != Untied {
		return fmt.Errorf("student: decoder %q is neither %s nor %s", s.Decoder, Tied, Untied)
	}
	if s.Hidden%s.Heads != 0 {
		return fmt.Errorf("student: hidden size %d is not a multiple of %d heads; choose %s", s.Hidden, s.Heads, divisorsNear(s.Hidden, s.Heads))
	}
	if _, err := canonicalAct(s.Act); err != nil {
		return fmt.Errorf("student: %w", err)
	}
	if !(s.Eps > 0) || s.Eps >= 1 {
		return fmt.Errorf("student: LayerNorm epsilon %g is not between 0 and 1", s.Eps)
	}
	bytes := 4 * s.params()
	if s.Decoder == Untied {
		bytes += 4 * float64(s.Vocab) * float64(s.EmbeddingWidth())
	}
	if bytes > maxBytes {
		return fmt.Errorf("student: the weights of %v need %.1f GiB, more than the %d GiB allowed for a student; choose smaller sizes", s, bytes/(1<<30), maxBytes>>30)
	}
	return nil
}

// divisorsNear names the numbers of heads closest to a that divide h.
func divisorsNear(h, a int) string {
	below, above := 0, 0
	for n := min(a, h); n >= 1 && below == 0; n-- {
		if h%n == 0 {
			below = n
		}
	}
	for n := a; n <= min(h, 4*a) && above == 0; n++ {
		if h%n == 0 {
			above = n
		}
	}
	if above == 0 {
		return fmt.Sprintf("%d heads", below)
	}
	return fmt.Sprintf("%d or %d heads", below, above)
}

// params is the number of parameters in floating point, so that absurd sizes do not wrap around.
func (s Shape) params() float64 {
	l, h, f, e := float64(s.Layers), float64(s.Hidden), float64(s.FFN), float64(s.EmbeddingWidth())
	embeddings := (float64(s.Vocab)+float64(s.Positions)+float64(s.Types))*e + 2*e
	if s.factorised() {
		embeddings += e*h + h
	}
	layer := 4*(h*h+h) + 2*h*f + f + h + 4*h
	return embeddings + l*layer
}

// Params is the number of parameters of the encoder, without pooler and heads:
// (V+P+T)·E + 2E + L·(4(H²+H) + 2HF + F + H + 4H), and E·H + H where E is not H.
func (s Shape) Params() int64 { return int64(s.params()) }

// canonicalAct maps the names configurations use to gelu, gelu_tanh and relu.
func canonicalAct(name string) (string, error) {
	switch name {
	case "gelu", "gelu_python":
		return "gelu", nil
	case "gelu_new", "gelu_tanh", "gelu_fast", "gelu_pytorch_tanh", "gelu_python_tanh":
		return "gelu_tanh", nil
	case "relu":
		return "relu", nil
	}
	return "", fmt.Errorf("activation %q is not known; use gelu, gelu_new or relu", name)
}

// Layers chooses which of the teacher's n layers the k layers of a student take.
type Layers func(n, k int) ([]int, error)

// Spread takes k layers evenly from first to last, both included,
// rounding to the nearest: for 12→6 it gives DistilBERT's 0, 2, 4, 7, 9, 11 (Sanh et al. 2019).
func Spread(n, k int) ([]int, error) {
	if err := checkLayers(n, k); err != nil {
		return nil, err
	}
	if k == 1 {
		return []int{0}, nil
	}
	out := make([]int, k)
	for i := range out {
		// Round half up of i·(n−1)/(k−1), in integers.
		out[i] = (2*i*(n-1) + k - 1) / (2 * (k - 1))
	}
	return out, nil
}

// EveryOther takes layers at the constant stride n/k from the first: 12→6 gives 0, 2, 4, 6, 8, 10.
func EveryOther(n, k int) ([]int, error) {
	if err := checkLayers(n, k); err != nil {
		return nil, err
	}
	out := make([]int, k)
	for i := range out {
		out[i] = i * n / k
	}
	return out, nil
}

// First takes the first k layers.
func First(n, k int) ([]int, error) { return Explicit(count(0, k)...)(n, k) }

// Last takes the last k layers.
func Last(n, k int) ([]int, error) {
	if err := checkLayers(n, k); err != nil {
		return nil, err
	}
	return count(n-k, n), nil
}

// Explicit takes the given layers, one for each of the student's, counted from 0.
func Explicit(layers ...int) Layers {
	layers = slices.Clone(layers)
	return func(n, k int) ([]int, error) {
		if err := checkLayers(n, k); err != nil {
			return nil, err
		}
		return slices.Clone(layers), checkChoice(layers, n, k)
	}
}

// ParseLayers reads a choice of layers: spread, every-other, first, last, or
// numbers separated by commas.
func ParseLayers(s string) (Layers, error) {
	switch s {
	case "spread", "uniform":
		return Spread, nil
	case "every-other", "stride":
		return EveryOther, nil
	case "first":
		return First, nil
	case "last":
		return Last, nil
	}
	var layers []int
	for _, f := range strings.Split(s, ",") {
		v, err := strconv.Atoi(strings.TrimSpace(f))
		if err != nil || v < 0 {
			return nil, fmt.Errorf("student: choice of layers %q: use spread, every-other, first, last, or layer numbers such as 0,2,4,7,9,11", s)
		}
		layers = append(layers, v)
	}
	return Explicit(layers...), nil
}

func count(from, to int) []int {
	var out []int
	for i := from; i < to; i++ {
		out = append(out, i)
	}
	return out
}

func checkLayers(n, k int) error {
	if k <= 0 || n < k {
		return fmt.Errorf("student: cannot take %d layers from a teacher of %d; choose between 1 and %d", k, n, n)
	}
	return nil
}

func checkChoice(layers []int, n, k int) error {
	if len(layers) != k {
		return fmt.Errorf("student: %d teacher layers chosen %v for a student of %d layers; name one for each", len(layers), layers, k)
	}
	for _, l := range layers {
		if l < 0 || l >= n {
			return fmt.Errorf("student: teacher layer %d chosen, but the teacher has layers 0 to %d", l, n-1)
		}
	}
	return nil
}
