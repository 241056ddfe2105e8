// Package synonym holds tables of words that may stand for each other, for the
// true-negative objective (Zhang, Zhao, Utiyama, Sumita: Language Model
// Pre-training on True Negatives, AAAI 2023): a masked language model that
// answers with a synonym of the masked word is not wrong.
//
// A table is a text file that people can read and edit:
//
//	film	movie	picture
//	good	great	nice	fine
//
// A word, then its synonyms, nearest first, separated by tabs; sorted by the
// word. [FromEmbeddings] makes one of the word embeddings of a model,
// [Table.Random] its control, and [Table.IDs] answers for token ids.
package synonym

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

// Entry is one word with its synonyms.
type Entry struct {
	Word     string   // as the text has it
	Synonyms []string // at least one, distinct, without Word; nearest first
}

// Table lists synonyms. The relation has a direction: that a is listed under b
// does not list b under a. It is immutable and safe for concurrent use.
type Table struct {
	entries []Entry // sorted by Word
}

// New returns the table of entries in any order. Entries of the same word are
// put together, repeated synonyms and the word itself dropped, and words left
// without synonyms with them. Words must be UTF-8 without tabs and line ends,
// and must not begin with "# ", which is a comment in a file.
func New(entries []Entry) (*Table, error) {
	entries = slices.Clone(entries)
	slices.SortStableFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Word, b.Word) })
	t := &Table{}
	for i := 0; i < len(entries); {
		merged := Entry{Word: entries[i].Word}
		if fault := writable(merged.Word); fault != "" {
			return nil, fmt.Errorf("synonym: word %.40q %s", merged.Word, fault)
		}
		seen := map[string]bool{merged.Word: true}
		for ; i < len(entries) && entries[i].Word == merged.Word; i++ {
			for _, s := range entries[i].Synonyms {
				if fault := writable(s); fault != "" {
					return nil, fmt.Errorf("synonym: word %.40q: synonym %.40q %s", merged.Word, s, fault)
				}
				if !seen[s] {
					seen[s] = true
					merged.Synonyms = append(merged.Synonyms, s)
				}
			}
		}
		if len(merged.Synonyms) > 0 {
			t.entries = append(t.entries, merged)
		}
	}
	return t, nil
}

// writable says why a word cannot stand in a table; "" if it can.
func writable(s string) string {
	switch {
	case s == "":
		return "is empty"
	case !utf8.ValidString(s):
		return "is not UTF-8"
	case strings.ContainsAny(s, "\t\r\n\x00"):
		return "has a tab, a line end or a NUL"
	case strings.HasPrefix(s, "# ") || strings.TrimSpace(s) != s:
		return "has white space at an end or begins like a comment"
	}
	return ""
}

// Len returns the number of words that have synonyms.
func (t *Table) Len() int { return len(t.entries) }

// Pairs returns the number of (word, synonym) pairs.
func (t *Table) Pairs() (n int) {
	for _, e := range t.entries {
		n += len(e.Synonyms)
	}
	return n
}

// Entries returns the words in order. The caller must not change them.
func (t *Table) Entries() []Entry { return t.entries }

// Synonyms returns the synonyms of a word, nearest first; nil if it has none.
// The caller must not change them.
func (t *Table) Synonyms(word string) []string {
	i, ok := slices.BinarySearchFunc(t.entries, word, func(e Entry, w string) int { return cmp.Compare(e.Word, w) })
	if !ok {
		return nil
	}
	return t.entries[i].Synonyms
}

// maxLine bounds a line of a table in bytes.
const maxLine = 1 << 20

// Open reads the table in a file; see [Read].
func Open(path string) (*Table, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("synonym: %w", err)
	}
	defer f.Close()
	return Read(f, path)
}

// Read reads a table; name is used in errors. Lines may be in any order and
// repeat a word; empty lines and those that begin with "# " are passed over, as
// are empty columns and white space around a word. Errors, with their line:
// text that is not UTF-8, lines of more than a megabyte, a line with synonyms
// but no word before them, and a file without any pair.
func Read(r io.Reader, name string) (*Table, error) {
	var entries []Entry
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 0, 1<<16), maxLine)
	n := 0
	for in.Scan() {
		n++
		b := in.Bytes()
		if n == 1 {
			b = bytes.TrimPrefix(b, []byte("\ufeff"))
		}
		line := string(b)
		if !utf8.ValidString(line) || strings.ContainsRune(line, 0) {
			return nil, fmt.Errorf("synonym: %s: line %d is not UTF-8 text; convert the file", name, n)
		}
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "# ") {
			continue
		}
		fields := strings.Split(line, "\t")
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
		}
		if fields[0] == "" {
			return nil, fmt.Errorf("synonym: %s: line %d begins with a tab; write the word, a tab, and its synonyms separated by tabs", name, n)
		}
		e := Entry{Word: fields[0]}
		for _, s := range fields[1:] {
			if s != "" {
				e.Synonyms = append(e.Synonyms, s)
			}
		}
		entries = append(entries, e)
	}
	if err := in.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("synonym: %s: line %d has more than %d bytes; a table has one word and its synonyms on each line", name, n+1, maxLine)
	} else if err != nil {
		return nil, fmt.Errorf("synonym: %s: %w", name, err)
	}
	t, err := New(entries)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if t.Len() == 0 {
		return nil, fmt.Errorf("synonym: %s holds no synonyms in %d lines; write a word, a tab, and its synonyms separated by tabs", name, n)
	}
	return t, nil
}

// Write writes the table, which [Read] reads back as it is.
func (t *Table) Write(w io.Writer) error {
	b := bufio.NewWriter(w)
	for _, e := range t.entries {
		b.WriteString(e.Word)
		for _, s := range e.Synonyms {
			b.WriteByte('\t')
			b.WriteString(s)
		}
		b.WriteByte('\n')
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("synonym: writing a table: %w", err)
	}
	return nil
}

// rewirings is how many swaps are tried for each pair of a random table.
const rewirings = 20

// Random returns the control of a table: as many pairs, every word with as many
// synonyms as it had, and every synonym listed as often as it was, but joined
// by chance. It starts from the table and swaps the synonyms of two random
// pairs again and again where that makes neither a word its own synonym nor a
// pair occur twice (Maslov and Sneppen, Science 296, 2002). A table in which
// nothing can be swapped, such as one of two words, stays as it is. The result
// depends on the table and seed only.
func (t *Table) Random(seed uint64) *Table {
	type slot struct{ word, synonym int }
	out := &Table{entries: make([]Entry, len(t.entries))}
	has := make([]map[string]bool, len(t.entries))
	var slots []slot
	for i, e := range t.entries {
		out.entries[i] = Entry{e.Word, slices.Clone(e.Synonyms)}
		has[i] = map[string]bool{e.Word: true}
		for k, s := range e.Synonyms {
			has[i][s] = true
			slots = append(slots, slot{i, k})
		}
	}
	rng := rand.New(rand.NewPCG(seed, 0x73796e6f6e796d)) // "synonym"
	for range rewirings * len(slots) {
		a, b := slots[rng.IntN(len(slots))], slots[rng.IntN(len(slots))]
		x, y := &out.entries[a.word].Synonyms[a.synonym], &out.entries[b.word].Synonyms[b.synonym]
		if has[a.word][*y] || has[b.word][*x] {
			continue
		}
		delete(has[a.word], *x)
		delete(has[b.word], *y)
		*x, *y = *y, *x
		has[a.word][*x], has[b.word][*y] = true, true
	}
	return out
}
