// Command bench alternates lite with its peers on the same work and keeps the
// ratios in RESULTS.md; see README.md.
package main

import (
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

	"github.com/litekit/lite/internal/kernel"
)

// bench is what the flags say.
type bench struct {
	lite, dir, results string
	threads, rounds    int
	warmup, runs       int
	only               []string
	own                string // files of int8-own
	machine            string
}

func main() {
	b := &bench{}
	only := flag.String("only", "", "`parts` to measure, separated by commas (default: all): "+strings.Join(partNames(), ", ")+"; a part may be limited to what a name holds, as in float:4x312")
	maker := flag.String("make", "", "make one of the models in -dir and stop: `SIZE`, or SIZE-int8")
	streamed := flag.String("stream", "", "stream a corpus in this process, print what it took and stop: `FILE`")
	flag.StringVar(&b.lite, "lite", "./lite", "the program to time")
	flag.StringVar(&b.dir, "dir", filepath.Join(os.TempDir(), "lite-bench"), "`folder` of the models, made where they are missing")
	flag.StringVar(&b.own, "own", "", "`files` that ONNX Runtime's own dynamic quantizer made, separated by commas: the rows of int8-own")
	flag.StringVar(&b.results, "o", "bench/RESULTS.md", "`file` whose tables are brought up to date")
	flag.IntVar(&b.threads, "threads", runtime.NumCPU(), "threads of each")
	flag.IntVar(&b.rounds, "rounds", 5, "turns that each takes; the medians of them count")
	flag.IntVar(&b.warmup, "warmup", 3, "runs before timing, in each turn")
	flag.IntVar(&b.runs, "runs", 9, "timed runs in each turn")
	flag.Parse()
	if *only != "" {
		b.only = strings.Split(*only, ",")
	}
	err := b.check(flag.Args())
	if err == nil && *maker != "" {
		err = b.make(*maker)
	} else if err == nil && *streamed != "" {
		err = streamFile(*streamed)
	} else if err == nil {
		err = b.all()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) check(args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%q is not a flag; -h lists them", args[0])
	}
	if b.threads < 1 || b.rounds < 1 || b.warmup < 1 || b.runs < 1 {
		return errors.New("-threads, -rounds, -warmup and -runs must be at least 1")
	}
	for _, o := range b.only {
		if name, _, _ := strings.Cut(o, ":"); !slices.Contains(partNames(), name) {
			return fmt.Errorf("-only: %q is none of %s", name, strings.Join(partNames(), ", "))
		}
	}
	b.machine = fmt.Sprintf("%s, %d threads, %s kernels", processor(), b.threads, kernel.Path())
	return nil
}

// processor is the name of the processor, where the system tells it.
func processor() string {
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for _, line := range strings.Split(string(info), "\n") {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return runtime.GOARCH
}

// part is a table of RESULTS.md.
type part struct {
	name  string
	head  []string // columns before the date
	key   int      // so many columns name a row
	ratio int      // the column that is summed up
	rows  func(b *bench) []row
}

// row is one line of a table, measured when it is wanted.
type row struct {
	name    string
	measure func() ([]string, error) // the columns before the date
}

func partNames() []string {
	var out []string
	for _, p := range parts() {
		out = append(out, p.name)
	}
	return out
}

// wanted reports whether -only names the row.
func (b *bench) wanted(part, row string) bool {
	if len(b.only) == 0 {
		return true
	}
	return slices.ContainsFunc(b.only, func(o string) bool {
		name, limit, _ := strings.Cut(o, ":")
		return name == part && strings.Contains(row, limit)
	})
}

// all measures what is wanted and keeps each row as soon as it is known.
func (b *bench) all() error {
	doc, err := readResults(b.results)
	if err != nil {
		return err
	}
	for _, p := range parts() {
		for _, r := range p.rows(b) {
			if !b.wanted(p.name, r.name) {
				continue
			}
			cells, err := r.measure()
			if err != nil {
				return fmt.Errorf("%s: %s: %w", p.name, r.name, err)
			}
			fmt.Println(p.name+":", strings.Join(cells, "  "))
			if err := doc.put(p, append(cells, time.Now().UTC().Format(time.DateOnly)), b.machine); err != nil {
				return err
			}
			if err := doc.write(b.results); err != nil {
				return err
			}
		}
	}
	return nil
}

// model is the file of a model, made first where it is missing. Making is another
// process's work: the memory of this one would count as its children's.
func (b *bench) model(name string) (string, error) {
	file := filepath.Join(b.dir, name+".onnx")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	cmd := exec.Command(self, "-make", name, "-dir", b.dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("making %s: %w", name, err)
	}
	return file, nil
}

// turns takes rounds turns of each and returns the medians of every figure.
func (b *bench) turns(each ...func() (figures, error)) ([]figures, error) {
	all := make([][]figures, len(each))
	for range b.rounds {
		for i, f := range each {
			v, err := f()
			if err != nil {
				return nil, err
			}
			all[i] = append(all[i], v)
		}
	}
	out := make([]figures, len(each))
	for i, list := range all {
		out[i] = figures{
			Median: median(list, func(f figures) float64 { return f.Median }),
			Load:   median(list, func(f figures) float64 { return f.Load }),
			Peak:   median(list, func(f figures) float64 { return f.Peak }),
		}
	}
	return out, nil
}

func median(list []figures, of func(figures) float64) float64 {
	var x []float64
	for _, f := range list {
		x = append(x, of(f))
	}
	slices.Sort(x)
	return x[len(x)/2]
}

func number(x float64, digits int) string { return strconv.FormatFloat(x, 'f', digits, 64) }
