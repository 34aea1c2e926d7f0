package ssmdoc

import (
	"bytes"
	"fmt"

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
	var root yaml.Node
	if from == JSON {
		node, err := fromJSON(jsontext.NewDecoder(bytes.NewReader(content)))
		if err != nil {
			return nil, errorf("The document is not valid JSON: %s", syntax(err))
		}
		root = *node
	} else if err := yaml.Unmarshal(content, &root); err != nil {
		return nil, errorf("The document is not valid YAML: %s", err)
	}
	if to == YAML {
		var b bytes.Buffer
		e := yaml.NewEncoder(&b)
		e.SetIndent(2)
		if err := e.Encode(&root); err != nil {
			return nil, err
		}
		return b.Bytes(), e.Close()
	}
	var b bytes.Buffer
	e := jsontext.NewEncoder(&b, jsontext.WithIndent("  "))
	if err := toJSON(e, &root, 0); err != nil {
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
		n := new(yaml.Node)
		n.SetString(token.String())
		return n, nil
	case '0':
		tag := "!!float"
		if !bytes.ContainsAny([]byte(token.String()), ".eE") {
			tag = "!!int"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: token.String()}, nil
	case 't', 'f':
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: token.String()}, nil
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
}

// toJSON writes YAML nodes as JSON.
func toJSON(e *jsontext.Encoder, n *yaml.Node, at int) error {
	if at > deepest {
		return errorf("The document is nested too deeply")
	}
	if e.OutputOffset() > mostConverted {
		return errorf("The document repeats its anchors too often") // aliases grow without bound
	}
	switch n.Kind {
	case yaml.DocumentNode:
		return toJSON(e, n.Content[0], at)
	case yaml.AliasNode:
		return toJSON(e, n.Alias, at+1)
	case yaml.MappingNode, yaml.SequenceNode:
		begin, end := jsontext.BeginObject, jsontext.EndObject
		if n.Kind == yaml.SequenceNode {
			begin, end = jsontext.BeginArray, jsontext.EndArray
		}
		if err := e.WriteToken(begin); err != nil {
			return err
		}
		for i, kid := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 0 {
				if err := e.WriteToken(jsontext.String(kid.Value)); err != nil {
					return err
				}
				continue
			}
			if err := toJSON(e, kid, at+1); err != nil {
				return err
			}
		}
		return e.WriteToken(end)
	}
	var v any
	if err := n.Decode(&v); err != nil {
		return errorf("The document is not valid YAML: %s", err)
	}
	switch v := v.(type) {
	case nil:
		return e.WriteToken(jsontext.Null)
	case string:
		return e.WriteToken(jsontext.String(v))
	case bool:
		return e.WriteToken(jsontext.Bool(v))
	case int:
		return e.WriteToken(jsontext.Int(int64(v)))
	case int64:
		return e.WriteToken(jsontext.Int(v))
	case float64:
		return e.WriteToken(jsontext.Float(v))
	}
	return e.WriteToken(jsontext.String(fmt.Sprint(v))) // dates, which JSON has not
}
