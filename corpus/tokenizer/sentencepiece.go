package tokenizer

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/litekit/lite/internal/ordered"
)

// spmModel is what a sentencepiece model holds.
type spmModel struct {
	pieces      []string
	scores      []float64
	types       []int // 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte
	kind        int   // 1 unigram, 2 BPE, 3 word, 4 character
	unk         int
	fallback    bool
	charsmap    []byte
	dummyPrefix bool
	extraSpaces bool // runs of spaces become one
}

// parseSpm reads sentencepiece's ModelProto.
func parseSpm(data []byte) (*spmModel, error) {
	m := &spmModel{kind: 1, dummyPrefix: true, extraSpaces: true}
	err := fields(data, func(num protowire.Number, v value) error {
		switch num {
		case 1:
			piece, score, kind := "", 0.0, 1
			err := fields(v.bytes, func(num protowire.Number, v value) error {
				switch num {
				case 1:
					piece = string(v.bytes)
				case 2:
					score = float64(math.Float32frombits(uint32(v.number)))
				case 3:
					kind = int(v.number)
				}
				return nil
			})
			if err == nil && (!utf8.ValidString(piece) || len(m.pieces) >= maxVocab) {
				err = fmt.Errorf("piece %d is not UTF-8, or one too many", len(m.pieces))
			}
			m.pieces, m.scores, m.types = append(m.pieces, piece), append(m.scores, score), append(m.types, kind)
			return err
		case 2: // trainer_spec
			return fields(v.bytes, func(num protowire.Number, v value) error {
				switch num {
				case 3:
					m.kind = int(v.number)
				case 35:
					m.fallback = v.number != 0
				case 40:
					m.unk = int(v.number)
				}
				return nil
			})
		case 3: // normalizer_spec
			return fields(v.bytes, func(num protowire.Number, v value) error {
				switch num {
				case 2:
					m.charsmap = v.bytes
				case 3:
					m.dummyPrefix = v.number != 0
				case 4:
					m.extraSpaces = v.number != 0
				}
				return nil
			})
		}
		return nil
	})
	if err == nil && len(m.pieces) == 0 {
		err = errors.New("there are no pieces")
	}
	for i, kind := range m.types {
		if kind == 2 {
			m.unk = i
		}
	}
	return m, err
}

// value is a field of a message: its bytes, or its number.
type value struct {
	bytes  []byte
	number uint64
}

// fields calls f for every field of a message.
func fields(data []byte, f func(num protowire.Number, v value) error) error {
	for len(data) > 0 {
		num, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return fmt.Errorf("the file is damaged: %w", protowire.ParseError(n))
		}
		data = data[n:]
		var v value
		switch kind {
		case protowire.VarintType:
			v.number, n = protowire.ConsumeVarint(data)
		case protowire.Fixed32Type:
			var x uint32
			x, n = protowire.ConsumeFixed32(data)
			v.number = uint64(x)
		case protowire.Fixed64Type:
			v.number, n = protowire.ConsumeFixed64(data)
		case protowire.BytesType:
			v.bytes, n = protowire.ConsumeBytes(data)
		default:
			n = protowire.ConsumeFieldValue(num, kind, data)
		}
		if n < 0 {
			return fmt.Errorf("the file is damaged: %w", protowire.ParseError(n))
		}
		if err := f(num, v); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// readSentencepiece makes the document that Hugging Face's converters make of a
// sentencepiece model. Which family it is of is told by tokenizer_class, else
// by the file's name and the special pieces.
func readSentencepiece(data []byte, name string, cfg config) (*document, error) {
	m, err := parseSpm(data)
	if err != nil {
		return nil, err
	}
	if m.kind != 1 && m.kind != 2 {
		return nil, fmt.Errorf("its model type is %d; unigram (1) and BPE (2) are supported", m.kind)
	}
	d := &document{model: modelSpec{kind: kindUnigram, tokens: slices.Clone(m.pieces), scores: slices.Clone(m.scores), unkID: m.unk, maxChars: 100, fallback: m.fallback}}
	for i, kind := range m.types {
		if kind == 3 || kind == 4 {
			d.model.scores[i] = 0
		}
	}
	family := m.family(name, cfg)
	var special []string
	switch family {
	case "xlm-roberta":
		d.fairseq(m)
		special = []string{"<s>", "<pad>", "</s>", "<unk>", "<mask>"}
	case "albert":
		special = []string{"<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"}
	case "deberta":
		special = []string{"[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"}
		if !slices.Contains(m.pieces, "[MASK]") {
			d.model.tokens, d.model.scores = append(d.model.tokens, "[MASK]"), append(d.model.scores, 0)
		}
	case "t5":
		special = d.extraIDs(cfg)
	default:
		special = []string{"<s>", "</s>", "<pad>", "<unk>", "<mask>", "[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]"}
	}
	if m.kind == 2 {
		d.model.toBPE(m)
	}
	ids := make(map[string]int32, len(d.model.tokens))
	for i, s := range d.model.tokens {
		ids[s] = int32(i)
	}
	d.addConfigured(cfg, ids, special)
	for i, kind := range m.types {
		if s := m.pieces[i]; kind == 4 && !slices.ContainsFunc(d.added, func(a AddedToken) bool { return a.Content == s }) {
			d.added = append(d.added, AddedToken{ID: ids[s], Content: s, Normalized: false})
		}
	}
	d.spmComponents(m, family, cfg, ids)
	return d, nil
}

func (m *spmModel) family(file string, cfg config) string {
	has := func(s string) bool { return slices.Contains(m.pieces, s) }
	class := strings.TrimSuffix(cfg.Class, "Fast")
	switch {
	case class == "XLMRobertaTokenizer", class == "" && file == "sentencepiece.bpe.model":
		return "xlm-roberta"
	case class == "AlbertTokenizer", class == "" && has("[CLS]") && has("[MASK]") && has("<pad>"):
		return "albert"
	case strings.HasPrefix(class, "DebertaV2"), class == "" && file == "spm.model":
		return "deberta"
	case class == "T5Tokenizer", class == "" && file == "spiece.model" && has("</s>") && !has("<s>"):
		return "t5"
	}
	return "plain"
}

// fairseq renumbers the pieces as XLM-R has them: four special tokens first,
// the mask last.
func (d *document) fairseq(m *spmModel) {
	tokens := []string{"<s>", "<pad>", "</s>", "<unk>"}
	scores := make([]float64, 4)
	for i, s := range m.pieces {
		if i >= 3 {
			tokens, scores = append(tokens, s), append(scores, m.scores[i])
		}
	}
	d.model.tokens, d.model.scores, d.model.unkID = append(tokens, "<mask>"), append(scores, 0), 3
}

// extraIDs appends T5's sentinels.
func (d *document) extraIDs(cfg config) []string {
	special := []string{"<pad>", "</s>", "<unk>"}
	n := 100
	if cfg.ExtraIDs != nil {
		n = min(max(*cfg.ExtraIDs, 0), 1<<16)
	}
	for i := n - 1; i >= 0; i-- {
		s := fmt.Sprintf("<extra_id_%d>", i)
		special = append(special, s)
		if !slices.Contains(d.model.tokens, s) {
			d.model.tokens, d.model.scores = append(d.model.tokens, s), append(d.model.scores, 0)
		}
	}
	return special
}

// toBPE finds the merges: every way to cut a piece into two others, the pieces
// with the higher score first.
func (s *modelSpec) toBPE(m *spmModel) {
	ids := make(map[string]int, len(s.tokens))
	for i, t := range s.tokens {
		ids[t] = i
	}
	type merge struct {
		pair  [2]string
		score float64
		a, b  int
	}
	var all []merge
	for i, t := range s.tokens {
		lo := len(all)
		for at := range t {
			a, ok1 := ids[t[:at]]
			b, ok2 := ids[t[at:]]
			if at > 0 && ok1 && ok2 {
				all = append(all, merge{[2]string{t[:at], t[at:]}, s.scores[i], a, b})
			}
		}
		slices.SortStableFunc(all[lo:], func(x, y merge) int { return cmp.Or(cmp.Compare(x.a, y.a), cmp.Compare(x.b, y.b)) })
	}
	slices.SortStableFunc(all, func(x, y merge) int { return cmp.Compare(y.score, x.score) })
	for _, x := range all {
		s.merges = append(s.merges, x.pair)
	}
	s.kind, s.fuseUnk, s.unk = kindBPE, true, s.tokens[s.unkID]
	s.scores, s.unkID = nil, -1
}

// spmComponents writes the normalizer, pre-tokenizer, post-processor and
// decoder of a family.
func (d *document) spmComponents(m *spmModel, family string, cfg config, ids map[string]int32) {
	var norm []ordered.Raw
	replace := func(kind, from, to string) ordered.Raw {
		return ordered.Object(ordered.Pair("type", "Replace"), ordered.Pair("pattern", ordered.Object(ordered.Pair(kind, from))), ordered.Pair("content", to))
	}
	lowercase := on(cfg.DoLowerCase, family == "albert")
	switch family {
	case "albert":
		norm = append(norm, replace("String", "``", `"`), replace("String", "''", `"`))
		if !on(cfg.KeepAccents, false) {
			norm = append(norm, ordered.Object(ordered.Pair("type", "NFKD")), ordered.Object(ordered.Pair("type", "StripAccents")))
		}
		if lowercase {
			norm = append(norm, ordered.Object(ordered.Pair("type", "Lowercase")))
		}
	case "deberta":
		if lowercase {
			norm = append(norm, ordered.Object(ordered.Pair("type", "Lowercase")))
		}
	}
	if len(m.charsmap) > 0 {
		norm = append(norm, ordered.Object(ordered.Pair("type", "Precompiled"), ordered.Pair("precompiled_charsmap", base64.StdEncoding.EncodeToString(m.charsmap))))
	}
	if m.extraSpaces {
		norm = append(norm, ordered.Object(ordered.Pair("type", "Strip"), ordered.Pair("strip_left", family == "albert" || family == "deberta"), ordered.Pair("strip_right", true)), replace("Regex", " {2,}", " "))
	}
	d.normalizer = json.RawMessage(ordered.Object(ordered.Pair("type", "Sequence"), ordered.Pair("normalizers", ordered.List(norm...))))
	scheme := "never"
	if m.dummyPrefix {
		scheme = "always"
	}
	meta := ordered.Object(ordered.Pair("type", "Metaspace"), ordered.Pair("replacement", "▁"), ordered.Pair("prepend_scheme", scheme), ordered.Pair("split", m.kind == 1))
	d.preTokenizer, d.decod = json.RawMessage(meta), json.RawMessage(meta)
	if family == "deberta" && on(cfg.SplitByPunct, false) {
		d.preTokenizer = json.RawMessage(ordered.Object(ordered.Pair("type", "Sequence"), ordered.Pair("pretokenizers",
			ordered.List(ordered.Object(ordered.Pair("type", "Punctuation"), ordered.Pair("behavior", "Isolated")), meta))))
	}
	if m.fallback {
		d.decod = json.RawMessage(ordered.Object(ordered.Pair("type", "Sequence"), ordered.Pair("decoders",
			ordered.List(ordered.Object(ordered.Pair("type", "ByteFallback")), meta))))
	}
	d.post = json.RawMessage(spmPost(family, cfg, ids))
}

// spmPost is what a family puts around texts.
func spmPost(family string, cfg config, ids map[string]int32) ordered.Raw {
	known := func(role, usual string) string {
		s := cfg.name(role, usual)
		if _, ok := ids[s]; !ok {
			return ""
		}
		return s
	}
	switch family {
	case "albert", "deberta":
		return templateText(known("cls_token", "[CLS]"), known("sep_token", "[SEP]"), ids, true)
	case "t5":
		return templateText("", known("sep_token", "</s>"), ids, false)
	case "xlm-roberta":
		p := post{}
		p.roberta(ids["<s>"], ids["</s>"])
		names := map[int32]string{ids["<s>"]: "<s>", ids["</s>"]: "</s>"}
		return writeTemplate(p.single, p.pair, func(id int32) string { return names[id] })
	}
	cls, sep := known("cls_token", "[CLS]"), known("sep_token", "[SEP]")
	if cls == "" || sep == "" {
		cls, sep = known("cls_token", "<s>"), known("sep_token", "</s>")
	}
	return templateText(cls, sep, ids, true)
}
