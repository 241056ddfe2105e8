package predict_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/internal/modeltest"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/predict"
	"github.com/litekit/lite/student"
)

var words = []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "film", "was", "good", "bad", "anna", "read", "##s", "书", "好", "，"}

// model is an untrained model over words.
func model(t testing.TB, head student.Head) *onnx.Model {
	t.Helper()
	tok, err := corpus.NewWordPiece(words, true)
	if err != nil {
		t.Fatal(err)
	}
	m, err := distill.NewModel(student.Shape{Layers: 1, Hidden: 16, Heads: 2, Positions: 12}, head, tok, 3)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func predictor(t testing.TB, head student.Head, opts predict.Options) *predict.Predictor {
	t.Helper()
	p, err := predict.New(model(t, head), opts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var mood = student.Classification([]string{"negative", "neutral", "positive"})

// near compares answers whose scores may differ in the last digits.
func near(a, b []predict.Scored) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Label != b[i].Label || math.Abs(a[i].Score-b[i].Score) > 1e-5 {
			return false
		}
	}
	return true
}

func TestClassify(t *testing.T) {
	texts := predict.Texts("the film was good", "bad", "", strings.Repeat("good ", 40), "书好")
	texts = append(texts, predict.Text{Text: "the film", Pair: "was bad"})
	p := predictor(t, mood, predict.Options{Batch: 4})
	together, err := p.Classify(context.Background(), texts)
	if err != nil {
		t.Fatal(err)
	}
	if len(together) != len(texts) {
		t.Fatalf("%d answers for %d texts", len(together), len(texts))
	}
	for i, text := range texts {
		alone, err := p.Classify(context.Background(), []predict.Text{text})
		if err != nil {
			t.Fatal(err)
		}
		got := together[i]
		if got.Text != text.Text || got.Pair != text.Pair || !near(got.Labels, alone[0].Labels) {
			t.Errorf("%v among others: %v, alone %v", text, got, alone[0])
		}
		sum := 0.0
		for k, s := range got.Labels {
			sum += s.Score
			if k > 0 && s.Score > got.Labels[k-1].Score {
				t.Errorf("%v: %v is not in order", text, got.Labels)
			}
		}
		if len(got.Labels) != 3 || math.Abs(sum-1) > 1e-6 {
			t.Errorf("%v: scores %v", text, got.Labels)
		}
	}
	if reflect.DeepEqual(together[0].Labels, together[5].Labels) {
		t.Error("the second text of a pair makes no difference")
	}
	one, err := predictor(t, mood, predict.Options{Top: 1}).Classify(context.Background(), texts[:1])
	if err != nil || len(one[0].Labels) != 1 || !near(one[0].Labels, together[0].Labels[:1]) {
		t.Errorf("top 1: %v, %v", one, err)
	}
	if none, err := p.Classify(context.Background(), nil); err != nil || len(none) != 0 {
		t.Errorf("no texts: %v, %v", none, err)
	}
}

// A head with one output is a regression: its value, not a softmax of one.
func TestOneOutputIsItsValue(t *testing.T) {
	p := predictor(t, student.Classification([]string{"score"}), predict.Options{})
	got, err := p.Classify(context.Background(), predict.Texts("the film was good"))
	if err != nil || len(got[0].Labels) != 1 || got[0].Labels[0].Score == 1 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestFill(t *testing.T) {
	p := predictor(t, student.MaskedLM(), predict.Options{Top: 2, Batch: 2})
	if p.MaskToken() != "[MASK]" || p.Kind() != student.KindMaskedLM {
		t.Errorf("mask %q, kind %s", p.MaskToken(), p.Kind())
	}
	got, err := p.Fill(context.Background(), predict.Texts("the [MASK] was [MASK]", "[MASK]", "书[MASK]"))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{2, 1, 1} {
		if len(got[i].Masks) != want || len(got[i].Masks[0]) != 2 {
			t.Errorf("%q: %v", got[i].Text, got[i].Masks)
		}
	}
	long := strings.Repeat("good ", 20) + "[MASK]" // beyond the 12 positions
	for _, text := range []string{"no gap", "", long} {
		if _, err := p.Fill(context.Background(), predict.Texts("[MASK]", text)); !errors.Is(err, predict.ErrNoMask) {
			t.Errorf("%q: error %v", text, err)
		}
	}
}

func TestTag(t *testing.T) {
	for _, head := range []student.Head{student.NER([]string{"B-PER"}), student.POS([]string{"NOUN", "VERB"})} {
		p := predictor(t, head, predict.Options{})
		got, err := p.Tag(context.Background(), predict.Texts("Anna reads 书，好", "zz"))
		if err != nil {
			t.Fatal(err)
		}
		var seen []string
		for _, w := range got[0].Words {
			seen = append(seen, fmt.Sprint(w.Text, w.Start, w.End))
			if w.Tag == "" {
				t.Errorf("%v has no tag", w)
			}
		}
		if want := []string{"Anna0 4", "reads5 10", "书11 12", "，12 13", "好13 14"}; !reflect.DeepEqual(seen, want) {
			t.Errorf("words %q, want %q", seen, want)
		}
		// The only tag of the first head begins an entity at every word.
		if n := len(got[0].Entities); head.Kind == student.KindNER && (n != 5 || got[0].Entities[2] != predict.Entity{Text: "书", Start: 11, End: 12, Type: "PER"}) || head.Kind == student.KindPOS && n != 0 {
			t.Errorf("%s: entities %v", head.Kind, got[0].Entities)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	p := predictor(t, mood, predict.Options{})
	want, err := p.Classify(context.Background(), predict.Texts("the film was good"))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 10 {
				if got, err := p.Classify(context.Background(), predict.Texts("the film was good")); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%v, %v", got, err)
				}
			}
		}()
	}
	wg.Wait()
}

func TestErrors(t *testing.T) {
	bare := model(t, mood)
	bare.Config = nil
	blind := model(t, mood)
	blind.Files = nil
	maskless := model(t, student.MaskedLM())
	maskless.Files = map[string][]byte{"vocab.txt": []byte("[PAD]\n[UNK]\n[CLS]\n[SEP]\ngood\n")}
	odd := model(t, mood)
	odd.Graph.Inputs = append(odd.Graph.Inputs, &onnx.ValueInfo{Name: "pixels", Type: onnx.Float})
	for _, tc := range []struct {
		m    *onnx.Model
		want string
	}{
		{nil, "no outputs"}, {&onnx.Model{}, "no outputs"}, {bare, "architectures"}, {blind, "tokenizer.json or vocab.txt"}, {maskless, "mask token"}, {odd, `"pixels"`},
	} {
		if p, err := predict.New(tc.m, predict.Options{}); err == nil || p != nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v, %v, want an error with %s", p, err, tc.want)
		}
	}
	for _, labels := range [][]string{{"negative", "neutral"}, {"negative", "neutral", "positive", "other"}} {
		m := model(t, mood)
		m.Config.ID2Label = labels
		p, err := predict.New(m, predict.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Classify(context.Background(), predict.Texts("good")); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("3 classes, but config.json names %d labels", len(labels))) {
			t.Errorf("labels %v of a model with 3 classes: %v", labels, err)
		}
	}
	p := predictor(t, mood, predict.Options{})
	if _, err := p.Fill(context.Background(), predict.Texts("[MASK]")); err == nil || !strings.Contains(err.Error(), "classification") {
		t.Errorf("Fill of a classifier: %v", err)
	}
	if _, err := p.Tag(context.Background(), predict.Texts("x")); err == nil {
		t.Error("Tag of a classifier is accepted")
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Classify(ended, predict.Texts("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
}

// TestTrainedModel holds a real classifier to what its texts say.
func TestTrainedModel(t *testing.T) {
	m := modeltest.Open(t, "models", "sst2-bert-L2-H128")
	p, err := predict.New(m, predict.Options{})
	if err != nil {
		t.Fatal(err)
	}
	texts := predict.Texts("a gripping , funny and moving film", "a dull , lifeless and boring mess")
	got, err := p.Classify(context.Background(), texts)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := got[0].Labels[0], got[1].Labels[0]; a.Label == b.Label || a.Score < 0.9 || b.Score < 0.9 {
		t.Errorf("praise is %v, blame is %v", a, b)
	}
}

// An error of one text tells its place in the call, over all batches.
func TestErrorsNameTheText(t *testing.T) {
	p := predictor(t, mood, predict.Options{IDs: true, Batch: 2, MaxLength: 4})
	good := predict.Text{Tokens: &corpus.Tokens{IDs: []int32{1, 2}}}
	for name, bad := range map[string]predict.Text{
		"outside":   {Tokens: &corpus.Tokens{IDs: []int32{1, 1 << 20}}},
		"5 ids":     {Tokens: &corpus.Tokens{IDs: []int32{1, 2, 2, 2, 2}}},
		"token ids": {Text: "good"},
	} {
		_, err := p.Classify(t.Context(), []predict.Text{good, good, good, bad, good})
		var e *predict.TextError
		if !errors.As(err, &e) || e.Text != 3 || !strings.Contains(err.Error(), "text 4: ") || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v, want one of text 4", name, err)
		}
	}
	fill := predictor(t, student.MaskedLM(), predict.Options{Batch: 1})
	_, err := fill.Fill(t.Context(), predict.Texts("[MASK]", "good"))
	var e *predict.TextError
	if !errors.As(err, &e) || e.Text != 1 || !errors.Is(err, predict.ErrNoMask) {
		t.Errorf("error %v, want one of text 2", err)
	}
}
