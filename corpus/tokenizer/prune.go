package tokenizer

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/litekit/lite/internal/ordered"
)

// Prune returns a tokenizer with the tokens that keep holds for, and the old id
// of each new one. Tokens with a meaning stay: added and special ones, the
// unknown token, the bytes of a byte-level or byte-fallback model. So do the
// pieces that a kept one is merged from, and Unigram's worst piece, which sets
// the score of what is unknown. A text all of whose tokens are kept is cut
// exactly as before. Ids keep their order.
func (t *Tokenizer) Prune(keep func(id int64) bool) (*Tokenizer, []int64, error) {
	kept := t.kept(keep)
	old := make([]int64, 0, len(kept))
	to := make([]int32, len(kept)) // new id by old; −1 gone
	for id, k := range kept {
		to[id] = -1
		if k {
			to[id] = int32(len(old))
			old = append(old, int64(id))
		}
	}
	d := *t.doc
	d.model.renumber(&t.doc.model, kept, to)
	d.added = slices.Clone(d.added)
	for i := range d.added {
		d.added[i].ID = to[d.added[i].ID]
	}
	d.post = json.RawMessage(t.post.write(to, t.tokens))
	var err error
	if d.padding, err = repad(d.padding, to); err != nil {
		return nil, nil, err
	}
	files := map[string][]byte{}
	for _, name := range []string{"tokenizer_config.json", "special_tokens_map.json"} {
		if data, ok := t.files[name]; ok {
			files[name] = data
		}
	}
	if data, ok := files["tokenizer_config.json"]; ok {
		if files["tokenizer_config.json"], err = reconfigure(data, to); err != nil {
			return nil, nil, err
		}
	}
	cfg, err := readConfig(files)
	if err != nil {
		return nil, nil, err
	}
	out, err := build(&d, cfg)
	if err != nil {
		return nil, nil, err
	}
	out.files = files
	return out, old, nil
}

// kept marks the tokens that stay, by id.
func (t *Tokenizer) kept(keep func(id int64) bool) []bool {
	spec := &t.doc.model
	kept := make([]bool, len(t.tokens))
	worst := -1
	for id, s := range t.tokens {
		if s == "" {
			continue
		}
		kept[id] = keep(int64(id)) || t.special[id] || t.added[int32(id)]
		if spec.kind == kindUnigram && id < len(spec.scores) && (worst < 0 || spec.scores[id] < spec.scores[worst]) {
			worst = id
		}
	}
	if worst >= 0 {
		kept[worst], kept[spec.unkID] = true, true
	}
	for _, parts := range [][]Part{t.post.single, t.post.pair} {
		for _, p := range parts {
			for _, id := range p.IDs {
				kept[id] = true
			}
		}
	}
	for b, r := range byteRunes {
		for _, name := range []string{string(r), fmt.Sprintf("<0x%02X>", b)} {
			id, ok := t.ids[name]
			m, isBPE := t.model.(*bpe)
			if ok && (spec.fallback && len(name) == 6 || isBPE && m.raw && len(name) != 6) {
				kept[id] = true
			}
		}
	}
	// What a kept token is made of stays. Lists of merges run from the parts to
	// the whole, so one round from the end is usually enough.
	for changed := true; changed; {
		changed = false
		for i := len(spec.merges) - 1; i >= 0; i-- {
			p := spec.merges[i]
			a, b := t.ids[p[0]], t.ids[p[1]]
			if id, ok := t.ids[p[0]+p[1][len(spec.prefix):]]; ok && kept[id] && !(kept[a] && kept[b]) {
				kept[a], kept[b], changed = true, true, true
			}
		}
	}
	return kept
}

// renumber fills m with what of from is kept.
func (m *modelSpec) renumber(from *modelSpec, kept []bool, to []int32) {
	ids := make(map[string]int, len(from.tokens))
	m.tokens, m.scores, m.merges = nil, nil, nil
	for id, s := range from.tokens {
		if !kept[id] {
			continue
		}
		for len(m.tokens) < int(to[id]) { // added tokens between
			m.tokens = append(m.tokens, "")
			if from.scores != nil {
				m.scores = append(m.scores, 0)
			}
		}
		m.tokens = append(m.tokens, s)
		if from.scores != nil {
			m.scores = append(m.scores, from.scores[id])
		}
		ids[s] = id
	}
	if from.unkID >= 0 {
		m.unkID = int(to[from.unkID])
	}
	has := func(s string) bool { _, ok := ids[s]; return ok }
	for _, p := range from.merges {
		if has(p[0]) && has(p[1]) && has(p[0]+p[1][len(from.prefix):]) {
			m.merges = append(m.merges, p)
		}
	}
}

// write writes the post-processor with new ids.
func (p *post) write(to []int32, tokens []string) ordered.Raw {
	names := map[int32]string{}
	renumbered := func(parts []Part) []Part {
		out := slices.Clone(parts)
		for i, part := range out {
			out[i].IDs = slices.Clone(part.IDs)
			for k, id := range part.IDs {
				out[i].IDs[k] = to[id]
				names[to[id]] = tokens[id]
			}
		}
		return out
	}
	single, pair := renumbered(p.single), renumbered(p.pair)
	template := writeTemplate(single, pair, func(id int32) string { return names[id] })
	if !p.trim {
		return template
	}
	trim := ordered.Object(ordered.Pair("type", "ByteLevel"), ordered.Pair("add_prefix_space", p.prefixSpace), ordered.Pair("trim_offsets", true), ordered.Pair("use_regex", true))
	return ordered.Object(ordered.Pair("type", "Sequence"), ordered.Pair("processors", ordered.List(trim, template)))
}

// repad gives the padding of tokenizer.json its new id.
func repad(m json.RawMessage, to []int32) (json.RawMessage, error) {
	p, err := readPadding(m)
	if err != nil || p == nil {
		return m, err
	}
	var all map[string]json.RawMessage
	if err := decode(m, "padding", &all); err != nil {
		return nil, err
	}
	if p.ID >= 0 && p.ID < int64(len(to)) && to[p.ID] >= 0 {
		all["pad_id"] = json.RawMessage(ordered.Value(to[p.ID]))
	}
	return json.Marshal(all)
}

// reconfigure gives the added tokens of tokenizer_config.json their new ids.
func reconfigure(data []byte, to []int32) ([]byte, error) {
	var all, added map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("tokenizer: tokenizer_config.json: %w", err)
	}
	if all["added_tokens_decoder"] == nil {
		return data, nil
	}
	if err := json.Unmarshal(all["added_tokens_decoder"], &added); err != nil {
		return nil, fmt.Errorf("tokenizer: tokenizer_config.json: added_tokens_decoder: %w", err)
	}
	out := map[string]json.RawMessage{}
	for key, v := range added {
		if id, err := strconv.Atoi(key); err == nil && id >= 0 && id < len(to) && to[id] >= 0 {
			out[strconv.Itoa(int(to[id]))] = v
		}
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	all["added_tokens_decoder"] = b
	if b, err = json.MarshalIndent(all, "", "  "); err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}
