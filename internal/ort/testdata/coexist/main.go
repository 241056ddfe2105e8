// Command coexist uses lite, hugot and onnx-gomlx in one program: each registers
// what it registers of protobuf when the program starts, and each then reads the
// model in the directory that is named. The answers to one text go to stdout.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	gomlx "github.com/gomlx/onnx-gomlx/onnx"
	"github.com/knights-analytics/hugot"
	"github.com/knights-analytics/hugot/pipelines"

	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/predict"
	"github.com/litekit/lite/prune"
	"github.com/litekit/lite/quantize"
)

// Every step of lite is linked in, not only what this program calls.
var _ = []any{distill.Config{}, prune.Config{}, quantize.Config{}}

type answer struct {
	Label string
	Score float64
}

type result struct {
	Lite, Hugot answer
	GomlxInputs []string
}

func main() {
	r, err := run(os.Args[1], os.Args[2])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(r)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(dir, text string) (r result, err error) {
	m, err := onnx.Open(dir)
	if err != nil {
		return r, err
	}
	p, err := predict.New(m, predict.Options{})
	if err != nil {
		return r, err
	}
	ours, err := p.Classify(context.Background(), predict.Texts(text))
	if err != nil {
		return r, err
	}
	r.Lite = answer{ours[0].Labels[0].Label, float64(ours[0].Labels[0].Score)}

	g, err := gomlx.ReadFile(filepath.Join(dir, "model.onnx"))
	if err != nil {
		return r, err
	}
	r.GomlxInputs = g.InputsNames

	session, err := hugot.NewGoSession()
	if err != nil {
		return r, err
	}
	pipeline, err := hugot.NewPipeline(session, hugot.TextClassificationConfig{
		ModelPath: dir, Name: "coexist", Options: []hugot.TextClassificationOption{pipelines.WithSoftmax()},
	})
	if err != nil {
		return r, err
	}
	theirs, err := pipeline.RunPipeline([]string{text})
	if err != nil {
		return r, err
	}
	best := theirs.ClassificationOutputs[0][0]
	r.Hugot = answer{best.Label, float64(best.Score)}
	return r, session.Destroy()
}
