package policy

import (
	"bytes"
	"encoding/json"
	"io"
	"sort"
	"strings"
	"unicode/utf8"
)

// maxBytes is the most that IAM takes as a policy document; every quota is smaller.
const maxBytes = 131072

// maxDepth is more than any valid document nests.
const maxDepth = 16

// node is a JSON value with its place in the text.
type node struct {
	kind       byte // '{', '[', '"', '0', 't' for a boolean, 'n' for null
	text       string
	keys       []string
	items      []node
	start, end int
}

// readJSON reads a document of bounded size and depth into a tree; it rejects keys given twice, for AWS does not say
// which of them would count.
func readJSON(doc []byte) (node, *problem) {
	if len(doc) > maxBytes || !utf8.Valid(doc) || !json.Valid(doc) {
		return node{}, &problem{fault: faultNotJSON}
	}
	r := reader{dec: json.NewDecoder(bytes.NewReader(doc)), doc: doc}
	r.dec.UseNumber()
	n, ok := r.value(0)
	if !ok {
		return node{}, &problem{fault: faultBadStructure, at: r.end()}
	}
	if _, err := r.dec.Token(); err != io.EOF {
		return node{}, &problem{fault: faultNotJSON}
	}
	return n, nil
}

// reader walks the tokens of a document.
type reader struct {
	dec *json.Decoder
	doc []byte
}

// end is the offset just after the last token.
func (r *reader) end() int { return int(r.dec.InputOffset()) }

// value reads one value; false when it nests too deep or repeats a key.
func (r *reader) value(depth int) (node, bool) {
	start := r.end()
	for start < len(r.doc) && strings.IndexByte(" \t\r\n,:", r.doc[start]) >= 0 {
		start++
	}
	tok, err := r.dec.Token()
	if err != nil || depth > maxDepth {
		return node{}, false
	}
	n := node{start: start}
	switch v := tok.(type) {
	case string:
		n.kind, n.text = '"', v
	case json.Number:
		n.kind, n.text = '0', v.String()
	case bool:
		n.kind, n.text = 't', "false"
		if v {
			n.text = "true"
		}
	case nil:
		n.kind = 'n'
	case json.Delim:
		n.kind = byte(v)
		var seen map[string]bool
		if v == '{' {
			seen = map[string]bool{}
		}
		for r.dec.More() {
			if v == '{' {
				key, err := r.dec.Token()
				name, ok := key.(string)
				if err != nil || !ok || seen[name] {
					return node{}, false
				}
				seen[name] = true
				n.keys = append(n.keys, name)
			}
			item, ok := r.value(depth + 1)
			if !ok {
				return node{}, false
			}
			n.items = append(n.items, item)
		}
		if _, err := r.dec.Token(); err != nil {
			return node{}, false
		}
	}
	n.end = r.end()
	return n, true
}

// lines are the offsets at which the lines of a document begin.
type lines []int

// linesOf finds the lines of a document.
func linesOf(doc []byte) lines {
	l := lines{0}
	for i, c := range doc {
		if c == '\n' {
			l = append(l, i+1)
		}
	}
	return l
}

// position turns an offset into a line and column.
func (l lines) position(offset int) Position {
	line := sort.SearchInts(l, offset+1)
	return Position{Line: line, Column: offset - l[line-1] + 1}
}

// document is a policy as its grammar describes it, not yet checked for sense.
type document struct {
	version    string
	statements []element
}

// element is one Statement as read.
type element struct {
	sid                   string
	effect                string
	principal             *node
	notPrincipal          *node
	action, notAction     *[]string
	resource, notResource *[]string
	conditions            []conditionElement
	start, end            int
}

// conditionElement is one key of one operator as read.
type conditionElement struct {
	operator, key string
	values        []string
}

// readDocument finds the elements of a policy in its JSON.
func readDocument(root node) (*document, *problem) {
	switch {
	case root.kind == 'n':
		return nil, &problem{fault: faultNotPolicy}
	case root.kind != '{':
		return nil, &problem{fault: faultNotJSON}
	case len(root.keys) == 0:
		return nil, &problem{fault: faultBadStructure, at: root.end}
	}
	d := &document{}
	var statements []node
	found := false
	for i, key := range root.keys {
		v := &root.items[i]
		switch key {
		case "Version":
			if v.kind != '"' || v.text != version2008 && v.text != version2012 {
				return nil, &problem{fault: faultBadVersion, at: v.start}
			}
			d.version = v.text
		case "Id":
			if v.kind != '"' {
				return nil, &problem{fault: faultBadStructure, at: v.start}
			}
		case "Statement":
			found = true
			switch v.kind {
			case '{':
				statements = []node{*v}
			case '[':
				statements = v.items
			default:
				return nil, &problem{fault: faultBadStructure, at: v.start}
			}
		default:
			return nil, &problem{fault: faultUnknownField, name: key, at: v.start}
		}
	}
	if !found {
		return nil, &problem{fault: faultMissingField, name: "Statement"}
	}
	if len(statements) == 0 {
		return nil, &problem{fault: faultNoStatement}
	}
	for i := range statements {
		e, p := readElement(&statements[i])
		if p != nil {
			return nil, p
		}
		d.statements = append(d.statements, e)
	}
	return d, nil
}

// readElement reads one statement.
func readElement(n *node) (element, *problem) {
	e := element{start: n.start, end: n.end}
	if n.kind != '{' {
		return e, &problem{fault: faultBadStructure, at: n.start}
	}
	effect := false
	for i, key := range n.keys {
		v := &n.items[i]
		var p *problem
		switch key {
		case "Sid":
			if v.kind != '"' {
				p = &problem{fault: faultBadStructure, at: v.start}
			}
			e.sid = v.text
		case "Effect":
			if v.kind != '"' || !strings.EqualFold(v.text, "Allow") && !strings.EqualFold(v.text, "Deny") {
				p = &problem{fault: faultBadEffect, name: v.text, at: v.start}
			}
			e.effect, effect = v.text, true
		case "Principal":
			e.principal = v
		case "NotPrincipal":
			e.notPrincipal = v
		case "Action":
			e.action, p = readStrings(v, false)
		case "NotAction":
			e.notAction, p = readStrings(v, false)
		case "Resource":
			e.resource, p = readStrings(v, true)
		case "NotResource":
			e.notResource, p = readStrings(v, true)
		case "Condition":
			e.conditions, p = readConditions(v)
		default:
			p = &problem{fault: faultUnknownField, name: key, at: v.start}
		}
		if p != nil {
			return e, p
		}
	}
	switch {
	case !effect:
		return e, &problem{fault: faultMissingField, name: "Effect", at: n.start}
	case e.action != nil && e.notAction != nil, e.resource != nil && e.notResource != nil, e.principal != nil && e.notPrincipal != nil:
		return e, &problem{fault: faultBadStructure, at: n.end}
	}
	return e, nil
}

// readStrings reads a string or a list of strings; nulls in a list of resources are passed over, as IAM does.
func readStrings(n *node, nulls bool) (*[]string, *problem) {
	list := []string{}
	switch n.kind {
	case '"':
		list = append(list, n.text)
	case '[':
		for i := range n.items {
			switch item := &n.items[i]; {
			case item.kind == '"':
				list = append(list, item.text)
			case item.kind == 'n' && nulls:
			default:
				return nil, &problem{fault: faultBadStructure, at: item.start}
			}
		}
	default:
		return nil, &problem{fault: faultBadStructure, at: n.start}
	}
	return &list, nil
}

// readConditions reads a Condition element. An operator without keys is passed over whatever its name, as IAM does.
func readConditions(n *node) ([]conditionElement, *problem) {
	if n.kind != '{' {
		return nil, &problem{fault: faultBadStructure, at: n.start}
	}
	var list []conditionElement
	for i, name := range n.keys {
		block := &n.items[i]
		if block.kind != '{' {
			return nil, &problem{fault: faultBadStructure, at: block.start}
		}
		if _, _, _, ok := splitOperator(name); !ok && len(block.keys) > 0 {
			return nil, &problem{fault: faultBadOperator, name: name, at: block.start}
		}
		for j, key := range block.keys {
			c := conditionElement{operator: name, key: key}
			values := []node{block.items[j]}
			if block.items[j].kind == '[' {
				values = block.items[j].items
			}
			for k := range values {
				switch values[k].kind {
				case '"', '0', 't':
					c.values = append(c.values, values[k].text)
				default:
					return nil, &problem{fault: faultBadStructure, at: values[k].start}
				}
			}
			list = append(list, c)
		}
	}
	return list, nil
}
