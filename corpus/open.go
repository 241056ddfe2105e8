package corpus

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Format is a file format.
type Format string

// The formats. Auto decides by the file's extension.
const (
	Auto   Format = ""
	TXT    Format = "txt"    // documents separated by blank lines, or one on each line
	TSV    Format = "tsv"    // tab separated, header optional
	CSV    Format = "csv"    // comma separated with quotes (RFC 4180), header optional
	JSONL  Format = "jsonl"  // one object on each line; spaCy's doc.to_json() is recognised
	CoNLLU Format = "conllu" // Universal Dependencies
	BIO    Format = "bio"    // one token and its tag on each line, blank line between sentences
)

// Columns names the columns (or, for JSONL, the members) that hold the data. A
// name that is an integer counts from 0 where there is no header. Empty means:
// recognise the usual names.
type Columns struct {
	Text, Pair, Label string
	Words, POS        string // JSONL: arrays of words and of their tags
}

// Options says how files become examples. The zero value is usable.
type Options struct {
	Format  Format
	Columns Columns
	// LinePerDocument makes each line of a txt file a document; otherwise blank
	// lines separate them.
	LinePerDocument bool
	// Labels are the classes, usually a model's id2label; a label may be one of
	// the names or an index. Nil = the labels that occur, sorted (by number if
	// all are integers).
	Labels []string
	// Tags are the names of entity tags that are written as numbers, as in
	// {"tokens": ["a"], "ner_tags": [0]}.
	Tags  []string
	Limit int // examples at most; 0 = all
}

// Open reads files into one corpus. A directory stands for the files of known
// formats directly in it, by name.
func Open(paths []string, opts Options) (Corpus, error) {
	if len(paths) == 0 {
		return nil, errors.New("corpus: no files given; name at least one txt, tsv, csv, jsonl, conllu or bio file")
	}
	files, err := expand(paths)
	if err != nil {
		return nil, err
	}
	l := &loader{opts: opts}
	for _, f := range files {
		if l.full() {
			break
		}
		data, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("corpus: %w", err)
		}
		if err := l.read(f, data); err != nil {
			return nil, err
		}
	}
	return l.finish()
}

// Read reads one source; name stands for it in errors and, by its extension,
// for its format when opts.Format is Auto.
func Read(r io.Reader, name string, opts Options) (Corpus, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("corpus: %s: %w", name, err)
	}
	l := &loader{opts: opts}
	if err := l.read(name, data); err != nil {
		return nil, err
	}
	return l.finish()
}

var extensions = map[string]Format{
	".txt": TXT, ".text": TXT, ".tsv": TSV, ".tab": TSV, ".csv": CSV, ".jsonl": JSONL, ".ndjson": JSONL, ".json": JSONL,
	".conllu": CoNLLU, ".bio": BIO, ".conll": BIO, ".iob": BIO, ".iob2": BIO,
}

func expand(paths []string) ([]string, error) {
	var out []string
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return nil, fmt.Errorf("corpus: %w", err)
		}
		if info.Mode()&os.ModeDevice != 0 {
			return nil, fmt.Errorf("corpus: %s is a device, not a file of text; name a file", p)
		}
		if !info.IsDir() {
			out = append(out, p)
			continue
		}
		entries, err := os.ReadDir(p)
		if err != nil {
			return nil, fmt.Errorf("corpus: %w", err)
		}
		n := len(out)
		for _, e := range entries {
			if _, ok := extensions[strings.ToLower(filepath.Ext(e.Name()))]; ok && !e.IsDir() {
				out = append(out, filepath.Join(p, e.Name()))
			}
		}
		if len(out) == n {
			return nil, fmt.Errorf("corpus: directory %s holds no file that ends in %s; name the files", p, strings.Join(slices.Sorted(maps.Keys(extensions)), ", "))
		}
	}
	return out, nil
}

// loader collects examples of several files.
type loader struct {
	opts     Options
	examples []Example
	where    []place // of each labelled example, for errors about labels
}

type place struct {
	example, line int
	file          string
}

func (l *loader) full() bool { return l.opts.Limit > 0 && len(l.examples) >= l.opts.Limit }

// add appends an example; line is where it came from.
func (l *loader) add(file string, line int, e Example) {
	e.Label = -1
	if e.Target != "" {
		l.where = append(l.where, place{len(l.examples), line, file})
	}
	l.examples = append(l.examples, e)
}

var utf8BOM = []byte("\ufeff")

func (l *loader) read(name string, data []byte) error {
	format := l.opts.Format
	if format == Auto {
		ext := strings.ToLower(filepath.Ext(name))
		var ok bool
		if format, ok = extensions[ext]; !ok {
			return fmt.Errorf("corpus: %s: extension %q names no known format; set the format to txt, tsv, csv, jsonl, conllu or bio", name, ext)
		}
	}
	data = bytes.TrimPrefix(data, utf8BOM)
	if err := checkText(name, data); err != nil {
		return err
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return fmt.Errorf("corpus: %s: the file is empty; check the path and how it was made", name)
	}
	before := len(l.examples)
	var err error
	switch format {
	case TXT:
		err = l.readTXT(name, data)
	case TSV:
		err = l.readTable(name, data, '\t')
	case CSV:
		err = l.readTable(name, data, ',')
	case JSONL:
		err = l.readJSONL(name, data)
	case CoNLLU:
		err = l.readCoNLLU(name, data)
	case BIO:
		err = l.readBIO(name, data)
	default:
		return fmt.Errorf("corpus: format %q is unknown; it must be txt, tsv, csv, jsonl, conllu or bio", format)
	}
	if err == nil && len(l.examples) == before {
		err = fmt.Errorf("corpus: %s: no examples found in it as %s; check the format", name, format)
	}
	return err
}

// finish numbers the classes.
func (l *loader) finish() (Corpus, error) {
	if l.opts.Limit > 0 && len(l.examples) > l.opts.Limit {
		l.examples = l.examples[:l.opts.Limit]
	}
	labels := l.opts.Labels
	if labels == nil {
		seen := map[string]bool{}
		for _, e := range l.examples {
			if e.Target != "" {
				seen[e.Target] = true
			}
		}
		labels = sortLabels(slices.Collect(maps.Keys(seen)))
	}
	m := newLabelMap(labels)
	for _, w := range l.where {
		if w.example >= len(l.examples) {
			break
		}
		e := &l.examples[w.example]
		var err error
		if e.Label, err = m.find(e.Target); err != nil {
			return nil, fmt.Errorf("corpus: %s: line %d: %w", w.file, w.line, err)
		}
	}
	return FromExamples(l.examples, labels), nil
}

// lines iterates over the lines of data without their ends, numbered from 1.
func lines(data []byte) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		for n := 1; len(data) > 0; n++ {
			line := data
			if k := bytes.IndexByte(data, '\n'); k >= 0 {
				line, data = data[:k], data[k+1:]
			} else {
				data = nil
			}
			if !yield(n, string(bytes.TrimSuffix(line, []byte{'\r'}))) {
				return
			}
		}
	}
}

// readTXT reads documents; lines of a document are its paragraphs.
func (l *loader) readTXT(name string, data []byte) error {
	var doc []string
	start := 0
	flush := func() {
		if len(doc) > 0 {
			l.add(name, start, Example{Text: strings.Join(doc, "\n")})
			doc = nil
		}
	}
	for n, line := range lines(data) {
		if l.full() {
			return nil
		}
		line = strings.TrimSpace(line)
		if line == "" {
			flush()
			continue
		}
		if len(doc) == 0 {
			start = n
		}
		doc = append(doc, line)
		if l.opts.LinePerDocument {
			flush()
		}
	}
	flush()
	return nil
}
