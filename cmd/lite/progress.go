package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/litekit/lite/distill"
)

// How often the line is redrawn on a terminal, and written elsewhere.
const (
	redraw = 100 * time.Millisecond
	relog  = 10 * time.Second
)

// progress shows how far a command is, on stderr: lines that are redrawn on a
// terminal, a new line now and then elsewhere.
type progress struct {
	w        io.Writer
	fd       int
	terminal bool
	quiet    bool
	shown    int // lines that stand on the terminal
	last     time.Time
	stage    string
	began    time.Time // of the stage
	measured string    // the last measurement while training
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w}
	if f, ok := w.(*os.File); ok {
		p.fd = int(f.Fd())
		p.terminal = term.IsTerminal(p.fd)
	}
	return p
}

// due reports whether it is time to show something. The first line of a log
// waits, so that short work leaves no trace there.
func (p *progress) due(last bool) bool {
	now := time.Now()
	if p.last.IsZero() {
		p.last = now
		return p.terminal && !p.quiet || last && !p.quiet
	}
	every := relog
	if p.terminal {
		every = redraw
	}
	if p.quiet || !last && now.Sub(p.last) < every {
		return false
	}
	p.last = now
	return true
}

// show draws the lines in place of those before; elsewhere than on a terminal
// they are written below each other.
func (p *progress) show(lines ...string) {
	if !p.terminal {
		fmt.Fprintln(p.w, strings.Join(lines, "\n"))
		return
	}
	width, _, err := term.GetSize(p.fd)
	if err != nil || width < 2 {
		width = 80
	}
	p.shown = max(1, p.shown) // what a shell has left on the line goes too
	p.clear()
	for i, l := range lines {
		if utf8.RuneCountInString(l) >= width { // a line that wraps would be two
			l = string([]rune(l)[:width-1])
		}
		if i > 0 {
			fmt.Fprintln(p.w)
		}
		fmt.Fprint(p.w, l)
	}
	p.shown = len(lines)
}

// clear removes the lines from a terminal.
func (p *progress) clear() {
	switch {
	case p.shown > 1:
		fmt.Fprintf(p.w, "\x1b[%dA\r\x1b[J", p.shown-1)
	case p.shown == 1:
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	p.shown = 0
}

// note tells of something once, on a line of its own.
func (p *progress) note(format string, args ...any) {
	if p.quiet {
		return
	}
	p.clear()
	fmt.Fprintf(p.w, format+"\n", args...)
}

// stageOf is the progress of work that is counted.
func (p *progress) stageOf(stage string, done, total int) {
	if stage != p.stage || done <= 1 {
		p.stage, p.began = stage, time.Now()
	}
	if !p.due(false) {
		return
	}
	line := fmt.Sprintf("%s  %d", stage, done)
	if total > 0 {
		line = fmt.Sprintf("%s  %d/%d  %d%%", stage, done, total, 100*done/total)
		if left := remaining(time.Since(p.began), done-1, total-done); left > 0 {
			line += "  " + duration(left) + " left"
		}
	}
	p.show(line)
}

// training is the progress of a run: on a terminal a small table, of how far it
// is, the losses, and the optimiser; elsewhere a line of the first two.
func (p *progress) training(s distill.Progress) {
	if s.Step == s.Resumed+1 {
		p.measured = ""
		if s.Resumed > 0 {
			p.note("going on from step %d of %d", s.Resumed, s.Steps)
		}
	}
	if !p.due(s.Step == s.Steps) {
		return
	}
	done, speed := pace(s)
	if !p.terminal {
		p.show(done + losses(s.Losses, "%.4f") + speed)
		return
	}
	const width = 20
	full := width * s.Step / max(1, s.Steps)
	lines := []string{
		done + "  [" + strings.Repeat("=", full) + strings.Repeat(" ", width-full) + "]" + speed,
		losses(s.Losses, "%-8.4f"),
		fmt.Sprintf("  rate %.3g  gradient %.3g", s.Rate, s.Norm),
	}
	if p.measured != "" {
		lines = append(lines, "  "+p.measured)
	}
	p.show(lines...)
}

// pace is how far a run is; and how fast it is and how long it goes on.
func pace(s distill.Progress) (done, speed string) {
	done = "train"
	if s.Stage != "" {
		done += " " + s.Stage
	}
	done += fmt.Sprintf("  %d/%d  %d%%", s.Step, s.Steps, 100*s.Step/max(1, s.Steps))
	if sec := s.Elapsed.Seconds(); sec > 0 {
		speed = "  " + short(float64(s.Tokens)/sec) + " tokens/s"
	}
	if left := remaining(s.Elapsed, s.Step-s.Resumed, s.Steps-s.Step); left > 0 {
		return done, speed + "  " + duration(left) + " left"
	}
	return done, speed + "  " + duration(s.Elapsed)
}

// losses are the terms of the sum side by side.
func losses(all []distill.NamedLoss, format string) string {
	var b strings.Builder
	for _, l := range all {
		fmt.Fprintf(&b, "  %s "+format, l.Name, l.Value)
	}
	return b.String()
}

// evaluated tells of a measurement while training.
func (p *progress) evaluated(metric string, e distill.Evaluation, best bool) {
	p.measured = fmt.Sprintf("step %d: %s %.4f", e.Step, metric, float64(e.Value))
	if best {
		p.measured += ", the best so far"
	}
	p.note("%s", p.measured)
}

// remaining is the time for what is left at the rate of what is done.
func remaining(elapsed time.Duration, done, left int) time.Duration {
	if done <= 0 || left <= 0 {
		return 0
	}
	return time.Duration(float64(elapsed) / float64(done) * float64(left))
}

// duration is a time as people read it.
func duration(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	}
	d = d.Round(time.Minute)
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

// short is a rate with three digits.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.2fM", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%.1fk", v/1e3)
	}
	return fmt.Sprintf("%.0f", v)
}

// size is a number of bytes as people read it.
func size(n int64) string {
	switch v := float64(n); {
	case v >= 1e9:
		return fmt.Sprintf("%.2f GB", v/1e9)
	case v >= 1e6:
		return fmt.Sprintf("%.1f MB", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%.1f kB", v/1e3)
	}
	return fmt.Sprintf("%d bytes", n)
}
