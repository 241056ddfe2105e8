package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/quantize"
	"github.com/litekit/lite/student"
)

// size is an encoder of the tables.
type size struct {
	name  string
	shape student.Shape
}

var sizes = []size{
	{"4x312", student.Shape{Layers: 4, Hidden: 312, Heads: 12, FFN: 1200, Vocab: 21128}},
	{"6x384", student.Shape{Layers: 6, Hidden: 384, Heads: 12, FFN: 1536, Vocab: 30522}},
	{"12x768", student.Shape{Layers: 12, Hidden: 768, Heads: 12, FFN: 3072, Vocab: 30522}},
}

// batch is B sequences of S tokens, or of mixed lengths from the shortest on.
type batch struct{ b, s, shortest int }

func (x batch) String() string {
	if x.shortest > 0 {
		return fmt.Sprintf("%d×%d–%d", x.b, x.shortest, x.s)
	}
	return fmt.Sprintf("%d×%d", x.b, x.s)
}

var (
	shapes = []batch{{1, 32, 0}, {1, 128, 0}, {8, 128, 0}}
	mixed  = []batch{{8, 128, 8}, {16, 128, 8}}
)

func parts() []part {
	return []part{
		{"float", []string{"model", "batch", "lite ms", "ONNX Runtime ms", "ratio"}, 2, 4, encoderRows("", shapes)},
		{"int8", []string{"model", "batch", "lite ms", "ONNX Runtime ms", "ratio"}, 2, 4, encoderRows("-int8", shapes)},
		{"int8-own", []string{"model", "batch", "lite ms", "ONNX Runtime ms", "ratio"}, 2, 4, ownRows},
		{"int8-over-float", []string{"model", "batch", "int8 ms", "float ms", "ratio"}, 2, 4, overFloatRows("")},
		{"int8-over-float-avx2", []string{"model", "batch", "int8 ms", "float ms", "ratio"}, 2, 4, overFloatRows("avx2")},
		{"mixed", []string{"model", "batch", "lite ms", "ONNX Runtime ms", "ratio"}, 2, 4, encoderRows("", mixed)},
		{"mixed-int8", []string{"model", "batch", "lite ms", "ONNX Runtime ms", "ratio"}, 2, 4, encoderRows("-int8", mixed)},
		{"threads", []string{"work", "batch", "1 thread ms", "2 threads ms", "ratio"}, 2, 4, threadRows},
		{"train", []string{"student", "batch", "lite ms", "PyTorch ms", "ratio", "lite MiB", "PyTorch MiB", "memory"}, 2, 4, trainRows("")},
		{"train-avx2", []string{"student", "batch", "lite ms", "PyTorch ms", "ratio", "lite MiB", "PyTorch MiB", "memory"}, 2, 4, trainRows("avx2")},
		{"files", []string{"work", "ms", "peak MiB", "peak over the file"}, 1, -1, fileRows},
		{"stream", []string{"corpus", "examples", "million tokens", "read MB/s", "tokenized million/s", "masked million/s", "seconds", "peak MiB"}, 1, -1, streamRows},
	}
}

// encoderRows compare with ONNX Runtime on the same file.
func encoderRows(kind string, batches []batch) func(*bench) []row {
	return func(b *bench) (out []row) {
		for _, m := range sizes {
			for _, x := range batches {
				out = append(out, b.besideORT(m.name, x, func() (string, error) { return b.model(m.name + kind) }))
			}
		}
		return out
	}
}

// ownRows are those of files that ONNX Runtime's own quantizer made.
func ownRows(b *bench) (out []row) {
	for _, file := range strings.FieldsFunc(b.own, func(r rune) bool { return r == ',' }) {
		for _, x := range shapes {
			out = append(out, b.besideORT(filepath.Base(file), x, func() (string, error) { return file, nil }))
		}
	}
	return out
}

func (b *bench) besideORT(name string, x batch, model func() (string, error)) row {
	return row{name + " " + x.String(), func() ([]string, error) {
		file, err := model()
		if err != nil {
			return nil, err
		}
		t, err := b.turns(
			func() (figures, error) { return b.timeLite(file, x, b.threads, "") },
			func() (figures, error) { return b.timeORT(file, x) })
		if err != nil {
			return nil, err
		}
		return []string{name, x.String(), number(t[0].Median, 2), number(t[1].Median, 2), number(t[1].Median/t[0].Median, 2)}, nil
	}}
}

// overFloatRows compare our int8 with our float32, with the kernels that LITE_KERNEL
// may name.
func overFloatRows(kernels string) func(*bench) []row {
	return func(b *bench) (out []row) {
		for _, m := range sizes {
			for _, x := range shapes[1:] {
				out = append(out, row{m.name + " " + x.String(), func() ([]string, error) {
					var files [2]string
					for i, kind := range []string{"-int8", ""} {
						var err error
						if files[i], err = b.model(m.name + kind); err != nil {
							return nil, err
						}
					}
					t, err := b.turns(
						func() (figures, error) { return b.timeLite(files[0], x, b.threads, kernels) },
						func() (figures, error) { return b.timeLite(files[1], x, b.threads, kernels) })
					if err != nil {
						return nil, err
					}
					return []string{m.name, x.String(), number(t[0].Median, 2), number(t[1].Median, 2), number(t[1].Median/t[0].Median, 2)}, nil
				}})
			}
		}
		return out
	}
}

// trainings are the steps that are compared with PyTorch.
var trainings = []struct {
	size
	batch
}{
	{sizes[0], batch{b: 32, s: 128}},
	{sizes[1], batch{b: 16, s: 128}},
	{size{"4x256", student.Shape{Layers: 4, Hidden: 256, Heads: 4, FFN: 1024, Vocab: 8000}}, batch{b: 32, s: 64}},
}

// trainRows compare with PyTorch, both with the kernels that LITE_KERNEL may name.
func trainRows(kernels string) func(*bench) []row {
	return func(b *bench) (out []row) {
		for _, w := range trainings {
			out = append(out, row{w.name, func() ([]string, error) {
				t, err := b.turns(
					func() (figures, error) { return b.timeLiteStep(w.shape, w.batch, b.threads, kernels) },
					func() (figures, error) { return b.timeTorchStep(w.shape, w.batch, kernels) })
				if err != nil {
					return nil, err
				}
				return []string{w.name, w.batch.String(), number(t[0].Median, 0), number(t[1].Median, 0), number(t[1].Median/t[0].Median, 2),
					number(t[0].Peak, 0), number(t[1].Peak, 0), number(t[0].Peak/t[1].Peak, 2)}, nil
			}})
		}
		return out
	}
}

// threadRows compare one thread with two.
func threadRows(b *bench) (out []row) {
	add := func(work string, x batch, time func(threads int) (figures, error)) {
		out = append(out, row{work + " " + x.String(), func() ([]string, error) {
			t, err := b.turns(
				func() (figures, error) { return time(1) },
				func() (figures, error) { return time(2) })
			if err != nil {
				return nil, err
			}
			return []string{work, x.String(), number(t[0].Median, 1), number(t[1].Median, 1), number(t[0].Median/t[1].Median, 2)}, nil
		}})
	}
	for _, kind := range []string{"", "-int8"} {
		for _, m := range sizes {
			add(m.name+kind, shapes[2], func(threads int) (figures, error) {
				file, err := b.model(m.name + kind)
				if err != nil {
					return figures{}, err
				}
				return b.timeLite(file, shapes[2], threads, "")
			})
		}
	}
	w := trainings[0]
	add("training "+w.name, w.batch, func(threads int) (figures, error) { return b.timeLiteStep(w.shape, w.batch, threads, "") })
	return out
}

// fileRows are what is done to the largest file.
func fileRows(b *bench) []row {
	large := sizes[len(sizes)-1]
	make := func(name, note string, f func(file string) (figures, error)) row {
		return row{name, func() ([]string, error) {
			file, err := b.model(large.name)
			if err != nil {
				return nil, err
			}
			info, err := os.Stat(file)
			if err != nil {
				return nil, err
			}
			t, err := b.turns(func() (figures, error) { return f(file) })
			if err != nil {
				return nil, err
			}
			bytes := float64(info.Size()) / (1 << 20)
			return []string{fmt.Sprintf("%s %.0f MiB%s", name, bytes, note), number(t[0].Median, 0), number(t[0].Peak, 0), number(t[0].Peak/bytes, 2)}, nil
		}}
	}
	return []row{
		make("open", ", as lite inspect does", func(file string) (figures, error) { return b.timeProcess("inspect", file) }),
		make("quantize", ", dynamic", func(file string) (figures, error) {
			out, err := os.MkdirTemp(b.dir, "quantized-*")
			if err != nil {
				return figures{}, err
			}
			defer os.RemoveAll(out)
			return b.timeProcess("quantize", "--model", file, "--out", filepath.Join(out, "int8"), "--quiet")
		}),
	}
}

// make writes a model of the tables.
func (b *bench) make(name string) error {
	base, int8 := strings.CutSuffix(name, "-int8")
	for _, s := range sizes {
		if s.name != base {
			continue
		}
		if err := os.MkdirAll(b.dir, 0o777); err != nil {
			return err
		}
		m, err := student.New(s.shape, []student.Head{student.Classification([]string{"negative", "positive"})}, 1)
		if err != nil {
			return err
		}
		if int8 {
			c := quantize.Default()
			c.Mode = quantize.Dynamic
			if m, err = quantized(m, c); err != nil {
				return err
			}
		}
		return m.Save(filepath.Join(b.dir, name+".onnx"))
	}
	return fmt.Errorf("no model is called %q", name)
}

func quantized(m *onnx.Model, c quantize.Config) (*onnx.Model, error) {
	out, _, err := quantize.Run(background, m, c)
	return out, err
}
