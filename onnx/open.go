package onnx

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// companions are the small files that belong to a model, by their name.
var companions = []string{
	"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
	"vocab.txt", "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model", "spm.model", "tokenizer.model",
	ModulesFile, PoolingFile,
}

// The files by which sentence-transformers tells how hidden states become one
// vector, by their names in [Model.Files]. The second stands in a folder.
const (
	ModulesFile = "modules.json"
	PoolingFile = "1_Pooling/config.json"
)

// maxCompanion bounds the size of such a file.
const maxCompanion = 256 << 20

// Open reads a model from an .onnx file or from a directory: its onnx folder or
// itself, where model.onnx comes first, then model_quantized.onnx, then the only
// *.onnx there is. config.json and the tokenizer's files are read from the
// directory, or from where the file lies.
//
// Weights are memory-mapped where the system can, also those kept in other files
// of the model's directory (external data). A mapping lasts as long as the
// program, so that no slice of it can become invalid; a file must not be
// changed in place while a model opened from it is used: what is written into
// it is read as weights, and where it is cut short the memory behind its new end
// is gone (see [Guard]). Replacing it, as [Model.Save] does, is safe.
func Open(path string) (*Model, error) {
	file, err := find(path)
	if err != nil {
		return nil, err
	}
	m, err := openFile(file)
	if err != nil {
		return nil, err
	}
	if err := m.readCompanions(filepath.Dir(file)); err != nil {
		return nil, err
	}
	return m, nil
}

// openTries is how often a model is read again that was replaced meanwhile.
const openTries = 5

// openFile reads a model and its external data. While that goes on another
// process may save the model anew: where another file is in place afterwards
// than the one that was read, the data may be that one's, and all is read again.
func openFile(file string) (*Model, error) {
	for range openTries {
		if m, whole, err := openOnce(file); whole {
			return m, err
		}
	}
	return nil, fmt.Errorf("onnx: %s is replaced again and again; open it when that is done", file)
}

// openOnce reads a model and tells whether its weights are its own. The file
// stays open until that is known: the system gives the number of a file that is
// gone to the next one, and the two would pass for the same.
func openOnce(file string) (m *Model, whole bool, err error) {
	f, err := openRegular(file)
	if err != nil {
		return nil, true, fmt.Errorf("onnx: %w", err)
	}
	defer func() { _ = f.Close() }()
	m, external, err := decodeFile(f)
	if !external {
		return m, true, err
	}
	before, statErr := f.Stat()
	if statErr != nil {
		return nil, true, fmt.Errorf("onnx: %w", statErr)
	}
	after, statErr := os.Stat(file)
	return m, statErr == nil && os.SameFile(before, after), err
}

// decodeFile reads a model once and tells whether it names other files.
func decodeFile(f *os.File) (m *Model, external bool, err error) {
	data, done, err := mapSparse(f)
	if err != nil {
		return nil, false, fmt.Errorf("onnx: %w", err)
	}
	defer done()
	ext := &externalFiles{dir: filepath.Dir(f.Name()), open: map[string][]byte{}, named: map[string]string{}}
	err = Guard(func() (err error) { m, err = decode(data, ext.read); return err })
	if err != nil {
		return nil, ext.asked, fmt.Errorf("%s: %w", f.Name(), err)
	}
	m.DataFiles = slices.Sorted(maps.Keys(ext.named))
	return m, ext.asked, nil
}

// find returns the model file that path means.
func find(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("onnx: %w; give an .onnx file or a directory that holds one", err)
	}
	if !info.IsDir() {
		return path, nil
	}
	dirs := []string{filepath.Join(path, "onnx"), path}
	for _, name := range []string{"model.onnx", "model_quantized.onnx"} {
		for _, dir := range dirs {
			file := filepath.Join(dir, name)
			if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
				return file, nil
			}
		}
	}
	var found []string
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("onnx: %w", err)
		}
		for _, e := range entries {
			if !e.IsDir() && isModelName(e.Name()) && !strings.HasPrefix(e.Name(), ".") {
				found = append(found, filepath.Join(dir, e.Name()))
			}
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("onnx: %s: no .onnx file there or in its onnx folder; export the model to model.onnx first", path)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("onnx: %s: several models and no model.onnx: %s; name the file", path, strings.Join(found, ", "))
}

func isModelName(name string) bool { return strings.EqualFold(filepath.Ext(name), ".onnx") }

// readCompanions reads config.json and the tokenizer's files from the model's
// folder or, if that is named onnx, the folder above it.
func (m *Model) readCompanions(dir string) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	dirs := []string{abs}
	if filepath.Base(abs) == "onnx" {
		dirs = append(dirs, filepath.Dir(abs))
	}
	m.Files = map[string][]byte{}
	for _, name := range companions {
		b, err := readFirst(dirs, name)
		if err != nil {
			return err
		}
		if b != nil {
			m.Files[name] = b
		}
	}
	b, err := readFirst(dirs, "config.json")
	if err != nil || b == nil {
		return err
	}
	m.Config = &Config{}
	if err := m.Config.UnmarshalJSON(b); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return fmt.Errorf("%s: %w (at byte %d); repair or remove the file", abs, err, syntax.Offset)
		}
		return fmt.Errorf("%s: %w", abs, err)
	}
	return nil
}

// readFirst reads the file from the first folder that has it, nil if none has.
func readFirst(dirs []string, name string) ([]byte, error) {
	for _, dir := range dirs {
		file := filepath.Join(dir, name)
		info, err := os.Stat(file)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("onnx: %w", err)
		}
		if !info.Mode().IsRegular() {
			continue
		}
		if info.Size() > maxCompanion {
			return nil, fmt.Errorf("onnx: %s: %d bytes; more than %d are not read", file, info.Size(), maxCompanion)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("onnx: %w", err)
		}
		return b, nil
	}
	return nil, nil
}

// openRegular opens a plain file and refuses anything else beforehand: opening a
// named pipe waits for a writer that may never come.
func openRegular(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	return os.Open(path)
}

// mapNamed is mapFile for the file at path.
func mapNamed(path string) ([]byte, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return mapFile(f)
}

// readWhole reads a file that is not mapped.
func readWhole(f *os.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if int64(int(info.Size())) != info.Size() {
		return nil, fmt.Errorf("%s: %d bytes are more than this machine can address", f.Name(), info.Size())
	}
	var b bytes.Buffer
	b.Grow(int(info.Size()) + bytes.MinRead) // the end is found without growing again
	_, err = b.ReadFrom(f)
	return b.Bytes(), err
}

// externalFiles reads weights kept in other files of the model's directory.
type externalFiles struct {
	dir   string
	asked bool // any was asked for
	// open holds the files by their resolved paths: a model can spell one
	// file's name in any number of ways, and it must not be read for each.
	open  map[string][]byte
	named map[string]string // resolved paths by location
}

// read returns length bytes at offset of a file named relative to the directory.
// Names that lead out of the directory, also through links, are refused.
func (x *externalFiles) read(location string, offset, length int64) ([]byte, error) {
	x.asked = true
	file, ok := x.named[location]
	if !ok {
		var err error
		if file, err = x.resolve(location); err != nil {
			return nil, err
		}
		x.named[location] = file
	}
	data, ok := x.open[file]
	if !ok {
		var err error
		if data, err = mapNamed(file); err != nil {
			return nil, fmt.Errorf("external data: %w", err)
		}
		x.open[file] = data
	}
	size := int64(len(data))
	if offset > size || length > size-offset {
		return nil, fmt.Errorf("external data: %d bytes from byte %d lie outside %q, which has %d; the file is cut short or of another model", length, offset, location, size)
	}
	return data[offset : offset+length : offset+length], nil
}

func (x *externalFiles) resolve(location string) (string, error) {
	local := filepath.FromSlash(location)
	if !filepath.IsLocal(local) || strings.Contains(location, `\`) {
		return "", fmt.Errorf("external data: %q leads out of the model's directory, which is refused; put the file beside the model", location)
	}
	root, err := filepath.EvalSymlinks(x.dir)
	if err != nil {
		return "", fmt.Errorf("external data: %w", err)
	}
	file, err := filepath.EvalSymlinks(filepath.Join(root, local))
	if err != nil {
		return "", fmt.Errorf("external data: %w; put the file beside the model", err)
	}
	if rel, err := filepath.Rel(root, file); err != nil || !filepath.IsLocal(rel) {
		return "", fmt.Errorf("external data: %q is a link out of the model's directory, which is refused; put the file itself beside the model", location)
	}
	return file, nil
}
