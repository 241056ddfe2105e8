package teacher

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/files"
	"github.com/litekit/lite/onnx"
)

// Source says what a set of labels is of. It is part of the set's name in the
// cache, so that labels of another model or other text, or of text cut or
// tokenized in another way, are never taken for it. What is left empty is not
// told apart; the model and the tokens themselves always are.
type Source struct {
	// Model is [onnx.Model.Hash]; New fills it in where it is empty.
	Model string `json:"model"`
	// Tokenizer is [HashFiles] of the tokenizer's files.
	Tokenizer string `json:"tokenizer"`
	// Data is [HashTexts] of the corpus.
	Data string `json:"data"`
	// View says in words how texts become batches, such as "whole texts, at
	// most 128 tokens, 32 to a batch".
	View string `json:"view"`
	// Batches is the number of batches, and so of records in the set; 0 unknown.
	Batches int `json:"batches"`
}

// Set describes a set of labels in a cache. The file set.json in its folder is
// its JSON.
type Set struct {
	// Version is that of the format, 3.
	Version int `json:"version"`
	// Task and Output say what was read from the model.
	Task   string `json:"task"`
	Output string `json:"output"`
	// Form is [Form.String].
	Form string `json:"form"`
	Source
}

const (
	setVersion = 3
	setFile    = "set.json"
	lockFile   = "lock"
	shardGlob  = "labels-*.bin"
)

// encode is the content of set.json.
func (s Set) encode() []byte {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic("teacher: a struct of strings cannot fail to encode: " + err.Error())
	}
	return append(b, '\n')
}

// id is what its shards carry, and in short its folder's name.
func (s Set) id() [32]byte { return sha256.Sum256(s.encode()) }

// folder is the name of the set's folder.
func (s Set) folder() string {
	id := s.id()
	return hex.EncodeToString(id[:8]) + "-" + s.Form
}

// path is where the set is in a cache.
func (s Set) path(cache string) string { return filepath.Join(cache, s.folder()) }

// readSet reads a set's description and makes sure that it is that of its folder.
func readSet(dir string) (Set, error) {
	path := filepath.Join(dir, setFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return Set{}, err
	}
	var s Set
	bad := func(reason string) (Set, error) { return Set{}, &CorruptError{path, 0, reason} }
	if err := json.Unmarshal(data, &s); err != nil {
		return bad(err.Error())
	}
	if s.Version != setVersion {
		return bad(fmt.Sprintf("it is of version %d, and this program reads %d", s.Version, setVersion))
	}
	if !bytes.Equal(data, s.encode()) || s.folder() != filepath.Base(dir) {
		return bad("it does not describe the labels of its folder")
	}
	return s, nil
}

// Sets lists the sets in a cache directory, in the order of their folders'
// names. Folders that hold something else are left out.
func Sets(dir string) ([]Set, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, nil // whoever wants to write there says what is wrong
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("teacher: cache: %w", err)
	}
	var out []Set
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		s, err := readSet(filepath.Join(dir, e.Name()))
		var damaged *CorruptError
		if err == nil {
			out = append(out, s)
		} else if !errors.Is(err, fs.ErrNotExist) && !errors.As(err, &damaged) {
			return nil, fmt.Errorf("teacher: cache: %w", err)
		}
	}
	return out, nil
}

// RemoveCache deletes the sets of labels in a directory. Files that no teacher
// wrote stay, and so do the folders that hold any.
func RemoveCache(dir string) error {
	sets, err := Sets(dir)
	for _, s := range sets {
		folder := filepath.Join(dir, s.folder())
		names, _ := filepath.Glob(filepath.Join(folder, shardGlob)) // the pattern is a good one
		err = errors.Join(err, files.Sweep(filepath.Join(folder, setFile)))
		names = append(names, filepath.Join(folder, lockFile), filepath.Join(folder, lockFile+".lock"), filepath.Join(folder, setFile))
		for _, name := range names {
			if bad := os.Remove(name); bad != nil && !errors.Is(bad, fs.ErrNotExist) {
				err = errors.Join(err, bad)
			}
		}
		_ = os.Remove(folder) // fails, as it should, if files are in it
	}
	return err
}

// oldFiles are the files of the format before folders of sets.
func oldFiles(dir string) []string {
	names, _ := filepath.Glob(filepath.Join(dir, "logits-*.log"))
	return slices.DeleteFunc(names, func(name string) bool {
		f, err := os.Open(name)
		if err != nil {
			return true
		}
		defer func() { _ = f.Close() }()
		head := make([]byte, len(oldMagic))
		n, _ := f.Read(head)
		return string(head[:n]) != oldMagic
	})
}

// others says what a cache holds that could be taken for the set, and in what
// it differs; "" where there is nothing of the kind. Models of beside are known.
func (s Set) others(dir string, beside []string) string {
	if old := oldFiles(dir); len(old) > 0 {
		return fmt.Sprintf("%s holds %d files of an earlier version of lite (%s), which this one does not read; delete them: the labels are computed again", dir, len(old), filepath.Base(old[0]))
	}
	sets, err := Sets(dir)
	if err != nil {
		return ""
	}
	var best Set
	var least []string
	for _, o := range sets {
		diff := s.differences(o)
		if o.Data != s.Data && o.Model != s.Model || len(diff) == 0 || o.Model != s.Model && slices.Contains(beside, o.Model) {
			continue
		}
		if least == nil || len(diff) < len(least) {
			best, least = o, diff
		}
	}
	if least == nil {
		return ""
	}
	return fmt.Sprintf("the labels in %s are not used: %s", filepath.Join(dir, best.folder()), strings.Join(least, "; "))
}

// differences lists in what other labels differ from these.
func (s Set) differences(o Set) []string {
	var out []string
	hash := func(what, theirs, ours string) {
		if theirs != ours {
			out = append(out, fmt.Sprintf("they are of %s (%.12s, not %.12s)", what, theirs, ours))
		}
	}
	hash("another teacher", o.Model, s.Model)
	hash("another tokenizer", o.Tokenizer, s.Tokenizer)
	hash("other data", o.Data, s.Data)
	word := func(what, theirs, ours string) {
		if theirs != ours {
			out = append(out, fmt.Sprintf("%s is %q, not %q", what, theirs, ours))
		}
	}
	word("their output", o.Task+" "+o.Output, s.Task+" "+s.Output)
	word("their form", o.Form, s.Form)
	word("their text", o.View, s.View)
	if o.Batches != s.Batches && o.View == s.View && o.Data == s.Data {
		out = append(out, fmt.Sprintf("they are %d batches, not %d", o.Batches, s.Batches))
	}
	return out
}

// HashFiles hashes the files of a tokenizer by name and content: all of
// [onnx.Model].Files but those that say how hidden states are pooled.
func HashFiles(files map[string][]byte) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if name == onnx.ModulesFile || name == onnx.PoolingFile {
			continue
		}
		fmt.Fprintf(h, "%q %x\n", name, sha256.Sum256(files[name]))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// HashTexts hashes the texts of a corpus, pairs, sentence bounds and token ids included:
// all that a teacher's labels depend on. Labels and tags are left out.
func HashTexts(c corpus.Corpus) (string, error) {
	h := sha256.New()
	for i := range c.Len() {
		e, err := c.At(i)
		if err != nil {
			return "", fmt.Errorf("teacher: example %d: %w", i, err)
		}
		fmt.Fprintf(h, "%d %d %v\n%s%s", len(e.Text), len(e.Pair), e.Sentences, e.Text, e.Pair)
		if t := e.Tokens; t != nil {
			fmt.Fprintf(h, "ids %v %v\n", t.IDs, t.Types)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
