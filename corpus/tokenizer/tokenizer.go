package tokenizer

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Tokenizer turns text into token ids. It is immutable and safe for concurrent use.
type Tokenizer struct {
	doc    *document
	tokens []string // by id; "" for a gap
	ids    map[string]int32

	norm    normalizers
	pre     preTokenizers
	model   model
	surface int32 // id of tokens that are named by their text; −1 none
	blind   bool  // see NewIDs
	refine  bool  // pre-tokens are longer than words
	raw     finder
	cooked  finder
	post    post

	decoder      decoder
	truncation   *Truncation
	padding      *Padding
	truncateLeft bool
	padLeft      bool

	special      []bool         // by id: never masked
	added        map[int32]bool // ids of added tokens
	addedSpecial map[int32]bool
	role         roles
	maxLen       int // model_max_length; 0 unknown
	files        map[string][]byte
	pool         *sync.Pool
}

// roles are the ids of the tokens that models give a meaning to; −1 absent.
type roles struct{ pad, unk, cls, sep, mask int32 }

// roleNames are the usual names of each role, in the order they are tried.
var roleNames = map[string][]string{
	"pad_token": {"[PAD]", "<pad>"}, "unk_token": {"[UNK]", "<unk>"}, "cls_token": {"[CLS]", "<s>", "<cls>"},
	"sep_token": {"[SEP]", "</s>", "<sep>"}, "mask_token": {"[MASK]", "<mask>"},
}

// specialTokens are BERT's, in the order of its vocabularies.
var specialTokens = []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}

// NewWordPiece returns a BERT tokenizer over vocab (index = id), which must
// contain [UNK]; pieces inside a word start with "##". Those of [PAD], [UNK],
// [CLS], [SEP] and [MASK] that are present become special tokens, and texts are
// wrapped in [CLS] … [SEP] when both are.
func NewWordPiece(vocab []string, lowercase bool) (*Tokenizer, error) {
	return build(bertDocument(vocab, bertNormalizer{clean: true, chinese: true, strip: lowercase, lower: lowercase}, config{}), config{})
}

// build makes a tokenizer of a document and of tokenizer_config.json.
func build(d *document, cfg config) (*Tokenizer, error) {
	spec := &d.model
	if len(spec.tokens) == 0 {
		return nil, errors.New("tokenizer: the vocabulary is empty")
	}
	if len(spec.tokens) > maxVocab {
		return nil, fmt.Errorf("tokenizer: %d vocabulary entries; at most %d are supported", len(spec.tokens), maxVocab)
	}
	t := &Tokenizer{doc: d, tokens: slices.Clone(spec.tokens), ids: make(map[string]int32, len(spec.tokens)), added: map[int32]bool{}, addedSpecial: map[int32]bool{}}
	for i, s := range t.tokens {
		if s != "" {
			t.ids[s] = int32(i)
		}
	}
	var err error
	if t.norm, err = readNormalizer(d.normalizer, "normalizer", 0); err != nil {
		return nil, err
	}
	if t.pre, err = readPreTokenizer(d.preTokenizer, "pre_tokenizer", 0); err != nil {
		return nil, err
	}
	if err := t.buildModel(spec); err != nil {
		return nil, err
	}
	if err := t.addTokens(cfg); err != nil {
		return nil, err
	}
	t.post = plainPost()
	if err := t.post.read(d.post, "post_processor", t.ids); err != nil {
		return nil, err
	}
	if err := t.post.check(len(t.tokens)); err != nil {
		return nil, err
	}
	if t.decoder, err = readDecoder(d.decod, "decoder", 0); err != nil {
		return nil, err
	}
	if t.truncation, err = readTruncation(d.truncation); err != nil {
		return nil, err
	}
	if t.padding, err = readPadding(d.padding); err != nil {
		return nil, err
	}
	t.truncateLeft, t.padLeft, t.maxLen = cfg.TruncationSide == "left", cfg.PaddingSide == "left", cfg.maxLength()
	t.setRoles(cfg)
	t.pool = &sync.Pool{New: func() any { return new(scratch) }}
	return t, nil
}

// buildModel makes the model. Its vocabulary is that of the model alone: added
// tokens are not pieces of words.
func (t *Tokenizer) buildModel(spec *modelSpec) error {
	unk := int32(-1)
	if spec.unk != "" {
		id, ok := t.ids[spec.unk]
		if !ok && spec.kind == kindWordPiece {
			return fmt.Errorf("tokenizer: the unknown token %q is not in the vocabulary of %d entries; add it or name another one", spec.unk, len(t.tokens))
		}
		if ok {
			unk = id
		}
	}
	t.surface = -1
	t.refine = spec.kind == kindBPE || spec.kind == kindUnigram
	words := make(map[string]int32, len(t.ids))
	for s, id := range t.ids {
		words[s] = id
	}
	switch spec.kind {
	case kindWordLevel:
		t.model = &wordLevel{words, unk}
	case kindWordPiece:
		bytes := 0
		for _, s := range t.tokens {
			bytes += len(s)
		}
		m := &wordPiece{trie: newTrie(bytes / 2), unk: unk, maxChars: spec.maxChars}
		for i, s := range t.tokens {
			if s != "" {
				m.trie.add(s, int32(i))
			}
		}
		m.cont = m.trie.find(0, spec.prefix)
		t.model = m
	case kindUnigram:
		if spec.unkID < 0 || spec.unkID >= len(t.tokens) {
			return fmt.Errorf("tokenizer: tokenizer.json: model.unk_id is %d; a Unigram model of %d pieces needs one of them for what is unknown", spec.unkID, len(t.tokens))
		}
		t.surface = int32(spec.unkID)
		t.model = newUnigram(t.tokens, spec.scores, int32(spec.unkID), spec.fallback, words)
	default:
		return t.buildBPE(spec, words, unk)
	}
	return nil
}

// buildBPE makes a model of characters, or of bytes where the pre-tokenizer
// ends in ByteLevel: then nothing needs to be written as characters.
func (t *Tokenizer) buildBPE(spec *modelSpec, words map[string]int32, unk int32) error {
	m := &bpe{ids: words, merges: make(map[uint64]merged, len(spec.merges)), unk: unk, prefix: spec.prefix, suffix: spec.suffix,
		fuseUnk: spec.fuseUnk, ignoreMerges: spec.ignore}
	if spec.fallback {
		m.fallback = fallbackIDs(words)
	}
	for i, pair := range spec.merges {
		a, ok1 := words[pair[0]]
		b, ok2 := words[pair[1]]
		if len(pair[1]) < len(spec.prefix) {
			ok2 = false
		}
		if !ok1 || !ok2 {
			return fmt.Errorf("tokenizer: merge %d joins %q and %q, and not both are in the vocabulary", i, pair[0], pair[1])
		}
		whole := pair[0] + pair[1][len(spec.prefix):]
		id, ok := words[whole]
		if !ok {
			return fmt.Errorf("tokenizer: merge %d makes %q, which is not in the vocabulary", i, whole)
		}
		m.merges[pairKey(a, b)] = merged{int32(i), id}
	}
	if n := len(t.pre); n > 0 && m.prefix == "" && m.suffix == "" && m.fallback == nil {
		if last, ok := t.pre[n-1].(byteLevel); ok && !t.otherByteLevel() {
			last.raw = true
			t.pre[n-1] = last
			m.raw, m.ids = true, make(map[string]int32, len(words))
			for s, id := range words {
				if b, ok := rawBytes(s); ok {
					m.ids[string(b)] = id
				}
			}
		}
	}
	t.model = m
	return nil
}

// otherByteLevel reports whether bytes are written as characters before the
// last pre-tokenizer.
func (t *Tokenizer) otherByteLevel() bool {
	for _, p := range t.pre[:len(t.pre)-1] {
		if _, ok := p.(byteLevel); ok {
			return true
		}
	}
	for _, n := range t.norm {
		if _, ok := n.(byteLevelNormalizer); ok {
			return true
		}
	}
	return false
}

// addTokens takes in the document's added tokens.
func (t *Tokenizer) addTokens(cfg config) error {
	for _, a := range t.doc.added {
		if a.Content == "" {
			return fmt.Errorf("tokenizer: added token %d is empty; remove it from added_tokens", a.ID)
		}
		if a.ID < 0 || a.ID >= maxVocab {
			return fmt.Errorf("tokenizer: added token %q has id %d; ids must be from 0 to %d", a.Content, a.ID, maxVocab-1)
		}
		if n := int(a.ID) + 1 - len(t.tokens); n > 0 {
			t.tokens = append(t.tokens, make([]string, n)...)
		}
		if old := t.tokens[a.ID]; old != "" && old != a.Content {
			return fmt.Errorf("tokenizer: added token %q has id %d, which is %q in the vocabulary", a.Content, a.ID, old)
		}
		t.tokens[a.ID], t.ids[a.Content] = a.Content, a.ID
		t.added[a.ID] = true
		if a.Special {
			t.addedSpecial[a.ID] = true
		}
		if !a.Normalized {
			t.raw.add(a.Content, a)
			continue
		}
		var form, tmp text
		form.load(a.Content, 0, len(a.Content))
		t.norm.run(&form, &tmp)
		t.cooked.add(string(form.b), a)
	}
	t.special = make([]bool, len(t.tokens))
	for id := range t.addedSpecial {
		t.special[id] = true
	}
	return nil
}

// setRoles finds the tokens that have a meaning: by the names of
// tokenizer_config.json, else by their usual ones.
func (t *Tokenizer) setRoles(cfg config) {
	names := cfg.names()
	find := func(role string, usual ...string) int32 {
		if s, ok := names[role]; ok {
			usual = []string{s}
		}
		for _, s := range usual {
			if id, ok := t.ids[s]; ok {
				return id
			}
		}
		return -1
	}
	r := &t.role
	r.pad, r.cls = find("pad_token", roleNames["pad_token"]...), find("cls_token", roleNames["cls_token"]...)
	r.sep, r.mask = find("sep_token", roleNames["sep_token"]...), find("mask_token", roleNames["mask_token"]...)
	spec := &t.doc.model
	r.unk = find("unk_token", roleNames["unk_token"]...)
	if id, ok := t.ids[spec.unk]; ok && spec.unk != "" {
		r.unk = id
	} else if spec.kind == kindUnigram {
		r.unk = int32(spec.unkID)
	}
	if r.pad < 0 && t.padding != nil {
		if id, ok := t.ids[t.padding.Token]; ok {
			r.pad = id
		}
	}
	for _, id := range []int32{r.pad, r.unk, r.cls, r.sep, r.mask} {
		if id >= 0 {
			t.special[id] = true
		}
	}
}

// VocabSize returns the number of ids, added tokens and gaps included.
func (t *Tokenizer) VocabSize() int { return len(t.tokens) }

// Token returns the token of an id; "" when there is none.
func (t *Tokenizer) Token(id int64) string {
	if id < 0 || id >= int64(len(t.tokens)) {
		return ""
	}
	return t.tokens[id]
}

// ID returns the id of a token.
func (t *Tokenizer) ID(token string) (int64, bool) {
	id, ok := t.ids[token]
	return int64(id), ok
}

// IsSpecial reports whether id is a special token, which is never masked.
func (t *Tokenizer) IsSpecial(id int64) bool {
	return id >= 0 && id < int64(len(t.special)) && t.special[id]
}

// PadID returns the id of the padding token, −1 if there is none.
func (t *Tokenizer) PadID() int64 { return int64(t.role.pad) }

// UnkID returns the id of the unknown token, −1 if there is none.
func (t *Tokenizer) UnkID() int64 { return int64(t.role.unk) }

// ClsID returns the id of the token before a text, −1 if there is none.
func (t *Tokenizer) ClsID() int64 { return int64(t.role.cls) }

// SepID returns the id of the separator, −1 if there is none.
func (t *Tokenizer) SepID() int64 { return int64(t.role.sep) }

// MaskID returns the id of the mask token, −1 if there is none.
func (t *Tokenizer) MaskID() int64 { return int64(t.role.mask) }

// MaxLength returns model_max_length of tokenizer_config.json, 0 if unknown.
func (t *Tokenizer) MaxLength() int { return t.maxLen }

// Lowercase reports whether texts are lower-cased.
func (t *Tokenizer) Lowercase() bool { return t.norm.foldsCase() }

// Kind is the model: WordPiece, BPE, Unigram or WordLevel.
func (t *Tokenizer) Kind() string { return t.doc.model.kind }
