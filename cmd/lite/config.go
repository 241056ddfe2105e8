package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/litekit/lite/distill"
	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/student"
)

// field is a member of a JSON object: a flag and its value.
type field struct {
	name  string
	value json.RawMessage
}

// stage is one of the stages of a configuration file.
type stage struct {
	name   string
	fields []field
}

// runFlags adds --dry-run, and --config: a JSON file whose members are flags of the
// command. What the command line says counts more.
func (t *training) runFlags(cmd *cobra.Command, g group) {
	g.BoolVar(&t.dry, "dry-run", false, "try a few steps, print what the run will take (memory, disk, time), and write nothing")
	path := g.String("config", "", "JSON `file` with flags of this command, and with stages; flags of the command line count more")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if *path == "" {
			return nil
		}
		if err := t.readConfig(cmd.Flags(), *path); err != nil {
			return fmt.Errorf("--config %s: %w", *path, err)
		}
		return nil
	}
}

// readConfig sets the flags that the file names and the command line does not.
func (t *training) readConfig(flags *pflag.FlagSet, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	fields, err := readFields(data)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(fields, func(f field) bool { return f.name == "stages" }); i >= 0 {
		if t.parts, err = readStages(fields[i].value); err != nil {
			return err
		}
		fields = slices.Delete(fields, i, i+1)
	}
	set := map[string]bool{}
	flags.Visit(func(f *pflag.Flag) { set[f.Name] = true })
	return setFields(fields, func(name string) *pflag.Flag {
		if name == "config" || name == "help" {
			return nil
		}
		return flags.Lookup(name)
	}, func(f *pflag.Flag) bool { return set[f.Name] }, flags.Set)
}

// readFields lists the members of an object in order; one that occurs twice is an error.
func readFields(data []byte) ([]field, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.Join(errors.New("not a JSON object"), err)
	}
	var out []field
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("at byte %d: %w", d.InputOffset(), err)
		}
		f := field{name: key.(string)} // the decoder takes nothing else for a key
		if err := d.Decode(&f.value); err != nil {
			return nil, fmt.Errorf("%s, at byte %d: %w", f.name, d.InputOffset(), err)
		}
		if slices.ContainsFunc(out, func(o field) bool { return o.name == f.name }) {
			return nil, fmt.Errorf("%s is given twice", f.name)
		}
		out = append(out, f)
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("at byte %d: %w", d.InputOffset(), err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("there is something after the object, at byte %d", d.InputOffset())
	}
	return out, nil
}

func readStages(data []byte) (out []stage, err error) {
	var all []json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil || len(all) == 0 {
		return nil, errors.New("stages: give a list of objects, one for each stage")
	}
	for i, raw := range all {
		s := stage{name: fmt.Sprint(i + 1)}
		if s.fields, err = readFields(raw); err != nil {
			return nil, fmt.Errorf("stage %d: %w", i+1, err)
		}
		if k := slices.IndexFunc(s.fields, func(f field) bool { return f.name == "name" }); k >= 0 {
			if err := json.Unmarshal(s.fields[k].value, &s.name); err != nil || s.name == "" {
				return nil, fmt.Errorf("stage %d: its name must be a text", i+1)
			}
			s.fields = slices.Delete(s.fields, k, k+1)
		}
		out = append(out, s)
	}
	return out, nil
}

// setFields sets flags. All unknown names are told at once.
func setFields(fields []field, find func(string) *pflag.Flag, skip func(*pflag.Flag) bool, set func(name, value string) error) error {
	var unknown []string
	for _, f := range fields {
		if find(f.name) == nil {
			hint := ""
			if other := strings.ReplaceAll(f.name, "_", "-"); other != f.name && find(other) != nil {
				hint = " (meant is " + other + ")"
			}
			unknown = append(unknown, f.name+hint)
		}
	}
	if len(unknown) > 0 {
		return fmt.Errorf("unknown fields: %s; fields are called like the flags, without the dashes before them", strings.Join(unknown, ", "))
	}
	for _, f := range fields {
		flag := find(f.name)
		if skip(flag) {
			continue
		}
		value, err := flagValue(f.value)
		if err == nil {
			err = setFlag(flag, value, set)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}

// setFlag gives a flag its value; lists are for flags that take several.
func setFlag(f *pflag.Flag, value []string, set func(name, value string) error) error {
	list, ok := f.Value.(pflag.SliceValue)
	if len(value) != 1 && !ok {
		return errors.New("give one value, not a list")
	}
	if !ok {
		return set(f.Name, value[0])
	}
	if err := set(f.Name, ""); err != nil && len(value) > 0 { // marks it as given
		if err := set(f.Name, value[0]); err != nil {
			return err
		}
	}
	return list.Replace(value)
}

// flagValue reads a text, number or truth, or a list of them, as flags are written.
func flagValue(data []byte) ([]string, error) {
	var list []json.RawMessage
	if json.Unmarshal(data, &list) != nil || list == nil {
		list = []json.RawMessage{data}
	}
	var out []string
	for _, raw := range list {
		var text string
		switch raw = bytes.TrimSpace(raw); {
		case json.Unmarshal(raw, &text) == nil && raw[0] == '"':
		case raw[0] == '{' || raw[0] == '[' || bytes.Equal(raw, []byte("null")):
			return nil, errors.New("give a text, a number, true or false, or a list of them")
		default:
			text = string(raw)
		}
		out = append(out, text)
	}
	return out, nil
}

// configure makes the configurations of the stages: the flags of the command,
// and over them those of the stage, which may be any of losses and training.
func (t *training) configure(head student.Kind, teacher bool) error {
	if t.cfg.TimeBudget > 0 {
		return misfit.Errorf("--time-budget is for one stage, and there are %d; give each its own in a file of stages (--config)", len(t.parts))
	}
	for i, part := range t.parts {
		c, err := t.configureStage(part, head, teacher)
		if err != nil {
			return misfit.Errorf("--config: stage %s: %w", part.name, err)
		}
		if i > 0 && slices.ContainsFunc(t.stages, func(o distill.Config) bool { return o.Stage == c.Stage }) {
			return misfit.Errorf("--config: two stages are called %s", c.Stage)
		}
		t.stages = append(t.stages, *c)
	}
	t.cfg.MaxLength = t.stages[len(t.stages)-1].MaxLength // what is measured at the end
	return nil
}

// ofAll are the flags of the training that no stage has for itself.
var ofAll = []string{"seed", "max-memory", "checkpoint", "checkpoint-every", "checkpoint-steps", "keep-checkpoints", "log"}

func (t *training) configureStage(part stage, head student.Kind, teacher bool) (*distill.Config, error) {
	s := newTraining(t.app)
	s.cfg = t.cfg
	losses := newGroup("")
	s.loss.registerPreset(losses, teacher)
	s.loss.register(losses, teacher)
	s.loss.noise.student, s.loss.noise.teacherModel = t.loss.noise.student, t.loss.noise.teacherModel
	steps := s.stepsGroup("")
	for _, g := range []struct{ from, to group }{{t.loss.g, losses}, {t.steps, steps}} {
		var err error
		g.from.VisitAll(func(f *pflag.Flag) {
			if !f.Changed {
				return
			}
			to := g.to.Lookup(f.Name)
			values := []string{f.Value.String()}
			if list, ok := f.Value.(pflag.SliceValue); ok {
				values = list.GetSlice()
			}
			err = errors.Join(err, setFlag(to, values, g.to.Set))
		})
		if err != nil {
			return nil, err
		}
	}
	own := func(name string) *pflag.Flag {
		if slices.Contains(ofAll, name) {
			return nil
		}
		if f := losses.Lookup(name); f != nil {
			return f
		}
		return steps.Lookup(name)
	}
	if slices.ContainsFunc(part.fields, func(f field) bool { return f.name == "epochs" }) {
		s.cfg.Steps = 0 // those of the command
	}
	err := setFields(part.fields, own, func(*pflag.Flag) bool { return false }, func(name, value string) error {
		if losses.Lookup(name) != nil {
			return losses.Set(name, value)
		}
		return steps.Set(name, value)
	})
	if err != nil {
		return nil, err
	}
	s.cfg.Stage = part.name
	if err := s.objectives(head, teacher); err != nil {
		return nil, err
	}
	t.selections = append(t.selections, s.selection)
	return &s.cfg, nil
}
