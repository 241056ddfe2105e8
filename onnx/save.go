package onnx

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/files"
	"github.com/litekit/lite/internal/onnxpb"
)

// SaveOptions says how a model is written. The zero value is what [Model.Save] does.
type SaveOptions struct {
	// File is the name of the model file in a directory, such as
	// model_quantized.onnx; "" is model.onnx. A bare file has its name from the path.
	File string
	// ExternalData keeps the weights of at least 1 KiB in a second file,
	// <file>_data, each at a multiple of 4096 bytes, where it can be mapped. Models
	// that one file cannot hold (2 GiB) are written so in any case.
	ExternalData bool
}

// Saved tells what was written.
type Saved struct {
	// Model is the path of the model file, Data that of the file with its
	// weights, "" where they lie in the model.
	Model, Data string
	// Bytes is the size of both together.
	Bytes int64
}

// Save is [Model.SaveWith] without options.
func (m *Model) Save(path string) error {
	_, err := m.SaveWith(path, SaveOptions{})
	return err
}

// SaveAs is [Model.SaveWith] to a directory, with the model as dir/onnx/file.
func (m *Model) SaveAs(dir, file string) error {
	_, err := m.saveDir(dir, SaveOptions{File: file})
	return err
}

// SaveWith writes the model: to a bare file if path ends in .onnx, else to a
// directory in the layout of Hugging Face: config.json and the tokenizer's files
// (see [Model.CompleteFiles]) in path, the model as path/onnx/File. Folders are
// made if needed.
//
// A file is written under a temporary name, synced and renamed, so that the old
// one is whole until the new one is, and a model may be saved over the file it
// was opened from. Weights kept in other files are taken into the model or the
// one data file. A model with a data file is never seen with another's weights:
// see [SaveOptions.ExternalData]; where both were there, the new data stands
// under a temporary name, which the model names, until the old data is replaced.
// Weights are written from where they lie and not copied.
func (m *Model) SaveWith(path string, o SaveOptions) (Saved, error) {
	if !isModelName(path) {
		if o.File == "" {
			o.File = "model.onnx"
		}
		return m.saveDir(path, o)
	}
	if o.File != "" && o.File != filepath.Base(path) {
		return Saved{}, fmt.Errorf("onnx: SaveOptions.File is %q, but the path names the file %s; leave File empty", o.File, path)
	}
	return m.saveFile(path, o.ExternalData)
}

// saveDir is SaveWith for a directory.
func (m *Model) saveDir(dir string, o SaveOptions) (Saved, error) {
	if o.File != filepath.Base(o.File) || !isModelName(o.File) {
		return Saved{}, fmt.Errorf("onnx: %q is not the name of a model file; use a plain name such as model_quantized.onnx", o.File)
	}
	for name := range m.Files {
		if name == PoolingFile {
			continue
		}
		if name != filepath.Base(name) || name == "." || name == ".." || name == "config.json" || isModelName(name) {
			return Saved{}, fmt.Errorf("onnx: Files: %q cannot stand beside the model; use plain names such as tokenizer.json", name)
		}
	}
	files := map[string][]byte{}
	maps.Copy(files, m.CompleteFiles())
	if m.Config != nil {
		var err error
		if files["config.json"], err = m.Config.encode(); err != nil {
			return Saved{}, err
		}
	}
	return m.saveAll(dir, o, files)
}

// saveAll writes the model and the files beside it. All of them are written
// under temporary names before the first is put in place, so that a full disk
// leaves a model that is there as it is, with the files that belong to it.
func (m *Model) saveAll(dir string, o SaveOptions, beside map[string][]byte) (saved Saved, err error) {
	sub := filepath.Join(dir, "onnx")
	made := missing(sub)
	temps := map[string]string{}
	defer func() {
		for _, temp := range temps {
			_ = os.Remove(temp)
		}
		for _, path := range made {
			if err != nil {
				_ = os.Remove(path) // stays where something is in it
			}
		}
	}()
	if err := os.MkdirAll(sub, 0o777); err != nil {
		return saved, fmt.Errorf("onnx: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(beside)) {
		if folder := filepath.Dir(filepath.Join(dir, name)); folder != filepath.Clean(dir) {
			made = append(missing(folder), made...)
			if err := os.MkdirAll(folder, 0o777); err != nil {
				return saved, fmt.Errorf("onnx: %w", err)
			}
		}
		if temps[name], err = writeTemp(filepath.Join(dir, name), bytesTo(beside[name])); err != nil {
			delete(temps, name)
			return saved, err
		}
	}
	if saved, err = m.saveFile(filepath.Join(sub, o.File), o.ExternalData); err != nil {
		return saved, err
	}
	for _, name := range slices.Sorted(maps.Keys(beside)) {
		if err := os.Rename(temps[name], filepath.Join(dir, name)); err != nil {
			return saved, fmt.Errorf("onnx: %w; the old file is unchanged", err)
		}
		delete(temps, name)
	}
	if err := files.SyncDir(dir); err != nil {
		return saved, fmt.Errorf("onnx: %s: %w", dir, err)
	}
	return saved, nil
}

// missing lists the folders that are not there yet, the innermost first.
func missing(dir string) (out []string) {
	for {
		if _, err := os.Lstat(dir); err == nil || filepath.Dir(dir) == dir {
			return out
		}
		out = append(out, dir)
		dir = filepath.Dir(dir)
	}
}

// CompleteFiles returns Files with the tokenizer's missing ones added: a model
// that came with vocab.txt alone gets tokenizer.json and tokenizer_config.json,
// without which transformers.js cannot open a directory. A tokenizer that lite
// cannot read is left as it is.
func (m *Model) CompleteFiles() map[string][]byte {
	files := maps.Clone(m.Files)
	tok, err := corpus.LoadTokenizer(m.Files)
	if err != nil {
		return files
	}
	for name, data := range tok.Files() {
		if _, ok := files[name]; !ok {
			files[name] = data
		}
	}
	return files
}

func bytesTo(b []byte) func(io.Writer) error {
	return func(w io.Writer) error { _, err := w.Write(b); return err }
}

func messageTo(msg *onnxpb.Message) func(io.Writer) error {
	return func(w io.Writer) error { _, err := msg.WriteTo(w); return err }
}

// writeFile replaces the file at path.
func writeFile(path string, write func(io.Writer) error) error {
	temp, err := writeTemp(path, write)
	if err != nil {
		return err
	}
	if err := rename(temp, path); err != nil {
		_ = os.Remove(temp) // gone where it was renamed
		return err
	}
	return nil
}

// writeTemp writes and syncs a temporary file beside path and returns its name.
func writeTemp(path string, write func(io.Writer) error) (string, error) {
	temp, err := files.Temp(path, write)
	if err != nil {
		return "", fmt.Errorf("onnx: cannot write %s: %w; the old file, if any, is unchanged", path, err)
	}
	return temp, nil
}
