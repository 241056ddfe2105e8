package corpus

import (
	_ "embed" // the dictionary
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/go-ego/gse"
	"github.com/klauspost/compress/zstd"

	"github.com/litekit/lite/corpus/tokenizer"
)

//go:generate go run gen_chinese.go

// chineseDict is gse's dictionary of simplified Chinese, packed by gen_chinese.go.
//
//go:embed chinese.dict.zst
var chineseDict []byte

// Chinese returns the annotator for simplified Chinese: words by the dictionary
// and the hidden Markov model of github.com/go-ego/gse, parts of speech and
// entities from the dictionary's PKU tags (see pkuTags and pkuEntities), and
// closed-class words by the usage of Universal Dependencies. A word has the same
// tag wherever it stands, so the tags are noisy: a training signal, not gold.
// The dictionary is unpacked at the first call (about a second); all callers
// share it. The annotator is deterministic and safe for concurrent use.
func Chinese() (Annotator, error) { return loadChinese() }

var loadChinese = sync.OnceValues(func() (Annotator, error) {
	dict, err := unpackDict(chineseDict)
	if err != nil {
		return nil, fmt.Errorf("corpus: the embedded Chinese dictionary: %w", err)
	}
	seg := new(gse.Segmenter)
	seg.SkipLog = true
	if err := seg.LoadDictStr(dict); err != nil {
		return nil, fmt.Errorf("corpus: the embedded Chinese dictionary: %w", err)
	}
	return &chinese{
		segment: seg.Segment,
		markov:  func(run string) []string { return seg.HMMCut(run) },
		find:    func(word string) string { _, tag, _ := seg.Find(word); return tag },
	}, nil
})

// unpackDict returns the dictionary as gse reads it, one "word frequency tag" on
// each line.
func unpackDict(packed []byte) (string, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return "", err
	}
	defer z.Close()
	plain, err := z.DecodeAll(packed, nil)
	if err != nil {
		return "", err
	}
	shared, rest, _ := strings.Cut(string(plain), "\n")
	columns := strings.Split(rest, "\n")
	n := len(shared)
	if len(columns) != 3*n+1 {
		return "", errors.New("it is damaged")
	}
	var out strings.Builder
	last := ""
	for i, c := range []byte(shared) {
		at := 0
		for range c - 'a' {
			_, size := utf8.DecodeRuneInString(last[at:])
			at += size
		}
		last = last[:at] + columns[i]
		for k, s := range []string{last, columns[n+i], columns[2*n+i]} {
			out.WriteString(s)
			out.WriteByte(" \n"[k/2])
		}
	}
	return out.String(), nil
}

// chinese holds what it needs of gse's Segmenter as functions. Were the type
// itself within reach of an interface, a program that uses reflection (any with
// text/template) would link all its methods, and with them 32 MB of dictionaries.
type chinese struct {
	segment func([]byte) []gse.Segment
	markov  func(run string) []string
	find    func(word string) (tag string)
}

// Annotate finds the words of text.
func (c *chinese) Annotate(text string) ([]Word, error) {
	words := make([]Word, 0, len(text)/4)
	for i := 0; i < len(text); {
		r, w := utf8.DecodeRuneInString(text[i:])
		end := i + w
		switch {
		case unicode.IsSpace(r) || r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs):
		case tokenizer.IsChinese(r):
			end = runEnd(text, end, tokenizer.IsChinese)
			words = c.han(words, text[i:end], i)
		case unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r):
			end = latinEnd(text, end)
			words = append(words, Word{Span: Span{Start: i, End: end}, POS: latinPOS(text[i:end]), Entity: "O"})
		default: // "……" and "——" are one mark
			end = runEnd(text, end, func(x rune) bool { return x == r })
			pos := "PUNCT"
			if !unicode.IsPunct(r) || r == '%' || r == '％' {
				pos = "SYM"
			}
			words = append(words, Word{Span: Span{Start: i, End: end}, POS: pos, Entity: "O"})
		}
		i = end
	}
	for k := range words {
		joinWords(text, words, k)
	}
	for k := 0; k < len(words); k++ {
		k = max(k, joinOrganisation(text, words, k))
	}
	return words, nil
}

// runEnd returns where the characters that satisfy is end.
func runEnd(text string, at int, is func(rune) bool) int {
	for at < len(text) {
		r, w := utf8.DecodeRuneInString(text[at:])
		if !is(r) {
			break
		}
		at += w
	}
	return at
}

// latinEnd returns the end of a word or number that is not Chinese; marks
// between digits or letters, as in 3.5, 1,000 or AT&T, belong to it.
func latinEnd(text string, at int) int {
	inside := func(r rune) bool {
		return (unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r)) && !tokenizer.IsChinese(r)
	}
	for {
		at = runEnd(text, at, inside)
		if at == len(text) || !strings.ContainsRune(".,'&-_", rune(text[at])) {
			return at
		}
		if r, _ := utf8.DecodeRuneInString(text[at+1:]); !inside(r) {
			return at
		}
		at++
	}
}

func latinPOS(s string) string {
	if strings.ContainsFunc(s, unicode.IsLetter) {
		return "X"
	}
	return "NUM"
}

// han annotates a run of Chinese characters that starts at byte base.
func (c *chinese) han(words []Word, run string, base int) []Word {
	segs := c.segment([]byte(run))
	for k := 0; k < len(segs); {
		s := segs[k]
		single := 0 // characters that the dictionary left alone, from here on
		for k+single < len(segs) && oneRune(segs[k+single].Token().Text()) && closedClass[segs[k+single].Token().Text()] == "" {
			single++
		}
		if single < 2 {
			words = append(words, c.word(s.Token().Text(), s.Token().Pos(), base+s.Start()))
			k++
			continue
		}
		from, to := s.Start(), segs[k+single-1].End()
		for _, w := range c.markov(run[from:to]) {
			words = append(words, c.word(w, c.find(w), base+from))
			from += len(w)
		}
		k += single
	}
	return words
}

func oneRune(s string) bool {
	_, w := utf8.DecodeRuneInString(s)
	return w == len(s)
}

func (c *chinese) word(text, tag string, start int) Word {
	w := Word{Span: Span{Start: start, End: start + len(text)}, POS: pkuTags[tag], Entity: "O"}
	if pos, ok := closedClass[text]; ok {
		w.POS = pos
		return w
	}
	kind := pkuEntities[tag]
	if tag == "nr" || tag == "nrfg" || tag == "" { // "" was found by the Markov model
		first, n := utf8.DecodeRuneInString(text)
		if more := utf8.RuneCountInString(text[n:]); !strings.ContainsRune(surnames, first) || more < 1 || more > 2 {
			kind = ""
		} else {
			w.POS, kind = "PROPN", "PER"
		}
	}
	if kind != "" && !oneRune(text) {
		w.Entity = "B-" + kind
	}
	return w
}

// joinWords settles what depends on the neighbours of word k.
func joinWords(text string, words []Word, k int) {
	w := &words[k]
	form := text[w.Start:w.End]
	if form == "·" && k > 0 && k+1 < len(words) && words[k-1].End == w.Start && words[k+1].Start == w.End {
		before, after := &words[k-1], &words[k+1] // the parts of a foreign name
		if isHan(text[before.Start:before.End]) && isHan(text[after.Start:after.End]) {
			if before.Entity != "I-PER" {
				before.Entity = "B-PER"
			}
			before.POS, after.POS = "PROPN", "PROPN"
			w.Entity, after.Entity = "I-PER", "I-PER"
		}
		return
	}
	if k == 0 || words[k-1].End != w.Start {
		return
	}
	last := &words[k-1]
	switch {
	case form == "的" && (last.POS == "VERB" || last.POS == "ADJ"):
		w.POS = "SCONJ" // ends a relative clause; after a noun it is a PART
	case last.Entity == "B-PER" && w.Entity == "O" && last.Len() == 6 && w.Len() == 3 && w.POS != "PUNCT" && closedClass[form] == "" && strings.ContainsRune(surnames, firstRune(text[last.Start:])):
		w.Entity, w.POS = "I-PER", "PROPN" // 张洁 + 清
	}
}

// joinOrganisation extends a place or an organisation at word k over the nouns
// that follow it up to one that names a kind of organisation, as in 北京 + 市 +
// 高级 + 法院. It returns the last word it changed.
func joinOrganisation(text string, words []Word, k int) int {
	if words[k].Entity != "B-LOC" && words[k].Entity != "B-ORG" {
		return k
	}
	end := k
	for j := k + 1; j < len(words) && j <= k+5 && words[j-1].End == words[j].Start; j++ {
		w := words[j]
		if w.POS != "NOUN" && w.POS != "PROPN" && w.POS != "ADJ" || w.Entity == "B-PER" {
			break
		}
		form := text[w.Start:w.End]
		for _, s := range organisations {
			if strings.HasSuffix(form, s) {
				end = j
			}
		}
	}
	for j := k; j <= end && end > k; j++ {
		words[j].Entity = "I-ORG"
	}
	if end > k {
		words[k].Entity = "B-ORG"
	}
	return end
}

// organisations are nouns, or their last characters, that name a kind of
// organisation.
var organisations = strings.Fields("公司 集团 大学 学院 学校 中学 小学 银行 委员会 协会 学会 总会 联合会 基金会 法院 检察院 研究所 研究院 医院 出版社 报社 通讯社 日报社 总局 国防部 外交部 代表团 国家队 足球队 俱乐部 中央 党 队 厂 局 社")

func firstRune(s string) rune {
	r, _ := utf8.DecodeRuneInString(s)
	return r
}

func isHan(s string) bool { return tokenizer.IsChinese(firstRune(s)) }

// surnames are the usual ones of one character.
const surnames = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾夏韦付傅方白邹孟熊秦邱江尹薛闫阎段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤温康施文牛樊葛邢安齐易乔伍庞颜倪庄聂章鲁岳翟殷詹申欧耿关兰焦俞左柳甘祝包宁尚符舒阮柯纪梅童凌毕单季裴霍涂成苗谷曲盛冉翁蓝路游辛靳管柴蒙鲍华喻祁蒲房滕屈饶解牟艾尤阳时穆农司卓古吉缪简车项连芦麦褚娄窦戚岑景党宫费卜冷晏席卫米柏宗瞿桂全佟应臧闵苟邬边卞姬师和仇栾隋商刁沙荣巫寇桑郎甄丛仲虞敖巩明佘池查麻苑迟邝"

// pkuEntities maps the tags of names to entity types.
var pkuEntities = map[string]string{"nr": "PER", "nrfg": "PER", "nrt": "PER", "ns": "LOC", "nt": "ORG"}

// closedClass holds function words, and some that the dictionary tags by a rare
// use, by the usage of the Universal Dependencies treebank Chinese-GSD.
var closedClass = func() map[string]string {
	m := map[string]string{}
	for _, set := range [][2]string{
		{"ADJ", "一些 主要 新 大 小 高 多 少 最大 最高"},
		{"ADP", "在 从 对 向 于 以 由 由于 因为 虽然 后 前 中 上 下 里 内 外 间 之间 时 将 把 给 和 与 用 起 之中 以上 以下"},
		{"ADV", "不 没 没有 很 最 更 再 又 已 已经 正在 一般 另外 曾 约 只 仅 非常 较 十分 如此 常 均 共"},
		{"AUX", "是 为 了 过 着 被 可以 可能 可 会 要 能 能够 应 应该 必须 须 得以 愿意 无法"},
		{"CCONJ", "与 和 及 或 以及 或者 跟 及其"},
		{"DET", "该 各 每 某 任何 所有 其他 其它 这些 那些 本 全 另 何 整个 全部 各个"},
		{"NOUN", "年 月 日 岁 等 人 其中 同时 此外 最后 期间 之后 之前 以后 个 名 次 号 时间 天 元 北 南 东 西 小时 分 一般来说 公里 平方公里 米"},
		{"PART", "的 地 得 之 们 者 性 化 吗 呢 吧 啊 界 式 率 员 站 区 县"},
		{"PRON", "我 你 他 她 它 我们 你们 他们 她们 它们 自己 其 这 那 此 谁 什么 这样 那样 这里 那里 哪里"},
		{"SCONJ", "也 都 还 亦 就 才 却 便 则 但 而 并 然而 但是 并且 不过 因此 所以 而且 所 如果 若 自从 即使"},
		{"VERB", "有 任 到 成 说 成为 发展 研究 无 没有 位于 至 来 去 让 使"},
	} {
		for _, w := range strings.Fields(set[1]) {
			m[w] = set[0]
		}
	}
	return m
}()

// pkuTags maps the dictionary's tags (PKU/ICTCLAS, Yu Shiwen et al. 2002) to
// universal ones.
var pkuTags = map[string]string{
	"a": "ADJ", "ag": "ADJ", "ad": "ADV", "an": "NOUN", "b": "ADJ", "z": "ADJ", "zg": "ADJ",
	"c": "CCONJ", "d": "ADV", "dg": "ADV", "df": "VERB", "e": "INTJ", "f": "ADP",
	"g": "NOUN", "h": "PART", "i": "VERB", "j": "PROPN", "k": "PART", "l": "NOUN",
	"m": "NUM", "mg": "NUM", "mq": "NUM",
	"n": "NOUN", "ng": "NOUN", "nr": "PROPN", "nrfg": "PROPN", "nrt": "PROPN", "ns": "PROPN", "nt": "PROPN", "nz": "PROPN",
	"o": "ADV", "p": "ADP", "q": "NOUN", "r": "PRON", "rg": "PRON", "rr": "PRON", "rz": "PRON",
	"s": "NOUN", "t": "NOUN", "tg": "NOUN",
	"u": "PART", "ud": "PART", "ug": "AUX", "uj": "PART", "ul": "AUX", "uv": "PART", "uz": "AUX",
	"v": "VERB", "vd": "ADV", "vg": "VERB", "vi": "VERB", "vn": "NOUN", "vq": "VERB",
	"x": "X", "y": "PART", "": "NOUN",
}
