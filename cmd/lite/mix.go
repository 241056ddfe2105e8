package main

import (
	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/internal/misfit"
)

// mixFlags say what is made of the training data once it is read.
type mixFlags struct {
	dedupe  bool
	split   float64
	weights []float64
}

func (x *mixFlags) register(g group) {
	g.BoolVar(&x.dedupe, "dedupe", false, "leave out examples of --data whose text occurred before")
	shareVar(g.FlagSet, &x.split, "dev-split", 0, "share of --data that is kept from training and measured on at the end, chosen by a hash of the text")
	g.Float64SliceVar(&x.weights, "data-weights", nil, "`shares` of the --data files, how often an example of each occurs: 2 is twice, 0.5 a random half")
}

// check refuses flags that do not fit together.
func (x *mixFlags) check(files, dev []string) error {
	switch {
	case x.split > 0 && len(dev) > 0:
		return misfit.Errorf("--dev-split and --dev exclude each other: give one of them")
	case x.split >= 1:
		return misfit.Errorf("--dev-split %v leaves nothing to train on; give a share like 0.05", x.split)
	case len(files) == 0 && (x.split > 0 || x.dedupe || len(x.weights) > 0):
		return misfit.Errorf("--dev-split, --dedupe and --data-weights need --data")
	case len(x.weights) > 0 && len(x.weights) != len(files):
		return misfit.Errorf("--data-weights has %d numbers for %d of --data; give one for each", len(x.weights), len(files))
	}
	if len(x.weights) > 0 && !anyWeight(x.weights) {
		return misfit.Errorf("--data-weights: every file has the weight 0, which leaves nothing to train on; give one a weight above 0")
	}
	for _, w := range x.weights {
		if !(w >= 0 && w <= 1000) {
			return misfit.Errorf("--data-weights %v: give numbers from 0 to 1000", w)
		}
	}
	return nil
}

// open reads the training data; dev is what --dev-split takes from it, nil
// without. Equal texts never stand on both sides of the split, and the split
// does not depend on the seed.
func (x *mixFlags) open(a *app, data *dataFlags, files []string, seed uint64) (train, dev corpus.Corpus, err error) {
	parts := [][]string{files}
	if len(x.weights) > 0 {
		parts = nil
		for _, f := range files {
			parts = append(parts, []string{f})
		}
	}
	var trains, devs []corpus.Corpus
	for _, p := range parts {
		c, err := data.open("data", p)
		if err != nil {
			return nil, nil, err
		}
		trains = append(trains, c)
	}
	if x.dedupe {
		if err := x.unique(a, trains); err != nil {
			return nil, nil, err
		}
	}
	if x.split > 0 {
		for k, c := range trains {
			d, rest, err := corpus.Split(c, x.split, 0)
			if err != nil {
				return nil, nil, err
			}
			trains[k], devs = rest, append(devs, d)
		}
		if dev, err = corpus.Concat(devs...); err != nil {
			return nil, nil, err
		}
	}
	if len(x.weights) > 0 {
		train, err = corpus.Weighted(trains, x.weights, seed)
	} else {
		train = trains[0]
	}
	if err != nil {
		return nil, nil, err
	}
	if x.split > 0 {
		if dev.Len() == 0 || train.Len() == 0 {
			return nil, nil, misfit.Errorf("--dev-split %v: %d examples to train on and %d to measure on; give another share or more data", x.split, train.Len(), dev.Len())
		}
		a.progress.note("data: %d examples to train on, %d to measure on", train.Len(), dev.Len())
	}
	return train, dev, nil
}

// unique leaves repeated texts out of each of the corpora.
func (x *mixFlags) unique(a *app, cs []corpus.Corpus) error {
	for k, c := range cs {
		u, err := corpus.Dedupe(c)
		if err != nil {
			return err
		}
		if n := c.Len() - u.Len(); n > 0 {
			a.progress.note("data: %d of %d examples left out, their text occurred before", n, c.Len())
		}
		cs[k] = u
	}
	return nil
}

// warnOverlap says how many of the examples to measure on were trained on; what
// and measured are the flags that name them.
func warnOverlap(a *app, what string, train corpus.Corpus, measured string, dev corpus.Corpus) error {
	if train == nil || dev == nil {
		return nil
	}
	at, err := corpus.Overlap(train, dev)
	if err != nil || len(at) == 0 {
		return err
	}
	e, err := dev.At(at[0])
	if err != nil {
		return err
	}
	a.progress.note("warning: %d of the %d examples of %s also occur in %s, the first is %s, %.40q: what is measured on them is not about unseen text", len(at), dev.Len(), measured, what, e.Where(at[0]), e.Excerpt())
	return nil
}
