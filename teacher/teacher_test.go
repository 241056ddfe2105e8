package teacher_test

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/teacher"
)

var shape = student.Shape{Layers: 1, Hidden: 16, Heads: 2, FFN: 24, Vocab: 40, Positions: 12}

func model(t *testing.T, seed uint64, heads ...student.Head) *onnx.Model {
	t.Helper()
	m, err := student.New(shape, heads, seed)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func classifier(t *testing.T, seed uint64) *onnx.Model {
	return model(t, seed, student.Classification([]string{"no", "yes", "maybe"}))
}

// batch is two sequences of five tokens; the second is padded.
func batch(first int64) *corpus.Batch {
	return &corpus.Batch{B: 2, S: 5, Index: []int{0, 1},
		IDs:  []int64{2, first, 7, 8, 3, 2, 9, 3, 0, 0},
		Mask: []int64{1, 1, 1, 1, 1, 1, 1, 1, 0, 0}, Types: make([]int64, 10),
		Rows: []int64{1, 3, 6}, R: 3}
}

func open(t *testing.T, m *onnx.Model, cache string) *teacher.Teacher {
	t.Helper()
	x, err := teacher.New(m, teacher.Options{Cache: cache})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	return x
}

func logits(t *testing.T, x *teacher.Teacher, b *corpus.Batch) []float32 {
	t.Helper()
	v, err := x.Logits(context.Background(), b)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

// size is the total of the cache's files.
func size(t *testing.T, dir string) (n int64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "labels-*.bin"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		n += info.Size()
	}
	return n
}

func TestCachedLogitsAreTheComputedOnes(t *testing.T) {
	for name, m := range map[string]*onnx.Model{"classifier": classifier(t, 1), "masked": model(t, 1, student.MaskedLM())} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			want := logits(t, open(t, m, ""), batch(5))
			x := open(t, m, dir)
			if got := logits(t, x, batch(5)); !sameBits(got, want) {
				t.Fatal("the cache changes what is computed")
			}
			first := size(t, dir)
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
			x = open(t, m, dir)
			if got := logits(t, x, batch(5)); !sameBits(got, want) {
				t.Fatal("cached logits differ from the computed ones")
			}
			if size(t, dir) != first {
				t.Fatal("a cached batch was computed again")
			}
			if got := logits(t, x, batch(6)); sameBits(got, want) || size(t, dir) == first {
				t.Fatal("other tokens met an old value")
			}
		})
	}
}

func TestAnotherModelMissesTheCache(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, classifier(t, 1), dir), open(t, classifier(t, 2), dir)
	if sameBits(logits(t, a, batch(5)), logits(t, b, batch(5))) {
		t.Fatal("two models share a value")
	}
	if want := logits(t, open(t, classifier(t, 2), ""), batch(5)); !sameBits(logits(t, b, batch(5)), want) {
		t.Fatal("the second model has the first one's value")
	}
}

func TestMaskedLogitsAreThoseOfTheRows(t *testing.T) {
	m := model(t, 3, student.MaskedLM())
	x := open(t, m, "")
	if x.Task() != onnx.MaskedLM || x.Width() != shape.Vocab {
		t.Fatalf("task %v, width %d", x.Task(), x.Width())
	}
	b := batch(5)
	got := logits(t, x, b)
	s, err := exec.New(m, exec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.Run(context.Background(), teacher.Feed(b, []string{"input_ids", "attention_mask", "token_type_ids"}))
	if err != nil {
		t.Fatal(err)
	}
	v := shape.Vocab
	for i, row := range b.Rows {
		for j := range v {
			if d := got[i*v+j] - all["logits"].F32[int(row)*v+j]; d > 1e-5 || d < -1e-5 {
				t.Fatalf("row %d element %d differs by %g", row, j, d)
			}
		}
	}
	b.Rows, b.R = nil, 0
	if got := logits(t, x, b); len(got) != 0 {
		t.Fatalf("%d logits for no rows", len(got))
	}
}

func TestWidthIsKnownBeforeTheFirstCall(t *testing.T) {
	hide := func(m *onnx.Model) *onnx.Model {
		m = m.Clone()
		for _, o := range m.Graph.Outputs {
			for i := range o.Dims {
				o.Dims[i] = onnx.Dim{Param: "any"}
			}
		}
		return m
	}
	declared, byConfig := classifier(t, 1), hide(classifier(t, 1))
	if w := open(t, declared, "").Width(); w != 3 {
		t.Errorf("declared: %d", w)
	}
	if w := open(t, byConfig, "").Width(); w != 3 {
		t.Errorf("from id2label: %d", w)
	}
	silent := hide(classifier(t, 1))
	silent.Config.ID2Label = nil
	x := open(t, silent, "")
	if x.Width() != 0 {
		t.Errorf("width %d from nothing", x.Width())
	}
	if logits(t, x, batch(5)); x.Width() != 3 {
		t.Errorf("after a call: %d", x.Width())
	}
	wrong := hide(classifier(t, 1))
	wrong.Config.ID2Label = []string{"a", "b"}
	_, err := open(t, wrong, "").Logits(context.Background(), batch(5))
	if err == nil || !strings.Contains(err.Error(), "id2label") {
		t.Errorf("a width that is wrong: %v", err)
	}
}

func TestUnfitTeachersAreRefused(t *testing.T) {
	bare := model(t, 1)
	bare.Config = nil
	bare.Graph.Outputs[0].Name, bare.Graph.Outputs[0].HasShape = "y", false
	extra := classifier(t, 1)
	extra.Graph.Inputs = append(extra.Graph.Inputs, &onnx.ValueInfo{Name: "image", Type: onnx.Float, HasShape: true})
	for name, c := range map[string]struct {
		m    *onnx.Model
		want string
	}{
		"nil":   {nil, "no outputs"},
		"task":  {bare, "architectures"},
		"input": {extra, "\"image\""},
	} {
		if _, err := teacher.New(c.m, teacher.Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestASecondWriterIsRefusedAndAReaderIsNot(t *testing.T) {
	dir, m := t.TempDir(), classifier(t, 1)
	x := open(t, m, dir)
	want := logits(t, x, batch(5))
	y := open(t, m, dir)
	if got := logits(t, y, batch(5)); !sameBits(got, want) {
		t.Fatal("a reader beside the writer has other logits")
	}
	if found, computed := y.Counts(); found != 1 || computed != 0 {
		t.Errorf("found %d, computed %d", found, computed)
	}
	if _, err := y.Logits(context.Background(), batch(6)); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("a second writer: %v", err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if got := logits(t, y, batch(6)); len(got) != len(want) {
		t.Fatal("the second writer cannot write once the first is done")
	}
}

// Where the cache has everything the model is not even prepared to run.
func TestACompleteCacheNeedsNoModelThatRuns(t *testing.T) {
	dir, m := t.TempDir(), classifier(t, 1)
	x := open(t, m, dir)
	want := logits(t, x, batch(5))
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	x = open(t, m, dir)
	m.Graph.Nodes = nil // the hash is known by now
	if got := logits(t, x, batch(5)); !sameBits(got, want) {
		t.Error("other logits")
	}
	if _, err := x.Logits(context.Background(), batch(6)); err == nil {
		t.Error("a model without nodes has answered")
	}
}

// What a lossy form gives is the same when it is computed and when it is read.
func TestLossyFormsAreTheSameBeforeAndAfter(t *testing.T) {
	for _, form := range []teacher.Form{{Half: true}, {TopK: 4}} {
		dir, m := t.TempDir(), model(t, 1, student.MaskedLM())
		var all [][]float32
		for _, cache := range []string{"", dir, dir} {
			x, err := teacher.New(m, teacher.Options{Cache: cache, Form: form})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, logits(t, x, batch(5)))
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if !sameBits(all[0], all[1]) || !sameBits(all[0], all[2]) {
			t.Errorf("%v: the numbers depend on the cache", form)
		}
		if want := teacher.CacheSize(form, 1, 3, shape.Vocab); size(t, dir) != want {
			t.Errorf("%v: %d bytes, announced %d", form, size(t, dir), want)
		}
	}
	score, err := student.New(shape, []student.Head{student.Classification([]string{"score"})}, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		m    *onnx.Model
		form teacher.Form
	}{{score, teacher.Form{TopK: 1}}, {model(t, 1), teacher.Form{TopK: 1}}, {classifier(t, 1), teacher.Form{TopK: -1}}, {classifier(t, 1), teacher.Form{TopK: 1, Half: true}}} {
		if _, err := teacher.New(c.m, teacher.Options{Form: c.form}); err == nil {
			t.Errorf("%v of a %v: no error", c.form, teacher.TaskOf(c.m))
		}
	}
}

// A cache tells why what it holds does not fit, and computes anew.
func TestAChangedTeacherTokenizerOrTextIsNamed(t *testing.T) {
	dir := t.TempDir()
	source := teacher.Source{Tokenizer: teacher.HashFiles(map[string][]byte{"vocab.txt": []byte("a")}), Data: "data", View: "whole texts", Batches: 1}
	var said string
	ask := func(m *onnx.Model, s teacher.Source) int {
		t.Helper()
		said = ""
		x, err := teacher.New(m, teacher.Options{Cache: dir, Source: s, Notice: func(n string) { said += n }})
		if err != nil {
			t.Fatal(err)
		}
		logits(t, x, batch(5))
		_, computed := x.Counts()
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		return computed
	}
	if n := ask(classifier(t, 1), source); n != 1 || said != "" {
		t.Fatalf("computed %d, said %q", n, said)
	}
	if n := ask(classifier(t, 1), source); n != 0 || said != "" {
		t.Fatalf("the same again: computed %d, said %q", n, said)
	}
	other := source
	other.Tokenizer = teacher.HashFiles(map[string][]byte{"vocab.txt": []byte("b")})
	text := source
	text.Data = "other data"
	for want, c := range map[string]struct {
		m *onnx.Model
		s teacher.Source
	}{"another teacher": {classifier(t, 2), source}, "another tokenizer": {classifier(t, 1), other}, "other data (": {classifier(t, 1), text}} {
		if n := ask(c.m, c.s); n != 1 || !strings.Contains(said, want) {
			t.Errorf("%s: computed %d, said %q", want, n, said)
		}
	}
}

func TestDamageIsReportedByNew(t *testing.T) {
	dir, m := t.TempDir(), classifier(t, 1)
	x := open(t, m, dir)
	logits(t, x, batch(5))
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*", "labels-*.bin"))
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.WriteFile(files[0], data, 0o666); err != nil {
		t.Fatal(err)
	}
	var damage *teacher.CorruptError
	if _, err := teacher.New(m, teacher.Options{Cache: dir}); !errors.As(err, &damage) || damage.Path != files[0] {
		t.Fatalf("got %v", err)
	}
}

// Tokens are labelled at the selected rows, and texts have the mean or the
// first of their hidden states.
func TestTokensAndVectors(t *testing.T) {
	b := batch(5)
	tags := model(t, 3, student.NER([]string{"O", "B-A", "I-A"}))
	x := open(t, tags, "")
	if x.Task() != onnx.TokenClassification || x.Width() != 3 || len(logits(t, x, b)) != 3*3 {
		t.Errorf("tags: %v, width %d", x.Task(), x.Width())
	}
	bare := model(t, 3)
	s, err := exec.New(bare, exec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Run(context.Background(), teacher.Feed(b, []string{"input_ids", "attention_mask", "token_type_ids"}))
	if err != nil {
		t.Fatal(err)
	}
	hidden, h := out["last_hidden_state"].F32, shape.Hidden
	for name, c := range map[string]struct {
		pooling, modules string
		want             func(row, j int) float64
	}{
		"usual": {"", "", func(row, j int) float64 { return mean(hidden, b, row, j, h) }},
		"mean":  {`{"word_embedding_dimension": 16, "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true}`, "", func(row, j int) float64 { return mean(hidden, b, row, j, h) }},
		"cls":   {`{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}`, "", func(row, j int) float64 { return float64(hidden[row*b.S*h+j]) }},
		"unit": {`{"pooling_mode": "mean"}`, `[{"idx": 0, "type": "sentence_transformers.models.Transformer"}, {"idx": 2, "type": "sentence_transformers.models.Normalize"}]`, func(row, j int) float64 {
			sum := 0.0
			for k := range h {
				sum += math.Pow(mean(hidden, b, row, k, h), 2)
			}
			return mean(hidden, b, row, j, h) / math.Sqrt(sum)
		}},
	} {
		m := bare.Clone()
		if c.pooling != "" {
			m.Files[onnx.PoolingFile] = []byte(c.pooling)
		}
		if c.modules != "" {
			m.Files[onnx.ModulesFile] = []byte(c.modules)
		}
		x := open(t, m, t.TempDir())
		got := logits(t, x, b)
		if x.Task() != onnx.Embedding || x.Width() != h || len(got) != 2*h {
			t.Fatalf("%s: %v, width %d, %d numbers", name, x.Task(), x.Width(), len(got))
		}
		for i, v := range got {
			if want := c.want(i/h, i%h); math.Abs(float64(v)-want) > 1e-5 {
				t.Fatalf("%s: element %d is %v, want %v", name, i, v, want)
			}
		}
	}
	for want, files := range map[string]map[string][]byte{
		`"max"`:  {onnx.PoolingFile: []byte(`{"pooling_mode_max_tokens": true}`)},
		`.Dense`: {onnx.ModulesFile: []byte(`[{"type": "sentence_transformers.models.Dense"}]`)},
		"config": {onnx.PoolingFile: []byte(`{`)},
	} {
		m := bare.Clone()
		m.Files = files
		if _, err := teacher.New(m, teacher.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want it to speak of %s", err, want)
		}
	}
}

// mean is that of element j over the tokens of a row.
func mean(hidden []float32, b *corpus.Batch, row, j, h int) float64 {
	sum, n := 0.0, 0.0
	for s := range b.S {
		if at := row*b.S + s; b.Mask[at] != 0 {
			sum, n = sum+float64(hidden[at*h+j]), n+1
		}
	}
	return sum / n
}

// One output is a score, whatever its head is called.
func TestTaskOf(t *testing.T) {
	kind := func(m *onnx.Model, problem string) *onnx.Model {
		m.Config.Extra["problem_type"] = []byte(`"` + problem + `"`)
		return m
	}
	bare := classifier(t, 1)
	bare.Config = nil
	for i, c := range []struct {
		m    *onnx.Model
		want onnx.Task
	}{
		{classifier(t, 1), onnx.SequenceClassification},
		{model(t, 1, student.Classification([]string{"score"})), onnx.Regression},
		{kind(classifier(t, 1), "regression"), onnx.Regression},
		{kind(classifier(t, 1), "single_label_classification"), onnx.SequenceClassification},
		{bare, onnx.SequenceClassification},
		{model(t, 1), onnx.Embedding},
		{model(t, 1, student.MaskedLM()), onnx.MaskedLM},
		{nil, onnx.Unknown},
	} {
		if got := teacher.TaskOf(c.m); got != c.want {
			t.Errorf("%d: %v, want %v", i, got, c.want)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	x := open(t, classifier(t, 1), t.TempDir())
	plain := open(t, classifier(t, 1), "")
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			b := batch(int64(4 + i%4))
			v, err := x.Logits(context.Background(), b)
			w, _ := plain.Logits(context.Background(), b)
			if err != nil || !sameBits(v, w) {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	wg.Wait()
}
