package ort

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Case is a model and inputs to try.
type Case struct {
	Path    string
	Batches []map[string]Tensor
}

// Attempt is what ONNX Runtime made of one batch: outputs, or why there are none.
type Attempt struct {
	Outputs map[string]Tensor
	Err     error
}

type wireCase struct {
	Model   string            `json:"model"`
	Levels  []string          `json:"levels"`
	Batches []map[string]wire `json:"batches"`
}

type wireAnswer struct {
	Levels []struct {
		Error   string `json:"error"`
		Batches []struct {
			Error   string          `json:"error"`
			Outputs map[string]wire `json:"outputs"`
		} `json:"batches"`
	} `json:"levels"`
}

// ErrNotTried is the error of a batch after those that were enough.
var ErrNotTried = errors.New("not tried")

// Try runs each case at each level of ONNX Runtime's graph optimizations
// ("disabled", "basic", "extended", "all") with one batch after the other until
// enough of them ran, and returns what became of level l and batch b of case c
// as [c][l][b]. What ONNX Runtime refuses, and a case in which its process
// dies, is an error of the attempt, not of the test. A case without batches has
// one attempt, which tells whether the model opens. It skips the test where
// [Available] is false.
func Try(t testing.TB, cases []Case, enough int, levels ...string) [][][]Attempt {
	t.Helper()
	Need(t)
	dir, _ := Available()
	var out [][][]Attempt
	for len(out) < len(cases) {
		some, err := tryOnce(t, dir, cases[len(out):], enough, levels)
		out = append(out, some...)
		if len(out) == len(cases) {
			break
		}
		if err == nil {
			err = errors.New("no answer")
		}
		c := cases[len(out)]
		died := make([][]Attempt, len(levels))
		for l := range died {
			died[l] = repeat(fmt.Errorf("ONNX Runtime's process died of %s: %w", filepath.Base(c.Path), err), len(c.Batches))
		}
		out = append(out, died)
	}
	return out
}

// tryOnce runs the cases in one process and returns those that came to an end.
func tryOnce(t testing.TB, dir string, cases []Case, enough int, levels []string) ([][][]Attempt, error) {
	t.Helper()
	tmp := t.TempDir()
	req := request{Kind: "attempt", Answer: filepath.Join(tmp, "answer"), Blob: filepath.Join(tmp, "blob"), Enough: enough}
	blob, err := os.Create(req.Blob)
	if err != nil {
		t.Fatalf("ort: %v", err)
	}
	defer blob.Close()
	at := int64(0)
	for _, c := range cases {
		w := wireCase{Model: absolute(t, c.Path), Levels: levels}
		for i, b := range c.Batches {
			wired, err := toWire(b)
			if err != nil {
				t.Fatalf("ort: %s: batch %d: %v", c.Path, i, err)
			}
			for name, v := range wired {
				if _, err := blob.Write(v.Data); err != nil {
					t.Fatalf("ort: %v", err)
				}
				v.At, v.Bytes, v.Data = at, int64(len(v.Data)), nil
				at += v.Bytes
				wired[name] = v
			}
			w.Batches = append(w.Batches, wired)
		}
		req.Cases = append(req.Cases, w)
	}
	failed := process(dir, tmp, req)
	answer, err := os.ReadFile(req.Answer)
	if err != nil {
		return nil, errors.Join(failed, err)
	}
	data, err := os.Open(req.Answer + ".bin")
	if err != nil {
		return nil, errors.Join(failed, err)
	}
	defer data.Close()
	var out [][][]Attempt
	for line := range bytes.Lines(answer) {
		var got wireAnswer
		if json.Unmarshal(line, &got) != nil {
			break // cut short by the end of the process
		}
		out = append(out, got.attempts(data, len(cases[len(out)].Batches)))
	}
	return out, failed
}

// attempts reads the outputs from data; n is the number of batches.
func (w wireAnswer) attempts(data io.ReaderAt, n int) [][]Attempt {
	var out [][]Attempt
	for _, level := range w.Levels {
		if level.Error != "" {
			out = append(out, repeat(errors.New(level.Error), n))
			continue
		}
		if n == 0 {
			out = append(out, repeat(nil, 0))
			continue
		}
		all := repeat(ErrNotTried, n)
		for i, b := range level.Batches {
			if all[i].Err = nil; b.Error != "" {
				all[i].Err = errors.New(b.Error)
				continue
			}
			for name, v := range b.Outputs {
				v.Data = make([]byte, v.Bytes)
				if _, err := data.ReadAt(v.Data, v.At); err != nil && v.Bytes > 0 {
					all[i].Err = err
				}
				b.Outputs[name] = v
			}
			if all[i].Err == nil {
				all[i].Outputs, all[i].Err = fromWire(b.Outputs)
			}
		}
		out = append(out, all)
	}
	return out
}

// repeat is the same end for each of n batches, at least one.
func repeat(err error, n int) []Attempt { return slices.Repeat([]Attempt{{Err: err}}, max(n, 1)) }

// Rewrite asks for the model at From as ONNX Runtime writes it to To after the
// fusions of a level: basic, extended or all.
type Rewrite struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Level string `json:"level"`
}

// Optimize carries out the rewrites in one process. It skips and fails the test
// as [Run] does.
func Optimize(t testing.TB, rewrites []Rewrite) {
	t.Helper()
	Need(t)
	var done struct{}
	call(t, request{Kind: "optimize", Rewrites: rewrites}, &done)
}
