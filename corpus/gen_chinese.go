//go:build ignore

// Command gen_chinese packs gse's dictionary of simplified Chinese (Apache-2.0;
// derived from jieba's, MIT) into chinese.dict.zst, as unpackDict reads it. gse's
// own embedding would bring its Japanese and traditional dictionaries too, 38 MB
// in the binary.
package main

import (
	"bytes"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
)

func main() {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/go-ego/gse").Output()
	if err != nil {
		log.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "data/dict/zh/s_1.txt"))
	if err != nil {
		log.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	slices.Sort(lines) // neighbours share beginnings
	if err := os.WriteFile("chinese.dict.zst", pack(lines), 0o644); err != nil {
		log.Fatal(err)
	}
}

// pack writes the columns one after another: what a word shares with the one
// before, in characters and as a letter from 'a' on, and its other characters;
// the frequencies; the tags.
func pack(lines []string) []byte {
	var columns [4]bytes.Buffer
	last := ""
	for _, line := range lines {
		f := strings.Split(line, " ")
		if len(f) != 3 {
			log.Fatalf("%q is not a word, its frequency and its tag", line)
		}
		shared, n := 0, 0
		for shared < len(f[0]) {
			_, size := utf8.DecodeRuneInString(f[0][shared:])
			if !strings.HasPrefix(last[min(shared, len(last)):], f[0][shared:shared+size]) || n == 25 {
				break
			}
			shared, n = shared+size, n+1
		}
		last = f[0]
		columns[0].WriteByte('a' + byte(n))
		for i, s := range []string{f[0][shared:], f[1], f[2]} {
			columns[i+1].WriteString(s + "\n")
		}
	}
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(8<<20), zstd.WithEncoderConcurrency(1))
	if err != nil {
		log.Fatal(err)
	}
	columns[0].WriteByte('\n')
	for i := range columns {
		if _, err := z.Write(columns[i].Bytes()); err != nil {
			log.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		log.Fatal(err)
	}
	return out.Bytes()
}
