// Package demo holds what `lite demo` runs on: an embedded teacher, the corpus
// it was trained for, and the commands that compress it.
package demo

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/synth"
)

//go:generate go run ./make

// teacher is a model directory: a classifier of topics, 3 layers of width 128,
// made by ./make. Its weights are rounded to bfloat16, and the ONNX file, in which
// they are float32, is compressed by zstd to half its size.
//
//go:embed teacher
var teacher embed.FS

// The corpora, by seed and size. The teacher has seen labels of its own
// documents; the demo has many documents and few labels.
const (
	teacherSeed, teacherDocuments = 1, 12000
	devSeed, devDocuments         = 2, 1000
	trainSeed, trainDocuments     = 3, 4000
	labels                        = 300
	maxLength                     = "96"
)

// The names of what [Unpack] writes.
const (
	TeacherDir = "teacher"
	TrainFile  = "train.jsonl"
	DevFile    = "dev.jsonl"
)

// Packed is what the name of a file ends with that is compressed.
const Packed = ".zst"

// Unpack writes the teacher and the corpora into dir.
func Unpack(dir string) error {
	err := UnpackTeacher(filepath.Join(dir, TeacherDir))
	if err == nil {
		err = write(filepath.Join(dir, TrainFile), trainSeed, trainDocuments)
	}
	if err == nil {
		err = write(filepath.Join(dir, DevFile), devSeed, devDocuments)
	}
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

// UnpackTeacher writes the teacher alone, as the directory dir.
func UnpackTeacher(dir string) error {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return err
	}
	defer z.Close()
	root, err := fs.Sub(teacher, TeacherDir)
	if err != nil {
		return err
	}
	return fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(path))
		if d.IsDir() {
			return os.MkdirAll(to, 0o777)
		}
		data, err := fs.ReadFile(root, path)
		if err != nil {
			return err
		}
		if name, packed := strings.CutSuffix(to, Packed); packed {
			to = name
			if data, err = z.DecodeAll(data, nil); err != nil {
				return fmt.Errorf("the embedded %s: %w", path, err)
			}
		}
		return os.WriteFile(to, data, 0o666)
	})
}

// WriteTeacherText writes the labelled documents that the teacher learns from,
// WriteDev those that models are measured on.
func WriteTeacherText(path string) error { return write(path, teacherSeed, teacherDocuments) }

// WriteDev is described at [WriteTeacherText].
func WriteDev(path string) error { return write(path, devSeed, devDocuments) }

func write(path string, seed uint64, documents int) error {
	var b bytes.Buffer
	c := corpus.FromExamples(synth.Documents(synth.Default(seed, documents)), synth.Topics())
	if err := corpus.WriteJSONL(&b, c); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o666)
}

// TeacherCommand is how the teacher was trained, as arguments of lite.
func TeacherCommand(data, vocab, dev, out string) []string {
	return []string{"train", "--student", "3x128", "--tokenizer", vocab, "--data", data, "--epochs", "3", "--lr", "1e-3",
		"--max-length", maxLength, "--seed", "1", "--dev", dev, "--out", out}
}

// Step is one command of the demo and why it is run.
type Step struct {
	Why  string
	Args []string
}

// Steps are the commands that compress the teacher in dir and compare what
// comes out.
func Steps(dir string) []Step {
	in := func(name string) string { return filepath.Join(dir, name) }
	few := fmt.Sprint(labels)
	beside := []string{"--alpha-ce", "0.1", "--alpha-mlm", "0.1", "--alpha-pos", "0.1", "--alpha-ner", "0.1", "--alpha-sop", "0.2"}
	training := []string{"--lr", "1e-3", "--max-length", maxLength, "--seed", "1", "--force"}
	join := func(parts ...[]string) (out []string) {
		for _, p := range parts {
			out = append(out, p...)
		}
		return out
	}
	return []Step{
		{
			fmt.Sprintf("A small student learns from the teacher on %d documents, %d of them labelled, with masked words, tags and sentence order beside it.", trainDocuments, labels),
			join([]string{"distill", "--teacher", in(TeacherDir), "--data", in(TrainFile), "--limit-labels", few, "--student", "2x64x4"}, beside,
				[]string{"--epochs", "6"}, training, []string{"--out", in("student")}),
		},
		{
			"The same student without the teacher: the same documents, labels, losses and number of steps.",
			join([]string{"train", "--tokenizer", in(TeacherDir), "--data", in(TrainFile), "--text", in(TrainFile), "--limit-labels", few, "--student", "2x64x4", "--alpha-ce", "1"}, beside[2:],
				[]string{"--steps", fmt.Sprint(6 * trainDocuments / 32)}, training, []string{"--out", in("alone")}),
		},
		{
			"A quarter of the student's heads and neurons goes; an epoch under the teacher lets the rest recover.",
			join([]string{"prune", "--model", in("student"), "--sparsity", "0.25", "--teacher", in(TeacherDir), "--data", in(TrainFile), "--recover-epochs", "1"}, training, []string{"--out", in("pruned")}),
		},
		{
			"Weights and activations become int8.",
			[]string{"quantize", "--model", in("pruned"), "--mode", "dynamic", "--force", "--out", in("int8")},
		},
		{
			"What was lost and won, on documents that no model has seen.",
			[]string{"eval", in(TeacherDir), in("alone"), in("student"), in("pruned"), in("int8"), "--data", in(DevFile), "--max-length", maxLength, "--latency", "1x64"},
		},
	}
}
