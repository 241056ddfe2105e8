package synonym_test

import (
	"bytes"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/litekit/lite/corpus"
	"github.com/litekit/lite/corpus/tokenizer"
	"github.com/litekit/lite/internal/kernel"
	"github.com/litekit/lite/synonym"
)

func read(t *testing.T, text string) *synonym.Table {
	t.Helper()
	table, err := synonym.Read(strings.NewReader(text), "table.tsv")
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func write(t *testing.T, table *synonym.Table) string {
	t.Helper()
	var b bytes.Buffer
	if err := table.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestReadPutsATableInOrder(t *testing.T) {
	table := read(t, "\ufeffgood\tgreat\t nice \tgood\r\n\n# a comment\nbad\tpoor\nlonely\n#\t##\ngood\tfine\t\tnice\n电影\t影片\n")
	const want = "#\t##\nbad\tpoor\ngood\tgreat\tnice\tfine\n电影\t影片\n"
	if got := write(t, table); got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if again := read(t, want); !reflect.DeepEqual(again, table) {
		t.Errorf("reading it back gives %+v, want %+v", again, table)
	}
	if table.Len() != 4 || table.Pairs() != 6 || !slices.Equal(table.Synonyms("good"), []string{"great", "nice", "fine"}) || table.Synonyms("fine") != nil {
		t.Errorf("%d words, %d pairs, good: %q", table.Len(), table.Pairs(), table.Synonyms("good"))
	}
}

func TestReadRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "no synonyms in 0 lines",
		"alone\n# all\n":         "no synonyms in 2 lines",
		"a\tb\n\tc\n":            "line 2 begins with a tab",
		"a\tb\nc\xff\td\n":       "line 2 is not UTF-8",
		"a\tb\x00\n":             "line 1 is not UTF-8",
		"a\tb\nc\rd\te\n":        "line end",
		strings.Repeat("a", 2e6): "line 1 has more than",
	} {
		if _, err := synonym.Read(strings.NewReader(text), "table.tsv"); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "table.tsv") {
			t.Errorf("%.20q: error %v, want one with %q", text, err, want)
		}
	}
	if _, err := synonym.New([]synonym.Entry{{Word: "a", Synonyms: []string{"b c\t"}}}); err == nil {
		t.Error("a synonym with a tab is accepted")
	}
	if _, err := synonym.Open("nothing here"); err == nil {
		t.Error("a file that is not there is read")
	}
	if err := read(t, "a\tb\n").Write(failing{}); err == nil {
		t.Error("a failed write is not reported")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func FuzzRead(f *testing.F) {
	for _, s := range []string{"a\tb\n", "a\tb\tc\na\td\n", "# x\n#\ty", "\ufeffa\ta", "a\t\u00a0b\r"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := synonym.Read(bytes.NewReader(data), "table")
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := table.Write(&b); err != nil {
			t.Fatal(err)
		}
		again, err := synonym.Read(bytes.NewReader(b.Bytes()), "table")
		if err != nil || !reflect.DeepEqual(again, table) {
			t.Fatalf("%q: written as %q and read back: %v", data, b.Bytes(), err)
		}
		if r := table.Random(1); r.Pairs() != table.Pairs() {
			t.Fatalf("%d random pairs of %d", r.Pairs(), table.Pairs())
		}
	})
}

// degrees counts the synonyms of each word, and how often each is one.
func degrees(table *synonym.Table) (out, in map[string]int) {
	out, in = map[string]int{}, map[string]int{}
	for _, e := range table.Entries() {
		out[e.Word] = len(e.Synonyms)
		for _, s := range e.Synonyms {
			in[s]++
		}
	}
	return out, in
}

func TestRandomKeepsTheSize(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var entries []synonym.Entry
	name := func(i int) string { return "w" + string(rune('a'+i/26)) + string(rune('a'+i%26)) }
	for i := range 300 {
		e := synonym.Entry{Word: name(i)}
		for range 1 + rng.IntN(8) {
			e.Synonyms = append(e.Synonyms, name(rng.IntN(300)))
		}
		entries = append(entries, e)
	}
	table, err := synonym.New(entries)
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := table.Random(1), table.Random(1), table.Random(2)
	if write(t, a) != write(t, b) || write(t, a) == write(t, c) {
		t.Error("the seed does not decide")
	}
	out, in := degrees(table)
	kept := 0
	for _, r := range []*synonym.Table{a, c} {
		rout, rin := degrees(r)
		if !maps.Equal(out, rout) || !maps.Equal(in, rin) {
			t.Error("words or synonyms occur at other numbers")
		}
		for _, e := range r.Entries() {
			seen := map[string]bool{e.Word: true}
			for _, s := range e.Synonyms {
				if seen[s] {
					t.Fatalf("%s: %q has itself or a repeated word", e.Word, e.Synonyms)
				}
				seen[s] = true
				if slices.Contains(table.Synonyms(e.Word), s) {
					kept++
				}
			}
		}
	}
	if pairs := 2 * table.Pairs(); kept > pairs/20 {
		t.Errorf("%d of %d random pairs are those of the table", kept, pairs)
	}
	if two := read(t, "a\tb\nb\ta\n"); write(t, two.Random(3)) != write(t, two) {
		t.Error("a table of two words has no other")
	}
}

func TestIDs(t *testing.T) {
	tok, err := corpus.NewWordPiece([]string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "great", "fine", "##ing", "##ed", "看"}, true)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := read(t, "GOOD\tgreat\tfine\tfineing\tmissing\ngreat\tgood\n##ing\t##ed\n[MASK]\tgood\nfine\t[UNK]\t看\n").IDs(tok)
	if err != nil {
		t.Fatal(err)
	}
	want := map[[2]int32]bool{{5, 6}: true, {5, 7}: true, {6, 5}: true, {8, 9}: true, {7, 10}: true}
	for y := int32(-2); y < 14; y++ {
		for v := int32(-2); v < 14; v++ {
			if ids.Has(y, v) != want[[2]int32{y, v}] {
				t.Errorf("Has(%d, %d) = %v", y, v, ids.Has(y, v))
			}
		}
	}
	if ids.Pairs() != 5 || ids.Skipped() != 4 || ids.VocabSize() != 11 || !slices.Equal(ids.Of(5), []int32{6, 7}) {
		t.Errorf("%d pairs, %d skipped, of 5: %v", ids.Pairs(), ids.Skipped(), ids.Of(5))
	}
	if _, err := read(t, "missing\tgood\n").IDs(tok); err == nil {
		t.Error("a table of other words is accepted")
	}
	if _, err := read(t, "a\tb\n").IDs(nil); err == nil {
		t.Error("no tokenizer is accepted")
	}
}

// A byte-level vocabulary has a word twice, at the start and after a space.
func TestIDsOfBytes(t *testing.T) {
	texts := slices.Values(slices.Repeat([]string{"good great", "good good great great"}, 20))
	tok, err := tokenizer.TrainBPE(texts, 300, tokenizer.TrainOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ids, err := read(t, "good\tgreat\n").IDs(tok)
	if err != nil {
		t.Fatal(err)
	}
	g, _ := tok.ID("Ġgood")
	v, ok := tok.ID("Ġgreat")
	if !ok || !ids.Has(int32(g), int32(v)) {
		t.Errorf("%d pairs, without Ġgood and Ġgreat", ids.Pairs())
	}
}

func TestNeighboursAreThoseOfAllPairs(t *testing.T) {
	const vocab, dim, topK, least = 301, 19, 4, 0.1
	rng := rand.New(rand.NewPCG(3, 4))
	emb := make([]float32, vocab*dim)
	for i := range emb {
		emb[i] = float32(rng.NormFloat64())
	}
	clear(emb[5*dim : 6*dim])
	emb[7*dim] = float32(math.NaN())
	emb[9*dim] = float32(math.Inf(1))
	copy(emb[12*dim:13*dim], emb[11*dim:12*dim])
	got, err := synonym.Neighbours(emb, vocab, dim, topK, least)
	if err != nil {
		t.Fatal(err)
	}
	cosine := func(i, j int) float64 {
		ab, aa, bb := 0.0, 0.0, 0.0
		for k := range dim {
			a, b := float64(emb[i*dim+k]), float64(emb[j*dim+k])
			ab, aa, bb = ab+a*b, aa+a*a, bb+b*b
		}
		return ab / math.Sqrt(aa*bb)
	}
	for i := range vocab {
		var want []synonym.Neighbour
		for j := range vocab {
			if c := cosine(i, j); j != i && c >= least { // false for NaN
				want = append(want, synonym.Neighbour{ID: int32(j), Cosine: float32(c)})
			}
		}
		slices.SortStableFunc(want, func(a, b synonym.Neighbour) int { return int(math.Copysign(1, float64(b.Cosine-a.Cosine))) })
		want = want[:min(len(want), topK)]
		if len(got[i]) != len(want) {
			t.Fatalf("row %d: %v, want %v", i, got[i], want)
		}
		for k := range want {
			if got[i][k].ID != want[k].ID || math.Abs(float64(got[i][k].Cosine-want[k].Cosine)) > 1e-5 {
				t.Errorf("row %d: %v, want %v", i, got[i], want)
			}
		}
	}
	if got[11][0].ID != 12 || got[5] != nil || got[7] != nil || got[9] != nil {
		t.Error("equal rows are not neighbours, or rows without direction are")
	}
	defer kernel.SetThreads(0)
	kernel.SetThreads(1)
	if one, _ := synonym.Neighbours(emb, vocab, dim, topK, least); !reflect.DeepEqual(one, got) {
		t.Error("one thread gives other neighbours")
	}
}

func TestNeighboursRefuses(t *testing.T) {
	for _, tc := range []struct {
		n, vocab, dim, topK int
		least               float64
	}{{5, 2, 3, 1, 0}, {6, 2, 3, 0, 0}, {6, 2, 3, 1, 1.5}, {6, 2, 3, 1, math.NaN()}, {0, 0, 3, 1, 0}, {1, -1, -1, 1, 0}} {
		if _, err := synonym.Neighbours(make([]float32, tc.n), tc.vocab, tc.dim, tc.topK, tc.least); err == nil {
			t.Errorf("%+v is accepted", tc)
		}
	}
}

func TestFromEmbeddings(t *testing.T) {
	vocab := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused1]", "film", "movie", "good", "great", "rare", "fine"}
	tok, err := corpus.NewWordPiece(vocab, true)
	if err != nil {
		t.Fatal(err)
	}
	emb := []float32{
		1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, // what must not appear, all like film
		1, 0, 1, 0.1,
		0, 1, 0.1, 1,
		1, 0.05, // rare
		-1, 0, // fine is like nothing
		0, 1, // padding of the matrix beyond the vocabulary
	}
	opts := synonym.Default()
	opts.Keep = func(id int64) bool { return vocab[id] != "rare" }
	table, err := synonym.FromEmbeddings(emb, 2, tok, opts)
	if err != nil {
		t.Fatal(err)
	}
	if got := write(t, table); got != "film\tmovie\ngood\tgreat\ngreat\tgood\nmovie\tfilm\n" {
		t.Errorf("got %q", got)
	}
	opts.TopK, opts.MinCosine, opts.Keep = 0, -1, nil
	if table, err = synonym.FromEmbeddings(emb, 2, tok, opts); err != nil || table.Len() != 6 || table.Pairs() != 30 {
		t.Errorf("%d pairs (%v), want each of 6 words with 5", table.Pairs(), err)
	}
	opts.Keep = func(int64) bool { return false }
	if _, err := synonym.FromEmbeddings(emb, 2, tok, opts); err == nil {
		t.Error("a table of nothing is made")
	}
	if _, err := synonym.FromEmbeddings(emb[1:], 2, tok, opts); err == nil {
		t.Error("half a row is accepted")
	}
}
