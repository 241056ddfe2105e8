package corpus

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Annotator finds the words of a text with their parts of speech and entities.
// Spans are byte offsets, in order and not overlapping; Word.POS is one of
// UPOS, Word.Entity a BIO tag. An Annotator used by Annotate with several
// workers must be safe for concurrent use, and its answer must depend on the
// text only.
type Annotator interface {
	// Annotate returns the words of text, none for a text without any.
	Annotate(text string) ([]Word, error)
}

// Annotate returns c with words for every example that has none, in the same
// order; what was annotated in the file stays. The second text of a pair is not
// annotated. workers < 2 means one. It stops when ctx is done. The result does
// not depend on the number of workers, and neither does the error: the one of
// the first example that fails.
func Annotate(ctx context.Context, c Corpus, a Annotator, workers int) (Corpus, error) {
	if c == nil || a == nil {
		return nil, errors.New("corpus: annotating needs a corpus and an annotator")
	}
	out := make([]Example, c.Len())
	var mu sync.Mutex
	next, failed := 0, len(out)
	var failure error
	take := func() int {
		mu.Lock()
		defer mu.Unlock()
		if next >= failed || ctx.Err() != nil {
			return -1
		}
		next++
		return next - 1
	}
	var wg sync.WaitGroup
	for range max(workers, 1) {
		wg.Go(func() {
			for i := take(); i >= 0; i = take() {
				var err error
				if out[i], err = annotate(c, a, i); err != nil {
					mu.Lock()
					if i < failed {
						failed, failure = i, err
					}
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if failure != nil {
		return nil, failure
	}
	if next < len(out) {
		return nil, fmt.Errorf("corpus: annotating stopped after %d of %d examples: %w", next, len(out), context.Cause(ctx))
	}
	return FromExamples(out, c.Labels()), nil
}

func annotate(c Corpus, a Annotator, i int) (Example, error) {
	e, err := c.At(i)
	if err != nil || e.Words != nil || e.Tokens != nil {
		return e, err
	}
	if e.Words, err = a.Annotate(e.Text); err != nil {
		return e, fmt.Errorf("corpus: annotating %s: %w", e.Where(i), err)
	}
	after := 0
	for k, w := range e.Words {
		if w.Start < after || w.End < w.Start || w.End > len(e.Text) {
			return e, fmt.Errorf("corpus: annotating %s: the annotator's word %d covers bytes %d to %d, out of order or outside the text of %d bytes", e.Where(i), k, w.Start, w.End, len(e.Text))
		}
		after = w.End
	}
	return e, nil
}
