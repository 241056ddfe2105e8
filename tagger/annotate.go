package tagger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/litekit/lite/corpus"
)

// Job annotates a corpus and writes it as annotated JSONL (corpus.WriteJSONL),
// and scores the annotator where the corpus has gold annotation.
type Job struct {
	Annotator corpus.Annotator
	// Name says what the annotator is, so that a run does not go on with what
	// another one annotated: a language, or the hash of a model.
	Name string
	// Replace puts the annotator's words in place of those that the corpus has.
	// Otherwise they stay, and a [Tagger] adds the parts of speech or entities
	// that none of an example's words has.
	Replace bool
	Workers int // texts at a time; 0 = 1
	// Progress is told how many of the examples are done; nil nobody.
	Progress func(done, total int)
}

// Report is what came out.
type Report struct {
	Examples, Words, Entities int
	Resumed                   int // examples that a run before had written
	Raw                       Score
	GoldWords                 Score // of a Tagger given the words
}

// block is how many examples are annotated together.
const block = 256

// File writes the annotated corpus to a file. Stopped by ctx or killed, it goes
// on with the next call (see corpus.Journal); the bytes are the same then, for
// any number of workers.
func (j Job) File(ctx context.Context, path string, c corpus.Corpus) (r Report, err error) {
	data, err := corpus.Hash(c)
	if err != nil {
		return r, err
	}
	run := sha256.Sum256(fmt.Appendf(nil, "annotate %q %v %s", j.Name, j.Replace, data))
	out, err := corpus.OpenJournal(path, hex.EncodeToString(run[:]), &r)
	if err != nil {
		return r, err
	}
	r.Resumed = out.Done()
	err = j.run(ctx, c, &r, out.Done(), func(n int, lines []byte) error { return out.Add(n, lines, r) })
	if err != nil {
		return r, errors.Join(err, out.Close())
	}
	return r, out.Finish()
}

// Stream writes the annotated corpus to w.
func (j Job) Stream(ctx context.Context, w io.Writer, c corpus.Corpus) (r Report, err error) {
	err = j.run(ctx, c, &r, 0, func(_ int, lines []byte) error {
		_, err := w.Write(lines)
		return err
	})
	return r, err
}

// run annotates the examples from number from on, block by block.
func (j Job) run(ctx context.Context, c corpus.Corpus, r *Report, from int, write func(n int, lines []byte) error) error {
	if j.Annotator == nil {
		return errors.New("tagger: there is no annotator")
	}
	for lo := from; lo < c.Len(); lo += block {
		n := min(block, c.Len()-lo)
		gold := make([]corpus.Example, n)
		raw := make([]corpus.Example, n)
		for i := range gold {
			e, err := c.At(lo + i)
			if err != nil {
				return err
			}
			if e.Tokens != nil {
				return fmt.Errorf("tagger: %s holds token ids; words are found in text, so give the text", e.Where(lo+i))
			}
			gold[i], raw[i] = e, corpus.Example{Text: e.Text, Origin: e.Origin}
			if e.Words != nil && !j.Replace && !scored(e.Words) {
				raw[i].Text = "" // its words stay, and there is nothing to compare
			}
		}
		found, err := corpus.Annotate(ctx, corpus.FromExamples(raw, nil), j.Annotator, j.Workers)
		if err != nil {
			return stopped(ctx, err, lo, c.Len())
		}
		for i := range gold {
			e, err := found.At(i)
			if err == nil {
				err = j.settle(r, &gold[i], e.Words)
			}
			if err != nil {
				return err
			}
		}
		lines, err := corpus.Lines(c.Labels(), gold...)
		if err == nil {
			err = write(n, lines)
		}
		if err != nil {
			return err
		}
		if j.Progress != nil {
			j.Progress(lo+n, c.Len())
		}
	}
	return nil
}

// stopped says how far a run came that was interrupted.
func stopped(ctx context.Context, err error, done, total int) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("tagger: stopped after %d of %d examples: %w", done, total, cause)
	}
	return err
}

// scored tells whether words can be gold annotation.
func scored(words []corpus.Word) bool {
	pos, ner := has(words)
	return pos || ner
}

// has tells whether any word has a part of speech, and an entity tag.
func has(words []corpus.Word) (pos, ner bool) {
	for _, w := range words {
		pos = pos || w.POS != "" && w.POS != "_"
		ner = ner || w.Entity != ""
	}
	return pos, ner
}

// settle scores what was found against the words of e, and gives e its words.
func (j Job) settle(r *Report, e *corpus.Example, found []corpus.Word) error {
	gold := e.Words
	pos, ner := has(gold)
	t, canTag := j.Annotator.(*Tagger)
	var tagged []corpus.Word
	if canTag && len(gold) > 0 && (pos || ner || !j.Replace) {
		var err error
		if tagged, err = t.Tag(e.Text, gold, e.Sentences); err != nil {
			return err
		}
	}
	if pos || ner {
		r.Raw.Add(gold, found)
		if tagged != nil {
			r.GoldWords.Add(gold, tagged)
		}
	}
	switch {
	case gold == nil || j.Replace:
		e.Words = found
		if e.Words == nil {
			e.Words = []corpus.Word{}
		}
	case tagged != nil:
		for i := range tagged {
			if pos {
				tagged[i].POS = gold[i].POS
			}
			if ner {
				tagged[i].Entity = gold[i].Entity
			}
		}
		e.Words = tagged
	}
	r.Examples++
	r.Words += len(e.Words)
	for _, w := range e.Words {
		if len(w.Entity) > 2 && w.Entity[0] == 'B' {
			r.Entities++
		}
	}
	return nil
}

// Evaluate scores t on annotated text: from the raw text, and given the words.
func (t *Tagger) Evaluate(ctx context.Context, c corpus.Corpus, workers int) (raw, goldWords Score, err error) {
	r, err := Job{Annotator: t, Workers: workers}.Stream(ctx, io.Discard, c)
	return r.Raw, r.GoldWords, err
}
