package distill

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/teacher"
)

// Student says what student to make under a teacher.
type Student struct {
	// Shape of the student; zero fields are the teacher's, those that belong to its
	// hidden size (heads, feed-forward and embedding size, decoder) where the student
	// has that too.
	Shape student.Shape
	// Head is the primary head; the zero value takes the teacher's.
	Head student.Head
	// Layers chooses the teacher's layers whose weights the student starts
	// from, where sizes agree; nil is [student.Spread].
	Layers student.Layers
	// From is the model whose weights the student starts from; nil is the
	// teacher. A student as deep as From takes all its layers.
	From *onnx.Model
	// Narrow also takes the weights of a wider From: those of its hidden values,
	// heads and neurons that have the greatest magnitude; see [student.CopyNarrow].
	Narrow bool
	// Fresh starts from random weights instead.
	Fresh bool
	// Graph, where set, is the student: a model of anyone's making, which starts
	// from the weights it has. Shape, Head and what says where weights come from
	// are not read. A tokenizer, or the kind and classes of its head, that it
	// has not are the teacher's.
	Graph *onnx.Model
}

// NewStudent makes the student of a teacher: its graph, its weights where sizes
// agree, its tokenizer and labels. The same seed gives the same bytes. report
// says which weights were copied; it is nil where none could be: another hidden
// size, or a teacher whose weights are not floats (a quantized one), unless
// From or Layers asks for them.
func NewStudent(teacher *onnx.Model, s Student, seed uint64) (out *onnx.Model, report *student.Transfer, err error) {
	if s.Graph != nil {
		out, err = adopt(s.Graph, teacher, seed)
		return out, nil, err
	}
	from := s.From
	if from == nil {
		from = teacher
	}
	if from == nil {
		return nil, nil, errors.New("distill: a student needs a teacher or a model to start from")
	}
	source := from
	if teacher != nil {
		source = teacher
	}
	shape, err := student.Measure(source)
	if err != nil && !complete(s.Shape) {
		return nil, nil, unfit("the teacher's sizes: %w; give the student's whole shape (layers, hidden, heads, FFN, vocabulary)", err)
	}
	if s.Head.Kind == "" {
		if s.Head, err = headOf(source, merge(s.Shape, shape).Hidden); err != nil {
			return nil, nil, err
		}
	}
	if err := fitsTokenizer(s.Shape, source); err != nil {
		return nil, nil, err
	}
	out, err = newModel(merge(s.Shape, shape), s.Head, source.Files, seed)
	if err != nil || s.Fresh {
		return out, nil, err
	}
	return start(out, from, s)
}

// fitsTokenizer refuses a shape that asks for fewer embeddings than the tokenizer
// of the model has tokens.
func fitsTokenizer(shape student.Shape, source *onnx.Model) error {
	if shape.Vocab == 0 || len(source.Files) == 0 {
		return nil
	}
	tok, err := corpus.LoadTokenizer(source.Files)
	if err != nil {
		return nil // whoever reads text with it says what is wrong
	}
	if n := tok.VocabSize(); shape.Vocab < n {
		return unfit("a vocabulary of %d embeddings is too small for the tokenizer's %d tokens; leave it out, or cut the teacher's first (lite vocab prune)", shape.Vocab, n)
	}
	return nil
}

// adopt makes a model of anyone's making the student of a teacher, which has
// what is not with it.
func adopt(m, teacher *onnx.Model, seed uint64) (*onnx.Model, error) {
	out := m.Clone()
	if teacher == nil {
		return out, nil
	}
	if len(out.Files) == 0 {
		out.Files = maps.Clone(teacher.Files)
	}
	known, err := student.HeadsOf(out.Config)
	if err != nil || len(known) > 0 {
		return out, err
	}
	shape, err := student.Measure(out)
	if err != nil {
		shape = student.Shape{} // its sizes only tell others
	}
	if IsEmbedding(out) {
		if !out.Graph.IsOutput(vectorOutput) { // hidden states alone
			head, err := headOf(out, shape.Hidden)
			if err != nil {
				return nil, err
			}
			return student.WithHeads(out, []student.Head{head}, seed)
		}
		if out.Config == nil {
			out.Config = student.NewConfig(shape, []student.Head{student.Embedding(student.Vector{})})
		}
		return out, nil
	}
	h, err := readHeads(teacher)
	if err != nil {
		return nil, err
	}
	out.Config = student.NewConfig(shape, h.list[:1])
	return out, nil
}

// headOf is the primary head of a student of m. A model without a head gives
// one that makes vectors as m does, of m's width.
func headOf(m *onnx.Model, hidden int) (student.Head, error) {
	if known, err := student.HeadsOf(m.Config); err != nil || len(known) > 0 || teacher.TaskOf(m) != onnx.Embedding {
		h, err := readHeads(m)
		if err != nil {
			return student.Head{}, err
		}
		head := h.list[0]
		if head.Kind == student.KindEmbedding {
			head.Vector = widened(head.Vector, h.width, hidden)
		}
		return head, nil
	}
	t, err := teacher.Describe(m)
	if err != nil {
		return student.Head{}, fmt.Errorf("distill: %w", err)
	}
	return student.Embedding(widened(student.Vector{Pooling: t.Pooling.Mode, Normalize: t.Pooling.Normalize}, t.Width, hidden)), nil
}

// IsEmbedding reports whether a model gives vectors of texts: it has no head.
func IsEmbedding(m *onnx.Model) bool { return teacher.TaskOf(m) == onnx.Embedding }

// widened is the vector of an encoder of hidden size H in place of one of width.
func widened(v student.Vector, width, hidden int) student.Vector {
	if v.Width = 0; width > 0 && width != hidden {
		v.Width = width
	}
	return v
}

// complete tells whether a shape needs no teacher.
func complete(s student.Shape) bool { return s.Layers > 0 && s.Hidden > 0 && s.Vocab > 0 }

// merge fills the zero fields of a student's shape. Fields that follow from
// others in the student's own right (heads and FFN of another width) keep
// their defaults.
func merge(s, teacher student.Shape) student.Shape {
	if s.Layers == 0 {
		s.Layers = teacher.Layers
	}
	if s.Hidden == 0 || s.Hidden == teacher.Hidden {
		s.Hidden = teacher.Hidden
		if s.Heads == 0 {
			s.Heads = teacher.Heads
		}
		if s.FFN == 0 {
			s.FFN = teacher.FFN
		}
		if s.Embedding == 0 {
			s.Embedding = teacher.Embedding
		}
		if s.Decoder == "" {
			s.Decoder = teacher.Decoder
		}
	}
	return s.From(teacher).Defaults()
}

// newModel makes a fresh model with a primary head and tokenizer files.
func newModel(shape student.Shape, head student.Head, files map[string][]byte, seed uint64) (*onnx.Model, error) {
	m, err := student.New(shape, []student.Head{head}, seed)
	if err != nil {
		return nil, fmt.Errorf("distill: %w", err)
	}
	pooling := m.Files
	m.Files = maps.Clone(files)
	if m.Files == nil {
		m.Files = map[string][]byte{}
	}
	delete(m.Files, onnx.ModulesFile)
	delete(m.Files, onnx.PoolingFile)
	maps.Copy(m.Files, pooling)
	return m, nil
}

// NewModel makes a model to train from scratch: a fresh encoder over a
// tokenizer's vocabulary.
func NewModel(shape student.Shape, head student.Head, tok *corpus.Tokenizer, seed uint64) (*onnx.Model, error) {
	if shape.Vocab == 0 {
		shape.Vocab = tok.VocabSize()
	}
	if shape.Vocab < tok.VocabSize() {
		return nil, unfit("a vocabulary of %d embeddings is too small for the tokenizer's %d tokens", shape.Vocab, tok.VocabSize())
	}
	m, err := newModel(shape.Defaults(), head, tok.Files(), seed)
	if err == nil && tok.PadID() >= 0 {
		m.Config.PadTokenID = int(tok.PadID())
	}
	return m, err
}

// start copies weights where sizes agree; a student that agrees neither in hidden
// size nor in that of the embeddings keeps its fresh ones.
func start(m, from *onnx.Model, s Student) (*onnx.Model, *student.Transfer, error) {
	_, src, err := student.Weights(from)
	if err != nil && s.From == nil && s.Layers == nil && !s.Narrow {
		return m, nil, nil // such as an 8-bit teacher: good to listen to, no place to start
	}
	if err != nil {
		return nil, nil, unfit("the weights to start from: %w; start from a float model, or from random weights", err)
	}
	_, dst, err := student.Weights(m)
	if err != nil {
		return nil, nil, fmt.Errorf("distill: %w", err)
	}
	if src.Hidden != dst.Hidden && !s.Narrow {
		if s.From != nil || s.Layers != nil {
			return nil, nil, unfit("the student's hidden size %d is not the %d of the model to start from, so no layer can be taken from it; leave out the model or the layers, change the shape, or start narrow", dst.Hidden, src.Hidden)
		}
		if src.EmbeddingWidth() != dst.EmbeddingWidth() || dst.Layers > src.Layers {
			return m, nil, nil
		}
	}
	choose := s.Layers
	if choose == nil {
		choose = student.Spread
	}
	layers, err := choose(src.Layers, dst.Layers)
	if err != nil && dst.Layers > src.Layers {
		return nil, nil, unfit("%w; a student of more layers starts from random weights (--fresh), or from a model that has as many (--from)", err)
	}
	if err != nil {
		return nil, nil, unfit("%w", err)
	}
	take := student.CopyReport
	if s.Narrow {
		take = student.CopyNarrow
	}
	out, report, err := take(m, from, layers)
	if err != nil {
		return nil, nil, unfit("starting weights: %w", err)
	}
	return out, &report, nil
}

// Name is the step's name in pipelines and reports.
func (c Config) Name() string { return "distill" }

// Apply trains and returns a model: where Student is set, that student under m
// as teacher; otherwise m itself.
func (c Config) Apply(ctx context.Context, m *onnx.Model) (*onnx.Model, error) {
	if c.Student != nil {
		if c.Teacher == nil {
			c.Teacher = m
		}
		var err error
		if m, _, err = NewStudent(m, *c.Student, c.Seed); err != nil {
			return nil, err
		}
	}
	out, _, err := Run(ctx, m, c)
	return out, err
}
