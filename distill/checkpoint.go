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
	"slices"
	"time"

	"github.com/litekit/lite/internal/files"
	"github.com/litekit/lite/teacher"
)

// A checkpoint is one file, replaced whole:
//
//	"litecp02" | header length uint32 | header JSON | for every parameter: weights, first, second moments, averages, best weights, float32 | sha256 of all before
//
// The averages are there with an EMA, the best weights after an evaluation. Its
// header names the run (a hash of settings, data, teacher and student) so that
// another run's checkpoint is refused. With [Config.KeepCheckpoints] the older
// ones are called state-STEP.ckpt.
const (
	checkpointMagic = "litecp02"
	checkpointName  = "state.ckpt"
	olderNames      = "state-*.ckpt"
	lockName        = "lock"   // held by the run that trains here
	labelsName      = "labels" // folder of the teacher's labels, where no other is named
	maxHeader       = 64 << 20
)

type checkpointHeader struct {
	Run    string    `json:"run"`
	Parts  []part    `json:"parts,omitempty"` // what Run is the hash of
	Step   int       `json:"step"`
	Losses []float64 `json:"losses"`
	Params []string  `json:"params"`
	Sizes  []int     `json:"sizes"`
	Mean   bool      `json:"mean,omitempty"`  // averages follow
	Watch  *watch    `json:"watch,omitempty"` // the evaluations; best weights follow after the first
}

// CheckpointError says why a checkpoint cannot be resumed.
type CheckpointError struct {
	Path, Reason string
	damaged      bool // rather than another run's
}

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

// openCheckpoint makes the checkpoint's directory, takes it for this run alone,
// makes sure that files can be made in it, and removes what a killed run was just
// writing.
func (t *trainer) openCheckpoint() error {
	dir := t.cfg.Checkpoint
	if dir == "" {
		return nil
	}
	path := filepath.Join(dir, checkpointName)
	err := os.MkdirAll(dir, 0o777)
	if err == nil {
		t.release, err = files.Hold(filepath.Join(dir, lockName))
	}
	if errors.Is(err, files.ErrLocked) {
		return fmt.Errorf("distill: the checkpoint's directory %s is %w; wait for it to end, or choose another output", dir, err)
	}
	if err == nil {
		err = files.Sweep(path)
	}
	var temp string
	if err == nil {
		temp, err = files.Temp(path, func(io.Writer) error { return nil })
	}
	if err == nil {
		err = os.Remove(temp)
	}
	if err != nil {
		return fmt.Errorf("distill: checkpoints cannot be kept in %s: %w; choose a directory that can be written", dir, err)
	}
	return nil
}

// leave lets another run have the checkpoint's directory.
func (t *trainer) leave() {
	if t.release != nil {
		t.release()
		t.release = nil
	}
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
	stages, err := stageDirs(dir)
	for _, d := range append(stages, dir) {
		for _, names := range []string{checkpointName, olderNames, budgetName} {
			err = errors.Join(err, removeAll(d, names))
		}
		err = errors.Join(err, files.Sweep(filepath.Join(d, checkpointName)), files.Sweep(filepath.Join(d, budgetName)))
	}
	err = errors.Join(err, teacher.RemoveCache(filepath.Join(dir, labelsName)))
	if err != nil {
		return fmt.Errorf("distill: removing the checkpoint: %w", err)
	}
	removeEmpty(dir)
	return nil
}

// removeEmpty removes a checkpoint's directory, if nothing is in it.
func removeEmpty(dir string) {
	stages, _ := stageDirs(dir)
	for _, path := range append(stages, filepath.Join(dir, labelsName), dir) {
		if info, err := os.Lstat(path); dir != "" && err == nil && info.IsDir() {
			os.Remove(path) // fails, as it should, if files are in it
		}
	}
}

// due reports whether it is time for a checkpoint.
func (t *trainer) due() bool {
	if n := t.cfg.CheckpointSteps; n > 0 && t.step%n == 0 {
		return true
	}
	every := t.cfg.CheckpointEvery
	if every <= 0 {
		every = time.Minute
	}
	if time.Since(t.saved) < every {
		return false
	}
	t.saved = time.Now()
	return true
}

// saveCheckpoint replaces the newest checkpoint by the trainer's state.
func (t *trainer) saveCheckpoint() error {
	if t.cfg.Checkpoint == "" {
		return nil
	}
	if err := os.MkdirAll(t.cfg.Checkpoint, 0o777); err != nil {
		return fmt.Errorf("distill: checkpoint directory: %w", err)
	}
	path := filepath.Join(t.cfg.Checkpoint, checkpointName)
	temp, err := files.Temp(path, t.writeState)
	if err == nil {
		if err = t.keepOlder(path); err == nil {
			err = files.Rename(temp, path)
		}
		if err != nil {
			_ = os.Remove(temp) // gone where it was renamed
		}
	}
	if err != nil {
		removeEmpty(t.cfg.Checkpoint)
		return fmt.Errorf("distill: writing checkpoint %s: %w", path, err)
	}
	t.kept, t.newest = t.step, t.step
	return nil
}

// keepOlder gives the checkpoint that is about to be replaced a name of its own,
// and removes those that are too many. A run that is killed between this and
// the renaming finds the older ones.
func (t *trainer) keepOlder(path string) error {
	keep := max(1, t.cfg.KeepCheckpoints) - 1
	if keep > 0 && t.newest >= 0 && t.newest != t.step {
		if err := os.Rename(path, olderName(t.cfg.Checkpoint, t.newest)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	older, err := olderCheckpoints(t.cfg.Checkpoint)
	if err != nil {
		return err
	}
	for _, name := range older[min(keep, len(older)):] {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

// olderName is the file of the checkpoint of a step that is not the newest.
func olderName(dir string, step int) string {
	return filepath.Join(dir, fmt.Sprintf("state-%010d.ckpt", step))
}

// olderCheckpoints lists their files, the newest first.
func olderCheckpoints(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries { // by name
		if ok, _ := filepath.Match(olderNames, e.Name()); ok && e.Type().IsRegular() {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	slices.Reverse(out)
	return out, nil
}

func (t *trainer) writeState(w io.Writer) error {
	sum := sha256.New()
	buf := bufio.NewWriterSize(io.MultiWriter(w, sum), 1<<20)
	h := checkpointHeader{Run: t.run, Parts: t.parts, Step: t.step, Losses: t.averages}
	h.Mean = t.mean != nil
	if t.cfg.measures() {
		h.Watch = &t.watch
	}
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
		for _, more := range [][][]float32{t.mean, t.best} {
			if more != nil {
				writeFloats(buf, more[i])
			}
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

// loadCheckpoint restores the state of the newest checkpoint that can be read;
// false if there is none. One of another run is an error, and so is a damaged one
// with no good one beside it.
func (t *trainer) loadCheckpoint() (bool, error) {
	if t.cfg.Checkpoint == "" {
		return false, nil
	}
	newest := []string{filepath.Join(t.cfg.Checkpoint, checkpointName)}
	older, err := olderCheckpoints(t.cfg.Checkpoint)
	if err != nil {
		return false, fmt.Errorf("distill: checkpoint: %w", err)
	}
	var first error
	for i, path := range append(newest, older...) {
		err := t.readCheckpoint(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			if t.kept = t.step; i == 0 {
				t.newest = t.step
			}
			if first != nil {
				t.cfg.warn(fmt.Errorf("%w; training goes on from the older one of step %d", first, t.step))
			}
			return true, nil
		}
		var bad *CheckpointError
		if !errors.As(err, &bad) || !bad.damaged {
			return false, err
		}
		if first == nil {
			first = err
		}
	}
	return false, first
}

// readCheckpoint restores the state that a file holds. Nothing is changed where
// it cannot be used.
func (t *trainer) readCheckpoint(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil {
		return fmt.Errorf("distill: checkpoint: %w", err)
	}
	defer f.Close()
	damaged := func(reason string) error {
		return &CheckpointError{Path: path, Reason: reason + "; delete it to start over", damaged: true}
	}
	sum := sha256.New()
	r := &hashReader{bufio.NewReaderSize(f, 1<<20), sum}
	h, reason := readHeader(r)
	if reason != "" {
		return damaged(reason)
	}
	if h.Run != t.run && !intact(path) {
		return damaged("checksum mismatch: the file is damaged")
	}
	if h.Run != t.run {
		return &CheckpointError{Path: path, Reason: "belongs to another run: " + differing(h.Parts, t.parts) + "; run it as it was, delete it to start over, or choose another output"}
	}
	if reason := t.fits(h); reason != "" {
		return damaged(reason)
	}
	parts := 3
	if h.Mean {
		parts++
	}
	best := h.Watch != nil && h.Watch.Best >= 0
	if best {
		parts++
	}
	state := make([][][]float32, len(t.params))
	for i, p := range t.params {
		state[i] = make([][]float32, parts)
		for j := range state[i] {
			state[i][j] = make([]float32, len(p.Value))
			if err := readFloats(r, state[i][j]); err != nil {
				return damaged("cut off")
			}
		}
	}
	want := make([]byte, sha256.Size)
	if _, err := io.ReadFull(r.r, want); err != nil || !bytes.Equal(want, sum.Sum(nil)) {
		return damaged("checksum mismatch: the file is damaged")
	}
	t.restore(h, state, best)
	return nil
}

// restore takes over what a checkpoint holds, of each parameter its value, moments,
// and where there are some its average and its best value.
func (t *trainer) restore(h *checkpointHeader, state [][][]float32, best bool) {
	if best {
		t.best = make([][]float32, len(t.params))
	}
	for i, p := range t.params {
		copy(p.Value, state[i][0])
		t.first[i], t.second[i] = state[i][1], state[i][2]
		if h.Mean {
			t.mean[i] = state[i][3]
		}
		if best {
			t.best[i] = state[i][len(state[i])-1]
		}
	}
	t.step, t.averages = h.Step, h.Losses
	if h.Watch != nil {
		t.watch = *h.Watch
	}
}

// intact tells whether a file ends with the checksum of what is before.
func intact(path string) bool {
	data, err := os.ReadFile(path)
	n := len(data) - sha256.Size
	if err != nil || n < 0 {
		return false
	}
	sum := sha256.Sum256(data[:n])
	return bytes.Equal(sum[:], data[n:])
}

// readHeader reads what stands before the floats; reason says why it cannot.
func readHeader(r io.Reader) (h *checkpointHeader, reason string) {
	var fixed [len(checkpointMagic) + 4]byte
	if _, err := io.ReadFull(r, fixed[:]); err != nil || string(fixed[:8]) != checkpointMagic {
		return nil, "not a checkpoint"
	}
	n := binary.LittleEndian.Uint32(fixed[8:])
	if n > maxHeader {
		return nil, "damaged header"
	}
	header := make([]byte, n)
	h = &checkpointHeader{}
	if _, err := io.ReadFull(r, header); err != nil || json.Unmarshal(header, h) != nil {
		return nil, "damaged header"
	}
	return h, ""
}

// fits says why a header is not of this model; empty where it is.
func (t *trainer) fits(h *checkpointHeader) string {
	if len(h.Params) != len(t.params) || len(h.Sizes) != len(t.params) || len(h.Losses) != len(t.averages) || h.Step < 0 || h.Step > t.steps || h.Mean != (t.mean != nil) {
		return "does not fit the model"
	}
	if w := h.Watch; (w != nil) != t.cfg.measures() || w != nil && (w.Best < -1 || w.Best >= len(w.All) || w.Best < 0 && len(w.All) > 0) {
		return "does not fit the evaluations"
	}
	for i, p := range t.params {
		if h.Params[i] != p.Name || h.Sizes[i] != len(p.Value) {
			return fmt.Sprintf("parameter %s does not fit", p.Name)
		}
	}
	return ""
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
