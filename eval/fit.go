package eval

import (
	"fmt"
	"slices"

	"github.com/litekit/lite/student"
)

// usual are the metrics of a head where none are named.
var usual = map[student.Kind][]string{
	student.KindClassification: {"accuracy", "f1"},
	student.KindMaskedLM:       {"accuracy", "perplexity"},
	student.KindPOS:            {"accuracy"},
	student.KindNER:            {"ner_f1", "accuracy"},
	student.KindSentenceOrder:  {"accuracy"},
	student.KindNextSentence:   {"accuracy"},
	student.KindRegression:     {"pearson", "spearman"},
	student.KindEmbedding:      {"spearman", "pearson", "cosine"},
}

// further are those that make sense of it besides. Entities are read from BIO
// tags only, F1 and Matthews count pairs of classes (too many for a vocabulary),
// and a correlation wants classes in an order.
var further = map[student.Kind][]string{
	student.KindClassification: {"mcc", "perplexity", "pearson", "spearman"},
	student.KindPOS:            {"f1", "mcc", "perplexity"},
	student.KindNER:            {"ner_f1_strict", "f1", "mcc", "perplexity"},
	student.KindSentenceOrder:  {"f1", "mcc", "perplexity"},
	student.KindNextSentence:   {"f1", "mcc", "perplexity"},
}

// regression are the metrics of a model that predicts a number.
var regression = []string{"pearson", "spearman"}

// fitting names the metrics that fit a head, the usual ones first, and how many
// those are.
func (s *scored) fitting() (fit []string, common int) {
	if s.regression {
		return regression, len(regression)
	}
	return MetricsFor(s.kind), len(usual[s.kind])
}

// MetricsFor names the metrics that [Options].Metrics may hold where a head of
// that kind is the primary one, the usual ones first. "agreement" and "kl" are
// in no list: [Compare] measures them of every model but the first.
func MetricsFor(kind student.Kind) []string {
	return slices.Concat(usual[kind], further[kind])
}

// MetricError is a Metric of [Options].Metrics that says nothing about the Head
// that it would measure.
type MetricError struct {
	Metric string
	Head   student.Kind
	Fit    []string // the metrics that fit the head
}

// Error implements error.
func (e *MetricError) Error() string {
	return fmt.Sprintf("eval: metric %s does not fit a %s head; choose one of %v", e.Metric, e.Head, e.Fit)
}
