package distill

import (
	"math"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/student"
)

// decoderBias is the Hugging Face name of the masked-LM decoder's bias.
const decoderBias = "cls.predictions.bias"

// startDecoder gives a fresh masked-LM decoder the log-frequencies of the text's
// tokens as bias. A bias that starts at zero moves by at most the learning
// rate in a step of Adam, so for thousands of steps the frequencies are learned
// by the tied embeddings instead, all of which then share a large common
// direction: it slows masked language modelling and spoils the losses beside
// it. (The initialisation of the last bias by the prior is folklore; Lin et
// al., arXiv 1708.02002, section 3.3, use it against class imbalance.)
func (t *trainer) startDecoder() {
	if t.heads.output[student.KindMaskedLM] == "" {
		return
	}
	for _, s := range t.streams {
		if s.view != Masked || s.taught() {
			continue
		}
		for _, p := range t.params {
			if p.Name == decoderBias && allZero(p.Value) {
				logFrequencies(p.Value, s.source)
			}
		}
	}
}

func allZero(x []float32) bool {
	for _, v := range x {
		if v != 0 {
			return false
		}
	}
	return true
}

// logFrequencies sets bias [V] to the logarithms of the tokens' frequencies,
// each counted half a time more.
func logFrequencies(bias []float32, v *corpus.View) {
	counts := v.TokenCounts(len(bias))
	total := 0
	for _, n := range counts {
		total += n
	}
	for i, n := range counts {
		bias[i] = float32(math.Log((float64(n) + 0.5) / (float64(total) + 0.5*float64(len(counts)))))
	}
}
