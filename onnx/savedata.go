package onnx

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/litekit/lite/internal/files"
	"github.com/litekit/lite/internal/onnxpb"
)

// oneFile is the most bytes of a model in one file; tests lower it.
var oneFile = maxMessage

// saveFile writes one model file, with the weights in a second one if that is
// asked for or the model would be longer than a file may be.
func (m *Model) saveFile(path string, external bool) (saved Saved, err error) {
	err = Guard(func() (err error) { saved, err = m.write(path, external); return err })
	return saved, err
}

func (m *Model) write(path string, external bool) (Saved, error) {
	if !external {
		msg := (&encoder{}).model(m)
		if msg.Size() <= oneFile {
			return Saved{Model: path, Bytes: int64(msg.Size())}, writeFile(path, messageTo(msg))
		}
	}
	s := &split{model: m, path: path, data: &dataFile{}}
	msg := (&encoder{external: s.data.place(dataName(path))}).model(m)
	if msg.Size() > oneFile {
		return Saved{}, fmt.Errorf("onnx: %s: %d bytes without the weights are more than a file can hold; turn large constants of nodes into initializers", path, msg.Size())
	}
	saved := Saved{Model: path, Bytes: int64(msg.Size()) + s.data.end}
	if len(s.data.tensors) == 0 { // no weight is large enough
		return saved, writeFile(path, messageTo(msg))
	}
	saved.Data = s.dataPath()
	return saved, s.save(msg)
}

// dataName is the name of the data file of the model at path.
func dataName(path string) string { return filepath.Base(path) + "_data" }

// split writes a model and its data file.
type split struct {
	model *Model
	path  string // of the model
	data  *dataFile
}

func (s *split) dataPath() string { return filepath.Join(filepath.Dir(s.path), dataName(s.path)) }

// save puts both files in place; msg is the model that names the data file.
//
// Two files cannot be replaced at once. Where no data file is there, the new one
// is put in place first, when no model names it. Where one is, the model that is
// there may read it: then a first model names the new data by its temporary
// name; once that model is in place nobody reads the old data, so it is replaced
// by a second link to the new data; and at last the model with the usual name.
// However this ends, the model that is found reads its own weights.
func (s *split) save(msg *onnxpb.Message) error {
	newData, err := writeTemp(s.dataPath(), s.data.writeTo)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(s.dataPath()); os.IsNotExist(err) {
		return s.first(msg, newData)
	}
	return s.replace(msg, newData)
}

// first puts data and model in place where no data was.
func (s *split) first(msg *onnxpb.Message, newData string) error {
	newModel, err := writeTemp(s.path, messageTo(msg))
	if err != nil {
		_ = os.Remove(newData)
		return err
	}
	if err := rename(newData, s.dataPath()); err != nil {
		_, _ = os.Remove(newData), os.Remove(newModel)
		return err
	}
	if err := rename(newModel, s.path); err != nil {
		_, _ = os.Remove(s.dataPath()), os.Remove(newModel)
		return err
	}
	return nil
}

// replace puts data and model in place of others. The old files are unchanged
// by what fails before the first model is in place; what fails later leaves the
// new model with its data under the temporary name.
func (s *split) replace(msg *onnxpb.Message, newData string) error {
	between := (&encoder{external: (&dataFile{}).place(filepath.Base(newData))}).model(s.model)
	if err := writeFile(s.path, messageTo(between)); err != nil {
		_ = os.Remove(newData)
		return err
	}
	half := func(err error) error {
		return fmt.Errorf("%w; the model is written, but its weights lie in %s: keep that file, or save again", err, newData)
	}
	second, err := s.link(newData)
	if err != nil {
		return half(err)
	}
	if err := rename(second, s.dataPath()); err != nil {
		_ = os.Remove(second)
		return half(err)
	}
	if err := writeFile(s.path, messageTo(msg)); err != nil {
		return half(err)
	}
	if err := os.Remove(newData); err != nil {
		return fmt.Errorf("onnx: %w; the model is written and does not need that file", err)
	}
	return nil
}

// link makes another name for the new data, or a copy where the file system
// has no links.
func (s *split) link(newData string) (string, error) {
	name, err := files.TempName(s.dataPath(), func(name string) error { return os.Link(newData, name) })
	if err == nil {
		return name, nil
	}
	return writeTemp(s.dataPath(), s.data.writeTo)
}

// rename puts a file in place so that it stays there.
func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("onnx: %w; the old file is unchanged", err)
	}
	if err := files.SyncDir(filepath.Dir(to)); err != nil {
		return fmt.Errorf("onnx: %s: %w", to, err)
	}
	return nil
}

// dataFile lays tensors out in a second file.
type dataFile struct {
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

// place lays out one tensor after the other in the file of that name.
func (d *dataFile) place(name string) func(t *Tensor) []Property {
	return func(t *Tensor) []Property {
		if len(t.Raw) < minExternal {
			return nil
		}
		at := (d.end + dataAlign - 1) / dataAlign * dataAlign
		d.tensors, d.offsets = append(d.tensors, t), append(d.offsets, at)
		d.end = at + int64(len(t.Raw))
		return []Property{
			{Key: "location", Value: name},
			{Key: "offset", Value: strconv.FormatInt(at, 10)},
			{Key: "length", Value: strconv.Itoa(len(t.Raw))},
		}
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
