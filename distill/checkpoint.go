package distill

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
)

// A checkpoint is one file, replaced whole:
//
//	"litecp01" | header length uint32 | header JSON | for every parameter: weights, first, second moments float32 | sha256 of all before
//
// Its header names the run (a hash of settings, data, teacher and student) so
// that another run's checkpoint is refused.
const (
	checkpointMagic = "litecp01"
	checkpointName  = "state.ckpt"
	labelsName      = "labels" // folder of the teacher's labels, where no other is named
	maxHeader       = 64 << 20
)

type checkpointHeader struct {
	Run    string    `json:"run"`
	Step   int       `json:"step"`
	Losses []float64 `json:"losses"`
	Params []string  `json:"params"`
	Sizes  []int     `json:"sizes"`
}

// CheckpointError says why a checkpoint cannot be resumed.
type CheckpointError struct{ Path, Reason string }

func (e *CheckpointError) Error() string {
	return fmt.Sprintf("distill: checkpoint %s: %s", e.Path, e.Reason)
}

// cache is the directory of the teacher's labels, empty for none.
func (c *Config) cache() string {
	if c.Cache == "" && c.Checkpoint != "" {
		return filepath.Join(c.Checkpoint, labelsName)
	}
	return c.Cache
}

// openCheckpoint makes the checkpoint's directory, makes sure that files can be
// made in it, and removes what a killed run was just writing.
func (t *trainer) openCheckpoint() error {
	dir := t.cfg.Checkpoint
	if dir == "" {
		return nil
	}
	err := os.MkdirAll(dir, 0o777)
	if err == nil {
		err = removeAll(dir, checkpointName+".tmp*")
	}
	var f *os.File
	if err == nil {
		f, err = os.CreateTemp(dir, checkpointName+".tmp*")
	}
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		return fmt.Errorf("distill: checkpoints cannot be kept in %s: %w; choose a directory that can be written", dir, err)
	}
	return nil
}

// removeAll removes the files of a directory whose names match a pattern.
func removeAll(dir, pattern string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if ok, _ := filepath.Match(pattern, e.Name()); ok && e.Type().IsRegular() {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// RemoveCheckpoint deletes what [Config.Checkpoint] holds, once the result is
// safely written: checkpoints and the teacher's labels. Files that training
// did not write stay, and so does a directory that holds any.
func RemoveCheckpoint(dir string) error {
	if dir == "" {
		return nil
	}
	err := errors.Join(
		removeAll(dir, checkpointName),
		removeAll(dir, checkpointName+".tmp*"),
		removeAll(filepath.Join(dir, labelsName), "logits-*.log"))
	if err != nil {
		return fmt.Errorf("distill: removing the checkpoint: %w", err)
	}
	removeEmpty(dir)
	return nil
}

// removeEmpty removes a checkpoint's directory, if nothing is in it.
func removeEmpty(dir string) {
	for _, path := range []string{filepath.Join(dir, labelsName), dir} {
		if info, err := os.Lstat(path); dir != "" && err == nil && info.IsDir() {
			os.Remove(path) // fails, as it should, if files are in it
		}
	}
}

// saveCheckpoint writes the trainer's state to a temporary file, syncs and renames it.
func (t *trainer) saveCheckpoint() error {
	if t.cfg.Checkpoint == "" {
		return nil
	}
	if err := os.MkdirAll(t.cfg.Checkpoint, 0o777); err != nil {
		return fmt.Errorf("distill: checkpoint directory: %w", err)
	}
	path := filepath.Join(t.cfg.Checkpoint, checkpointName)
	f, err := os.CreateTemp(t.cfg.Checkpoint, checkpointName+".tmp*")
	if err != nil {
		return fmt.Errorf("distill: checkpoint: %w", err)
	}
	err = t.writeState(f)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		removeEmpty(t.cfg.Checkpoint)
		return fmt.Errorf("distill: writing checkpoint %s: %w", path, err)
	}
	t.kept = t.step
	return nil
}

func (t *trainer) writeState(w io.Writer) error {
	sum := sha256.New()
	buf := bufio.NewWriterSize(io.MultiWriter(w, sum), 1<<20)
	h := checkpointHeader{Run: t.run, Step: t.step, Losses: t.averages}
	for _, p := range t.params {
		h.Params = append(h.Params, p.Name)
		h.Sizes = append(h.Sizes, len(p.Value))
	}
	header, err := json.Marshal(h)
	if err != nil {
		return err
	}
	buf.WriteString(checkpointMagic)
	binary.Write(buf, binary.LittleEndian, uint32(len(header)))
	buf.Write(header)
	for i, p := range t.params {
		for _, v := range [][]float32{p.Value, t.first[i], t.second[i]} {
			writeFloats(buf, v)
		}
	}
	if err := buf.Flush(); err != nil {
		return err
	}
	_, err = w.Write(sum.Sum(nil))
	return err
}

func writeFloats(w *bufio.Writer, v []float32) {
	var b [4]byte
	for _, x := range v {
		binary.LittleEndian.PutUint32(b[:], math.Float32bits(x))
		w.Write(b[:]) // bufio keeps the first error for Flush
	}
}

// loadCheckpoint restores the state; false if there is none.
func (t *trainer) loadCheckpoint() (bool, error) {
	if t.cfg.Checkpoint == "" {
		return false, nil
	}
	path := filepath.Join(t.cfg.Checkpoint, checkpointName)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("distill: checkpoint: %w", err)
	}
	defer f.Close()
	bad := func(format string, args ...any) (bool, error) {
		return false, &CheckpointError{path, fmt.Sprintf(format, args...)}
	}
	sum := sha256.New()
	r := &hashReader{bufio.NewReaderSize(f, 1<<20), sum}
	var fixed [len(checkpointMagic) + 4]byte
	if _, err := io.ReadFull(r, fixed[:]); err != nil || string(fixed[:8]) != checkpointMagic {
		return bad("not a checkpoint; delete it to start over")
	}
	n := binary.LittleEndian.Uint32(fixed[8:])
	if n > maxHeader {
		return bad("damaged header; delete it to start over")
	}
	header := make([]byte, n)
	var h checkpointHeader
	if _, err := io.ReadFull(r, header); err != nil || json.Unmarshal(header, &h) != nil {
		return bad("damaged header; delete it to start over")
	}
	if h.Run != t.run {
		return bad("belongs to a run with other settings, data, teacher or student; delete it to start over, or choose another output")
	}
	if len(h.Params) != len(t.params) || len(h.Sizes) != len(t.params) || len(h.Losses) != len(t.averages) || h.Step < 0 || h.Step > t.steps {
		return bad("does not fit the model; delete it to start over")
	}
	for i, p := range t.params {
		if h.Params[i] != p.Name || h.Sizes[i] != len(p.Value) {
			return bad("parameter %s does not fit; delete it to start over", p.Name)
		}
	}
	state := make([][3][]float32, len(t.params))
	for i, p := range t.params {
		for j := range state[i] {
			state[i][j] = make([]float32, len(p.Value))
			if err := readFloats(r, state[i][j]); err != nil {
				return bad("cut off; delete it to start over")
			}
		}
	}
	want := make([]byte, sha256.Size)
	if _, err := io.ReadFull(r.r, want); err != nil || !bytes.Equal(want, sum.Sum(nil)) {
		return bad("checksum mismatch: the file is damaged; delete it to start over")
	}
	for i, p := range t.params {
		copy(p.Value, state[i][0])
		t.first[i], t.second[i] = state[i][1], state[i][2]
	}
	t.step, t.kept, t.averages = h.Step, h.Step, h.Losses
	return true, nil
}

// hashReader feeds what is read to a hash.
type hashReader struct {
	r *bufio.Reader
	h hash.Hash
}

func (h *hashReader) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	h.h.Write(p[:n])
	return n, err
}

func readFloats(r io.Reader, v []float32) error {
	buf := make([]byte, 1<<16)
	for len(v) > 0 {
		n := min(len(v), len(buf)/4)
		if _, err := io.ReadFull(r, buf[:4*n]); err != nil {
			return err
		}
		for i := range n {
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(buf[4*i:]))
		}
		v = v[n:]
	}
	return nil
}
