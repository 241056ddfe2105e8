package corpus

import (
	"errors"
	"fmt"
	"sync"
)

// Encoding is a tokenized text. All slices have the same length.
type Encoding struct {
	IDs     []int64
	Tokens  []string // as the vocabulary spells them: "##s" for a later piece
	Offsets []Span   // byte offsets into the original text (of the pair's own text for its tokens); {0,0} for added special tokens
	Word    []int    // pre-token number within its text; −1 for added special tokens
	Types   []int64  // token type: 0 first text, 1 second
	Seq     []int    // 0 first text, 1 second, −1 added special token
}

// Len returns the number of tokens.
func (e *Encoding) Len() int { return len(e.IDs) }

// Tokenizer is BERT's: clean-up, optional lower-casing and accent stripping,
// splitting at white space, punctuation and Chinese characters, then greedy
// longest-match-first WordPiece (Devlin et al., arXiv 1810.04805; Wu et al.,
// arXiv 1609.08144). It reproduces Hugging Face's ids; where the implementations
// differ among themselves it follows the original: the Greek capital sigma
// becomes ς at the end of a word.
//
// A Tokenizer is immutable and safe for concurrent use.
type Tokenizer struct {
	tokens []string // by id; "" for a gap
	ids    map[string]int32
	trie   *trie
	cont   int32 // trie node after the continuation prefix, −1 if no such piece

	unk      int32
	prefix   string
	maxChars int
	norm     normalizer
	added    []addedToken
	raw      splitter // added tokens matched in the raw text
	cooked   splitter // added tokens matched in the normalized text
	single   []templatePiece
	pair     []templatePiece
	special  []bool // by id
	role     roles
	maxLen   int // model_max_length; 0 unknown
	files    map[string][]byte
	pool     *sync.Pool
}

// roles are the ids of the tokens that models give a meaning to; −1 absent.
type roles struct{ pad, unk, cls, sep, mask int32 }

// addedToken is matched in the text before WordPiece sees it.
type addedToken struct {
	Content    string `json:"content"`
	ID         int32  `json:"id"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

// templatePiece is one item of the post-processor: a special token or a text.
type templatePiece struct {
	seq  int // 0 or 1; −1 special
	ids  []int32
	kind int64 // token type id
}

// NewWordPiece returns a BERT tokenizer over vocab (index = id), which must
// contain [UNK]; pieces inside a word start with "##". Those of [PAD], [UNK],
// [CLS], [SEP] and [MASK] that are present become special tokens, and texts are
// wrapped in [CLS] … [SEP] when both are.
func NewWordPiece(vocab []string, lowercase bool) (*Tokenizer, error) {
	c := definition{
		vocab: vocab, unk: "[UNK]", prefix: "##", maxChars: 100,
		norm: normalizer{clean: true, chinese: true, strip: lowercase, lower: lowercase},
	}
	ids := make(map[string]int32, len(vocab))
	for i, s := range vocab {
		ids[s] = int32(i)
	}
	for _, s := range specialTokens {
		if id, ok := ids[s]; ok {
			c.added = append(c.added, addedToken{Content: s, ID: id, Special: true})
		}
	}
	c.template(ids)
	return build(c)
}

// specialTokens are BERT's, in the order of its vocabularies.
var specialTokens = []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}

// definition is what a tokenizer is built from, whatever file it came from.
type definition struct {
	vocab        []string
	unk, prefix  string
	maxChars     int
	norm         normalizer
	added        []addedToken
	single, pair []templatePiece
	names        map[string]string // pad_token → "[PAD]" …; nil = BERT's
	maxLen       int
}

// template sets BERT's post-processor when the vocabulary has its tokens.
func (d *definition) template(ids map[string]int32) {
	cls, ok1 := ids[d.name("cls_token")]
	sep, ok2 := ids[d.name("sep_token")]
	a, b := templatePiece{seq: 0}, templatePiece{seq: 1, kind: 1}
	d.single, d.pair = []templatePiece{a}, []templatePiece{a, b}
	if ok1 && ok2 {
		d.bert(cls, sep)
	}
}

func (d *definition) bert(cls, sep int32) {
	special := func(id int32, kind int64) templatePiece {
		return templatePiece{seq: -1, ids: []int32{id}, kind: kind}
	}
	a, b := templatePiece{seq: 0}, templatePiece{seq: 1, kind: 1}
	d.single = []templatePiece{special(cls, 0), a, special(sep, 0)}
	d.pair = append(append([]templatePiece(nil), d.single...), b, special(sep, 1))
}

var roleDefaults = map[string]string{
	"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]",
}

func (d *definition) name(role string) string {
	if s, ok := d.names[role]; ok {
		return s
	}
	return roleDefaults[role]
}

func build(d definition) (*Tokenizer, error) {
	if len(d.vocab) == 0 {
		return nil, errors.New("corpus: tokenizer: the vocabulary is empty")
	}
	if len(d.vocab) > maxVocab {
		return nil, fmt.Errorf("corpus: tokenizer: %d vocabulary entries; at most %d are supported", len(d.vocab), maxVocab)
	}
	t := &Tokenizer{prefix: d.prefix, maxChars: d.maxChars, norm: d.norm, single: d.single, pair: d.pair, maxLen: d.maxLen}
	t.tokens = append([]string(nil), d.vocab...)
	t.ids = make(map[string]int32, len(t.tokens))
	bytes := 0
	for _, s := range t.tokens {
		bytes += len(s)
	}
	t.trie = newTrie(bytes / 2)
	for i, s := range t.tokens {
		if s == "" {
			continue
		}
		t.ids[s] = int32(i)
		t.trie.add(s, int32(i))
	}
	t.cont = t.trie.find(0, d.prefix)
	var ok bool
	if t.unk, ok = t.ids[d.unk]; !ok {
		return nil, fmt.Errorf("corpus: tokenizer: the unknown token %q is not in the vocabulary of %d entries; add it or name another one", d.unk, len(d.vocab))
	}
	if err := t.addTokens(d.added); err != nil {
		return nil, err
	}
	t.raw, t.cooked = newSplitter(t, false), newSplitter(t, true)
	if err := t.checkTemplate(); err != nil {
		return nil, err
	}
	find := func(role string) int32 {
		if id, ok := t.ids[d.name(role)]; ok {
			return id
		}
		return -1
	}
	t.role = roles{pad: find("pad_token"), unk: t.unk, cls: find("cls_token"), sep: find("sep_token"), mask: find("mask_token")}
	for _, id := range []int32{t.role.pad, t.role.unk, t.role.cls, t.role.sep, t.role.mask} {
		if id >= 0 {
			t.special[id] = true
		}
	}
	t.pool = &sync.Pool{New: func() any { return new(scratch) }}
	return t, nil
}

// maxVocab bounds ids read from files, so that a broken file cannot ask for
// gigabytes.
const maxVocab = 1 << 22

func (t *Tokenizer) addTokens(added []addedToken) error {
	for _, a := range added {
		if a.Content == "" {
			return fmt.Errorf("corpus: tokenizer: added token %d is empty; remove it from added_tokens", a.ID)
		}
		if a.ID < 0 || a.ID >= maxVocab {
			return fmt.Errorf("corpus: tokenizer: added token %q has id %d; ids must be from 0 to %d", a.Content, a.ID, maxVocab-1)
		}
		for int(a.ID) >= len(t.tokens) {
			t.tokens = append(t.tokens, "")
		}
		if old := t.tokens[a.ID]; old != "" && old != a.Content {
			return fmt.Errorf("corpus: tokenizer: added token %q has id %d, which is %q in the vocabulary", a.Content, a.ID, old)
		}
		t.tokens[a.ID] = a.Content
		t.ids[a.Content] = a.ID
		t.added = append(t.added, a)
	}
	t.special = make([]bool, len(t.tokens))
	for _, a := range t.added {
		t.special[a.ID] = t.special[a.ID] || a.Special
	}
	return nil
}

func (t *Tokenizer) checkTemplate() error {
	for _, tpl := range [][]templatePiece{t.single, t.pair} {
		for _, p := range tpl {
			for _, id := range p.ids {
				if id < 0 || int(id) >= len(t.tokens) {
					return fmt.Errorf("corpus: tokenizer: the post-processor uses token id %d, but the vocabulary has %d entries", id, len(t.tokens))
				}
			}
		}
	}
	return nil
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

// UnkID returns the id of the unknown token.
func (t *Tokenizer) UnkID() int64 { return int64(t.role.unk) }

// ClsID returns the id of the classification token, −1 if there is none.
func (t *Tokenizer) ClsID() int64 { return int64(t.role.cls) }

// SepID returns the id of the separator, −1 if there is none.
func (t *Tokenizer) SepID() int64 { return int64(t.role.sep) }

// MaskID returns the id of the mask token, −1 if there is none.
func (t *Tokenizer) MaskID() int64 { return int64(t.role.mask) }

// MaxLength returns model_max_length of tokenizer_config.json, 0 if unknown.
func (t *Tokenizer) MaxLength() int { return t.maxLen }

// Lowercase reports whether texts are lower-cased.
func (t *Tokenizer) Lowercase() bool { return t.norm.lower }
