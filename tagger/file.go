package tagger

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/litekit/lite/internal/files"
)

const (
	magic     = "litetg01"
	maxLabels = 64      // of one model: a word's tags are bits of a number
	maxFile   = 1 << 30 // bytes
	maxHeader = 1 << 16 // bytes
)

// models returns the parts of a tagger that are in its file, in order.
func (t *Tagger) models() (out []**model, labels [][]string) {
	if t.header.Words == Learned {
		out, labels = append(out, &t.words), append(labels, splitLabels)
	}
	if len(t.header.POS) > 0 {
		out, labels = append(out, &t.pos), append(labels, t.header.POS)
	}
	if len(t.header.NER) > 0 {
		out, labels = append(out, &t.ner), append(labels, t.header.NER)
	}
	return out, labels
}

// Bytes returns the tagger as a file; equal taggers give equal bytes.
func (t *Tagger) Bytes() ([]byte, error) {
	head, err := json.Marshal(t.header)
	if err != nil {
		return nil, fmt.Errorf("tagger: %w", err)
	}
	b := append([]byte(magic), binary.AppendUvarint(nil, uint64(len(head)))...)
	b = append(b, head...)
	list, _ := t.models()
	for _, m := range list {
		b = (*m).append(b)
	}
	b = binary.AppendUvarint(b, uint64(len(t.lexicon)))
	last := uint32(0)
	for _, h := range slices.Sorted(maps.Keys(t.lexicon)) {
		k := t.lexicon[h]
		b = binary.AppendUvarint(b, uint64(h-last))
		b = binary.AppendUvarint(b, k.tags)
		b = binary.AppendUvarint(b, uint64(k.only+1))
		last = h
	}
	return seal(b), nil
}

// seal adds the checksum.
func seal(b []byte) []byte {
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

func (m *model) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(m.hashes)))
	last := uint32(0)
	for k, h := range m.hashes {
		b = binary.AppendUvarint(b, uint64(h-last))
		last = h
		weights := m.weights[m.first[k]:m.first[k+1]]
		b = binary.AppendUvarint(b, uint64(len(weights)))
		before := int16(0)
		for _, w := range weights {
			b = binary.AppendUvarint(b, uint64(w.label-before))
			b = binary.AppendVarint(b, int64(w.value))
			before = w.label
		}
	}
	return b
}

// Write writes the tagger.
func (t *Tagger) Write(w io.Writer) error {
	b, err := t.Bytes()
	if err != nil {
		return err
	}
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("tagger: %w", err)
	}
	return nil
}

// Save writes the tagger into a file, under a temporary name first.
func (t *Tagger) Save(path string) error {
	b, err := t.Bytes()
	if err != nil {
		return err
	}
	err = files.Replace(path, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
	if err != nil {
		return fmt.Errorf("tagger: %w", err)
	}
	return nil
}

// Open reads a tagger from a file that [Tagger.Save] wrote.
func Open(path string) (*Tagger, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("tagger: %w", err)
	}
	defer f.Close()
	return Read(f, path)
}

// Read reads a tagger; name is used in errors. What is not one, is cut short or
// was changed is an error that says so.
func Read(r io.Reader, name string) (*Tagger, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("tagger: %s: %w", name, err)
	}
	fault := func(what string) error { return fmt.Errorf("tagger: %s: %s", name, what) }
	switch {
	case !bytes.HasPrefix(b, []byte(magic)):
		return nil, fault("this is not a tagger; lite annotate train makes one")
	case len(b) > maxFile:
		return nil, fault("the file has more than 1 GB")
	case len(b) < len(magic)+sha256.Size || !bytes.Equal(b, seal(bytes.Clone(b[:len(b)-sha256.Size]))):
		return nil, fault("the checksum is not that of the content: the file is cut short or was changed; train the tagger again")
	}
	d := &decoder{b: b[len(magic) : len(b)-sha256.Size]}
	t := &Tagger{}
	d.header(&t.header)
	list, labels := t.models()
	for i, m := range list {
		if d.err == nil {
			*m = d.model(labels[i])
		}
	}
	t.lexicon = d.lexicon(len(t.header.POS))
	if d.err == nil && len(d.b) > 0 {
		d.fail("bytes are left over")
	}
	if d.err != nil {
		return nil, fault(fmt.Sprintf("the file is damaged (%v); train the tagger again", d.err))
	}
	t.prepare()
	return t, nil
}

// decoder reads what may be anything: the first fault is kept and ends it.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err, d.b = fmt.Errorf(format, args...), nil
	}
}

// number reads a uvarint of at most most.
func (d *decoder) number(what string, most uint64) uint64 {
	v, n := binary.Uvarint(d.b)
	if d.err != nil || n <= 0 || v > most {
		d.fail("%s is missing or too large", what)
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads the number of things that take at least size bytes each.
func (d *decoder) count(what string, size int) int {
	return int(d.number("the number of "+what, uint64(len(d.b)/size)))
}

// hash reads the difference to the hash before; only the first may be 0.
func (d *decoder) hash(k int, last uint32) uint32 {
	h := d.number("a hash", uint64(^uint32(0)-last))
	if k > 0 && h == 0 {
		d.fail("a hash is there twice")
	}
	return last + uint32(h)
}

func (d *decoder) header(h *header) {
	n := int(d.number("the header", min(maxHeader, uint64(len(d.b)))))
	if n > len(d.b) {
		d.fail("the header is cut short")
		return
	}
	head := d.b[:n]
	d.b = d.b[n:]
	if err := json.Unmarshal(head, h); err != nil {
		d.fail("header: %v", err)
		return
	}
	switch {
	case !slices.Contains([]string{Learned, Rules, Dictionary}, h.Words):
		d.fail("words are found by %.20q", h.Words)
	case h.Hints != "" && h.Hints != "zh":
		d.fail("hints of %.20q", h.Hints)
	case len(h.POS)+len(h.NER) == 0 || len(h.POS) > maxLabels || len(h.NER) > maxLabels:
		d.fail("%d and %d tags", len(h.POS), len(h.NER))
	case len(h.NER) > 0 && h.NER[0] != "O":
		d.fail("the first entity tag is not O")
	}
	for i, l := range h.POS {
		if !slices.Contains(universal, l) || slices.Contains(h.POS[:i], l) {
			d.fail("part of speech %.20q", l)
		}
	}
	for i, l := range h.NER {
		if i > 0 && (len(l) < 3 || l[:2] != "B-" && l[:2] != "I-") || slices.Contains(h.NER[:i], l) {
			d.fail("entity tag %.20q", l)
		}
	}
}

func (d *decoder) model(labels []string) *model {
	n := d.count("features", 4)
	m := &model{labels: labels, hashes: make([]uint32, n), first: make([]int32, 1, n+1)}
	last := uint32(0)
	for k := range n {
		last = d.hash(k, last)
		m.hashes[k] = last
		label := 0
		for i := range d.number("a number of weights", uint64(len(labels))) {
			step := int(d.number("a label", uint64(len(labels)-1-label)))
			if i > 0 && step == 0 {
				d.fail("a label is there twice")
			}
			label += step
			value, size := binary.Varint(d.b)
			if size <= 0 || value < -1<<15 || value >= 1<<15 {
				d.fail("a weight is missing or too large")
			}
			if d.err != nil {
				return nil
			}
			d.b = d.b[size:]
			m.weights = append(m.weights, weight{int16(label), int16(value)})
		}
		m.first = append(m.first, int32(len(m.weights)))
	}
	if d.err != nil {
		return nil
	}
	m.prepare()
	return m
}

func (d *decoder) lexicon(labels int) lexicon {
	n := d.count("words", 3)
	x := make(lexicon, n)
	last := uint32(0)
	for k := range n {
		last = d.hash(k, last)
		most := ^uint64(0)
		if labels < 64 {
			most = 1<<labels - 1
		}
		tags := d.number("a set of tags", most)
		only := d.number("a tag", uint64(labels))
		if d.err != nil {
			return nil
		}
		x[last] = known{tags, int16(only) - 1}
	}
	return x
}
