// Command serve answers texts over HTTP with a classifier.
//
//	go run ./examples/serve -model small -address localhost:8080
//	curl -d '["a gripping film"]' localhost:8080
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/litekit/lite/onnx"
	"github.com/litekit/lite/predict"
)

func main() {
	model := flag.String("model", "", "model directory of a classifier")
	address := flag.String("address", "localhost:8080", "where to listen")
	flag.Parse()
	m, err := onnx.Open(*model)
	if err != nil {
		log.Fatal(err)
	}
	p, err := predict.New(m, predict.Options{})
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: *address, Handler: handler(p), ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// The most that one request may ask for.
const (
	maxBody  = 1 << 20
	maxTexts = 256
)

// handler answers a JSON list of texts with the labels and scores of each. A
// predictor may be used by many requests at once.
func handler(p *predict.Predictor) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, "POST a JSON list of texts", http.StatusMethodNotAllowed)
			return
		}
		var texts []string
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&texts); err != nil {
			http.Error(w, "the body is not a JSON list of texts: "+err.Error(), http.StatusBadRequest)
			return
		}
		if len(texts) > maxTexts {
			http.Error(w, fmt.Sprintf("%d texts; send %d at most", len(texts), maxTexts), http.StatusRequestEntityTooLarge)
			return
		}
		answers, err := p.Classify(r.Context(), predict.Texts(texts...))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(answers); err != nil {
			log.Print(err) // the client has gone
		}
	})
}
