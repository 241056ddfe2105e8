package synth

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/litekit/lite/corpus"
)

const firstYear = 1985

// functionWords are the closed-class words that the sentences below use.
func functionWords() [][]string {
	return [][]string{
		words("the a an at in of for with and then later finally first after that she he they his her was also because while near from percent about meanwhile one two three four five six seven eight nine ten twelve twenty fifty"),
		words("director manager reporter student expert"),
		words("在 的 了 和 首先 然后 后来 最后 之后 她 他 他们 也 因为 同时 附近 从 百分之 大约 年 一 二 三 四 五 六 七 八 九 十 个 主任 经理 记者 学生 专家 一名 是"),
	}
}

// person is who the document is about.
type person struct {
	first, last string // first is the given name
	pronoun     string
}

func (w *writer) newPerson() person {
	p := person{first: w.pick(w.lex.firstNames), last: w.pick(w.lex.lastNames)}
	if w.rng.IntN(3) == 0 { // a name that no list holds
		if w.chinese {
			p.first = w.pick(w.lex.syllables) + w.pick(w.lex.syllables)
		} else {
			p.last = w.invented()
		}
	}
	p.pronoun = w.pick(words("She He"))
	if w.chinese {
		p.pronoun = w.pick(words("她 他"))
	}
	return p
}

func (w *writer) fullName(p person) {
	if w.chinese {
		w.name("PER", p.last+p.first)
		return
	}
	w.name("PER", p.first, p.last)
}

func (w *writer) place() {
	if !w.chinese && w.rng.IntN(5) == 0 {
		w.name("LOC", w.invented())
		return
	}
	w.name("LOC", w.pick(w.lex.places))
}

func (w *writer) organisation() {
	stem := w.pick(w.lex.orgStems)
	if w.rng.IntN(4) == 0 {
		stem = w.invented()
	}
	if w.chinese {
		w.name("ORG", stem+w.pick(w.lex.orgSuffixes))
		return
	}
	w.name("ORG", stem, w.pick(w.lex.orgSuffixes))
}

// document writes three to five sentences about one person.
func (w *writer) document() {
	p := w.newPerson()
	year := firstYear + w.rng.IntN(25)
	n := 3 + w.rng.IntN(3)
	for i := 0; i < n; i++ {
		start := w.text.Len()
		if start > 0 && !w.chinese {
			w.text.WriteByte(' ')
			w.glue = true
			start++
		}
		if w.chinese {
			w.sentenceZH(p, i, n, year)
		} else {
			w.sentenceEN(p, i, n, year)
		}
		year += 1 + w.rng.IntN(3)
		w.sentences = append(w.sentences, corpus.Span{Start: start, End: w.text.Len()})
	}
}

// sentenceEN writes English sentence i of n.
func (w *writer) sentenceEN(p person, i, n, year int) {
	switch {
	case i == 0:
		w.introductionEN(p, year)
		return
	case i == n-1 && w.rng.IntN(2) == 0:
		w.plain("Finally", "ADV")
		w.plain(",", "PUNCT")
		w.plain(lower(p.pronoun), "PRON")
	case w.rng.IntN(3) == 0:
		w.plain(w.pick(words("Then Later Meanwhile")), "ADV")
		w.plain(",", "PUNCT")
		w.name("PER", p.last)
	case w.rng.IntN(2) == 0:
		w.plain(p.pronoun, "PRON")
	default:
		w.plain("The", "DET")
		w.adjective()
		w.noun()
	}
	w.verb()
	w.objectEN()
	switch w.rng.IntN(4) {
	case 0:
		w.plain("with", "ADP")
		w.objectEN()
	case 1:
		w.plain("near", "ADP")
		w.place()
	case 2:
		w.plain("in", "ADP")
		w.plain(strconv.Itoa(year), "NUM")
	default:
		w.plain("for", "ADP")
		w.plain(w.pick(words("two three four five twelve twenty fifty")), "NUM")
		w.plain("percent", "NOUN")
		w.plain("of", "ADP")
		w.objectEN()
	}
	w.plain(".", "PUNCT")
}

// introductionEN names the person in full, where from and what for.
func (w *writer) introductionEN(p person, year int) {
	if w.rng.IntN(2) == 0 {
		w.plain("In", "ADP")
		w.plain(strconv.Itoa(year), "NUM")
		w.plain(",", "PUNCT")
	}
	w.fullName(p)
	w.plain(",", "PUNCT")
	role := w.pick(words("director manager reporter student expert"))
	w.plain(article("a", role), "DET")
	w.plain(role, "NOUN")
	w.plain("at", "ADP")
	w.organisation()
	w.plain(",", "PUNCT")
	w.verb()
	w.objectEN()
	w.plain("in", "ADP")
	w.place()
	w.plain(".", "PUNCT")
}

func (w *writer) objectEN() {
	det := w.pick(words("the the a his her"))
	if w.rng.IntN(2) == 0 {
		adjective := w.anAdjective()
		w.plain(article(det, adjective), "DET")
		w.plain(adjective, "ADJ")
		w.noun()
		return
	}
	noun := w.aNoun()
	w.plain(article(det, noun), "DET")
	w.plain(noun, "NOUN")
}

// article is det, with "a" become "an" before a vowel.
func article(det, next string) string {
	if det == "a" && strings.ContainsRune("aeiou", rune(next[0])) {
		return "an"
	}
	return det
}

// sentenceZH writes Chinese sentence i of n.
func (w *writer) sentenceZH(p person, i, n, year int) {
	switch {
	case i == 0:
		w.introductionZH(p, year)
		return
	case i == n-1 && w.rng.IntN(2) == 0:
		w.plain("最后", "ADV")
		w.plain("，", "PUNCT")
		w.plain(p.pronoun, "PRON")
	case w.rng.IntN(3) == 0:
		w.plain(w.pick(words("然后 后来 同时")), "ADV")
		w.plain("，", "PUNCT")
		w.fullName(p)
	case w.rng.IntN(2) == 0:
		w.plain(p.pronoun, "PRON")
	default:
		w.objectZH()
	}
	switch w.rng.IntN(3) {
	case 0:
		w.plain("在", "ADP")
		w.place()
		w.plain("附近", "NOUN")
	case 1:
		w.plain("在", "ADP")
		w.plain(strconv.Itoa(year), "NUM")
		w.plain("年", "NOUN")
	}
	w.verb()
	w.plain("了", "PART")
	w.objectZH()
	if w.rng.IntN(2) == 0 {
		w.plain("和", "CCONJ")
		w.objectZH()
	}
	w.plain("。", "PUNCT")
}

func (w *writer) introductionZH(p person, year int) {
	if w.rng.IntN(2) == 0 {
		w.plain(strconv.Itoa(year), "NUM")
		w.plain("年", "NOUN")
		w.plain("，", "PUNCT")
	}
	w.organisation()
	w.plain("的", "PART")
	w.plain(w.pick(words("主任 经理 记者 学生 专家")), "NOUN")
	w.fullName(p)
	w.plain("在", "ADP")
	w.place()
	w.verb()
	w.plain("了", "PART")
	w.objectZH()
	w.plain("。", "PUNCT")
}

func (w *writer) objectZH() {
	if w.rng.IntN(2) == 0 {
		w.adjective()
		w.plain("的", "PART")
	}
	w.noun()
}

func lower(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return string(s[0]|0x20) + s[n:]
}
