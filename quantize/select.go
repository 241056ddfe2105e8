package quantize

import (
	"regexp"
	"strings"

	"github.com/litekit/lite/internal/misfit"
	"github.com/litekit/lite/onnx"
)

// selector matches node labels: exact names, and "re:" expressions.
type selector struct {
	field string
	exprs []*regexp.Regexp
	// list and used keep the order given and whether each matched something.
	list []string
	used map[string]bool
}

func newSelector(field string, list []string) (*selector, error) {
	s := &selector{field: field, used: map[string]bool{}}
	for _, item := range list {
		s.list = append(s.list, item)
		expr, isExpr := strings.CutPrefix(item, "re:")
		if !isExpr {
			s.exprs = append(s.exprs, nil)
			continue
		}
		re, err := regexp.Compile(expr)
		if err != nil {
			return nil, misfit.Errorf("quantize: %s: %q is not a regular expression: %w", field, item, err)
		}
		s.exprs = append(s.exprs, re)
	}
	return s, nil
}

// match reports whether any item selects the node.
func (s *selector) match(n *onnx.Node) bool {
	label, ok := n.Label(), false
	for i, item := range s.list {
		if re := s.exprs[i]; re != nil && re.MatchString(label) || re == nil && item == label {
			s.used[item] = true
			ok = true
		}
	}
	return ok
}

// unused is the first item that selected no node, "" if all did.
func (s *selector) unused() string {
	for _, item := range s.list {
		if !s.used[item] {
			return item
		}
	}
	return ""
}
