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
	files, err := filepath.Glob(filepath.Join(dir, "*.log"))
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
	bare.Graph.Outputs[0].HasShape = false
	extra := classifier(t, 1)
	extra.Graph.Inputs = append(extra.Graph.Inputs, &onnx.ValueInfo{Name: "image", Type: onnx.Float, HasShape: true})
	for name, c := range map[string]struct {
		m    *onnx.Model
		want string
	}{
		"nil":   {nil, "no outputs"},
		"task":  {bare, "architectures"},
		"tags":  {model(t, 1, student.NER([]string{"O", "B-A", "I-A"})), "labels tokens"},
		"input": {extra, "\"image\""},
	} {
		if _, err := teacher.New(c.m, teacher.Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestACacheInUseIsRefused(t *testing.T) {
	dir, m := t.TempDir(), classifier(t, 1)
	x := open(t, m, dir)
	want := logits(t, x, batch(5))
	if _, err := teacher.New(m, teacher.Options{Cache: dir}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("a second user of the cache: %v", err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if got := logits(t, open(t, m, dir), batch(5)); !sameBits(got, want) {
		t.Fatal("the refused opening damaged the cache")
	}
}

func TestDamageIsReportedByNew(t *testing.T) {
	dir, m := t.TempDir(), classifier(t, 1)
	x := open(t, m, dir)
	logits(t, x, batch(5))
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.log"))
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
