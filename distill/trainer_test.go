package distill_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// withEvaluation lets a run be measured by values given in a row, one for each
// evaluation, whatever the model; what it counts starts anew with each process.
func withEvaluation(c distill.Config, byHash map[string]float64, values ...float64) distill.Config {
	c.EvaluateID = fmt.Sprint(values)
	c.Evaluate = func(_ context.Context, m *onnx.Model) (float64, error) {
		h := m.Hash()
		if _, ok := byHash[h]; !ok {
			byHash[h] = values[len(byHash)]
		}
		return byHash[h], nil
	}
	return c
}

func TestBestEvaluationResults(t *testing.T) {
	m := classifier(t, "1x16x2", 1)
	c := everything(t)
	c.EMA, c.EvalEvery, c.Patience, c.Steps = 0.9, 2, 2, 12
	models := map[string]float64{}
	c = withEvaluation(c, models, 1, 3, math.NaN(), 3, 9, 9)
	out, report := run(t, m, c)
	if report.Steps != 8 || !report.Stopped || report.Best == nil || report.Best.Step != 4 || len(report.Evaluations) != 4 {
		t.Fatalf("report %+v; want a stop after step 8, where two evaluations after that of step 4 were no better", report)
	}
	if models[out.Hash()] != 3 {
		t.Errorf("the result is not the model that was measured best: %v", models[out.Hash()])
	}
	if len(out.Graph.Outputs) != 1 {
		t.Errorf("outputs %v", out.Graph.Outputs)
	}

	// Stopped anywhere, also within an evaluation, it ends in the same bytes.
	c.Checkpoint, c.Cache, c.KeepCheckpoints = filepath.Join(t.TempDir(), "cp"), t.TempDir(), 2
	for _, n := range []int{1, 2, 2} {
		ctx, stopped := stopAfter(c, n)
		if _, _, err := distill.Run(ctx, m, stopped); !errors.Is(err, context.Canceled) {
			t.Fatalf("interrupted run: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	within := c
	within.Evaluate = func(ctx context.Context, m *onnx.Model) (float64, error) {
		cancel()
		return 0, ctx.Err()
	}
	if _, _, err := distill.Run(ctx, m, within); !errors.Is(err, context.Canceled) {
		t.Fatalf("stopped while it was measured: %v", err)
	}
	again, resumed := run(t, m, c)
	if again.Hash() != out.Hash() || !resumed.Stopped || resumed.Best.Step != 4 {
		t.Errorf("a run that was stopped gives other bytes, or another report: %+v", resumed)
	}
	finished, _ := run(t, m, c)
	if finished.Hash() != out.Hash() {
		t.Error("a run that had ended gives other bytes")
	}
	other := c
	other.Patience = 3
	var bad *distill.CheckpointError
	if _, _, err := distill.Run(context.Background(), m, other); !errors.As(err, &bad) {
		t.Errorf("another patience: error %v", err)
	}
	low := c
	low.Checkpoint, low.LowerIsBetter = "", true
	if _, r := run(t, m, low); r.Best.Step != 2 {
		t.Errorf("the lowest value is that of step 2, not %d", r.Best.Step)
	}
}

func TestAveragesAreOfTheWeights(t *testing.T) {
	m := classifier(t, "1x16x2", 1)
	c := everything(t)
	c.Loss, c.Steps, c.Dropout = c.Loss[:2], 3, 0
	last := map[string][]float32{}
	mean := map[string][]float64{}
	w, _, err := student.Weights(m)
	if err != nil {
		t.Fatal(err)
	}
	c.Hook = func(step int, params []*distill.Param) {
		keep := min(0.5, float64(1+step)/float64(10+step))
		for _, p := range params {
			if step == 1 {
				v, err := w[p.Name].Floats()
				if err != nil {
					t.Fatal(err)
				}
				for _, x := range v {
					mean[p.Name] = append(mean[p.Name], float64(x))
				}
			}
			for i, x := range p.Value {
				mean[p.Name][i] = keep*mean[p.Name][i] + (1-keep)*float64(x)
			}
			last[p.Name] = slices.Clone(p.Value)
		}
	}
	plain, _ := run(t, m, c)
	c.EMA, c.Hook = 0.5, nil
	averaged, _ := run(t, m, c)
	if plain.Hash() == averaged.Hash() {
		t.Error("averages changed nothing")
	}
	got, _, err := student.Weights(averaged)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range mean {
		v, err := got[name].Floats()
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if math.Abs(float64(v[i])-want[i]) > 1e-5 {
				t.Fatalf("%s[%d] is %v, the average %v, the last value %v", name, i, v[i], want[i], last[name][i])
			}
		}
	}
}

// At the first step of Adam every weight moves by the rate that it learns with.
func TestLayersLearnAtTheirRates(t *testing.T) {
	m := classifier(t, "2x16x2", 1)
	c := everything(t)
	c.Loss, c.Steps, c.Dropout, c.Warmup, c.WeightDecay, c.LayerDecay = c.Loss[1:2], 1, 0, 0, 0, 0.5
	w, _, err := student.Weights(m)
	if err != nil {
		t.Fatal(err)
	}
	moved := map[string]float64{}
	c.Hook = func(_ int, params []*distill.Param) {
		for _, p := range params {
			v, err := w[p.Name].Floats()
			if err != nil {
				t.Fatal(err)
			}
			for i := range v {
				moved[p.Name] = max(moved[p.Name], math.Abs(float64(v[i]-p.Value[i])))
			}
		}
	}
	run(t, m, c)
	for name, share := range map[string]float64{
		"bert.embeddings.word_embeddings.weight":           0.125,
		"bert.embeddings.LayerNorm.weight":                 0.125,
		"bert.encoder.layer.0.attention.self.value.weight": 0.25,
		"bert.encoder.layer.0.output.LayerNorm.bias":       0.25,
		"bert.encoder.layer.1.intermediate.dense.weight":   0.5,
		"bert.encoder.layer.1.attention.output.dense.bias": 0.5,
		"bert.pooler.dense.weight":                         1,
		"classifier.bias":                                  1,
	} {
		if got, want := moved[name], share*c.LearningRate; math.Abs(got-want) > 0.02*want {
			t.Errorf("%s moved by %v, want %v", name, got, want)
		}
	}
}

func TestOlderCheckpointsServeWhereTheNewestIsDamaged(t *testing.T) {
	m := classifier(t, "1x16x2", 1)
	c := everything(t)
	whole, _ := run(t, m, c)
	c.Checkpoint, c.CheckpointSteps, c.KeepCheckpoints, c.Cache = t.TempDir(), 1, 3, t.TempDir()
	ctx, stopped := stopAfter(c, 5)
	if _, _, err := distill.Run(ctx, m, stopped); err == nil {
		t.Fatal("the run was not stopped")
	}
	names := func() (out []string) {
		entries, err := os.ReadDir(c.Checkpoint)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			out = append(out, e.Name())
		}
		return out
	}
	if got := names(); !slices.Equal(got, []string{"state-0000000003.ckpt", "state-0000000004.ckpt", "state.ckpt"}) {
		t.Fatalf("files %v", got)
	}
	for i, name := range []string{"state.ckpt", "state-0000000004.ckpt"} {
		path := filepath.Join(c.Checkpoint, name)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		data[[]int{20, len(data) / 2}[i]] ^= 1 // in the hash of the run, in the weights
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	var warnings []string
	c.Warn = func(err error) { warnings = append(warnings, err.Error()) }
	out, report := run(t, m, c)
	if report.Resumed != 3 || out.Hash() != whole.Hash() {
		t.Errorf("resumed from step %d, want 3, and the same bytes as without a stop", report.Resumed)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "state.ckpt") || !strings.Contains(warnings[0], "older one of step 3") {
		t.Errorf("warnings %q", warnings)
	}
	if err := distill.RemoveCheckpoint(c.Checkpoint); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.Checkpoint); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the checkpoints are still there: %v", names())
	}
}

func TestLogHasEveryStepOnce(t *testing.T) {
	m := classifier(t, "1x16x2", 1)
	c := everything(t)
	c.Loss = append(c.Loss, distill.Scale(0.1, distill.SoftLabels{Temperature: 1}))
	c.Checkpoint, c.CheckpointSteps, c.Cache, c.Log = t.TempDir(), 3, t.TempDir(), filepath.Join(t.TempDir(), "log.jsonl")
	c.EvalEvery, c.Stage = 4, "first"
	c = withEvaluation(c, map[string]float64{}, 0.5, 0.25)
	state := filepath.Join(c.Checkpoint, "state.ckpt")
	var old []byte
	ctx, stopped := stopAfter(c, 5)
	progress := stopped.Progress
	stopped.Progress = func(p distill.Progress) {
		progress(p)
		if p.Step == 4 {
			old, _ = os.ReadFile(state) // that of step 3
		}
	}
	if _, _, err := distill.Run(ctx, m, stopped); err == nil {
		t.Fatal("the run was not stopped")
	}
	// As if it had been killed in the middle of a line, with a checkpoint of step 3.
	f, err := os.OpenFile(c.Log, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(`{"run":"ab`)
	}
	if err := errors.Join(err, f.Close(), os.WriteFile(state, old, 0o666)); err != nil {
		t.Fatal(err)
	}
	if _, report := run(t, m, c); report.Resumed != 3 {
		t.Fatalf("resumed from %d", report.Resumed)
	}
	run(t, m, c) // ended already
	data, err := os.ReadFile(c.Log)
	if err != nil {
		t.Fatal(err)
	}
	var steps, evaluated []int
	for s := bufio.NewScanner(strings.NewReader(string(data))); s.Scan(); {
		var l struct {
			Run, Stage string
			Step       int
			Losses     map[string]float64
			Loss, Rate float64
			Norm       float64
			Tokens     int
			Speed      float64 `json:"tokens_per_second"`
			After      int     `json:"evaluated_after"`
			Value      float64
			Best       bool
		}
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			t.Fatalf("%v: %s", err, s.Text())
		}
		if len(l.Run) != 16 || l.Stage != "first" {
			t.Errorf("line %s", s.Text())
		}
		if l.After > 0 {
			evaluated = append(evaluated, l.After)
			if l.Best != (l.After == 4) {
				t.Errorf("line %s", s.Text())
			}
			continue
		}
		steps = append(steps, l.Step)
		sum := l.Losses["kd"] + 0.5*l.Losses["ce"] + l.Losses["mlm"] + 0.2*l.Losses["pos"] + 0.5*l.Losses["sop"] + 0.1*l.Losses["kd#2"] +
			0.2*min(1, float64(l.Step-1)/4)*l.Losses["ner"]
		if len(l.Losses) != 7 || math.Abs(sum-l.Loss) > 1e-6 || l.Norm <= 0 || l.Tokens <= 0 || l.Speed <= 0 {
			t.Errorf("sum %v of line %s", sum, s.Text())
		}
	}
	if !slices.Equal(steps, []int{1, 2, 3, 4, 5, 6, 7, 8}) || !slices.Equal(evaluated, []int{4, 8}) {
		t.Errorf("steps %v, evaluations %v", steps, evaluated)
	}
	c.Log = filepath.Join(t.TempDir(), "notes")
	if err := os.WriteFile(c.Log, []byte("a\nb"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, _, err := distill.Run(context.Background(), m, c); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a file that is no log: %v", err)
	}
	if data, _ := os.ReadFile(c.Log); string(data) != "a\nb" {
		t.Errorf("it was changed: %q", data)
	}
}

// scaled is a loss with what losses of one's own may hold.
type scaled struct {
	distill.HardLabels
	by   *float64
	more map[string]*int
	f    func()
}

type told struct{ scaled }

func (told) Fingerprint() string { return "told" }

func TestFingerprintsFollowPointers(t *testing.T) {
	m := classifier(t, "1x16x2", 1)
	c := everything(t)
	c.Steps = 2
	dir := t.TempDir()
	attempt := func(l distill.Loss) (*distill.Report, error) {
		c := c
		c.Loss, c.Checkpoint, c.Teacher = distill.Sum{distill.Scale(1, l)}, dir, nil
		_, report, err := distill.Run(context.Background(), m, c)
		return report, err
	}
	make := func(by float64, n int) scaled {
		return scaled{by: &by, more: map[string]*int{"a": &n, "b": new(int), "c": nil}}
	}
	if _, err := attempt(make(2, 3)); err != nil {
		t.Fatal(err)
	}
	if r, err := attempt(make(2, 3)); err != nil || r.Resumed != 2 {
		t.Errorf("a loss of the same content at another address: %v", err)
	}
	var bad *distill.CheckpointError
	for _, l := range []scaled{make(2, 4), make(1, 3)} {
		if _, err := attempt(l); !errors.As(err, &bad) {
			t.Errorf("another loss behind the pointers: error %v", err)
		}
	}
	if err := distill.RemoveCheckpoint(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := attempt(scaled{f: func() {}}); err == nil || !strings.Contains(err.Error(), "Fingerprint") {
		t.Errorf("a function: error %v", err)
	}
	if _, err := attempt(told{scaled{f: func() {}}}); err != nil {
		t.Errorf("a loss that tells its fingerprint: %v", err)
	}
}

// poison is a loss that is not finite, or has no finite gradient, for one word.
type poison struct {
	token    int64
	gradient bool
}

func (poison) Name() string       { return "poison" }
func (poison) View() distill.View { return distill.Clean }

func (l poison) Build(g *distill.Graph) (*gorgonia.Node, error) {
	z, err := g.Student("")
	if err != nil {
		return nil, err
	}
	factor := g.Floats("poison", func(m *distill.Moment) ([]float32, error) {
		out := []float32{1}
		if slices.Contains(m.Batch.IDs, l.token) {
			if out[0] = float32(math.Inf(1)); l.gradient {
				out[0] = 0
			}
		}
		return out, nil
	}, 1)
	mean, err := gorgonia.Mean(z)
	if err != nil {
		return nil, err
	}
	f, err := gorgonia.Sum(factor)
	if err != nil {
		return nil, err
	}
	if !l.gradient {
		return gorgonia.Mul(mean, f)
	}
	square, err := gorgonia.Square(mean)
	if err != nil {
		return nil, err
	}
	if square, err = gorgonia.Mul(square, f); err != nil {
		return nil, err
	}
	return gorgonia.Sqrt(square) // of 0 it has no finite gradient
}

// An example is named by its place in the files, also one of a long document.
func TestTheOffendingExampleIsNamed(t *testing.T) {
	examples := make([]corpus.Example, 12)
	for i := range examples {
		examples[i] = corpus.Example{Text: strings.Repeat("the ", 1+i), Label: -1}
	}
	examples[7].Text = "[MASK] " + examples[7].Text
	c := everything(t)
	c.Task = corpus.FromExamples(examples, nil)
	c.Batch, c.Teacher = 12, nil
	for _, gradient := range []bool{false, true} {
		c.Loss = distill.Sum{distill.Scale(1, distill.HardLabels{}), distill.Scale(1, poison{tokenizer(t).MaskID(), gradient})}
		_, _, err := distill.Run(context.Background(), classifier(t, "1x16x2", 1), c)
		var bad *distill.NotFiniteError
		if !errors.As(err, &bad) || bad.Step != 1 || bad.Example != 7 || !strings.Contains(err.Error(), "example 7, \"[MASK] ") || bad.Where != "example 7" || len(bad.Others) != 0 {
			t.Errorf("error %v", err)
		}
		if bad.Loss != "poison" || gradient != (bad.Parameter != "") {
			t.Errorf("%+v", bad)
		}
	}
}

// What is wrong with an example is told with the place that it was read from.
func TestOffendersAreFoundInTheirFiles(t *testing.T) {
	const table = "label\ttext\n0\tthe one\n1\tthe [MASK] two\n0\tthe three\n1\t[MASK] four\n"
	data, err := corpus.Read(strings.NewReader(table), "train.tsv", corpus.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := everything(t)
	c.Task, c.Text, c.Teacher, c.Batch, c.Dropout = data, nil, nil, 4, 0
	c.Loss = distill.Sum{distill.Scale(1, distill.HardLabels{}), distill.Scale(1, poison{tokenizer(t).MaskID(), false})}
	_, _, err = distill.Run(context.Background(), classifier(t, "1x16x2", 1), c)
	var bad *distill.NotFiniteError
	if !errors.As(err, &bad) || bad.Loss != "poison" || len(bad.Others) != 1 {
		t.Fatalf("error %v", err)
	}
	places := []string{bad.Where, bad.Others[0]}
	slices.Sort(places)
	if !slices.Equal(places, []string{"train.tsv: line 3", "train.tsv: line 5"}) || !strings.Contains(bad.Text, "[MASK]") {
		t.Errorf("found in %q, the first is %q", places, bad.Text)
	}

	// A label that the model does not have.
	examples := []corpus.Example{{Text: "the one"}, {Text: "the two", Label: 99, Origin: corpus.Origin{File: "x.parquet", N: 2, Unit: corpus.Row}}}
	c.Task, c.Loss = corpus.FromExamples(examples, nil), c.Loss[:1]
	if _, _, err = distill.Run(context.Background(), classifier(t, "1x16x2", 1), c); err == nil || !strings.Contains(err.Error(), "x.parquet: row 2, \"the two\": ") || !strings.Contains(err.Error(), "label 99") {
		t.Errorf("error %v", err)
	}

	// A teacher whose numbers overflow.
	c.Teacher = classifier(t, "1x16x2", 2)
	w := c.Teacher.Graph.Initializer("bert.embeddings.word_embeddings.weight")
	if w == nil {
		t.Fatal("the teacher has no word embeddings of that name")
	}
	values, err := w.Floats()
	if err != nil {
		t.Fatal(err)
	}
	values = slices.Clone(values)
	id := tokenizer(t).Encode("two").IDs[1]
	width := int(w.Dims[1])
	for i := range width {
		values[int(id)*width+i] = float32(math.NaN())
	}
	examples[1].Label = 0
	c.Teacher.Graph.SetInitializer(onnx.NewFloats(w.Name, values, w.Dims...))
	c.Loss = distill.Sum{distill.Scale(1, distill.SoftLabels{})}
	if _, _, err = distill.Run(context.Background(), classifier(t, "1x16x2", 1), c); err == nil || !strings.Contains(err.Error(), "x.parquet: row 2, \"the two\": teacher: output logits") {
		t.Errorf("error %v", err)
	}
}
