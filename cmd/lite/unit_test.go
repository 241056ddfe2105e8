package main

import (
	"bufio"
	"bytes"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/eval"
)

func TestNumbersForPeople(t *testing.T) {
	for _, tc := range []struct{ got, want string }{
		{duration(4200 * time.Microsecond), "4ms"},
		{duration(4249 * time.Millisecond), "4.2s"},
		{duration(192 * time.Second), "3m12s"},
		{duration(2*time.Hour + 5*time.Minute + 40*time.Second), "2h06m"},
		{duration(59*time.Minute + 59*time.Second), "59m59s"},
		{short(999), "999"},
		{short(12345), "12.3k"},
		{short(2.5e6), "2.50M"},
		{size(12), "12 bytes"},
		{size(8181113), "8.2 MB"},
		{size(4 << 30), "4.29 GB"},
		{remaining(10*time.Second, 20, 40).String(), "20s"},
		{remaining(10*time.Second, 0, 40).String(), "0s"},
		{remaining(10*time.Second, 20, 0).String(), "0s"},
	} {
		if tc.got != tc.want {
			t.Errorf("got %q, want %q", tc.got, tc.want)
		}
	}
}

func TestShortNames(t *testing.T) {
	for _, tc := range [][2][]string{
		{{"models/a", "b/"}, {"a", "b"}},
		{{"x/m", "y/m"}, {"x/m", "y/m"}},
		{{"m", "m", "n"}, {"m", "m (2)", "n"}},
	} {
		if got := shortNames(tc[0]); !slices.Equal(got, tc[1]) {
			t.Errorf("%q: got %q, want %q", tc[0], got, tc[1])
		}
	}
}

func TestParseShapes(t *testing.T) {
	got, err := parseShapes("1x32, 8×128")
	if want := []eval.Shape{{Batch: 1, Length: 32}, {Batch: 8, Length: 128}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "8", "0x8", "8x-1", "8x8x8", "axb", "1x8,"} {
		if _, err := parseShapes(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// pieces is a reader that returns one piece for each read.
type pieces []string

func (p *pieces) Read(b []byte) (int, error) {
	if len(*p) == 0 {
		return 0, io.EOF
	}
	n := copy(b, (*p)[0])
	*p = (*p)[1:]
	return n, nil
}

func TestReadBatches(t *testing.T) {
	for _, tc := range []struct {
		in   pieces
		want [][]string
	}{
		{nil, nil},
		{pieces{"a\nb\nc\n"}, [][]string{{"a", "b"}, {"c"}}},
		{pieces{"a\n", "b\n"}, [][]string{{"a"}, {"b"}}}, // an answer before the next question
		{pieces{"a\r\n", "b"}, [][]string{{"a"}, {"b"}}},
		{pieces{"a", "b\n\n"}, [][]string{{"ab", ""}}},
	} {
		var got [][]string
		in := tc.in
		if err := readBatches(bufio.NewReader(&in), 2, func(b []string) { got = append(got, b) }); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%q: got %q, want %q", tc.in, got, tc.want)
		}
	}
	long := strings.NewReader(strings.Repeat("x", maxLine+2))
	if err := readBatches(bufio.NewReader(long), 2, func([]string) {}); err == nil {
		t.Error("a line without end is accepted")
	}
}

// A log has a line for the end of a run; a terminal is redrawn and cleared.
func TestProgress(t *testing.T) {
	step := distill.Progress{
		Step: 50, Steps: 100, Tokens: 20000, Elapsed: 10 * time.Second,
		Losses: []distill.NamedLoss{{Name: "kd", Value: 0.25}},
	}
	var log bytes.Buffer
	p := newProgress(&log)
	p.training(step)
	if log.Len() > 0 {
		t.Errorf("a log has %q at once", &log)
	}
	p.last = p.last.Add(-relog)
	p.training(step)
	step.Step, step.Elapsed = 100, 20*time.Second
	p.training(step)
	p.clear()
	if got, want := log.String(), "train  50/100  50%  kd 0.2500  2.0k tokens/s  10s left\ntrain  100/100  100%  kd 0.2500  1.0k tokens/s  20s\n"; got != want {
		t.Errorf("log:\n%swant\n%s", got, want)
	}

	var screen bytes.Buffer
	p = newProgress(&screen)
	p.terminal, p.fd = true, -1
	p.stageOf("evaluate", 1, 4)
	p.note("done")
	if got, want := screen.String(), "\r\x1b[Kevaluate  1/4  25%\r\x1b[Kdone\n"; got != want {
		t.Errorf("terminal: %q, want %q", got, want)
	}

	var none bytes.Buffer
	p = newProgress(&none)
	p.quiet, p.terminal = true, true
	p.training(step)
	p.note("x")
	p.clear()
	if none.Len() > 0 {
		t.Errorf("quiet: %q", &none)
	}
}

func TestInterruptionsAreSaidPlainly(t *testing.T) {
	for message, want := range map[string]string{
		"context canceled": "nothing is written",
		"prune: calibration: exec: stopped before node /a/MatMul: interrupt signal received":           "prune: calibration",
		"distill: stopped at step 3 of 9, saved in x; run the same command to go on: context canceled": "distill: stopped at step 3 of 9, saved in x; run the same command to go on",
	} {
		if got := withoutCause(message); got != want {
			t.Errorf("%q became %q, want %q", message, got, want)
		}
	}
}

// On a terminal the table is drawn over itself, and goes when something is said.
func TestTableOnATerminal(t *testing.T) {
	var b bytes.Buffer
	p := &progress{w: &b, fd: -1, terminal: true}
	s := distill.Progress{Step: 1, Steps: 4, Stage: "long", Losses: []distill.NamedLoss{{Name: "kd", Value: 0.5}, {Name: "ce", Value: 12}}, Rate: 5e-4, Norm: 1.25, Tokens: 500, Elapsed: time.Second}
	p.training(s)
	want := "\r\x1b[Ktrain long  1/4  25%  [=====               ]  500 tokens/s  3s left\n  kd 0.5000    ce 12.0000 \n  rate 0.0005  gradient 1.25"
	if got := b.String(); got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	b.Reset()
	p.evaluated("accuracy", distill.Evaluation{Step: 2, Value: 0.75}, true)
	if got, want := b.String(), "\x1b[2A\r\x1b[Jstep 2: accuracy 0.7500, the best so far\n"; got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	b.Reset()
	s.Step, s.Losses[0].Name = 4, strings.Repeat("long", 30)
	p.training(s)
	for _, line := range strings.Split(b.String(), "\n") {
		if n := len([]rune(line)); n > 79 {
			t.Errorf("%d characters: %q", n, line)
		}
	}
	if !strings.HasSuffix(b.String(), "\n  step 2: accuracy 0.7500, the best so far") {
		t.Errorf("got %q", b.String())
	}
}

func TestSizesOfMemory(t *testing.T) {
	for text, want := range map[string]int64{"2GB": 2e9, "512MiB": 512 << 20, "1.5 g": 15e8, "1e6": 1e6, "300kb": 3e5, "7B": 7} {
		if got, err := parseBytes(text); err != nil || got != want {
			t.Errorf("%q is %d (%v), want %d", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "GB", "-1GB", "0", "1e300", "NaN", "2 TB"} {
		if n, err := parseBytes(bad); err == nil {
			t.Errorf("%q is accepted as %d", bad, n)
		}
	}
}

// Whatever a file of flags holds, it is read or refused, in order and whole.
func TestFilesOfFlags(t *testing.T) {
	fields, err := readFields([]byte(` {"b": [1, "x", true], "a": -1.5e3, "c": "é"} `))
	if err != nil || len(fields) != 3 || fields[0].name != "b" || fields[2].name != "c" {
		t.Fatalf("%v, %v", fields, err)
	}
	for i, want := range [][]string{{"1", "x", "true"}, {"-1.5e3"}, {"é"}} {
		if got, err := flagValue(fields[i].value); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s is %q (%v), want %q", fields[i].name, got, err, want)
		}
	}
	for _, bad := range []string{"", "[]", "null", "{", `{"a"`, `{"a":`, `{"a":1`, `{"a":1,}`, `{1:2}`, `{"a":1}{"b":2}`, `{"a":1} x`, `{"a":1,"a":2}`, "\x00"} {
		if f, err := readFields([]byte(bad)); err == nil {
			t.Errorf("%q is read as %v", bad, f)
		}
	}
	for _, bad := range []string{"null", "{}", `{"a":1}`, "[[1]]", "[null]", `[{"a":1}]`} {
		if v, err := flagValue([]byte(bad)); err == nil {
			t.Errorf("%s is the value %q", bad, v)
		}
	}
	for _, bad := range []string{"{}", "[]", "[1]", `[{"name":1}]`, `[{"name":""}]`, `[{"a":1,"a":2}]`} {
		if v, err := readStages([]byte(bad)); err == nil {
			t.Errorf("%s are the stages %v", bad, v)
		}
	}
}
