package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/predict"
	"github.com/litekit/lite/student"
)

func TestHandler(t *testing.T) {
	tok, err := corpus.NewWordPiece([]string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad"}, true)
	if err != nil {
		t.Fatal(err)
	}
	m, err := distill.NewModel(student.Shape{Layers: 1, Hidden: 16}, student.Classification([]string{"negative", "positive"}), tok, 1)
	if err != nil {
		t.Fatal(err)
	}
	p, err := predict.New(m, predict.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler(p))
	defer server.Close()
	for _, tc := range []struct {
		body string
		want int
	}{
		{`["good", "bad bad", ""]`, http.StatusOK},
		{`[]`, http.StatusOK},
		{`good`, http.StatusBadRequest},
		{`{"text": "good"}`, http.StatusBadRequest},
		{`[` + strings.Repeat(`"good",`, 300) + `"good"]`, http.StatusRequestEntityTooLarge},
		{`["` + strings.Repeat("x", maxBody) + `"]`, http.StatusBadRequest},
	} {
		r, err := http.Post(server.URL, "application/json", strings.NewReader(tc.body))
		if err != nil {
			t.Fatal(err)
		}
		if r.StatusCode != tc.want {
			t.Errorf("%.40s: status %d, want %d", tc.body, r.StatusCode, tc.want)
		}
		if tc.want == http.StatusOK {
			var answers []predict.Classified
			if err := json.NewDecoder(r.Body).Decode(&answers); err != nil {
				t.Errorf("%s: %v", tc.body, err)
			}
			if n := strings.Count(tc.body, `"`) / 2; len(answers) != n || n > 0 && len(answers[0].Labels) != 2 {
				t.Errorf("%s: %v", tc.body, answers)
			}
		}
		r.Body.Close()
	}
	r, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: status %d", r.StatusCode)
	}
}
