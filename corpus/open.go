package corpus

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// Format is a file format.
type Format string

// The formats. Auto decides by the file's extension.
const (
	Auto    Format = ""
	TXT     Format = "txt"     // documents separated by blank lines, or one on each line
	TSV     Format = "tsv"     // tab separated, header optional
	CSV     Format = "csv"     // comma separated with quotes (RFC 4180), header optional
	JSONL   Format = "jsonl"   // one object on each line; spaCy's doc.to_json() is recognised
	CoNLLU  Format = "conllu"  // Universal Dependencies
	Parquet Format = "parquet" // as the Hugging Face hub keeps data sets
	BIO     Format = "bio"     // one token and its tag on each line, blank line between sentences
)

// Columns names the columns (or, for JSONL, the members) that hold the data. A
// name that is an integer counts from 0. Empty means: recognise the usual names.
type Columns struct {
	Text  string // "sentence1,sentence2" is a text and its pair
	Pair  string
	Label string
	Score string // a number to predict (Example.Score)
	Words string // JSONL: array of words
	POS   string // JSONL: array of their tags
}

// Header says whether the first row of a table names the columns.
type Header string

// Whether a table has a header; "" recognises usual names in the first row.
const (
	WithHeader    Header = "yes"
	WithoutHeader Header = "no"
)

// Options says how files become examples. The zero value is usable.
type Options struct {
	Format  Format
	Columns Columns
	// Layout names a GLUE or CLUE task whose columns the files have. Empty: the
	// one that a file or its folder is called after, if its columns fit.
	Layout Layout
	Header Header // of tsv and csv
	// SkipBad is how many lines that cannot be read are passed over, for each
	// call of Open; one more is an error. OnSkip, if set, is told of each.
	SkipBad int
	OnSkip  func(error)
	// Memory is how many bytes of examples are held, 0 = 64 MiB; when there is
	// more, all go to temporary files and nothing of them stays.
	Memory int64
	// LinePerDocument makes each line of a txt file a document; otherwise blank
	// lines separate them.
	LinePerDocument bool
	// Labels are the classes, usually a model's id2label; a label may be one of
	// the names or an index. Nil = the labels that occur, sorted (by number if
	// all are integers).
	Labels []string
	// Tags are the names of entity tags that are written as numbers, as in
	// {"tokens": ["a"], "ner_tags": [0]} and {"input_ids": [5], "labels": [0]}.
	Tags  []string
	Limit int // examples at most; 0 = all
}

// Open reads files into one corpus, plain or compressed by gzip or zstd. A
// directory stands for the files of known formats directly in it, by name; a
// pattern (a*.tsv) for the files that match, and "-" for standard input.
func Open(paths []string, opts Options) (Corpus, error) {
	if len(paths) == 0 {
		return nil, errors.New("corpus: no files given; name at least one txt, tsv, csv, jsonl, conllu, bio or parquet file")
	}
	files, err := expand(paths)
	if err != nil {
		return nil, err
	}
	l, err := newLoader(opts)
	if err != nil {
		return nil, err
	}
	for _, path := range files {
		if l.full() {
			break
		}
		f, err := openFile(path)
		if err == nil {
			err = l.read(path, f)
			if path != Stdin {
				f.Close()
			}
		}
		if err != nil {
			l.spool.drop()
			return nil, err
		}
	}
	return l.finish()
}

// Read reads one source; name stands for it in errors and, by its extension,
// for its format when opts.Format is Auto.
func Read(r io.Reader, name string, opts Options) (Corpus, error) {
	l, err := newLoader(opts)
	if err != nil {
		return nil, err
	}
	if err := l.read(name, r); err != nil {
		l.spool.drop()
		return nil, err
	}
	return l.finish()
}

var extensions = map[string]Format{
	".txt": TXT, ".text": TXT, ".tsv": TSV, ".tab": TSV, ".csv": CSV, ".jsonl": JSONL, ".ndjson": JSONL, ".json": JSONL,
	".conllu": CoNLLU, ".parquet": Parquet, ".bio": BIO, ".conll": BIO, ".iob": BIO, ".iob2": BIO,
}

// loader collects examples of several files.
type loader struct {
	opts    Options
	spool   spool
	skipped int
	unit    Unit    // of the running file
	layout  *layout // of the running file, nil none
	stated  bool    // the options name it
	// known finds the classes that the options give; otherwise classes numbers
	// those that occur as they come.
	known   labelMap
	classes []string
	seen    map[string]int
}

func newLoader(opts Options) (*loader, error) {
	opts.Columns = opts.Columns.split()
	if opts.Header != "" && opts.Header != WithHeader && opts.Header != WithoutHeader {
		return nil, fmt.Errorf("corpus: header %q is unknown; it must be yes or no", opts.Header)
	}
	if opts.SkipBad < 0 || opts.Memory < 0 {
		return nil, fmt.Errorf("corpus: SkipBad is %d and Memory is %d; neither can be negative", opts.SkipBad, opts.Memory)
	}
	if opts.Memory == 0 {
		opts.Memory = defaultMemory
	}
	return &loader{opts: opts, spool: spool{limit: opts.Memory}, known: newLabelMap(opts.Labels), seen: map[string]int{}}, nil
}

func (l *loader) full() bool { return l.opts.Limit > 0 && l.spool.len() >= l.opts.Limit }

// bad decides about a line that cannot be read: nil skips it.
func (l *loader) bad(err error) error {
	if l.skipped >= l.opts.SkipBad {
		if l.skipped > 0 {
			return fmt.Errorf("%w (%d bad lines were skipped before, no more are allowed)", err, l.skipped)
		}
		return err
	}
	l.skipped++
	if l.opts.OnSkip != nil {
		l.opts.OnSkip(err)
	}
	return nil
}

// add appends an example; line is where it came from, or its row or item.
func (l *loader) add(file string, line int, e Example) error {
	if l.full() {
		return nil
	}
	e.Label, e.Origin = -1, Origin{file, int32(min(line, math.MaxInt32)), l.unit}
	switch {
	case e.Target == "":
	case l.opts.Labels != nil:
		var err error
		if e.Label, err = l.known.find(e.Target); err != nil {
			return l.bad(fmt.Errorf("corpus: %s: %w", e.Origin, err))
		}
	default:
		k, ok := l.seen[e.Target]
		if !ok {
			k = len(l.classes)
			l.seen[e.Target], l.classes = k, append(l.classes, e.Target)
		}
		e.Label = k
	}
	return l.spool.add(e)
}

// formatOf tells the format by the options or the extension.
func (l *loader) formatOf(name string) (Format, error) {
	if l.opts.Format != Auto {
		return l.opts.Format, nil
	}
	ext := extensionOf(name)
	format, ok := extensions[ext]
	if !ok {
		return "", fmt.Errorf("corpus: %s: extension %q names no known format; set the format to txt, tsv, csv, jsonl, conllu, bio or parquet", name, ext)
	}
	if format == TXT && l.stated {
		return TSV, nil // MRPC's tables are called .txt
	}
	return format, nil
}

func (l *loader) read(name string, r io.Reader) (err error) {
	if l.layout, l.stated, err = findLayout(trimCompression(name), l.opts); err != nil {
		return err
	}
	format, err := l.formatOf(name)
	if err != nil {
		return err
	}
	if l.unit = Line; format == Parquet {
		l.unit = Row
		before := l.spool.len()
		if err := l.readParquet(name, r); err != nil || l.spool.len() > before {
			return err
		}
		return fmt.Errorf("corpus: %s: no examples found in it as %s; check the file", name, format)
	}
	plain, done, err := decompress(name, r)
	if err != nil {
		return err
	}
	defer done()
	t := &textReader{name: name, r: plain, bad: l.bad}
	before, skipped := l.spool.len(), l.skipped
	switch format {
	case TXT:
		l.unit = Paragraphs
		err = l.readTXT(t)
	case TSV:
		err = l.readTable(t, '\t')
	case CSV:
		err = l.readTable(t, ',')
	case JSONL:
		err = l.readJSONL(t)
	case CoNLLU:
		err = l.readCoNLLU(t)
	case BIO:
		err = l.readBIO(t)
	default:
		return fmt.Errorf("corpus: format %q is unknown; it must be txt, tsv, csv, jsonl, conllu, bio or parquet", format)
	}
	switch {
	case err != nil || l.spool.len() > before:
		return err
	case !t.seen:
		return fmt.Errorf("corpus: %s: the file is empty; check the path and how it was made", name)
	case l.skipped > skipped:
		return fmt.Errorf("corpus: %s: no examples found in it as %s: all its lines were skipped; check the format", name, format)
	}
	return fmt.Errorf("corpus: %s: no examples found in it as %s; check the format", name, format)
}

// finish numbers the classes.
func (l *loader) finish() (Corpus, error) {
	if l.opts.Labels != nil {
		to := make([]int, len(l.opts.Labels))
		for i := range to {
			to[i] = i
		}
		return l.spool.finish(l.opts.Labels, to)
	}
	labels := sortLabels(slices.Clone(l.classes))
	to := make([]int, len(labels))
	for i, s := range labels {
		to[l.seen[s]] = i
	}
	return l.spool.finish(labels, to)
}

// readTXT reads documents; lines of a document are its paragraphs.
func (l *loader) readTXT(t *textReader) error {
	var doc []string
	start := 0
	flush := func() (err error) {
		if len(doc) > 0 {
			err = l.add(t.name, start, Example{Text: strings.Join(doc, "\n")})
			doc = nil
		}
		return err
	}
	for n, line := range t.lines() {
		if l.full() {
			return nil
		}
		line = strings.TrimSpace(line)
		if line != "" {
			if len(doc) == 0 {
				start = n
			}
			doc = append(doc, line)
		}
		if line == "" || l.opts.LinePerDocument {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if t.err != nil {
		return t.err
	}
	return flush()
}
