package onnx

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/onnxpb"
)

// Save writes the model: to a bare file if path ends in .onnx, else to a
// directory as [Model.SaveAs] with model.onnx.
//
// A file is written under a temporary name, synced and renamed, so that the
// old one is whole until the new one is, and a model may be saved over the file it was
// opened from. Weights kept in other files are taken into the model; if it
// then exceeds 2 GiB they are written beside it as <file>_data.
func (m *Model) Save(path string) error {
	if !isModelName(path) {
		return m.SaveAs(path, "model.onnx")
	}
	return m.saveFile(path, maxMessage)
}

// SaveAs writes the layout of Hugging Face: config.json and the tokenizer's
// files (see [Model.CompleteFiles]) in dir, the model as dir/onnx/file. The
// folders are made if needed.
func (m *Model) SaveAs(dir, file string) error {
	if file != filepath.Base(file) || !isModelName(file) {
		return fmt.Errorf("onnx: %q is not the name of a model file; use a plain name such as model_quantized.onnx", file)
	}
	for name := range m.Files {
		if name != filepath.Base(name) || name == "." || name == ".." || name == "config.json" || isModelName(name) {
			return fmt.Errorf("onnx: Files: %q cannot stand beside the model; use plain names such as tokenizer.json", name)
		}
	}
	files := map[string][]byte{}
	maps.Copy(files, m.CompleteFiles())
	if m.Config != nil {
		var err error
		if files["config.json"], err = m.Config.encode(); err != nil {
			return err
		}
	}
	return m.saveAll(dir, file, files)
}

// saveAll writes the model and the files beside it. All of them are written
// under temporary names before the first is put in place, so that a full disk
// leaves a model that is there as it is, with the files that belong to it.
func (m *Model) saveAll(dir, file string, files map[string][]byte) (err error) {
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
		return fmt.Errorf("onnx: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if temps[name], err = writeTemp(filepath.Join(dir, name), bytesTo(files[name])); err != nil {
			delete(temps, name)
			return err
		}
	}
	if err := m.saveFile(filepath.Join(sub, file), maxMessage); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := os.Rename(temps[name], filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("onnx: %w; the old file is unchanged", err)
		}
		delete(temps, name)
	}
	if err := syncDir(dir); err != nil {
		return fmt.Errorf("onnx: %s: %w", dir, err)
	}
	return nil
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

// saveFile writes one model file of at most limit bytes, with the weights in a
// second one if it would be longer.
func (m *Model) saveFile(path string, limit int) error {
	msg := (&encoder{}).model(m)
	if msg.Size() <= limit {
		return writeFile(path, messageTo(msg))
	}
	data := dataFile{name: filepath.Base(path) + "_data"}
	msg = (&encoder{external: data.place}).model(m)
	if msg.Size() > limit {
		return fmt.Errorf("onnx: %s: %d bytes without the weights are more than a file can hold; turn large constants of nodes into initializers", path, msg.Size())
	}
	return saveBoth(path, msg, &data)
}

// saveBoth replaces a model and its data file. If the model cannot be put in
// place the old data file is put back.
func saveBoth(path string, msg *onnxpb.Message, data *dataFile) error {
	dataPath := filepath.Join(filepath.Dir(path), data.name)
	newData, err := writeTemp(dataPath, data.writeTo)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(newData) }()
	newModel, err := writeTemp(path, messageTo(msg))
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(newModel) }()
	old := newData + ".old"
	hadOld := os.Rename(dataPath, old) == nil
	if err = os.Rename(newData, dataPath); err == nil {
		err = os.Rename(newModel, path)
	}
	if err != nil {
		if hadOld {
			_ = os.Rename(old, dataPath)
		}
		return fmt.Errorf("onnx: %w; the old files are unchanged", err)
	}
	if hadOld {
		_ = os.Remove(old)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("onnx: %s: %w", path, err)
	}
	return nil
}

// dataFile lays tensors out in a second file.
type dataFile struct {
	name    string
	tensors []*Tensor
	offsets []int64
	end     int64
}

// Tensors of at least minExternal bytes go to the data file, each at a
// multiple of dataAlign, where it can be mapped.
const (
	minExternal = 1024
	dataAlign   = 4096
)

func (d *dataFile) place(t *Tensor) []Property {
	if len(t.Raw) < minExternal {
		return nil
	}
	at := (d.end + dataAlign - 1) / dataAlign * dataAlign
	d.tensors, d.offsets = append(d.tensors, t), append(d.offsets, at)
	d.end = at + int64(len(t.Raw))
	return []Property{
		{Key: "location", Value: d.name},
		{Key: "offset", Value: strconv.FormatInt(at, 10)},
		{Key: "length", Value: strconv.Itoa(len(t.Raw))},
	}
}

func (d *dataFile) writeTo(w io.Writer) error {
	var pad [dataAlign]byte
	at := int64(0)
	for i, t := range d.tensors {
		if _, err := w.Write(pad[:d.offsets[i]-at]); err != nil {
			return err
		}
		if _, err := w.Write(t.Raw); err != nil {
			return err
		}
		at = d.offsets[i] + int64(len(t.Raw))
	}
	return nil
}

// writeFile replaces the file at path.
func writeFile(path string, write func(io.Writer) error) error {
	temp, err := writeTemp(path, write)
	if err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		_ = os.Remove(temp)
		return fmt.Errorf("onnx: %w; the old file is unchanged", err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("onnx: %s: %w", path, err)
	}
	return nil
}

// writeTemp writes and syncs a temporary file beside path, with the mode that
// path has or a new file would get, and returns its name.
func writeTemp(path string, write func(io.Writer) error) (string, error) {
	f, err := createTemp(path)
	if err != nil {
		return "", fmt.Errorf("onnx: cannot write %s: %w", path, err)
	}
	buf := bufio.NewWriterSize(f, 1<<16)
	err = write(buf)
	if err == nil {
		err = buf.Flush()
	}
	if err == nil {
		if info, statErr := os.Stat(path); statErr == nil && info.Mode().IsRegular() {
			err = f.Chmod(info.Mode().Perm())
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return "", fmt.Errorf("onnx: cannot write %s: %w; the old file, if any, is unchanged", path, err)
	}
	return f.Name(), nil
}

// createTemp makes a new file in the folder of path. os.CreateTemp would make
// it readable by its owner alone, whatever the umask says.
func createTemp(path string) (*os.File, error) {
	for i := os.Getpid(); ; i++ {
		name := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%d.tmp", filepath.Base(path), i))
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if !os.IsExist(err) {
			return f, err
		}
	}
}
