package ort_test

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/modeltest"
	"github.com/litekit/lite/internal/ort"
	"github.com/litekit/lite/onnx"
)

// sentences reads the first column of the first n rows of a TSV with a header.
func sentences(t *testing.T, path string, n int) (out []string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	scan := bufio.NewScanner(f)
	text := 0
	for header := true; scan.Scan() && len(out) < n; header = false {
		cells := strings.Split(scan.Text(), "\t")
		if header {
			for i, c := range cells {
				if strings.Contains(c, "sentence") || strings.Contains(c, "text") {
					text = i
				}
			}
			continue
		}
		// transformers.js would cut a text only at the model's 512 positions.
		if len(cells) > text && len(cells[text]) < 400 {
			out = append(out, cells[text])
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s has no sentences: %v", path, scan.Err())
	}
	return out
}

// batch tokenizes texts and pads them to the longest.
func batch(tok *corpus.Tokenizer, texts []string) map[string]*exec.Tensor {
	length := 0
	encoded := make([]corpus.Encoding, len(texts))
	for i, text := range texts {
		encoded[i] = tok.Encode(text)
		length = max(length, encoded[i].Len())
	}
	n := len(texts) * length
	ids, mask, types := make([]int64, n), make([]int64, n), make([]int64, n)
	for i := range ids {
		ids[i] = tok.PadID()
	}
	for i, e := range encoded {
		copy(ids[i*length:], e.IDs)
		for j := range e.IDs {
			mask[i*length+j] = 1
		}
	}
	return map[string]*exec.Tensor{
		"input_ids":      exec.Int64s(ids, len(texts), length),
		"attention_mask": exec.Int64s(mask, len(texts), length),
		"token_type_ids": exec.Int64s(types, len(texts), length),
	}
}

// logits runs m here and returns its first output.
func logits(t *testing.T, m *onnx.Model, in map[string]*exec.Tensor) *exec.Tensor {
	t.Helper()
	return modeltest.Run(t, m, in)[m.Graph.Outputs[0].Name]
}

// distance is the largest difference between two elements; NaN anywhere is NaN.
func distance(a, b []float32) float64 {
	worst := 0.0
	for i := range a {
		worst = max(worst, math.Abs(float64(a[i])-float64(b[i])))
	}
	return worst
}

// rows is one text as lite sees it: its tokens, and a row of logits for the
// text (classification) or for each token.
type rows struct {
	tok    *corpus.Tokenizer
	labels []string
	ids    []int64
	logits *exec.Tensor
	slack  float64 // how far scores may be from transformers.js's
}

// probabilities is the softmax of row i.
func (r rows) probabilities(i int) []float64 {
	n := r.logits.Shape[len(r.logits.Shape)-1]
	row, top, sum := r.logits.F32[i*n:(i+1)*n], math.Inf(-1), 0.0
	for _, v := range row {
		top = max(top, float64(v))
	}
	out := make([]float64, n)
	for j, v := range row {
		out[j] = math.Exp(float64(v) - top)
		sum += out[j]
	}
	for j := range out {
		out[j] /= sum
	}
	return out
}

// near says whether a score of transformers.js is ours.
func (r rows) near(a, b float64) bool { return math.Abs(a-b) <= r.slack }

// best is the index of the largest probability.
func best(p []float64) (top int) {
	for i, v := range p {
		if v > p[top] {
			top = i
		}
	}
	return top
}

// classes checks text-classification: every class with its probability, the
// best one first. It returns what is wrong, "" if nothing.
func classes(r rows, answers []ort.Answer) string {
	p := r.probabilities(0)
	if len(answers) != len(p) {
		return fmt.Sprintf("%d classes, %d expected", len(answers), len(p))
	}
	if want := r.labels[best(p)]; answers[0].Label != want && !r.near(p[slices.Index(r.labels, answers[0].Label)], p[best(p)]) {
		return fmt.Sprintf("transformers.js says %s, lite %s (%v, %v)", answers[0].Label, want, answers, p)
	}
	for _, a := range answers {
		found := false
		for i, label := range r.labels {
			found = found || label == a.Label && r.near(a.Score, p[i])
		}
		if !found {
			return fmt.Sprintf("class %s scores %g, lite has %v of %v", a.Label, a.Score, p, r.labels)
		}
	}
	return ""
}

// masked checks fill-mask: the best tokens for the one mask of the text.
func masked(r rows, answers []ort.Answer) string {
	for i, id := range r.ids {
		if id != r.tok.MaskID() {
			continue
		}
		p := r.probabilities(i)
		if len(answers) != 5 || answers[0].Token != best(p) {
			return fmt.Sprintf("answers %+v, lite's best token is %d", answers, best(p))
		}
		for _, a := range answers {
			if !r.near(a.Score, p[a.Token]) {
				return fmt.Sprintf("token %d scores %g, lite has %g", a.Token, a.Score, p[a.Token])
			}
		}
		return ""
	}
	return "the text has no mask"
}

// entities checks token-classification: every token whose label is not "O",
// special tokens left out.
func entities(r rows, answers []ort.Answer) string {
	for i, id := range r.ids {
		p := r.probabilities(i)
		want := r.labels[best(p)]
		if r.tok.IsSpecial(id) || want == "O" {
			continue
		}
		if len(answers) == 0 {
			return fmt.Sprintf("token %d is %s, transformers.js leaves it out", i, want)
		}
		if a := answers[0]; a.Index != i || a.Entity != want || !r.near(a.Score, p[best(p)]) {
			return fmt.Sprintf("transformers.js says %+v, lite: token %d is %s with %v", a, i, want, p)
		}
		answers = answers[1:]
	}
	if len(answers) > 0 {
		return fmt.Sprintf("transformers.js also says %+v", answers)
	}
	return ""
}
