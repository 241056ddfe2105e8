package main

import (
	"fmt"

	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/student"
	"github.com/litekit/lite/synonym"
)

// denoisingTable: instance regularization beside training for as long, true
// negatives beside a random table of as many synonyms.
func (l *language) denoisingTable() (table, error) {
	near, random, err := l.synonyms()
	if err != nil {
		return table{}, err
	}
	t := table{
		id:      "4",
		title:   fmt.Sprintf("Table 4, %s: %s pre-trained from random weights for %d steps, then %d labels", languageNames[l.name], sizes(l.pretrained()), l.steps, l.few),
		columns: []column{accuracy, perplexity},
	}
	mlm := distill.Denoise{}
	add := func(name string, d distill.Denoise, steps float64, more ...distill.Term) {
		loss := append(distill.Sum{distill.Scale(1, d)}, more...)
		t.variants = append(t.variants, variant{name: name, run: l.tuned(pretraining{loss: loss, steps: int(steps * float64(l.steps))})})
	}
	add("mlm", mlm, 1)
	add("mlm, 4/3 of the steps", mlm, 4.0/3)
	add("mlm, twice the steps", mlm, 2)
	add("+ ir guided (costs 4/3)", mlm, 1, distill.Scale(1, distill.InstanceRegularization{Form: distill.Guided}))
	add("+ ir additive (costs 2)", mlm, 1, distill.Scale(1, distill.InstanceRegularization{Form: distill.Additive}))
	add("ir weighted (costs 5/3)", distill.Denoise{Weighted: true}, 1)
	add("hard true negatives", distill.Denoise{Synonyms: near}, 1)
	add("hard, random synonyms", distill.Denoise{Synonyms: random}, 1)
	add("soft true negatives", mlm, 1, distill.Scale(1, distill.SoftNegatives{}))
	return t, nil
}

// synonyms are the neighbours of the teacher's word embeddings, and as many
// random ones.
func (l *language) synonyms() (near, random *synonym.IDs, err error) {
	weights, shape, err := student.Weights(l.teacher)
	if err != nil {
		return nil, nil, err
	}
	words, err := weights["bert.embeddings.word_embeddings.weight"].Floats()
	if err != nil {
		return nil, nil, err
	}
	table, err := synonym.FromEmbeddings(words, shape.EmbeddingWidth(), l.tok, synonym.Default())
	if err != nil {
		return nil, nil, err
	}
	if near, err = table.IDs(l.tok); err != nil {
		return nil, nil, err
	}
	random, err = table.Random(1).IDs(l.tok)
	return near, random, err
}
