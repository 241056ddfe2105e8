// Command make trains the embedded teacher of `lite demo` with lite itself:
//
//	go generate ./internal/demo
//
// It writes internal/demo/teacher; the same bytes on every machine with AVX2,
// whatever its number of cores. With -check it compares instead.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/litekit/lite/internal/demo"
	"github.com/litekit/lite/internal/synth"
	"github.com/litekit/lite/onnx"
)

func main() {
	check := flag.Bool("check", false, "compare with the teacher that is there; change nothing")
	flag.Parse()
	if err := run(*check); err != nil {
		fmt.Fprintln(os.Stderr, "make:", err)
		os.Exit(1)
	}
}

func run(check bool) error {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("go list: %w", err)
	}
	there := filepath.Join(strings.TrimSpace(string(root)), "internal", "demo", demo.TeacherDir)
	work, err := os.MkdirTemp("", "lite-teacher")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	made, err := train(strings.TrimSpace(string(root)), work)
	if err != nil {
		return err
	}
	if check {
		embedded := filepath.Join(work, "embedded")
		if err := demo.UnpackTeacher(embedded); err != nil {
			return err
		}
		return compare(made, embedded)
	}
	if err := os.RemoveAll(there); err != nil {
		return err
	}
	if err := os.CopyFS(there, os.DirFS(made)); err != nil {
		return err
	}
	return pack(filepath.Join(there, "onnx", "model.onnx"))
}

// round rounds the weights of a model directory to bfloat16, half of whose bytes
// are 0 as float32: they compress to half. What is lost is less than one run of
// training differs from another.
func round(dir string) error {
	m, err := onnx.Open(dir)
	if err != nil {
		return err
	}
	for i, t := range m.Graph.Initializers {
		if t.Type != onnx.Float {
			continue
		}
		v, err := t.Floats()
		if err != nil {
			return err
		}
		v = slices.Clone(v)
		for i, x := range v {
			b := math.Float32bits(x)
			b += 0x7fff + b>>16&1 // to the nearest, ties to even
			v[i] = math.Float32frombits(b &^ 0xffff)
		}
		m.Graph.Initializers[i] = onnx.NewFloats(t.Name, v, t.Dims...)
	}
	return m.Save(dir)
}

// pack compresses a file.
func pack(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+demo.Packed, z.EncodeAll(data, nil), 0o666); err != nil {
		return err
	}
	return os.Remove(path)
}

// train makes the teacher in a folder of work.
func train(root, work string) (string, error) {
	in := func(name string) string { return filepath.Join(work, name) }
	vocabulary := strings.Join(synth.Vocabulary(), "\n") + "\n"
	if err := errors.Join(
		os.WriteFile(in("vocab.txt"), []byte(vocabulary), 0o666),
		demo.WriteTeacherText(in("text.jsonl")),
		demo.WriteDev(in("dev.jsonl")),
	); err != nil {
		return "", err
	}
	args := demo.TeacherCommand(in("text.jsonl"), in("vocab.txt"), in("dev.jsonl"), in("teacher"))
	c := exec.Command("go", append([]string{"run", "./cmd/lite"}, args...)...)
	c.Dir, c.Stdout, c.Stderr = root, os.Stdout, os.Stderr
	if err := c.Run(); err != nil {
		return "", err
	}
	return in("teacher"), round(in("teacher"))
}

// compare reports the files of two folders that differ.
func compare(made, there string) error {
	n := 0
	err := filepath.WalkDir(made, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(made, path)
		if err != nil {
			return err
		}
		a, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(filepath.Join(there, name))
		if err != nil {
			return err
		}
		if !bytes.Equal(a, b) {
			return fmt.Errorf("%s is not what the script makes; run go generate ./internal/demo", name)
		}
		n++
		return nil
	})
	if err == nil {
		fmt.Printf("the embedded teacher's %d files are what the script makes\n", n)
	}
	return err
}
