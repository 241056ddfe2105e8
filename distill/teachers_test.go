package distill_test

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/teacher"
)

// taught is a configuration with one loss of a teacher's labels.
func taught(t testing.TB, from *onnx.Model, loss distill.Loss) distill.Config {
	c := distill.Default()
	c.Teacher, c.Task = from, docs(t, 1, 24)
	c.Loss = distill.Sum{distill.Scale(1, loss)}
	c.Steps, c.Batch, c.MaxLength, c.LearningRate, c.Dropout = 1, 8, 48, 0, 0
	return c
}

// scored is a corpus whose examples have their number as score, but one.
func scored(t testing.TB, n int) corpus.Corpus {
	t.Helper()
	from := docs(t, 1, n)
	var out []corpus.Example
	for i := range n {
		e, err := from.At(i)
		if err != nil {
			t.Fatal(err)
		}
		y := float64(i%5) / 4
		if e.Score = &y; i == 3 {
			e.Score = nil
		}
		e.Label, e.Target = -1, ""
		out = append(out, e)
	}
	return corpus.FromExamples(out, nil)
}

// heads are the teachers and students of each task, with their losses.
var tasks = map[string]struct {
	head student.Head
	loss distill.Loss
}{
	"scores":        {student.Regression(), distill.SoftScores{}},
	"vector mean":   {student.Embedding(student.Vector{}), distill.VectorCosine{}},
	"vector cls":    {student.Embedding(student.Vector{Pooling: "cls"}), distill.VectorMSE{}},
	"vector unit":   {student.Embedding(student.Vector{Normalize: true}), distill.VectorMSE{}},
	"vector narrow": {student.Embedding(student.Vector{Width: 24}), distill.VectorCosine{}},
	"tags":          {student.NER([]string{"O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG"}), distill.SoftLabels{Temperature: 2}},
}

// A student that is a copy of its teacher has no loss, in every task (METHODS
// 6): teacher and student make the same of the same text, though the one is
// packed and pooled by the executor and the other by the training program.
func TestCopiesHaveNothingToLearnInAnyTask(t *testing.T) {
	for name, task := range tasks {
		t.Run(name, func(t *testing.T) {
			from := fresh(t, "2x32x2", task.head, 7)
			m, transfer, err := distill.NewStudent(from, distill.Student{}, 99)
			if err != nil {
				t.Fatal(err)
			}
			if len(transfer.Fresh) != 0 {
				t.Errorf("not copied: %v", transfer.Fresh)
			}
			_, report := run(t, m, taught(t, from, task.loss))
			if l := report.Losses[0].Value; l < -1e-6 || l > 1e-6 {
				t.Errorf("loss of a copy is %v", l)
			}
		})
	}
}

// Every loss falls, and its gradient is the slope of its value.
func TestLossesOfScoresAndVectors(t *testing.T) {
	for name, task := range tasks {
		t.Run(name, func(t *testing.T) {
			c := taught(t, fresh(t, "2x32x2", task.head, 7), task.loss)
			m := fresh(t, "1x16x2", headFor(task.head, 32), 1)
			checkGradient(t, m, c)
			falls(t, m, c)
		})
	}
	c := taught(t, nil, distill.Scores{})
	c.Task = scored(t, 24)
	m := fresh(t, "1x16x2", student.Regression(), 1)
	checkGradient(t, m, c)
	falls(t, m, c)
}

// headFor is the head of a narrower student, whose vectors have the teacher's width.
func headFor(h student.Head, width int) student.Head {
	if h.Kind == student.KindEmbedding && h.Vector.Width == 0 {
		h.Vector.Width = width
	}
	return h
}

func falls(t *testing.T, m *onnx.Model, c distill.Config) {
	t.Helper()
	c.LearningRate = 3e-3
	_, first := run(t, m, c)
	c.Steps = 60
	_, last := run(t, m, c)
	if !(last.Losses[0].Value < 0.8*first.Losses[0].Value) {
		t.Errorf("%s went from %v to %v", last.Losses[0].Name, first.Losses[0].Value, last.Losses[0].Value)
	}
}

// checkGradient compares the greatest element of some gradients with the
// difference of the losses, each of weight 1, when it is moved.
func checkGradient(t *testing.T, m *onnx.Model, c distill.Config) {
	t.Helper()
	type place struct {
		name string
		at   int
		grad float64
	}
	var places []place
	c.ClipNorm = 0
	c.Hook = func(_ int, params []*distill.Param) {
		for _, p := range params {
			if m.Graph.Initializer(p.Name) == nil {
				continue // a projection, which the run adds
			}
			best := place{name: p.Name}
			for i, g := range p.Grad {
				if math.Abs(float64(g)) > math.Abs(best.grad) {
					best.at, best.grad = i, float64(g)
				}
			}
			places = append(places, best)
		}
	}
	run(t, m, c)
	c.Hook = nil
	slices.SortStableFunc(places, func(a, b place) int {
		if math.Abs(a.grad) > math.Abs(b.grad) {
			return -1
		}
		return 1
	})
	for _, p := range places[:4] {
		value := func(by float32) float64 {
			moved := m.Clone()
			w := moved.Graph.Initializer(p.name)
			v, err := w.Floats()
			if err != nil {
				t.Fatal(err)
			}
			v = slices.Clone(v)
			v[p.at] += by
			moved.Graph.SetInitializer(onnx.NewFloats(p.name, v, w.Dims...))
			_, report := run(t, moved, c)
			sum := 0.0
			for _, l := range report.Losses {
				sum += l.Value
			}
			return sum
		}
		const h = 1e-2
		slope := (value(h) - value(-h)) / (2 * h)
		if math.Abs(slope-p.grad) > 0.05*math.Abs(p.grad)+1e-4 {
			t.Errorf("%s[%d]: gradient %v, slope %v", p.name, p.at, p.grad, slope)
		}
	}
}

// The weighted mean of softened distributions is what several teachers teach:
// a teacher beside itself changes nothing, and the order of classes is found by name.
func TestSeveralTeachers(t *testing.T) {
	labels := []string{"a", "b", "c", "d"}
	one := fresh(t, "2x32x2", student.Classification(labels), 7)
	two := fresh(t, "1x24x2", student.Classification(labels), 8)
	m := fresh(t, "1x16x2", student.Classification(labels), 1)
	loss := func(c distill.Config) float64 {
		t.Helper()
		c.Task = corpus.Unlabeled(c.Task)
		_, report := run(t, m, c)
		return report.Losses[0].Value
	}
	c := taught(t, one, distill.SoftLabels{Temperature: 3})
	alone := loss(c)
	c.MoreTeachers = []*onnx.Model{one}
	c.TeacherWeights = []float64{3, 1}
	if twice := loss(c); math.Abs(twice-alone) > 1e-5*(1+alone) {
		t.Errorf("a teacher beside itself gives %v, alone %v", twice, alone)
	}
	c.MoreTeachers = []*onnx.Model{two}
	c.TeacherWeights = []float64{0.7, 0.3}
	both := loss(c)
	if both == alone {
		t.Error("the second teacher is not heard")
	}
	c.Teacher, c.MoreTeachers, c.TeacherWeights = two, []*onnx.Model{one}, []float64{0.3, 0.7}
	if other := loss(c); math.Abs(other-both) > 1e-5*(1+both) {
		t.Errorf("in the other order %v, not %v", other, both)
	}
	c.MoreTeachers = []*onnx.Model{turned(t, one)}
	if named := loss(c); math.Abs(named-both) > 1e-5*(1+both) {
		t.Errorf("with its classes in another order %v, not %v", named, both)
	}
}

// turned is a classifier with its classes in the opposite order.
func turned(t *testing.T, m *onnx.Model) *onnx.Model {
	t.Helper()
	out := m.Clone()
	n := len(m.Config.ID2Label)
	for _, name := range []string{"classifier.weight", "classifier.bias"} {
		w := m.Graph.Initializer(name)
		v, err := w.Floats()
		if err != nil {
			t.Fatal(err)
		}
		turned := make([]float32, len(v))
		for i := range v {
			turned[i/n*n+n-1-i%n] = v[i]
		}
		out.Graph.SetInitializer(onnx.NewFloats(name, turned, w.Dims...))
	}
	slices.Reverse(out.Config.ID2Label)
	return out
}

func TestTeachersThatDoNotFit(t *testing.T) {
	labels := student.Classification([]string{"a", "b"})
	for want, change := range map[string]func(*distill.Config){
		"one for each":     func(c *distill.Config) { c.TeacherWeights = []float64{1, 2, 3} },
		"not a number ≥ 0": func(c *distill.Config) { c.TeacherWeights = []float64{1, -1} },
		"is missing":       func(c *distill.Config) { c.MoreTeachers = []*onnx.Model{nil} },
		"no first one":     func(c *distill.Config) { c.Teacher, c.Loss[0].Loss = nil, distill.HardLabels{} },
		"name the same": func(c *distill.Config) {
			c.MoreTeachers[0] = fresh(t, "1x16x2", student.Classification([]string{"a", "x"}), 1)
		},
		"of one task":         func(c *distill.Config) { c.MoreTeachers[0] = fresh(t, "1x16x2", student.Regression(), 1) },
		"at one temperature":  func(c *distill.Config) { c.Loss = append(c.Loss, distill.Scale(1, distill.SoftLabels{Temperature: 5})) },
		"SoftScores scores":   func(c *distill.Config) { c.Loss[0].Loss = distill.SoftScores{} },
		"none of these":       func(c *distill.Config) { c.Form = teacher.Form{TopK: 2, Half: true} },
		"have no mean":        func(c *distill.Config) { vectors(t, c, 16, 24) },
		"cannot be compared;": func(c *distill.Config) { vectors(t, c, 24, 24) },
	} {
		c := taught(t, fresh(t, "1x16x2", labels, 7), distill.SoftLabels{Temperature: 2})
		c.Task = corpus.Unlabeled(c.Task)
		c.MoreTeachers = []*onnx.Model{fresh(t, "1x16x2", labels, 8)}
		change(&c)
		head := labels
		if _, ok := c.Loss[0].Loss.(distill.VectorMSE); ok {
			head = student.Embedding(student.Vector{})
		}
		if _, _, err := distill.Run(context.Background(), fresh(t, "1x16x2", head, 1), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want it to speak of %q", err, want)
		}
	}
}

// vectors makes the teachers embeddings of those widths.
func vectors(t *testing.T, c *distill.Config, first, second int) {
	head := func(n int) student.Head { return student.Embedding(student.Vector{Width: n}) }
	c.Loss[0].Loss = distill.VectorMSE{}
	c.Teacher, c.MoreTeachers = fresh(t, "1x16x2", head(first), 1), []*onnx.Model{fresh(t, "1x16x2", head(second), 2)}
}

// A cache that Label has filled is all that a run needs: the teacher is not run,
// and the result is that of a run without a cache, to the byte.
func TestLabelledDataNeedsNoTeacher(t *testing.T) {
	for name, c := range map[string]distill.Config{
		"texts":  taught(t, classifier(t, "2x32x2", 7), distill.SoftLabels{Temperature: 2}),
		"tokens": taught(t, fresh(t, "2x32x2", tasks["tags"].head, 7), distill.SoftLabels{Temperature: 2}),
		"masked": taught(t, fresh(t, "2x32x2", student.MaskedLM(), 7), distill.SoftLabels{Temperature: 2, Tokens: true}),
	} {
		t.Run(name, func(t *testing.T) {
			c.Steps, c.LearningRate, c.Form = 7, 1e-3, teacher.Form{Half: true}
			head := map[string]student.Head{"texts": student.Classification(c.Task.Labels()), "tokens": tasks["tags"].head, "masked": student.MaskedLM()}[name]
			m := fresh(t, "1x16x2", head, 1)
			want, _ := run(t, m, c)
			c.Cache = filepath.Join(t.TempDir(), "labels")
			planned := 0
			labels, err := distill.Label(context.Background(), c, func(p []distill.Labels) error {
				planned = len(p)
				if _, err := os.Stat(c.Cache); err == nil {
					t.Error("the cache is there before the plan is told")
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			l := labels[0]
			if planned != 1 || l.Computed != l.Batches || l.Kept != l.Batches || l.Form != "half" || l.Bytes <= 0 {
				t.Errorf("%+v", l)
			}
			var size int64
			shards, _ := filepath.Glob(filepath.Join(c.Cache, "*", "*.bin"))
			for _, s := range shards {
				info, err := os.Stat(s)
				if err != nil {
					t.Fatal(err)
				}
				size += info.Size()
			}
			if size != l.Bytes && name != "masked" || math.Abs(float64(size-l.Bytes)) > 0.2*float64(size) {
				t.Errorf("%d bytes on disk, %d announced", size, l.Bytes)
			}
			again, err := distill.Label(context.Background(), c, nil)
			if err != nil || again[0].Computed != 0 {
				t.Errorf("labelled again: %+v, %v", again, err)
			}
			c.Form = teacher.Form{} // whatever is there is taken
			before := stamp(t, shards)
			got, _ := run(t, m, c)
			if got.Hash() != want.Hash() && name != "texts" { // fewer texts were labelled there, in other batches
				t.Error("the run with the cache ends in other bytes")
			}
			if after, _ := filepath.Glob(filepath.Join(c.Cache, "*", "*.bin")); len(after) != len(shards) || stamp(t, after) != before {
				t.Error("the run has added labels: it did not find them all")
			}
			if name == "texts" {
				damage(t, c, m, shards[0])
				changed(t, c, m)
			}
		})
	}
}

func stamp(t *testing.T, files []string) (total int64) {
	t.Helper()
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	return total
}

// damage flips a bit of the cache, which the run names.
func damage(t *testing.T, c distill.Config, m *onnx.Model, shard string) {
	t.Helper()
	data, err := os.ReadFile(shard)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 4
	if err := os.WriteFile(shard, data, 0o666); err != nil {
		t.Fatal(err)
	}
	var bad *teacher.CorruptError
	if _, _, err := distill.Run(context.Background(), m, c); !errors.As(err, &bad) || bad.Path != shard {
		t.Errorf("a flipped bit: %v", err)
	}
	data[len(data)/2] ^= 4
	if err := os.WriteFile(shard, data, 0o666); err != nil {
		t.Fatal(err)
	}
}

// changed runs with another teacher and another tokenizer: what the cache has is
// named and not used.
func changed(t *testing.T, c distill.Config, m *onnx.Model) {
	t.Helper()
	var said []string
	c.Notice = func(s string) { said = append(said, s) }
	c.Steps, c.Epochs = 0, 1
	c.Teacher = classifier(t, "2x32x2", 8)
	run(t, m, c)
	if !slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, "another teacher") }) {
		t.Errorf("another teacher: %q", said)
	}
	said = nil
	c.Teacher = classifier(t, "2x32x2", 7).Clone()
	c.Teacher.Files["tokenizer_config.json"] = []byte(`{"do_lower_case": false}`)
	run(t, m, c)
	if !slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, "another tokenizer") }) {
		t.Errorf("another tokenizer: %q", said)
	}
}

// Labels of a masked LM in whole rows fill a disk: they are kept where a form says how.
func TestMaskedLabelsWantAForm(t *testing.T) {
	c := taught(t, fresh(t, "1x16x2", student.MaskedLM(), 7), distill.SoftLabels{Tokens: true})
	c.Cache = t.TempDir()
	if _, err := distill.Label(context.Background(), c, nil); err == nil || !strings.Contains(err.Error(), "TopK") {
		t.Errorf("error %v", err)
	}
	run(t, fresh(t, "1x16x2", student.MaskedLM(), 1), c)
	if left, _ := os.ReadDir(c.Cache); len(left) != 0 {
		t.Errorf("%d entries in the cache", len(left))
	}
	c.Form = teacher.Form{TopK: 4}
	labels, err := distill.Label(context.Background(), c, nil)
	if err != nil || labels[0].Form != "top-4" || labels[0].Task != onnx.MaskedLM {
		t.Errorf("%+v %v", labels, err)
	}
	stop := errors.New("enough")
	if _, err := distill.Label(context.Background(), c, func(p []distill.Labels) error {
		if p[0].Kept != 1 {
			t.Errorf("planned %+v", p[0])
		}
		return stop
	}); err != stop {
		t.Errorf("error %v", err)
	}
}

// A sentence encoder of anyone's making is trained as it stands: one that pools
// and normalises in its graph, named by its output alone or by its architecture,
// and one that gives hidden states, over which a pooling is put.
func TestStudentGraphThatEmbeds(t *testing.T) {
	teacher := fresh(t, "2x32x2", student.Embedding(student.Vector{}), 3)
	pooled := fresh(t, "1x32x2", student.Embedding(student.Vector{Normalize: true}), 4)
	pooled.Config, pooled.Files = nil, nil
	g := pooled.Graph
	raw := g.Outputs[0].Name
	for _, n := range g.Nodes { // as sentence-transformers' exports spell it
		for i, o := range n.Outputs {
			if o == raw {
				n.Outputs[i] = "raw"
			}
		}
	}
	g.Initializers = append(g.Initializers, onnx.NewFloats("least", []float32{1e-12}))
	g.Nodes = append(g.Nodes,
		onnx.NewNode("ReduceL2", "l2", []string{"raw"}, []string{"length"}, onnx.IntsAttr("axes", -1), onnx.IntAttr("keepdims", 1)),
		onnx.NewNode("Clip", "clip", []string{"length", "least"}, []string{"clipped"}),
		onnx.NewNode("Shape", "shape", []string{"raw"}, []string{"size"}),
		onnx.NewNode("Expand", "expand", []string{"clipped", "size"}, []string{"wide"}),
		onnx.NewNode("Div", "div", []string{"raw", "wide"}, []string{raw}))
	named := pooled.Clone()
	named.Config = &onnx.Config{Architectures: []string{"BertModel"}}
	s, err := student.ParseShape("1x32x2")
	if err != nil {
		t.Fatal(err)
	}
	s.Vocab = tokenizer(t).VocabSize()
	hidden, err := student.New(s, nil, 5)
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]*onnx.Model{"pooled": pooled, "named": named, "hidden states": hidden} {
		m, _, err := distill.NewStudent(teacher, distill.Student{Graph: m}, 1)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		c := taught(t, teacher, distill.VectorCosine{})
		c.LearningRate = 1e-3
		out, report := run(t, m, c)
		if !out.Graph.IsOutput(raw) || out.Hash() == m.Hash() || !(report.Losses[0].Value < 1) {
			t.Errorf("%s: nothing was learned, losses %v", name, report.Losses)
		}
	}
}
