package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"

	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/onnx"
)

// plan is what --dry-run prints; its JSON names are stable.
type plan struct {
	Command string      `json:"command"`
	Stages  []stagePlan `json:"stages"`
	Memory  int64       `json:"memory"` // of the whole process, bytes
	Disk    int64       `json:"disk"`
	// Within are the steps that fit --time-budget, of the stages that have one.
	Within  []int   `json:"steps_within_budget,omitempty"`
	Seconds float64 `json:"seconds"`
}

// stagePlan is that of one stage; a run without stages is one.
type stagePlan struct {
	Name string `json:"name,omitempty"`
	*distill.Estimate
}

// dryRun prints what the training of m will take, and trains nothing.
func (t *training) dryRun(ctx context.Context, command string, m *onnx.Model, out *output) error {
	stages, err := t.prepare(m, out)
	if err != nil {
		return err
	}
	var heap steadyHeap
	heap.start()
	defer heap.stop()
	p := &plan{Command: command}
	for i, c := range stages {
		t.app.progress.note("trying a few steps%s", inStage(c.Stage))
		if len(stages) > 1 {
			c.KeepHeads = c.KeepHeads || i < len(stages)-1
		}
		e, err := distill.Plan(ctx, m, c)
		if err != nil {
			if c.Stage != "" {
				err = fmt.Errorf("stage %s: %w", c.Stage, err)
			}
			return err
		}
		p.Stages = append(p.Stages, stagePlan{c.Stage, e})
		p.Disk += e.Checkpoints
		if i == 0 || t.cfg.Cache == "" {
			p.Disk += e.Labels
		}
		seconds := e.Seconds()
		if c.TimeBudget > 0 {
			within, err := e.Within(c.TimeBudget)
			if err != nil {
				return err
			}
			p.Within = append(p.Within, within)
			seconds = min(seconds, c.TimeBudget.Seconds())
		}
		p.Seconds += seconds
		// Labelling and measuring are tried in full: their peak is this process's own.
		p.Memory = max(p.Memory, e.Live-e.Untouched+headroom(e.Live)+outsideHeap()+unreturned(e.Live), peak())
	}
	if t.app.json {
		return t.app.writeJSON(p)
	}
	p.print(t.app)
	return nil
}

func inStage(name string) string {
	if name == "" {
		return ""
	}
	return " of stage " + name
}

func (p *plan) print(a *app) {
	for _, s := range p.Stages {
		if s.Name != "" {
			a.print("stage %s", s.Name)
		}
		a.print("parameters   %d, of which %d are trained", s.Parameters, s.Trainable)
		a.print("steps        %d, each of %d batches of %d", s.Steps, s.Accumulate, s.Batch)
		a.print("examples     %d, with %d tokens", s.Examples, s.Tokens)
		a.print("training     holds %s", size(s.Memory))
		a.print("on disk      %s of checkpoints, %s of the teacher's labels", size(s.Checkpoints), size(s.Labels))
		parts := []string{duration(seconds(s.Training)) + " of training"}
		if s.Labelling > 0 {
			parts = append(parts, duration(seconds(s.Labelling))+" of labelling")
		}
		if s.Evaluation > 0 {
			parts = append(parts, duration(seconds(s.Evaluation))+" of measuring")
		}
		a.print("time         %s", strings.Join(parts, ", "))
	}
	for _, n := range p.Within {
		a.print("time budget  %d steps", n)
	}
	a.print("memory       %s in all", size(p.Memory))
	a.print("disk         %s", size(p.Disk))
	a.print("time         about %s; nothing is written", duration(seconds(p.Seconds)))
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// What the garbage collector may let pile up while training: a twentieth of what is
// in use, but not so little that small models are slow.
const leastHeadroom = 12 << 20

// unreturned is about what of a heap is free and not yet given back to the system.
func unreturned(heap int64) int64 { return 4<<20 + heap/40 }

func headroom(live int64) int64 { return max(leastHeadroom, live/20) }

// steadyHeap holds the heap to that, so that memory is what --dry-run says.
type steadyHeap struct {
	last    time.Time
	percent int
}

// start holds the heap from the beginning, when little is in use yet.
func (h *steadyHeap) start() {
	h.percent = 25
	debug.SetGCPercent(h.percent)
}

// look sets the collector by what was in use at its last cycle; it is cheap.
func (h *steadyHeap) look() {
	if time.Since(h.last) < time.Second {
		return
	}
	h.last = time.Now()
	live := int64(metric("/gc/heap/live:bytes"))
	if live == 0 {
		return
	}
	percent := int(min(100, 100*headroom(live)/live))
	if percent != h.percent {
		debug.SetGCPercent(percent)
		h.percent = percent
	}
}

// stop goes back to what is usual.
func (h *steadyHeap) stop() {
	if h.percent != 0 {
		debug.SetGCPercent(100)
		h.percent = 0
	}
}

func metric(name string) uint64 {
	s := []metrics.Sample{{Name: name}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return s[0].Value.Uint64()
}

// outsideHeap is what the process holds beside the Go heap: the program, the
// runtime, and the pages of mapped models. Where the system does not tell, it
// is the runtime's part.
func outsideHeap() int64 {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	heap := int64(m.HeapSys - m.HeapReleased)
	if rss := resident(); rss > heap {
		return rss - heap
	}
	return int64(m.Sys - m.HeapSys)
}

// resident is the memory of the process on Linux, 0 elsewhere; peak the most that
// it was.
func resident() int64 { return memoryOf("VmRSS:") }
func peak() int64     { return memoryOf("VmHWM:") }

func memoryOf(line string) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(status, []byte(line))
	if f := bytes.Fields(rest); len(f) > 0 {
		kb, _ := strconv.ParseInt(string(f[0]), 10, 64)
		return kb << 10
	}
	return 0
}

// parseBytes reads a size such as 2GB, 512MiB or 1e9.
func parseBytes(text string) (int64, error) {
	s := strings.ToUpper(strings.TrimSpace(text))
	factor := 1.0
	for _, unit := range []struct {
		name string
		size float64
	}{{"KIB", 1 << 10}, {"MIB", 1 << 20}, {"GIB", 1 << 30}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"K", 1e3}, {"M", 1e6}, {"G", 1e9}, {"B", 1}} {
		if rest, ok := strings.CutSuffix(s, unit.name); ok {
			s, factor = strings.TrimSpace(rest), unit.size
			break
		}
	}
	x, err := strconv.ParseFloat(s, 64)
	if x *= factor; err != nil || !(x >= 1 && x < math.MaxInt64) {
		return 0, errors.New("give a size such as 2GB or 512MiB")
	}
	return int64(x), nil
}
