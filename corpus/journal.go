package corpus

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Journal writes a file in pieces and goes on where it was stopped, by whatever
// stopped it: the pieces collect in PATH.part, and PATH.part.json tells how many
// of its bytes are sure. When all is there the file gets its name. One process
// writes a journal at a time.
type Journal struct {
	path string
	file *os.File
	note journalNote
	sum  hash.Hash
	last time.Time // of the note
	open int64     // bytes since then
}

// journalNote is what is sure of a part.
type journalNote struct {
	Run   string          `json:"run"`   // what is written: a hash of data and settings
	Items int             `json:"items"` // that are done
	Bytes int64           `json:"bytes"` // they take in the part
	Sum   string          `json:"sha256"`
	State json.RawMessage `json:"state,omitempty"`
}

// RunError reports a part that another run left.
type RunError struct{ Part string }

func (e *RunError) Error() string {
	return fmt.Sprintf("corpus: %s was left by a run with other data or settings; run that one again to end it, or remove the file", e.Part)
}

// How much may be lost when the process is killed.
const (
	journalEvery = 200 * time.Millisecond
	journalBytes = 4 << 20
)

// OpenJournal begins the file at path, or goes on with it where a run of the
// same name was stopped; state, which may be nil, then receives what was given
// to Add last. run names everything that decides the content. A part that is
// damaged is begun anew, one of another run is a *RunError.
func OpenJournal(path, run string, state any) (*Journal, error) {
	j := &Journal{path: path, note: journalNote{Run: run}, sum: sha256.New(), last: time.Now()}
	note, err := os.ReadFile(j.notePath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("corpus: %w", err)
	}
	var old journalNote
	known := err == nil && json.Unmarshal(note, &old) == nil
	if known && old.Run != run {
		return nil, &RunError{j.part()}
	}
	if j.file, err = os.OpenFile(j.part(), os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return nil, fmt.Errorf("corpus: %w", err)
	}
	if known && j.verify(old) && (state == nil || json.Unmarshal(old.State, state) == nil) {
		j.note = old
	} else {
		j.sum.Reset()
	}
	if err = j.file.Truncate(j.note.Bytes); err == nil {
		_, err = j.file.Seek(j.note.Bytes, io.SeekStart)
	}
	if err != nil {
		j.file.Close()
		return nil, fmt.Errorf("corpus: %w", err)
	}
	return j, nil
}

func (j *Journal) part() string     { return j.path + ".part" }
func (j *Journal) notePath() string { return j.path + ".part.json" }

// verify reads the part that a note speaks of.
func (j *Journal) verify(n journalNote) bool {
	if n.Items < 0 || n.Bytes < 0 {
		return false
	}
	read, err := io.Copy(j.sum, io.LimitReader(j.file, n.Bytes))
	return err == nil && read == n.Bytes && hex.EncodeToString(j.sum.Sum(nil)) == n.Sum
}

// Done returns the number of items that are written.
func (j *Journal) Done() int { return j.note.Items }

// Written reads what is written, nil if nothing is; Add must not be called
// before that is done.
func (j *Journal) Written() io.Reader {
	if j.note.Bytes == 0 {
		return nil
	}
	return io.NewSectionReader(j.file, 0, j.note.Bytes)
}

// Add writes the content of the next items. state is what the run has to know
// when it goes on after them; it is kept as JSON.
func (j *Journal) Add(items int, content []byte, state any) error {
	if _, err := j.file.Write(content); err != nil {
		return fmt.Errorf("corpus: %w", err)
	}
	j.sum.Write(content)
	j.note.Items += items
	j.note.Bytes += int64(len(content))
	j.open += int64(len(content))
	var err error
	if j.note.State, err = json.Marshal(state); err != nil {
		return fmt.Errorf("corpus: %w", err)
	}
	if j.open < journalBytes && time.Since(j.last) < journalEvery {
		return nil
	}
	return j.commit()
}

// commit makes sure of what is written.
func (j *Journal) commit() error {
	j.note.Sum = hex.EncodeToString(j.sum.Sum(nil))
	note, err := json.Marshal(j.note)
	if err == nil {
		err = j.file.Sync()
	}
	if err == nil {
		err = replaceFile(j.notePath(), note)
	}
	if err != nil {
		return fmt.Errorf("corpus: %w", err)
	}
	j.last, j.open = time.Now(), 0
	return nil
}

// Close makes sure of what is written and leaves it to be gone on with.
func (j *Journal) Close() error {
	return errors.Join(j.commit(), j.file.Close())
}

// Finish gives the file its name and removes what the journal needed.
func (j *Journal) Finish() error {
	err := j.file.Chmod(0o644)
	if err == nil {
		err = j.file.Sync()
	}
	err = errors.Join(err, j.file.Close())
	if err == nil {
		err = os.Rename(j.part(), j.path)
	}
	if err != nil {
		return fmt.Errorf("corpus: %w", err)
	}
	if err := os.Remove(j.notePath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("corpus: %w", err)
	}
	return nil
}

// replaceFile replaces a small file at once.
func replaceFile(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// Hash returns a hash of everything in a corpus that WriteJSONL writes, and of
// the order of its classes: equal corpora have equal ones.
func Hash(c Corpus) (string, error) {
	h := sha256.New()
	for _, l := range c.Labels() {
		fmt.Fprintf(h, "%q", l)
	}
	if err := WriteJSONL(h, c); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Lines returns examples as WriteJSONL writes them.
func Lines(labels []string, examples ...Example) ([]byte, error) {
	var b bytes.Buffer
	err := WriteJSONL(&b, FromExamples(examples, labels))
	return b.Bytes(), err
}
