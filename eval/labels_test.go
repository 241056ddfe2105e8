package eval

import (
	"fmt"
	"testing"
)

func TestClassMap(t *testing.T) {
	for _, c := range []struct {
		data, model []string
		want        string
	}{
		{[]string{"b", "a"}, []string{"a", "b", "c"}, "[1 0]"},
		{[]string{"POSITIVE"}, []string{"negative", "positive"}, "[1]"},
		{[]string{"0", "1"}, []string{"negative", "positive"}, "[0 1]"},
		{[]string{"LABEL_1"}, nil, "[1]"},
		{[]string{"neg", "pos"}, []string{"LABEL_0", "LABEL_1"}, "[0 1]"},
		{[]string{"neg", "pos", "mid"}, []string{"LABEL_0", "LABEL_1"}, ""},
		{[]string{"0", "2"}, []string{"a", "b"}, ""},
		{[]string{"a", "z"}, []string{"a", "b"}, ""},
		{nil, []string{"a"}, ""},
	} {
		got, err := classMap(c.data, c.model)
		if s := fmt.Sprint(got); err == nil && s != c.want || err != nil && c.want != "" {
			t.Errorf("%v in %v: %v %v, want %s", c.data, c.model, got, err, c.want)
		}
	}
}
