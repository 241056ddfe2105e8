package augment

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"sync"

	"github.com/litekit/lite/corpus"
)

// Report is what came out.
type Report struct {
	Examples   int // of the corpus
	Copies     int // that were written beside them
	Duplicates int // copies that were dropped as they equal another or an example
	Resumed    int // examples that a run before had written
}

// block is how many examples are worked on before they are written.
const block = 64

// File writes the augmented corpus as JSONL (corpus.WriteJSONL): each example,
// and after it its copies, without those that were there before. Stopped by ctx
// or killed, it goes on with the next call (see corpus.Journal); the bytes are
// the same then, for any number of workers and threads.
func (a *Augmenter) File(ctx context.Context, path string, c corpus.Corpus) (r Report, err error) {
	data, err := corpus.Hash(c)
	if err != nil {
		return r, err
	}
	files := sha256.New()
	for _, name := range []string{"tokenizer.json", "vocab.txt"} {
		files.Write(a.tok.Files()[name])
	}
	run := sha256.Sum256(fmt.Appendf(nil, "augment %s %x %v %d %d %d %d %v %s", a.cfg.Teacher.Hash(), files.Sum(nil), a.cfg.Probability,
		a.cfg.TopK, a.cfg.Copies, a.cfg.MaxLength, a.cfg.Seed, a.cfg.CopiesOnly, data))
	out, err := corpus.OpenJournal(path, hex.EncodeToString(run[:]), &r)
	if err != nil {
		return r, err
	}
	r.Resumed = out.Done()
	seen, err := texts(c, out.Written())
	if err == nil {
		err = a.run(ctx, c, &r, seen, out.Done(), func(n int, lines []byte) error { return out.Add(n, lines, r) })
	}
	if err != nil {
		return r, errors.Join(err, out.Close())
	}
	return r, out.Finish()
}

// Stream writes the augmented corpus to w.
func (a *Augmenter) Stream(ctx context.Context, w io.Writer, c corpus.Corpus) (r Report, err error) {
	seen, err := texts(c, nil)
	if err != nil {
		return r, err
	}
	err = a.run(ctx, c, &r, seen, 0, func(_ int, lines []byte) error {
		_, err := w.Write(lines)
		return err
	})
	return r, err
}

// texts are the hashes of the texts of a corpus and of what is written.
func texts(c corpus.Corpus, written io.Reader) (map[uint64]struct{}, error) {
	seen := make(map[uint64]struct{}, c.Len())
	add := func(c corpus.Corpus) error {
		for i := range c.Len() {
			e, err := c.At(i)
			if err != nil {
				return err
			}
			seen[hash(e)] = struct{}{}
		}
		return nil
	}
	if err := add(c); err != nil || written == nil {
		return seen, err
	}
	before, err := corpus.Read(written, "part.jsonl", corpus.Options{Format: corpus.JSONL})
	if err != nil {
		return nil, err
	}
	return seen, add(before)
}

func hash(e corpus.Example) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, key(e)) // a hash does not fail
	return h.Sum64()
}

// run makes the copies of the examples from number from on, block by block.
func (a *Augmenter) run(ctx context.Context, c corpus.Corpus, r *Report, seen map[uint64]struct{}, from int, write func(n int, lines []byte) error) error {
	for lo := from; lo < c.Len(); lo += block {
		n := min(block, c.Len()-lo)
		examples, copies, err := a.block(ctx, c, lo, n)
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return fmt.Errorf("augment: stopped after %d of %d examples: %w", lo, c.Len(), cause)
			}
			return err
		}
		var list []corpus.Example
		for i, e := range examples {
			r.Examples++
			if !a.cfg.CopiesOnly {
				list = append(list, e)
			}
			for _, x := range copies[i] {
				h := hash(x)
				if _, ok := seen[h]; ok {
					continue
				}
				seen[h] = struct{}{}
				r.Copies++
				list = append(list, x)
			}
		}
		r.Duplicates = r.Examples*a.cfg.Copies - r.Copies
		lines, err := corpus.Lines(c.Labels(), list...)
		if err == nil {
			err = write(n, lines)
		}
		if err != nil {
			return err
		}
		if a.cfg.Progress != nil {
			a.cfg.Progress(lo+n, c.Len())
		}
	}
	return nil
}

// block makes the copies of n examples side by side.
func (a *Augmenter) block(ctx context.Context, c corpus.Corpus, lo, n int) ([]corpus.Example, [][]corpus.Example, error) {
	examples, copies, errs := make([]corpus.Example, n), make([][]corpus.Example, n), make([]error, n)
	var wg sync.WaitGroup
	gate := make(chan struct{}, a.cfg.Workers)
	for i := range n {
		gate <- struct{}{}
		wg.Go(func() {
			defer func() { <-gate }()
			if errs[i] = context.Cause(ctx); errs[i] != nil {
				return
			}
			if examples[i], errs[i] = c.At(lo + i); errs[i] == nil {
				copies[i], errs[i] = a.Example(ctx, examples[i], lo+i)
			}
			if errs[i] != nil {
				errs[i] = fmt.Errorf("%s: %w", examples[i].Where(lo+i), errs[i])
			}
		})
	}
	wg.Wait()
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return nil, nil, errs[i]
	}
	return examples, copies, nil
}
