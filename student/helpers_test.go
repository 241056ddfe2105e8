package student_test

import "github.com/litekit/lite/student"

var tiny = student.Shape{Layers: 2, Hidden: 24, Heads: 3, FFN: 40, Vocab: 60, Positions: 20}

var (
	labels = []string{"no", "yes", "maybe"}
	tags   = []string{"NOUN", "VERB"}
	ents   = []string{"O", "B-PER", "I-PER", "B-LOC", "I-LOC"}
)
