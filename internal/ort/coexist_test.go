package ort_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/litekit/lite/internal/demo"
	"github.com/litekit/lite/internal/ort"
	"github.com/litekit/lite/onnx"
)

// patience bounds each command of TestBesideHugot; building takes half a minute
// where nothing is in the caches.
const patience = 4 * time.Minute

// TestBesideHugot builds and runs a program of a module of its own that uses
// lite, hugot and onnx-gomlx (testdata/coexist). Two packages that register one
// protobuf message make a program panic as it starts; and hugot, in pure Go, must
// answer from a directory that lite wrote as lite does.
//
// The modules come from the module proxy. Where it cannot be reached the test is
// skipped, unless the peers are installed: what installed them has a network.
func TestBesideHugot(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program with many dependencies")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go command here to build a program with")
	}
	dir := t.TempDir()
	module := filepath.Join(dir, "module")
	copyFile(t, "testdata/coexist/main.go", filepath.Join(module, "main.go"))
	copyFile(t, "testdata/coexist/go.mod", filepath.Join(module, "go.mod"))
	here, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	goCommand(t, module, "mod", "edit", "-replace", "github.com/litekit/lite="+here)
	if out, err := runGo(module, "list", "-mod=mod", "-deps", "."); err != nil {
		if _, peers := ort.Available(); !peers && unreachable(out) {
			t.Skipf("the module proxy cannot be reached: %s", firstLine(out))
		}
		t.Fatalf("%v\n%s", err, out)
	}
	program := filepath.Join(dir, "coexist.exe")
	goCommand(t, module, "build", "-mod=mod", "-o", program, ".")

	model := filepath.Join(dir, "model")
	flatDemo(t, dir, model)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, program, model, "The coach praised the striker after the match.")
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("the program: %v\n%.3000s", err, errs.String())
	}
	type answer struct {
		Label string
		Score float64
	}
	var got struct {
		Lite, Hugot answer
		GomlxInputs []string
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if got.Lite.Label != "sports" || got.Hugot.Label != got.Lite.Label || !(math.Abs(got.Hugot.Score-got.Lite.Score) < 1e-4) {
		t.Errorf("lite answers %v, hugot %v; want both the same, and sports", got.Lite, got.Hugot)
	}
	if !slices.Contains(got.GomlxInputs, "input_ids") {
		t.Errorf("onnx-gomlx reads the inputs %q", got.GomlxInputs)
	}
}

// flatDemo writes the embedded teacher into one folder, as hugot reads it.
func flatDemo(t *testing.T, dir, model string) {
	t.Helper()
	if err := demo.Unpack(filepath.Join(dir, "demo")); err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Open(filepath.Join(dir, "demo", "teacher"))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Save(model); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(model, "onnx", "model.onnx"), filepath.Join(model, "model.onnx")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(model, "onnx")); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = errors.Join(os.MkdirAll(filepath.Dir(to), 0o777), os.WriteFile(to, data, 0o666))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func goCommand(t *testing.T, dir string, args ...string) {
	t.Helper()
	if out, err := runGo(dir, args...); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// runGo runs the go command in a module of its own, without cgo.
func runGo(dir string, args ...string) (output string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-buildvcs=false")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// unreachable tells an error of the network in what the go command says.
func unreachable(output string) bool {
	return slices.ContainsFunc([]string{"dial tcp", "no such host", "i/o timeout", "connection refused", "network is unreachable",
		"TLS handshake timeout", "proxyconnect", "module lookup disabled", "server misbehaving", "Bad Gateway", "Service Unavailable"},
		func(s string) bool { return strings.Contains(output, s) })
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
