package onnx

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
)

// maxMissing bounds the weights that [OpenDamaged] makes up, in bytes.
const maxMissing = 2 << 30

// OpenDamaged is [Open] for looking at a model that Open refuses: external
// data that cannot be read is taken as zeros, up to 2 GiB, and a config.json or
// tokenizer file that cannot be read as absent. faults says what is missing, each
// file once; it is nil where the model is whole. Of a model file that is cut short
// or damaged the nodes and weights before the damage are there, if any, and the
// first fault says at which byte it lies. The error is that of a file that holds
// no model.
func OpenDamaged(path string) (m *Model, faults []error, err error) {
	if m, err = Open(path); err == nil {
		return m, nil, nil
	}
	refused := err
	file, err := find(path)
	if err != nil {
		return nil, nil, err
	}
	f, err := openRegular(file)
	if err != nil {
		return nil, nil, fmt.Errorf("onnx: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, done, err := mapSparse(f)
	if err != nil {
		return nil, nil, fmt.Errorf("onnx: %w", err)
	}
	defer done()
	ext := &externalFiles{dir: filepath.Dir(file), open: map[string][]byte{}, named: map[string]string{}}
	missing := map[string]error{}
	var zeros []byte
	var total int64
	read := func(location string, offset, length int64) ([]byte, error) {
		b, err := ext.read(location, offset, length)
		if err == nil {
			return b, nil
		}
		if total += length; length < 0 || total > maxMissing {
			return nil, err
		}
		if missing[location] == nil {
			missing[location] = fmt.Errorf("onnx: %w; its weights are shown as zeros", err)
		}
		if int64(len(zeros)) < length { // one piece of zeros serves all, as tensors are never written to
			zeros = make([]byte, max(length, 2*int64(len(zeros))))
		}
		return zeros[:length:length], nil
	}
	if err := Guard(func() (err error) { m, err = decode(data, read); return err }); err != nil {
		if m == nil || m.Graph == nil || len(m.Graph.Nodes)+len(m.Graph.Initializers) == 0 {
			return nil, nil, refused
		}
		g := m.Graph
		faults = append(faults, fmt.Errorf("%w; what could be read is shown: %d nodes, %d weights, %d inputs, %d outputs, %d operator sets",
			refused, len(g.Nodes), len(g.Initializers), len(g.Inputs), len(g.Outputs), len(m.Opsets)))
	}
	m.DataFiles = slices.Sorted(maps.Keys(ext.named))
	for _, location := range slices.Sorted(maps.Keys(missing)) {
		faults = append(faults, missing[location])
	}
	if err := m.readCompanions(filepath.Dir(file)); err != nil {
		m.Config = nil
		faults = append(faults, err)
	}
	return m, faults, nil
}
