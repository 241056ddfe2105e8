package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/litekit/lite/internal/files"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// openModel opens what a flag or argument names.
func openModel(what, path string) (*onnx.Model, error) {
	if err := exist(what, path); err != nil {
		return nil, err
	}
	m, err := onnx.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if name := notNumbers(m); name != "" {
		return nil, fmt.Errorf("%s: the weight %s holds values that are not numbers (NaN): the file is damaged, or the training that made it diverged", what, name)
	}
	return m, nil
}

// notNumbers names the first float32 weight that holds a NaN, of which nothing
// good can come: logits that are all NaN still have a first class.
func notNumbers(m *onnx.Model) string {
	for _, t := range m.Graph.Initializers {
		if t.Type != onnx.Float {
			continue
		}
		values, err := t.Floats()
		if err != nil {
			continue // whoever needs it reports it
		}
		for _, v := range values {
			if v != v {
				return t.Name
			}
		}
	}
	return ""
}

// The names of the model file in a directory.
const (
	floatFile = "model.onnx"
	int8File  = "model_quantized.onnx"
)

// output is where a model goes.
type output struct {
	app   *app
	path  string
	file  string // floatFile or int8File, within a directory
	force bool
	// external keeps the weights in a file of their own beside the model.
	external bool
	// safetensors also writes the weights as PyTorch reads them.
	safetensors bool
	// rescue lets save write elsewhere what cannot be written here: where the
	// work in a model would be lost otherwise.
	rescue bool
}

func (o *output) register(g group, what string) {
	g.StringVar(&o.path, "out", "", "where "+what+" goes: a `directory`, or a bare file if it ends in .onnx")
	g.BoolVar(&o.external, "external-data", false, "keep the weights in a second file, NAME.onnx_data (done anyway above 2 GiB)")
	g.BoolVar(&o.force, "force", false, "write over the model itself, or into a directory that holds other files")
}

// registerWeights adds the flag of commands whose models have float weights.
func (o *output) registerWeights(g group) {
	g.BoolVar(&o.safetensors, "safetensors", false, "also write model.safetensors, which from_pretrained of Hugging Face loads")
}

func (o *output) bare() bool { return strings.EqualFold(filepath.Ext(o.path), ".onnx") }

// model is the path of the model file.
func (o *output) model() string {
	if o.bare() {
		return o.path
	}
	return filepath.Join(o.path, "onnx", o.file)
}

// check refuses an output that cannot be written, or that would mix with
// something else, before the work begins. inputs are the models read.
func (o *output) check(inputs ...string) error {
	if o.safetensors && o.bare() {
		return misfit.Errorf("--safetensors goes with a directory; %s is a bare file", o.path)
	}
	info, err := os.Stat(o.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return writable(filepath.Dir(filepath.Clean(o.path)))
	case err != nil:
		return misfit.Errorf("--out: %w", err)
	case o.bare() && info.IsDir():
		return misfit.Errorf("--out: %s is a directory; a name that ends in .onnx is for a bare model file", o.path)
	case !o.bare() && !info.IsDir():
		return misfit.Errorf("--out: %s is a file; name a directory, or a file that ends in .onnx", o.path)
	}
	if o.force {
		return nil
	}
	for _, in := range inputs {
		if other, err := os.Stat(in); err == nil && os.SameFile(info, other) && o.file != int8File {
			return misfit.Errorf("--out: %s is the model that is read; choose another directory, or give --force to replace it", o.path)
		}
		if o.replaces(in) {
			return misfit.Errorf("--out: %s is the file of the model that is read; choose another one, or give --force to replace it", o.model())
		}
	}
	if o.bare() {
		return nil
	}
	return o.checkDirectory(info, inputs)
}

// replaces tells whether the model's file is that of a model that is read.
func (o *output) replaces(in string) bool {
	target, err := os.Stat(o.model())
	if in == "" || err != nil {
		return false
	}
	for _, f := range []string{in, filepath.Join(in, "onnx", floatFile), filepath.Join(in, floatFile)} {
		if other, err := os.Stat(f); err == nil && os.SameFile(target, other) {
			return true
		}
	}
	return false
}

// checkDirectory refuses a directory that is not a model's own.
func (o *output) checkDirectory(dir fs.FileInfo, inputs []string) error {
	entries, err := os.ReadDir(o.path)
	if err != nil {
		return misfit.Errorf("--out: %w", err)
	}
	for _, e := range entries {
		if e.Name() != "onnx" && !modelFile(e.Name()) {
			return misfit.Errorf("--out: %s holds %s, which is no part of a model; choose another directory, or give --force", o.path, e.Name())
		}
	}
	if o.file != int8File {
		return nil
	}
	// Beside a float model of its own the int8 one is at home (the usual
	// layout); beside another's it would never be opened.
	for _, in := range inputs {
		if other, err := os.Stat(in); err == nil && os.SameFile(dir, other) {
			return nil
		}
	}
	for _, f := range []string{filepath.Join(o.path, "onnx", floatFile), filepath.Join(o.path, floatFile)} {
		if _, err := os.Stat(f); err == nil {
			return misfit.Errorf("--out: %s is there and would be opened in place of %s; choose another directory, or give --force", f, int8File)
		}
	}
	return nil
}

// tokenizerFiles are the files beside config.json that onnx.Open reads: those of
// the tokenizer, and those that say how hidden states are pooled.
var tokenizerFiles = []string{"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
	"vocab.txt", "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model", "spm.model", "tokenizer.model",
	onnx.ModulesFile, onnx.PoolingFile}

// modelFile reports whether a file of that name belongs to a model directory.
func modelFile(name string) bool {
	other := []string{"config.json", "generation_config.json", "README.md", ".gitattributes"}
	ext := filepath.Ext(strings.TrimSuffix(name, "_data"))
	return slices.Contains(tokenizerFiles, name) || name == filepath.Dir(onnx.PoolingFile) || slices.Contains(other, name) || ext == ".onnx" || ext == ".safetensors" || strings.HasPrefix(name, ".") && strings.HasSuffix(name, ".tmp")
}

// writable makes sure that something can be made in dir, or in the nearest
// folder above it that is there.
func writable(dir string) error {
	for {
		info, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir {
			dir = filepath.Dir(dir)
			continue
		}
		if err != nil {
			return misfit.Errorf("--out: %w", err)
		}
		if !info.IsDir() {
			return misfit.Errorf("--out: %s is a file, not a directory", dir)
		}
		f, err := os.CreateTemp(dir, ".lite-*.tmp")
		if err != nil {
			return misfit.Errorf("--out: nothing can be written in %s: %w", dir, err)
		}
		f.Close()
		return os.Remove(f.Name())
	}
}

// save writes the model and tells its file's size.
func (o *output) save(m *onnx.Model) (bytes int64, err error) {
	if o.safetensors {
		if m, err = withSafetensors(m); err != nil {
			o.app.progress.note("no %s: %v", student.SafetensorsFile, err)
		}
	}
	options := onnx.SaveOptions{ExternalData: o.external}
	if !o.bare() {
		options.File = o.file
	}
	saved, err := m.SaveWith(o.path, options)
	if err != nil && o.rescue {
		return 0, fmt.Errorf("--out: %w; %s", err, saveElsewhere(m))
	}
	if err == nil {
		err = o.sweep(m, saved)
	}
	if err != nil {
		return 0, fmt.Errorf("--out: %w", err)
	}
	return saved.Bytes, nil
}

// withSafetensors returns m with that file beside it; m itself if it cannot be made.
func withSafetensors(m *onnx.Model) (*onnx.Model, error) {
	file, err := student.EncodeSafetensors(m)
	if err != nil {
		return m, err
	}
	m = m.Clone()
	m.Files = maps.Clone(m.Files)
	if m.Files == nil {
		m.Files = map[string][]byte{}
	}
	m.Files[student.SafetensorsFile] = file
	return m, nil
}

// saveElsewhere writes a model among the temporary files and says where.
func saveElsewhere(m *onnx.Model) string {
	dir, err := os.MkdirTemp("", "lite-rescued-*")
	if err != nil {
		return fmt.Sprintf("nor can it be kept elsewhere: %v", err)
	}
	if err := m.Save(dir); err != nil {
		os.RemoveAll(dir)
		return fmt.Sprintf("nor can it be kept elsewhere: %v", err)
	}
	return fmt.Sprintf("as the last checkpoint could not be written either, the model is in %s: free some space and move it", dir)
}

// sweep removes what runs before have left: halves of files that a killed one
// was writing, the weights of a model that was replaced by one in a single file,
// and the tokenizer files of another model, which would be read as this one's.
func (o *output) sweep(m *onnx.Model, saved onnx.Saved) error {
	data := o.model() + "_data"
	if err := errors.Join(files.Sweep(o.model()), files.Sweep(data)); err != nil {
		return err
	}
	if saved.Data == "" {
		if err := o.removeOld(data); err != nil {
			return err
		}
	}
	if o.bare() {
		return nil
	}
	written := m.CompleteFiles()
	for _, name := range append(slices.Collect(maps.Keys(written)), "config.json") {
		if err := files.Sweep(filepath.Join(o.path, name)); err != nil {
			return err
		}
	}
	for _, name := range append(slices.Clone(tokenizerFiles), student.SafetensorsFile) {
		if _, ours := written[name]; ours {
			continue
		}
		if err := o.removeOld(filepath.Join(o.path, name)); err != nil {
			return err
		}
	}
	return nil
}

// removeOld removes a file of the model that was there before, and says so.
func (o *output) removeOld(file string) error {
	err := os.Remove(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		o.app.progress.note("removed %s of the model that was there before", file)
	}
	return err
}

// shortNames names models by the last part of their paths, by the whole paths
// where those would be the same, and numbers what is still the same.
func shortNames(paths []string) []string {
	names := make([]string, len(paths))
	for i, p := range paths {
		names[i] = filepath.Base(filepath.Clean(p))
	}
	if repeated(names) {
		names = slices.Clone(paths)
	}
	seen := map[string]int{}
	for i, n := range names {
		if seen[n]++; seen[n] > 1 {
			names[i] = fmt.Sprintf("%s (%d)", n, seen[n])
		}
	}
	return names
}

func repeated(names []string) bool {
	seen := map[string]bool{}
	for _, n := range names {
		if seen[n] {
			return true
		}
		seen[n] = true
	}
	return false
}
