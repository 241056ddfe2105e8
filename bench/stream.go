package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/synth"
)

// streamSizes are the corpora that are streamed, in MB of JSONL.
var streamSizes = []int{100, 1000}

// streamRows time a corpus on its way from a file to masked batches.
func streamRows(b *bench) []row {
	var rows []row
	for _, mb := range streamSizes {
		for _, kind := range []string{"documents", "sentences"} {
			name := strconv.Itoa(mb) + " MB of " + kind
			rows = append(rows, row{name, func() ([]string, error) { return b.stream(name, mb, kind == "sentences") }})
		}
	}
	return rows
}

// stream measures one corpus in a process of its own, whose peak counts.
func (b *bench) stream(name string, mb int, sentences bool) ([]string, error) {
	file, err := b.corpus(mb, sentences)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "-stream", file)
	cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(b.threads))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var s streamed
	if err := json.Unmarshal(out, &s); err != nil {
		return nil, err
	}
	rate := func(seconds float64) string { return number(float64(s.Tokens)/seconds/1e6, 2) }
	return []string{name, strconv.Itoa(s.Examples), number(float64(s.Tokens)/1e6, 1), number(float64(mb)/s.Read, 0), rate(s.Tokenize), rate(s.Mask),
		number(s.Read+s.Tokenize+s.Mask, 1), number(peakOf(cmd.ProcessState), 0)}, nil
}

// corpus is a generated file of documents, or of their sentences, made first
// where it is missing.
func (b *bench) corpus(mb int, sentences bool) (string, error) {
	kind := "documents"
	if sentences {
		kind = "sentences"
	}
	path := filepath.Join(b.dir, fmt.Sprintf("corpus-%s-%d.jsonl", kind, mb))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(b.dir, 0o777); err != nil {
		return "", err
	}
	f, err := os.Create(path + ".tmp")
	if err != nil {
		return "", err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	written, line := 0, []byte(nil)
	put := func(text, label string) {
		line = append(line[:0], `{"text":`...)
		quoted, _ := json.Marshal(text)
		line = append(append(line, quoted...), `,"label":"`+label+"\"}\n"...)
		w.Write(line)
		written += len(line)
	}
	for seed := uint64(0); written < mb*1e6; seed++ {
		for _, e := range synth.Documents(synth.Default(seed, 1000)) {
			if !sentences {
				put(e.Text, e.Target)
				continue
			}
			for _, s := range e.Sentences {
				put(e.Text[s.Start:s.End], e.Target)
			}
		}
	}
	if err := w.Flush(); err != nil {
		return "", err
	}
	return path, os.Rename(f.Name(), path)
}

// streamed is what a process that streams reports; times in seconds.
type streamed struct {
	Examples, Tokens     int
	Read, Tokenize, Mask float64
}

// streamFile reads a corpus, tokenizes it and makes the masked batches of one
// epoch.
func streamFile(path string) error {
	tok, err := corpus.NewWordPiece(synth.Vocabulary(), true)
	if err != nil {
		return err
	}
	var s streamed
	start := time.Now()
	lap := func() float64 {
		d := time.Since(start).Seconds()
		start = time.Now()
		return d
	}
	c, err := corpus.Open([]string{path}, corpus.Options{})
	if err != nil {
		return err
	}
	s.Examples, s.Read = c.Len(), lap()
	v, err := corpus.NewDenoiseView(c, tok, corpus.ViewOptions{Seed: 1})
	if err != nil {
		return err
	}
	s.Tokens, s.Tokenize = v.Tokens(), lap()
	for i := range v.Batches(0) {
		if _, err := v.Batch(0, i); err != nil {
			return err
		}
	}
	s.Mask = lap()
	runtime.KeepAlive(v)
	return json.NewEncoder(os.Stdout).Encode(s)
}
