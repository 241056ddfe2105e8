// Package ort lets tests ask ONNX Runtime and transformers.js what a model
// that lite wrote computes. It is imported by tests only and knows nothing of
// lite's own types, so that every room's tests may use it.
//
// The peers are Node.js packages, kept outside the repository: the environment
// variable LITE_ORT names the folder that holds their node_modules (`make
// peers` installs it). Without the variable the functions here skip the test;
// with it, anything that does not work fails the test.
package ort

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Env is the environment variable that names the folder with node_modules.
const Env = "LITE_ORT"

// patience is how long one Node.js process may take.
const patience = 5 * time.Minute

//go:embed testdata/peer.cjs
var script string

// Available returns the folder that holds the peers' node_modules, and whether
// there is one.
func Available() (dir string, ok bool) {
	dir = os.Getenv(Env)
	return dir, dir != ""
}

// Need skips the test unless the peers are available.
func Need(t testing.TB) {
	t.Helper()
	if _, ok := Available(); !ok {
		t.Skipf("%s is not set: it names the folder whose node_modules hold onnxruntime-node and @huggingface/transformers (make install-peers installs them)", Env)
	}
}

// Run opens the ONNX file at path in ONNX Runtime, runs it once for each batch
// of named inputs and returns the outputs of each, by name, all in one process.
// It skips the test where [Available] is false and fails it where ONNX Runtime
// refuses the file or an input.
func Run(t testing.TB, path string, batches []map[string]Tensor) []map[string]Tensor {
	t.Helper()
	Need(t)
	req := request{Kind: "run", Model: absolute(t, path)}
	for i, b := range batches {
		wired, err := toWire(b)
		if err != nil {
			t.Fatalf("ort: batch %d: %v", i, err)
		}
		req.Batches = append(req.Batches, wired)
	}
	var got []map[string]wire
	call(t, req, &got)
	out := make([]map[string]Tensor, len(got))
	for i, b := range got {
		var err error
		if out[i], err = fromWire(b); err != nil {
			t.Fatalf("ort: batch %d: %v", i, err)
		}
	}
	return out
}

// Saver is a model that can write itself to a file, such as *onnx.Model.
type Saver interface{ Save(path string) error }

// RunModel is [Run] on a model in memory, which it saves to a temporary file.
func RunModel(t testing.TB, m Saver, batches []map[string]Tensor) []map[string]Tensor {
	t.Helper()
	Need(t)
	path := filepath.Join(t.TempDir(), "model.onnx")
	if err := m.Save(path); err != nil {
		t.Fatalf("ort: save: %v", err)
	}
	return Run(t, path, batches)
}

// Answer is one answer of a pipeline. Which fields are set depends on the task:
// Label for text-classification; Entity, Word and Index for
// token-classification; Token, TokenStr and Sequence for fill-mask.
type Answer struct {
	Label    string  `json:"label"`
	Score    float64 `json:"score"`
	Entity   string  `json:"entity"`
	Word     string  `json:"word"`
	Index    int     `json:"index"` // position in the sequence, [CLS] is 0
	Token    int     `json:"token"`
	TokenStr string  `json:"token_str"`
	Sequence string  `json:"sequence"`
}

// Pipeline opens the directory dir in transformers.js, from the disk alone, and
// returns the answers of its pipeline to each text: for text-classification
// every class, best first; for token-classification every token that is not
// "O", for fill-mask the five best tokens. dtype is "fp32" for onnx/model.onnx
// or "q8" for onnx/model_quantized.onnx.
func Pipeline(t testing.TB, dir, task string, texts []string, dtype string) [][]Answer {
	t.Helper()
	Need(t)
	var out [][]Answer
	call(t, request{Kind: "pipeline", Model: absolute(t, dir), Task: task, Texts: texts, DType: dtype}, &out)
	if len(out) != len(texts) {
		t.Fatalf("ort: pipeline %s: %d answers to %d texts", task, len(out), len(texts))
	}
	return out
}

// Tokens returns the token ids that transformers.js's tokenizer in dir gives
// each text, special tokens added, from one process.
func Tokens(t testing.TB, dir string, texts []string) [][]int64 {
	t.Helper()
	Need(t)
	var out [][]int64
	call(t, request{Kind: "tokens", Model: absolute(t, dir), Texts: texts}, &out)
	return out
}

// request is what the script reads on its standard input.
type request struct {
	Kind    string            `json:"kind"`
	Answer  string            `json:"answer"` // the file to write
	Model   string            `json:"model"`
	Cases   []wireCase        `json:"cases,omitempty"`
	Blob    string            `json:"blob,omitempty"`   // the file that holds the elements of cases
	Enough  int               `json:"enough,omitempty"` // how many batches of a case need to run
	Batches []map[string]wire `json:"batches,omitempty"`
	Task    string            `json:"task,omitempty"`
	Texts   []string          `json:"texts,omitempty"`
	DType   string            `json:"dtype,omitempty"`

	Rewrites []Rewrite `json:"rewrites,omitempty"`
}

// call runs the script on req in one Node.js process and decodes its answer.
func call(t testing.TB, req request, answer any) {
	t.Helper()
	dir, _ := Available()
	if err := ask(dir, req, answer); err != nil {
		t.Fatalf("ort: %s %s: %v", req.Kind, req.Model, err)
	}
}

// ask runs the script on req with the packages below dir and decodes its answer.
// The script answers in a file, so that whatever the libraries print cannot mix with it.
func ask(dir string, req request, answer any) error {
	tmp, err := os.MkdirTemp("", "lite-ort-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	req.Answer = filepath.Join(tmp, "answer.json")
	if err := process(dir, tmp, req); err != nil {
		return err
	}
	data, err := os.ReadFile(req.Answer)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, answer); err != nil {
		return fmt.Errorf("the answer is not what was asked for: %w", err)
	}
	return nil
}

// process runs the script once, in the folder tmp.
func process(dir, tmp string, req request) error {
	in, err := json.Marshal(req)
	if err != nil {
		return err
	}
	modules, err := filepath.Abs(filepath.Join(dir, "node_modules"))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, "node", "-e", script)
	cmd.Dir = tmp
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w\n%s", err, tail(said.Bytes(), 4000))
	}
	return nil
}

// tail returns the last n bytes of b.
func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

func absolute(t testing.TB, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatalf("ort: %v", err)
	}
	return abs
}
