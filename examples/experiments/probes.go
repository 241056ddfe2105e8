package main

import (
	"math/rand/v2"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/student"
)

// probe is a task with few labels that tells what an encoder has learned.
type probe struct {
	column        column
	head          student.Head
	train, test   corpus.Corpus
	batch, epochs int
	rate          float64
}

// orderLabels are the classes of pairs of sentences.
var orderLabels = []string{"in order", "swapped"}

// probes are the tasks of table 3: gold parts of speech, gold entities where
// there are any, the order of two sentences, and the task of the other tables.
func (l *language) probes() ([]probe, error) {
	tags, test, err := l.treebank()
	if err != nil {
		return nil, err
	}
	pos := probe{column{"parts of speech", "%.4f"}, student.POS(corpus.UPOS()), tags, test, 16, 10, 3e-3}
	out := []probe{pos}
	if l.hasNames {
		all, err := l.open("msra_ner/dev.tsv")
		if err != nil {
			return nil, err
		}
		names, err := corpus.NERTags(all)
		if err != nil {
			return nil, err
		}
		const labelled = 400
		train := corpus.Take(all, labelled)
		rest, err := apart(train, corpus.Skip(all, labelled))
		if err != nil {
			return nil, err
		}
		out = append(out, probe{column{"entities, F1", "%.4f"}, student.NER(names), train, rest, 16, 10, 3e-3})
	}
	learn, asked, err := l.order()
	if err != nil {
		return nil, err
	}
	order := probe{column{"sentence order", "%.4f"}, student.Classification(orderLabels), learn, asked, 32, 5, 1e-3}
	task := probe{accuracy, student.Classification(l.task.Labels()), corpus.Take(l.task, l.few), l.dev, 32, 5, 1e-3}
	return append(out, order, task), nil
}

// treebank gives gold parts of speech: about 200 sentences to learn from, and a
// test part.
func (l *language) treebank() (train, test corpus.Corpus, err error) {
	name, n := "ud/en_ewt-ud-", 30 // documents, of six sentences or so
	if l.name == "zh" {
		name, n = "ud/zh_gsdsimp-ud-", 200
	}
	if train, err = l.open(name + "dev.conllu"); err != nil {
		return nil, nil, err
	}
	test, err = l.open(name + "test.conllu")
	return corpus.Take(train, n), test, err
}

// order gives pairs of sentences of documents that no pre-training has seen:
// 1000 to learn from, and those of other documents.
func (l *language) order() (train, test corpus.Corpus, err error) {
	var first, second corpus.Corpus
	if l.name == "zh" {
		const learned = 250 // documents
		first, second = corpus.Take(l.unseen, learned), corpus.Skip(l.unseen, learned)
	} else {
		second = l.held
		if first, err = l.open("ud/en_ewt-ud-dev.conllu"); err != nil {
			return nil, nil, err
		}
	}
	if train, err = sentencePairs(first); err != nil {
		return nil, nil, err
	}
	test, err = sentencePairs(second)
	return corpus.Take(train, 1000), test, err
}

// sentencePairs are all pairs of sentences that follow one another, each swapped
// if a coin says so.
func sentencePairs(c corpus.Corpus) (corpus.Corpus, error) {
	coin := rand.New(rand.NewPCG(1, 0x7061697273))
	var out []corpus.Example
	for i := range c.Len() {
		e, err := c.At(i)
		if err != nil {
			return nil, err
		}
		sentences := e.Sentences
		if sentences == nil {
			sentences = corpus.SplitSentences(e.Text)
		}
		for j := 1; j < len(sentences); j++ {
			a, b := sentences[j-1], sentences[j]
			pair := corpus.Example{Text: e.Text[a.Start:a.End], Pair: e.Text[b.Start:b.End], Label: coin.IntN(2)}
			if pair.Label == 1 {
				pair.Text, pair.Pair = pair.Pair, pair.Text
			}
			out = append(out, pair)
		}
	}
	return corpus.FromExamples(out, orderLabels), nil
}
