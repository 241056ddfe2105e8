package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/student"
)

// language is what the experiments of one language read.
type language struct {
	*experiments
	name     string
	teacher  *onnx.Model       // a classifier
	tok      *corpus.Tokenizer // of the models of tables 3 and 4
	task     corpus.Corpus     // labelled
	dev      corpus.Corpus
	few      int           // labels where labels are scarce
	text     corpus.Corpus // annotated, in documents
	held     corpus.Corpus // of the same kind, held out
	unseen   corpus.Corpus // Chinese documents before those, held out too
	small    student.Shape // of students that are made anew
	half     student.Shape // of students that start from the teacher
	length   int           // of the task
	hasNames bool          // the text has entities
}

func (e *experiments) language(ctx context.Context, name string) (l *language, err error) {
	l = &language{experiments: e, name: name}
	switch name {
	case "en":
		err = l.english()
	case "zh":
		err = l.chinese(ctx)
	default:
		err = fmt.Errorf("experiments: there is no language %q; want en or zh", name)
	}
	return l, err
}

// vocabulary is how many tokens the models of tables 3 and 4 know: enough for
// texts of a few megabytes, and most of a step would go into more.
const vocabulary = 4000

// learnTokens makes the vocabulary of those models.
func (l *language) learnTokens() (err error) {
	if l.tok == nil {
		l.tok, err = corpus.TrainWordPiece(corpus.Texts(l.text), vocabulary, corpus.TrainOptions{Lowercase: true})
	}
	return err
}

// english: SST-2; the text is the Universal Dependencies English Web Treebank
// with its own parts of speech, and raw text of Wikipedia and of some reviews.
func (l *language) english() (err error) {
	l.few, l.length = 2000, 64
	l.small = student.Shape{Layers: 1, Hidden: 64, Heads: 4}
	l.half = student.Shape{Layers: 1}
	if l.teacher, err = onnx.Open(filepath.Join(l.models, "sst2-bert-L2-H128")); err != nil {
		return err
	}
	if l.task, l.dev, err = l.taskData("sst2"); err != nil {
		return err
	}
	gold, err := l.open("ud/en_ewt-ud-train.part.conllu")
	if err != nil {
		return err
	}
	raw, err := l.open("text/wikitext2-valid.txt")
	if err != nil {
		return err
	}
	if l.text, err = corpus.Concat(gold, raw, corpus.Unlabeled(corpus.Take(l.task, 4000))); err != nil {
		return err
	}
	l.held, err = l.open("ud/en_ewt-ud-test.conllu")
	return err
}

// chinese: ChnSentiCorp; the text is documents, headlines and the reviews with
// the words, parts of speech and entities of the built-in annotator.
func (l *language) chinese(ctx context.Context) (err error) {
	l.few, l.length, l.hasNames = 1000, 128, true
	l.small = student.Shape{Layers: 2, Hidden: 64, Heads: 4}
	l.half = student.Shape{Layers: 2}
	if l.teacher, err = onnx.Open(filepath.Join(l.models, "zh-bert-chnsenticorp-L4-H128")); err != nil {
		return err
	}
	if l.task, l.dev, err = l.taskData("chnsenticorp"); err != nil {
		return err
	}
	documents, err := l.annotated(ctx, "documents", func() (corpus.Corpus, error) { return l.open("text/cluecorpus-documents.txt") })
	if err != nil {
		return err
	}
	titles, err := l.annotated(ctx, "titles", func() (corpus.Corpus, error) { return l.open("text/tnews-unlabeled.jsonl") })
	if err != nil {
		return err
	}
	reviews, err := l.annotated(ctx, "reviews", func() (corpus.Corpus, error) { return corpus.Unlabeled(l.task), nil })
	if err != nil {
		return err
	}
	n := documents.Len() - heldDocuments - unseenDocuments
	l.text, err = corpus.Concat(corpus.Take(documents, n), corpus.Unlabeled(titles), corpus.Unlabeled(reviews))
	l.unseen = corpus.Take(corpus.Skip(documents, n), unseenDocuments)
	l.held = corpus.Skip(documents, n+unseenDocuments)
	return err
}

// How many Chinese documents at the end are for the perplexity, and how many
// before them for the order of sentences.
const heldDocuments, unseenDocuments = 200, 500

func (l *language) open(path string) (corpus.Corpus, error) {
	return corpus.Open([]string{filepath.Join(l.data, filepath.FromSlash(path))}, corpus.Options{})
}

// taskData opens a labelled corpus; what also stands in its training part is
// taken out of the dev part.
func (l *language) taskData(folder string) (train, dev corpus.Corpus, err error) {
	if train, err = l.open(folder + "/train.tsv"); err != nil {
		return nil, nil, err
	}
	if dev, err = l.open(folder + "/dev.tsv"); err != nil {
		return nil, nil, err
	}
	dev, err = apart(train, dev)
	return train, dev, err
}

// apart takes out of dev what also stands in train.
func apart(train, dev corpus.Corpus) (corpus.Corpus, error) {
	known, err := corpus.Overlap(train, dev)
	if err != nil {
		return nil, err
	}
	seen := map[int]bool{}
	for _, i := range known {
		seen[i] = true
	}
	var rest []int
	for i := range dev.Len() {
		if !seen[i] {
			rest = append(rest, i)
		}
	}
	return corpus.Subset(dev, rest)
}

// annotated adds words and tags, and keeps the result for the next time.
func (l *language) annotated(ctx context.Context, name string, open func() (corpus.Corpus, error)) (corpus.Corpus, error) {
	path := filepath.Join(l.out, name+".jsonl")
	if c, err := corpus.Open([]string{path}, corpus.Options{}); !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	c, err := open()
	if err != nil {
		return nil, err
	}
	words, err := corpus.Chinese()
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(l.log, "annotating %s\n", name)
	if c, err = corpus.Annotate(ctx, c, words, 0); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(l.out, 0o777); err != nil {
		return nil, err
	}
	f, err := os.Create(path + ".tmp")
	if err != nil {
		return nil, err
	}
	if err := errors.Join(corpus.WriteJSONL(f, c), f.Close()); err != nil {
		return nil, err
	}
	return c, os.Rename(path+".tmp", path)
}

// shuffledTags gives every word that has tags those of another word, drawn from
// all of the corpus: the same tags as often, but they say nothing.
func shuffledTags(c corpus.Corpus, seed uint64) (corpus.Corpus, error) {
	var words []*corpus.Word
	examples := make([]corpus.Example, c.Len())
	for i := range examples {
		e, err := c.At(i)
		if err != nil {
			return nil, err
		}
		e.Words = append([]corpus.Word(nil), e.Words...)
		for j := range e.Words {
			words = append(words, &e.Words[j])
		}
		examples[i] = e
	}
	order := permutation(len(words), seed)
	tags := make([]corpus.Word, len(words))
	for i, from := range order {
		tags[i] = *words[from]
	}
	for i, w := range words {
		w.POS, w.Entity = tags[i].POS, tags[i].Entity
	}
	return corpus.FromExamples(examples, c.Labels()), nil
}
