package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/litekit/lite/student"
)

//go:embed ort.cjs
var ortScript string

//go:embed torch-train.py
var torchScript string

var background = context.Background()

// figures are what one turn measured; the names are those of `lite bench --json`.
type figures struct {
	Median float64 `json:"median_ms"`
	Load   float64 `json:"load_ms"`
	Peak   float64 `json:"peak_mb"`
}

// read runs a program that prints figures.
func read(cmd *exec.Cmd) (figures, error) {
	var f figures
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return f, fmt.Errorf("%s: %w", filepath.Base(cmd.Path), err)
	}
	if err := json.Unmarshal(out, &f); err != nil || f.Median <= 0 {
		return f, fmt.Errorf("%s printed %q, which is no measurement", filepath.Base(cmd.Path), out)
	}
	return f, nil
}

// timeLite times the model with all kernels of the machine, or only up to those that
// are named.
func (b *bench) timeLite(file string, x batch, threads int, kernels string) (figures, error) {
	args := []string{"bench", file, "--json", "--batch", strconv.Itoa(x.b), "--threads", strconv.Itoa(threads),
		"--warmup", strconv.Itoa(b.warmup), "--runs", strconv.Itoa(b.runs)}
	if x.shortest > 0 {
		args = append(args, "--lengths", fmt.Sprintf("%d-%d", x.shortest, x.s))
	} else {
		args = append(args, "--seq", strconv.Itoa(x.s))
	}
	return read(limited(exec.Command(b.lite, args...), kernels))
}

// limited keeps lite, and PyTorch, to the instructions that LITE_KERNEL names.
func limited(cmd *exec.Cmd, kernels string) *exec.Cmd {
	if kernels != "" {
		cmd.Env = append(os.Environ(), "LITE_KERNEL="+kernels)
	}
	if kernels == "avx2" {
		cmd.Env = append(cmd.Env, "ATEN_CPU_CAPABILITY=avx2", "ONEDNN_MAX_CPU_ISA=AVX2", "OPENBLAS_CORETYPE=Haswell")
	}
	return cmd
}

func (b *bench) timeORT(file string, x batch) (figures, error) {
	dir := os.Getenv("LITE_ORT")
	if dir == "" {
		return figures{}, errors.New("LITE_ORT is not set; start bench/run, which installs ONNX Runtime")
	}
	modules, err := filepath.Abs(filepath.Join(dir, "node_modules"))
	if err != nil {
		return figures{}, err
	}
	args := []string{"-e", ortScript, "ort.cjs", file}
	for _, n := range []int{x.b, x.s, x.shortest, b.threads, b.warmup, b.runs} {
		args = append(args, strconv.Itoa(n))
	}
	cmd := exec.Command("node", args...)
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	return read(cmd)
}

func shapeArgs(s student.Shape, x batch) []int {
	return []int{s.Layers, s.Hidden, s.Heads, s.FFN, s.Vocab, x.b, x.s}
}

func (b *bench) timeLiteStep(s student.Shape, x batch, threads int, kernels string) (figures, error) {
	args := []string{"bench", "train", "--json", "--threads", strconv.Itoa(threads), "--steps", strconv.Itoa(steps)}
	for i, flag := range []string{"--layers", "--hidden", "--heads", "--ffn", "--vocab", "--batch", "--seq"} {
		args = append(args, flag, strconv.Itoa(shapeArgs(s, x)[i]))
	}
	return read(limited(exec.Command(b.lite, args...), kernels))
}

// steps of training in a turn.
const steps = 3

func (b *bench) timeTorchStep(s student.Shape, x batch, kernels string) (figures, error) {
	python, err := torch()
	if err != nil {
		return figures{}, err
	}
	args := []string{"-c", torchScript}
	for _, n := range append(shapeArgs(s, x), b.threads, steps) {
		args = append(args, strconv.Itoa(n))
	}
	return read(limited(exec.Command(python, args...), kernels))
}

// torch finds a Python that has PyTorch.
func torch() (string, error) {
	tried := []string{os.Getenv("LITE_PYTHON"), "python3", "/usr/bin/python3"}
	for _, p := range tried {
		if p != "" && exec.Command(p, "-c", "import torch").Run() == nil {
			return p, nil
		}
	}
	return "", errors.New("no Python with PyTorch found; install it (Debian: python3-torch) and name the interpreter in LITE_PYTHON")
}

// timeProcess times the program from start to end.
func (b *bench) timeProcess(args ...string) (figures, error) {
	cmd := exec.Command(b.lite, args...)
	start := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return figures{}, fmt.Errorf("lite %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return figures{Median: float64(time.Since(start).Microseconds()) / 1e3, Peak: peakOf(cmd.ProcessState)}, nil
}
