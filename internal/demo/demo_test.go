package demo_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/eval"
	"github.com/litekit/lite/internal/demo"
	"github.com/litekit/lite/onnx"
)

// The embedded teacher is small, opens, and is good but not perfect: what it
// cannot know (noise, words of two topics) keeps it below 97%.
func TestTeacher(t *testing.T) {
	dir := t.TempDir()
	if err := demo.Unpack(dir); err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Open(filepath.Join(dir, demo.TeacherDir))
	if err != nil {
		t.Fatal(err)
	}
	data, err := corpus.Open([]string{filepath.Join(dir, demo.DevFile)}, corpus.Options{Labels: m.Config.ID2Label})
	if err != nil {
		t.Fatal(err)
	}
	r, err := eval.Run(t.Context(), m, data, eval.Options{MaxLength: 96})
	if err != nil {
		t.Fatal(err)
	}
	if a := r.Primary().Value; a < 0.9 || a > 0.97 {
		t.Errorf("the teacher's accuracy is %v", a)
	}
	size := int64(0)
	err = filepath.Walk(filepath.Join(dir, demo.TeacherDir), func(_ string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			size += info.Size()
		}
		return err
	})
	if err != nil || size > 5_000_000 {
		t.Errorf("the teacher has %d bytes (%v)", size, err)
	}
}

// TestRan judges the table of a demo that was run before: LITE_DEMO names its
// folder, with what `lite demo --json` printed in table.json.
func TestRan(t *testing.T) {
	dir := os.Getenv("LITE_DEMO")
	if dir == "" {
		t.Skip("LITE_DEMO is not set; it names the folder of a finished lite demo")
	}
	data, err := os.ReadFile(filepath.Join(dir, "table.json"))
	if err != nil {
		t.Fatal(err)
	}
	var table eval.Table
	if err := json.Unmarshal(data, &table); err != nil {
		t.Fatal(err)
	}
	quality := map[string]float64{}
	size := map[string]int64{}
	for _, r := range table.Rows {
		quality[filepath.Base(r.Name)], size[filepath.Base(r.Name)] = float64(r.Quality), r.Bytes
	}
	if len(quality) != 5 {
		t.Fatalf("rows %v", quality)
	}
	t.Log(quality, size)
	if quality["student"] < quality["alone"]+0.05 {
		t.Error("the teacher does not help the student")
	}
	if quality["student"] < 0.98*quality["teacher"] {
		t.Error("the student loses more than 2% of the teacher's accuracy")
	}
	for _, name := range []string{"pruned", "int8"} {
		if quality[name] < quality["student"]-0.01 {
			t.Errorf("%s loses more than a point", name)
		}
	}
	if !(size["int8"] < size["pruned"] && size["pruned"] < size["student"] && size["student"] < size["teacher"]) {
		t.Error("the models do not shrink")
	}
}
