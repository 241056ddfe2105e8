package lite_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// module is this module's path; rooms are named relative to it, the root is ".".
const module = "github.com/litekit/lite"

// rules is the import table of ARCHITECTURE.md.
type rules struct {
	// lines lists the rooms from the highest line to the lowest: a room imports
	// rooms of lower lines only, none of its own line.
	lines [][]string
	// beside are the imports along one line that are allowed: importer → imported.
	beside map[string]string
	// only limits a room of this module or a package of another one (a path and
	// all below it) to the rooms named.
	only map[string][]string
	// tests are rooms that only _test.go files and other such rooms may import.
	// Those without a line import no room, so that every room's tests can use
	// them; the others serve black-box tests.
	tests []string
}

// table is the one that holds. Folders named here need not exist yet; a folder
// that exists and is not named is a fault.
var table = rules{
	lines: [][]string{
		{"cmd/lite", "examples/compress", "examples/customloss", "examples/experiments", "examples/serve", "internal/demo/make", "bench", "bench/gemm"},
		{"internal/demo"},
		{"."},
		{"distill"},
		{"prune", "quantize", "predict", "augment"},
		{"teacher", "eval", "teacher/onnxgo", "inspect"},
		{"internal/modeltest"},
		{"student"},
		{"internal/autodiff"},
		{"internal/exec"},
		{"internal/fuse"},
		{"onnx", "internal/synth", "synonym", "tagger"},
		{"corpus", "internal/kernel", "internal/onnxpb"},
		{"corpus/tokenizer"},
		{"internal/files", "internal/misfit", "internal/ordered"},
	},
	beside: map[string]string{"eval": "teacher"},
	only: map[string][]string{
		"internal/onnxpb":               {"onnx"},
		"gorgonia.org":                  {"internal/autodiff", "distill", "examples/customloss", "examples/experiments", "teacher/onnxgo"},
		"github.com/owulveryck/onnx-go": {"teacher/onnxgo"},
		"github.com/spf13/cobra":        {"cmd/lite"},
		"github.com/go-ego/gse":         {"corpus"},
		"github.com/klauspost/compress": {"corpus", "internal/demo", "internal/demo/make"},
		"github.com/parquet-go":         {"corpus"},
		"github.com/pierrec/lz4":        {"corpus"},
		"C":                             {}, // no cgo anywhere
	},
	tests: []string{"internal/ort", "internal/shared", "internal/modeltest"},
}

// TestImports holds every Go file of the repository, whatever its build tags, to
// the import table. Test files may import any room (a black-box test of student
// runs what it built in exec, and one of exec may build its models with
// student); the limits on packages hold for them too.
func TestImports(t *testing.T) {
	files, err := imports(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("only %d Go files found; the test must run in the repository's root", len(files))
	}
	for _, f := range table.faults(files) {
		t.Error(f)
	}
}

// TestImportRulesCanFail runs the checker on made-up trees, each with one fault.
func TestImportRulesCanFail(t *testing.T) {
	made := rules{
		lines:  [][]string{{"top"}, {"a", "b", "c"}, {"kit"}, {"low", "base"}},
		beside: map[string]string{"b": "a"},
		only:   map[string][]string{"low": {"a", "b"}, "example.org/big": {"a"}, "C": {}},
		tests:  []string{"help", "kit"},
	}
	in := func(room string) string { return module + "/" + room }
	for _, tc := range []struct {
		file, imports string
		want          string // part of the message; "" if allowed
	}{
		{"top/x.go", in("a"), ""},
		{"a/x.go", in("low"), ""},
		{"b/x.go", in("a"), ""},
		{"a/x.go", in("a"), ""},
		{"a/x.go", "fmt", ""},
		{"a/x.go", "example.org/big/deep", ""},
		{"b/x.go", "example.org/bigger", ""},
		{"a/x_test.go", in("b"), ""},
		{"a/x_test.go", in("help"), ""},
		{"c/x_test.go", in("help"), ""},
		{"help/x_test.go", in("a"), ""},
		{"a/x_test.go", in("kit"), ""},
		{"kit/x.go", in("base"), ""},
		{"kit/x.go", in("help"), ""},
		{"help/x.go", "fmt", ""},
		{"a/testdata/x.go", in("top"), ""}, // not part of the tree
		{"a/x.go", in("b"), "a/x.go imports " + in("b")},
		{"low/x.go", in("a"), "lower lines only"},
		{"a/x.go", in("top"), "lower lines only"},
		{"a/deep/x.go", in("a"), "a/deep: the room is not in the import table"},
		{"a/deep/x.go", "fmt", "a/deep: the room is not in the import table"},
		{"a/x.go", in("deep"), "deep is not in the import table"},
		{"c/x.go", in("low"), "imported in a, b only"},
		{"c/x_test.go", in("low"), "imported in a, b only"},
		{"b/x.go", "example.org/big", "imported in a only"},
		{"b/x_test.go", "example.org/big/deep", "imported in a only"},
		{"a/x.go", "C", "imported nowhere"},
		{"a/x.go", in("help"), "tests only"},
		{"a/x.go", in("kit"), "tests only"},
		{"help/x.go", in("kit"), "tests only"},
		{"kit/x.go", in("a"), "lower lines only"},
		{"help/x.go", in("low"), "help/x.go imports"},
	} {
		source := "//go:build never\n\npackage p\n\nimport _ " + strconv.Quote(tc.imports) + "\n"
		files, err := imports(fstest.MapFS{
			tc.file:             {Data: []byte(source)},
			"own/go.mod":        {Data: []byte("module own\n")}, // a module of its own
			"own/x.go":          {Data: []byte("package p\n\nimport \"C\"\n")},
			".hidden/x.go":      {Data: []byte("not Go")},
			"a/testdata/bad.go": {Data: []byte("not Go")},
		})
		if err != nil {
			t.Fatal(err)
		}
		faults := made.faults(files)
		switch {
		case tc.want == "" && len(faults) > 0:
			t.Errorf("%s importing %s is refused: %s", tc.file, tc.imports, faults)
		case tc.want != "" && (len(faults) != 1 || !strings.Contains(faults[0], tc.want)):
			t.Errorf("%s importing %s: faults %q, want one with %q", tc.file, tc.imports, faults, tc.want)
		}
	}
}

// source is a Go file and what it imports.
type source struct {
	path    string // slash-separated, from the root
	imports []string
}

// imports reads the import clauses of all Go files of the module in tree.
func imports(tree fs.FS) (out []source, err error) {
	err = fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skip(tree, name)
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly)
		if err != nil {
			return err
		}
		f := source{path: name}
		for _, spec := range parsed.Imports {
			what, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return fmt.Errorf("%s: import %s: %w", name, spec.Path.Value, err)
			}
			f.imports = append(f.imports, what)
		}
		out = append(out, f)
		return nil
	})
	return out, err
}

// skip leaves out the folders that the go command leaves out: hidden ones,
// testdata and modules of their own.
func skip(tree fs.FS, dir string) error {
	if dir == "." {
		return nil
	}
	base := path.Base(dir)
	if base == "testdata" || base == "node_modules" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return fs.SkipDir
	}
	if _, err := fs.Stat(tree, path.Join(dir, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

// faults returns one message for each import that breaks a rule.
func (r rules) faults(files []source) (out []string) {
	unknown := map[string]bool{}
	for _, f := range files {
		if room := path.Dir(f.path); r.line(room) < 0 && !slices.Contains(r.tests, room) {
			if !unknown[room] {
				out = append(out, room+": the room is not in the import table; give it a line in deps_test.go and in ARCHITECTURE.md")
			}
			unknown[room] = true
			continue
		}
		for _, what := range f.imports {
			if fault := r.fault(f.path, what); fault != "" {
				out = append(out, fmt.Sprintf("%s imports %s: %s", f.path, what, fault))
			}
		}
	}
	return out
}

// fault says what is wrong with the file at name importing what.
func (r rules) fault(name, what string) string {
	from, test := path.Dir(name), strings.HasSuffix(name, "_test.go")
	to, ours := strings.CutPrefix(what+"/", module+"/")
	if to = strings.TrimSuffix(to, "/"); to == "" {
		to = "."
	}
	if !ours {
		return r.limit(from, what)
	}
	if fault := r.limit(from, to); fault != "" || from == to {
		return fault
	}
	low, high := r.line(to), r.line(from)
	switch {
	case slices.Contains(r.tests, to):
		if kit := slices.Contains(r.tests, from) && high >= 0; !test && !kit {
			return to + " is for tests only"
		}
	case low < 0:
		return to + " is not in the import table"
	case test || r.beside[from] == to:
	case high < 0:
		return from + " imports no room outside its tests, so that every room's tests can use it"
	case low <= high:
		return "a room imports rooms of lower lines only; " + to + " is not below " + from
	}
	return ""
}

// limit checks the packages that only some rooms import.
func (r rules) limit(from, what string) string {
	for root, rooms := range r.only {
		if what != root && !strings.HasPrefix(what, root+"/") {
			continue
		}
		if len(rooms) == 0 {
			return root + " is imported nowhere"
		}
		if from != root && !slices.Contains(rooms, from) {
			return root + " is imported in " + strings.Join(rooms, ", ") + " only"
		}
	}
	return ""
}

// line is the number of room's line from the top, −1 if the table lacks it.
func (r rules) line(room string) int {
	return slices.IndexFunc(r.lines, func(line []string) bool { return slices.Contains(line, room) })
}
