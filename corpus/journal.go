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
	"time"

	"github.com/litekit/lite/internal/files"
)

// Journal writes a file in pieces and goes on where it was stopped, by whatever
// stopped it: the pieces collect in PATH.part, and PATH.part.json tells how many
// of its bytes are sure. When all is there the file gets its name. One process
// writes a journal at a time: a second one gets an error.
type Journal struct {
	path   string
	file   *os.File
	unlock func()
	failed bool // nothing more can be written
	note   journalNote
	sum    hash.Hash
	last   time.Time // of the note
	open   int64     // bytes since then
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
	if err := j.take(); err != nil {
		return nil, fmt.Errorf("corpus: %w", err)
	}
	if err := j.goOn(run, state); err != nil {
		j.giveBack()
		return nil, err
	}
	return j, nil
}

// take opens the part for this process alone.
func (j *Journal) take() (err error) {
	for {
		if j.file, err = os.OpenFile(j.part(), os.O_RDWR|os.O_CREATE, 0o644); err != nil {
			return err
		}
		j.unlock, err = files.Lock(j.file)
		if errors.Is(err, files.ErrLocked) {
			err = fmt.Errorf("%s is %w; wait for it to end, or write another file", j.part(), err)
		}
		if err != nil {
			return errors.Join(err, j.file.Close())
		}
		// Another run may have ended between, which gives the part its name.
		mine, err := j.file.Stat()
		there, gone := os.Stat(j.part())
		if err == nil && gone == nil && os.SameFile(mine, there) {
			return nil
		}
		if err := errors.Join(err, j.giveBack()); err != nil {
			return err
		}
	}
}

func (j *Journal) giveBack() error {
	err := j.file.Close()
	j.unlock()
	return err
}

// goOn reads what a run before has left.
func (j *Journal) goOn(run string, state any) error {
	note, err := os.ReadFile(j.notePath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("corpus: %w", err)
	}
	var old journalNote
	known := err == nil && json.Unmarshal(note, &old) == nil
	if known && old.Run != run {
		return &RunError{j.part()}
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
		return fmt.Errorf("corpus: %w", err)
	}
	return nil
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
		j.failed = true
		return fmt.Errorf("corpus: %w; make room and run the same command again, it goes on from what is written", err)
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
		err = files.Replace(j.notePath(), func(w io.Writer) error {
			_, err := w.Write(note)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("corpus: %w", err)
	}
	j.last, j.open = time.Now(), 0
	return nil
}

// Close makes sure of what is written and leaves it to be gone on with; where
// nothing is, it leaves nothing.
func (j *Journal) Close() error {
	if j.note.Items == 0 {
		gone := os.Remove(j.part()) == nil // while it is locked, as in Finish
		err := errors.Join(j.giveBack(), j.forget())
		if !gone {
			err = errors.Join(err, os.Remove(j.part()))
		}
		return err
	}
	err := j.commit()
	if j.failed {
		err = nil // Add has told
	}
	return errors.Join(err, j.giveBack())
}

// forget removes the note.
func (j *Journal) forget() error {
	if err := os.Remove(j.notePath()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Finish gives the file its name and removes what the journal needed.
func (j *Journal) Finish() error {
	err := j.file.Sync()
	renamed := false
	if err == nil { // while it is locked, where the system can rename open files
		renamed = files.Rename(j.part(), j.path) == nil
	}
	err = errors.Join(err, j.giveBack())
	if err == nil && !renamed {
		err = files.Rename(j.part(), j.path)
	}
	if err == nil {
		err = j.forget()
	}
	if err != nil {
		return fmt.Errorf("corpus: %w", err)
	}
	return nil
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
