package ordered_test

import (
	"encoding/json"
	"testing"

	"github.com/litekit/lite/internal/ordered"
)

func TestObject(t *testing.T) {
	inner := ordered.List(ordered.Value(1), ordered.Object(), ordered.List())
	got := ordered.Object(ordered.Pair("z", "<é>\"\n"), ordered.Pair("a", nil), ordered.Pair("b", true), ordered.Pair("f", 1e21),
		ordered.Pair("half", 0.5), ordered.Pair("empty", json.RawMessage(nil)), ordered.Pair("raw", json.RawMessage(`[2]`)), ordered.Pair("list", inner))
	want := `{"z":"<é>\"\n","a":null,"b":true,"f":1e+21,"half":0.5,"empty":null,"raw":[2],"list":[1,{},[]]}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !json.Valid(got) {
		t.Error("it is no JSON")
	}
	if got, want := string(ordered.Indent(ordered.Object(ordered.Pair("b", 1), ordered.Pair("a", 2)))), "{\n  \"b\": 1,\n  \"a\": 2\n}\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
