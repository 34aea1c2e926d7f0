// Genmodel strips the service models of a botocore installation down to what the API layer reads
// and writes them, one shape or operation a line, into api/model.
//
// It is run by hand when newer models are wanted: go run ./internal/genmodel -botocore DIR, where
// DIR is botocore's data folder. Everything else is generated from what it wrote.
package main

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/go-json-experiment/json/jsontext"
)

// services are the models that the product is built from, with the API version of each.
var services = map[string]string{
	"cloudtrail":      "2013-11-01",
	"ec2":             "2016-11-15",
	"iam":             "2010-05-08",
	"kms":             "2014-11-01",
	"logs":            "2014-03-28",
	"route53resolver": "2018-04-01",
	"s3":              "2006-03-01",
	"ssm":             "2014-11-06",
	"sts":             "2011-06-15",
}

// dropped are the traits that neither the generator nor the codecs read. "required" and the like
// survive; prose and endpoint rules do not.
var dropped = map[string]bool{
	"auth": true, "checksumFormat": true, "clientContextParams": true, "contextParam": true, "deprecated": true,
	"deprecatedMessage": true, "deprecatedSince": true, "documentation": true, "documentationUrl": true,
	"endpoint": true, "examples": true, "globalEndpoint": true, "hostLabel": true, "httpChecksum": true,
	"protocols": true, "serviceAbbreviation": true, "signatureVersion": true, "staticContextParams": true,
	"synthetic": true, "uid": true, "unsignedPayload": true, "box": true,
}

func main() {
	from := flag.String("botocore", "", "botocore's data `folder`")
	to := flag.String("to", "api/model", "`folder` to write to")
	flag.Parse()
	for service, version := range services {
		if err := convert(filepath.Join(*from, service, version, "service-2.json.gz"), filepath.Join(*to, service+".json")); err != nil {
			fmt.Fprintln(os.Stderr, "genmodel:", err)
			os.Exit(1)
		}
	}
}

// convert reads one gzipped model and writes its stripped form. The order of members is kept: it
// is the order in which the service's own answers and messages list them.
func convert(from, to string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it is only read
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	model, err := read(jsontext.NewDecoder(z), false)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	var out bytes.Buffer
	out.WriteByte('{')
	for i, section := range []string{"metadata", "operations", "shapes"} {
		if i > 0 {
			out.WriteByte(',')
		}
		fmt.Fprintf(&out, "\n%q: ", section)
		value := model.get(section)
		if section == "metadata" {
			value.write(&out)
			continue
		}
		out.WriteByte('{')
		for j, m := range value.members {
			if j > 0 {
				out.WriteByte(',')
			}
			fmt.Fprintf(&out, "\n%q: ", m.name)
			m.value.write(&out)
		}
		out.WriteString("\n}")
	}
	out.WriteString("\n}\n")
	return os.WriteFile(to, out.Bytes(), 0o644)
}

// node is a JSON value whose objects keep their order.
type node struct {
	members []member       // of an object
	items   []*node        // of an array
	scalar  jsontext.Value // of anything else
	kind    jsontext.Kind
}

// member is one name and value of an object.
type member struct {
	name  string
	value *node
}

// read takes the next value without its dropped traits. The keys of a "members" object are names
// of the service's own, which may read like a trait, so they all stay: names says that we are
// right inside one.
func read(d *jsontext.Decoder, names bool) (*node, error) {
	n := &node{kind: d.PeekKind()}
	switch n.kind {
	case '{', '[':
		if _, err := d.ReadToken(); err != nil {
			return nil, err
		}
		for d.PeekKind() != '}' && d.PeekKind() != ']' {
			if n.kind == '[' {
				item, err := read(d, false)
				if err != nil {
					return nil, err
				}
				n.items = append(n.items, item)
				continue
			}
			token, err := d.ReadToken()
			if err != nil {
				return nil, err
			}
			name := token.String()
			value, err := read(d, name == "members" && !names)
			if err != nil {
				return nil, err
			}
			if names || !dropped[name] {
				n.members = append(n.members, member{name, value})
			}
		}
		_, err := d.ReadToken()
		return n, err
	default:
		v, err := d.ReadValue()
		n.scalar = v.Clone()
		return n, err
	}
}

// get finds a member of an object; an absent one is an empty object.
func (n *node) get(name string) *node {
	for _, m := range n.members {
		if m.name == name {
			return m.value
		}
	}
	return &node{kind: '{'}
}

// write appends the value on one line.
func (n *node) write(out *bytes.Buffer) {
	switch n.kind {
	case '{':
		out.WriteByte('{')
		for i, m := range n.members {
			if i > 0 {
				out.WriteByte(',')
			}
			fmt.Fprintf(out, "%q:", m.name)
			m.value.write(out)
		}
		out.WriteByte('}')
	case '[':
		out.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				out.WriteByte(',')
			}
			item.write(out)
		}
		out.WriteByte(']')
	default:
		out.Write(n.scalar)
	}
}
