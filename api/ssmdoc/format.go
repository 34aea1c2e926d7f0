package ssmdoc

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v3"
)

// mostConverted bounds a converted document: JSON is longer than YAML, but not by this much.
const mostConverted = 16 * MostContent

// Convert writes content of one format in the other, keeping the order of members.
func Convert(content []byte, from, to string) ([]byte, error) {
	if from == to {
		return content, nil
	}
	if from == JSON {
		d := jsontext.NewDecoder(bytes.NewReader(content))
		root, err := fromJSON(d)
		if err != nil {
			return nil, errorf("The document is not valid JSON: %s", syntax(err))
		}
		if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
			return nil, errorf("The document is not valid JSON: something follows its end")
		}
		var b bytes.Buffer
		e := yaml.NewEncoder(&b)
		e.SetIndent(2)
		if err := e.Encode(root); err != nil {
			return nil, err
		}
		return b.Bytes(), e.Close()
	}
	var root yaml.Node
	if err := yaml.Unmarshal(content, &root); err != nil {
		return nil, errorf("The document is not valid YAML: %s", err)
	}
	var b bytes.Buffer
	c := converter{to: jsontext.NewEncoder(&b, jsontext.WithIndent("  ")), left: mostConverted}
	if err := c.value(&root, 0); err != nil {
		if s, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
			return nil, errorf("The document is not valid YAML: %s", s.Err)
		}
		return nil, err
	}
	return b.Bytes(), nil
}

// fromJSON reads a JSON value as YAML nodes.
func fromJSON(d *jsontext.Decoder) (*yaml.Node, error) {
	token, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	switch token.Kind() {
	case '{', '[':
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		if token.Kind() == '[' {
			n = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		}
		for d.PeekKind() != '}' && d.PeekKind() != ']' {
			kid, err := fromJSON(d)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, kid)
		}
		_, err := d.ReadToken()
		return n, err
	case '"':
		n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: token.String()}
		n.Style = style(n.Value)
		return n, nil
	case '0':
		return &yaml.Node{Kind: yaml.ScalarNode, Value: token.String()}, nil // YAML tells integers from others as it reads them
	case 't', 'f':
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: token.String()}, nil
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
}

// odd are the characters that a YAML block does not carry as they are.
const odd = "\r\u0085\u2028\u2029\ufeff"

// style writes a script of several lines as a block, and what a block would not keep in quotes.
func style(text string) yaml.Style {
	switch {
	case !strings.Contains(text, "\n"):
		return 0
	case strings.ContainsAny(text, odd) || strings.ContainsAny(text[:1], " \t\n"):
		return yaml.DoubleQuotedStyle
	}
	return yaml.LiteralStyle
}

// converter writes YAML nodes as JSON.
type converter struct {
	to   *jsontext.Encoder
	left int // nodes that may yet be visited: aliases and merges grow without bound
}

// value writes a value.
func (c *converter) value(n *yaml.Node, at int) error {
	if err := c.visit(at); err != nil {
		return err
	}
	switch n.Kind {
	case 0: // an empty document
		return c.to.WriteToken(jsontext.Null)
	case yaml.DocumentNode:
		return c.value(n.Content[0], at)
	case yaml.AliasNode:
		return c.value(n.Alias, at+1)
	case yaml.MappingNode:
		members, err := c.members(n, at)
		if err != nil {
			return err
		}
		if err := c.to.WriteToken(jsontext.BeginObject); err != nil {
			return err
		}
		for _, m := range members {
			if err := c.to.WriteToken(jsontext.String(m.name)); err != nil {
				return err
			}
			if err := c.value(m.value, at+1); err != nil {
				return err
			}
		}
		return c.to.WriteToken(jsontext.EndObject)
	case yaml.SequenceNode:
		if err := c.to.WriteToken(jsontext.BeginArray); err != nil {
			return err
		}
		for _, kid := range n.Content {
			if err := c.value(kid, at+1); err != nil {
				return err
			}
		}
		return c.to.WriteToken(jsontext.EndArray)
	}
	return c.scalar(n)
}

// visit counts a node and refuses what goes too deep or on for too long.
func (c *converter) visit(at int) error {
	if at > deepest {
		return errorf("The document is nested too deeply")
	}
	if c.left--; c.left < 0 || c.to.OutputOffset() > mostConverted {
		return errorf("The document repeats its anchors too often")
	}
	return nil
}

// scalar writes a scalar. What JSON has no type for, such as a date, is text there.
func (c *converter) scalar(n *yaml.Node) error {
	switch n.ShortTag() {
	case "!!null":
		return c.to.WriteToken(jsontext.Null)
	case "!!bool", "!!int", "!!float":
		var v any
		if err := n.Decode(&v); err != nil {
			return errorf("The document is not valid YAML: %s", err)
		}
		switch v := v.(type) {
		case bool:
			return c.to.WriteToken(jsontext.Bool(v))
		case int:
			return c.to.WriteToken(jsontext.Int(int64(v)))
		case int64:
			return c.to.WriteToken(jsontext.Int(v))
		case uint64:
			return c.to.WriteToken(jsontext.Uint(v))
		case float64:
			if math.IsInf(v, 0) || math.IsNaN(v) {
				return errorf("The number %s has no place in a document", n.Value)
			}
			return c.to.WriteToken(jsontext.Float(v))
		}
	}
	return c.to.WriteToken(jsontext.String(n.Value))
}

// member is a member of a mapping.
type member struct {
	name  string
	value *yaml.Node
}

// members gives a mapping's members in order, those of merged mappings in the place of the merge
// key. What the mapping itself says wins over what is merged, and among those the first.
func (c *converter) members(n *yaml.Node, at int) ([]member, error) {
	if err := c.visit(at); err != nil {
		return nil, err
	}
	own := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode {
			return nil, errorf("The names of an object must be strings")
		}
		if !isMerge(key) {
			own[key.Value] = true
		}
	}
	var out []member
	merged := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if !isMerge(key) {
			out = append(out, member{key.Value, value})
			continue
		}
		more, err := c.merge(value, at+1)
		if err != nil {
			return nil, err
		}
		for _, m := range more {
			if !own[m.name] && !merged[m.name] {
				merged[m.name] = true
				out = append(out, m)
			}
		}
	}
	return out, nil
}

// isMerge says whether a key is YAML's merge key.
func isMerge(key *yaml.Node) bool { return key.Value == "<<" && key.ShortTag() == "!!merge" }

// merge gives the members that a merge key brings: those of a mapping, or of a list of them.
func (c *converter) merge(n *yaml.Node, at int) ([]member, error) {
	switch n.Kind {
	case yaml.AliasNode:
		return c.merge(n.Alias, at)
	case yaml.MappingNode:
		return c.members(n, at)
	case yaml.SequenceNode:
		var out []member
		for _, kid := range n.Content {
			if kid.Kind == yaml.AliasNode {
				kid = kid.Alias
			}
			if kid.Kind != yaml.MappingNode {
				return nil, errorf("The document is not valid YAML: only objects can be merged")
			}
			more, err := c.members(kid, at)
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
		}
		return out, nil
	}
	return nil, errorf("The document is not valid YAML: only objects can be merged")
}
