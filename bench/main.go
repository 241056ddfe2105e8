// Command bench times lite and ONNX Runtime in turns on the same model files;
// see README.md.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	lexec "github.com/litekit/lite/internal/exec"
	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/onnx"
)

//go:embed ort.cjs
var script string

// work is what is timed: B sequences of S tokens, warm-up runs and then runs in
// each of the rounds.
type work struct {
	threads, rounds, warmup, runs int
}

func main() {
	w := work{}
	shapes := flag.String("shapes", "1x32,1x128,8x128", "`BxS,...`: batches of B sequences of S tokens")
	flag.IntVar(&w.threads, "threads", runtime.NumCPU(), "threads of each")
	flag.IntVar(&w.rounds, "rounds", 5, "turns that each takes; the median of them counts")
	flag.IntVar(&w.warmup, "warmup", 3, "runs before timing, in each turn")
	flag.IntVar(&w.runs, "runs", 15, "timed runs in each turn")
	flag.Parse()
	if err := w.all(flag.Args(), strings.Split(*shapes, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// all times every model at every shape.
func (w work) all(models, shapes []string) error {
	if len(models) == 0 {
		return errors.New("no models; name ONNX files")
	}
	if w.threads < 1 || w.rounds < 1 || w.warmup < 0 || w.runs < 1 {
		return errors.New("-threads, -rounds and -runs must be at least 1, -warmup at least 0")
	}
	kernel.SetThreads(w.threads)
	fmt.Printf("%s kernels, %d threads, median of %d rounds of %d runs\n", kernel.Class(), w.threads, w.rounds, w.runs)
	fmt.Printf("%-44s %8s %10s %10s %8s\n", "model", "shape", "lite ms", "ORT ms", "speed")
	for _, model := range models {
		for _, shape := range shapes {
			var b, s int
			if n, err := fmt.Sscanf(shape, "%dx%d", &b, &s); n != 2 || err != nil || b < 1 || s < 1 {
				return fmt.Errorf("-shapes: %q is not of the form BxS, such as 8x128", shape)
			}
			ours, theirs, err := w.turns(model, b, s)
			if err != nil {
				return fmt.Errorf("%s at %s: %w", model, shape, err)
			}
			name := filepath.Join(filepath.Base(filepath.Dir(model)), filepath.Base(model))
			fmt.Printf("%-44s %8s %10.2f %10.2f %7.2f×\n", name, shape, ours, theirs, theirs/ours)
		}
	}
	return nil
}

// turns returns the medians, in milliseconds, of lite's and ONNX Runtime's rounds.
func (w work) turns(model string, b, s int) (ours, theirs float64, err error) {
	m, err := onnx.Open(model)
	if err != nil {
		return 0, 0, err
	}
	session, err := lexec.New(m, lexec.Options{})
	if err != nil {
		return 0, 0, err
	}
	feed, err := inputs(session, b, s)
	if err != nil {
		return 0, 0, err
	}
	var a, o []float64
	for range w.rounds {
		t, err := w.lite(session, feed)
		if err != nil {
			return 0, 0, err
		}
		a = append(a, t)
		if t, err = w.ort(model, b, s); err != nil {
			return 0, 0, err
		}
		o = append(o, t)
	}
	return median(a), median(o), nil
}

// inputs are the ones that ort.cjs makes: int64 [b,s].
func inputs(session *lexec.Session, b, s int) (map[string]*lexec.Tensor, error) {
	fill := map[string]func(int) int64{
		"input_ids":      func(i int) int64 { return int64(i * 7919 % 1000) },
		"attention_mask": func(int) int64 { return 1 },
		"token_type_ids": func(int) int64 { return 0 },
	}
	feed := map[string]*lexec.Tensor{}
	for _, info := range session.Inputs() {
		f, ok := fill[info.Name]
		if !ok {
			return nil, fmt.Errorf("no idea what to feed input %s", info.Name)
		}
		data := make([]int64, b*s)
		for i := range data {
			data[i] = f(i)
		}
		feed[info.Name] = lexec.Int64s(data, b, s)
	}
	return feed, nil
}

// lite is the median of one turn of ours, in milliseconds.
func (w work) lite(session *lexec.Session, feed map[string]*lexec.Tensor) (float64, error) {
	var times []float64
	for i := -w.warmup; i < w.runs; i++ {
		start := time.Now()
		if _, err := session.Run(context.Background(), feed); err != nil {
			return 0, err
		}
		if i >= 0 {
			times = append(times, float64(time.Since(start).Nanoseconds())/1e6)
		}
	}
	return median(times), nil
}

// ort is the median of one turn of ONNX Runtime, in milliseconds.
func (w work) ort(model string, b, s int) (float64, error) {
	dir := os.Getenv("LITE_ORT")
	if dir == "" {
		return 0, errors.New("LITE_ORT is not set; start bench/run, which installs ONNX Runtime (make peers)")
	}
	modules, err := filepath.Abs(filepath.Join(dir, "node_modules"))
	if err != nil {
		return 0, err
	}
	args := []string{"-e", script, "ort.cjs", model}
	for _, n := range []int{b, s, w.threads, w.warmup, w.runs} {
		args = append(args, strconv.Itoa(n))
	}
	cmd := exec.Command("node", args...)
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("ONNX Runtime: %w", err)
	}
	t, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	if err != nil {
		return 0, fmt.Errorf("ONNX Runtime: %w", err)
	}
	return t, nil
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[len(x)/2]
}
