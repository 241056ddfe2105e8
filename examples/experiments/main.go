// Command experiments makes the tables of docs/experiments.md: what a teacher,
// a start from its layers, the linguistic and the denoising objectives are worth,
// each against its controls, in English and Chinese, over several seeds.
//
//	go run ./examples/experiments -data DIR -models DIR -out DIR [-tables 1,2] [-languages en,zh] [-seeds 1,2,3]
//
// DIR of -data holds sst2, chnsenticorp, msra_ner, ud and text, that of -models the two
// teachers; see docs/experiments.md. Every run's figures are kept in -out: a
// program that was stopped goes on with the runs that are missing, and inside a
// run from its checkpoint.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
)

func main() {
	e := &experiments{log: os.Stderr, print: os.Stdout}
	flag.StringVar(&e.data, "data", "", "`folder` of the corpora")
	flag.StringVar(&e.models, "models", "", "`folder` of the teachers")
	flag.StringVar(&e.out, "out", "", "`folder` of the figures")
	flag.IntVar(&e.steps, "steps", 1000, "`steps` of a pre-training of table 4; table 3 has 3 times as many and half as many more")
	list := flag.String("tables", "1,2,3,4", "tables to make")
	languages := flag.String("languages", "en,zh", "languages")
	seeds := flag.String("seeds", "1,2,3", "seeds")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := e.run(ctx, strings.Split(*list, ","), strings.Split(*languages, ","), strings.Split(*seeds, ",")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// experiments is what all runs share.
type experiments struct {
	data, models, out string
	steps             int
	seeds             []uint64
	log, print        io.Writer
}

func (e *experiments) run(ctx context.Context, list, languages, seeds []string) error {
	if e.data == "" || e.models == "" || e.out == "" {
		return errors.New("experiments: give -data, -models and -out")
	}
	for _, s := range seeds {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return fmt.Errorf("experiments: seed %q is not a number", s)
		}
		e.seeds = append(e.seeds, n)
	}
	for _, name := range languages {
		l, err := e.language(ctx, name)
		if err != nil {
			return err
		}
		for _, id := range list {
			t, err := l.table(id)
			if err == nil {
				err = e.make(ctx, t, name)
			}
			if err != nil {
				return fmt.Errorf("experiments: table %s, %s: %w", id, name, err)
			}
		}
	}
	return nil
}

// table is a table of one language.
type table struct {
	id, title string
	columns   []column
	variants  []variant
}

// column is a figure that every run of a table gives.
type column struct {
	name, format string
}

// variant is a row of a table: the runs that differ in the seed alone.
type variant struct {
	name string
	// control names the row that this one is also compared with.
	control string
	// run returns the figures. It may keep what it needs to go on in dir.
	run func(ctx context.Context, dir string, seed uint64) (map[string]float64, error)
}

// make runs what is missing and prints the table.
func (e *experiments) make(ctx context.Context, t table, language string) error {
	rows := make([][]map[string]float64, len(t.variants))
	for _, seed := range e.seeds {
		for i, v := range t.variants {
			dir := filepath.Join(e.out, "table-"+t.id, language, fileName(v.name), strconv.FormatUint(seed, 10))
			figures, err := readFigures(dir)
			if err == nil && figures == nil {
				fmt.Fprintf(e.log, "table %s, %s, seed %d: %s\n", t.id, language, seed, v.name)
				if figures, err = v.run(ctx, dir, seed); err == nil {
					err = writeFigures(dir, figures)
				}
			}
			if err != nil {
				return fmt.Errorf("%s, seed %d: %w", v.name, seed, err)
			}
			rows[i] = append(rows[i], figures)
		}
	}
	return t.print(e.print, rows)
}
