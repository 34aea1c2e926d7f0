package policy

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// The versions of the policy language. Only the later one knows variables; a document without a version is of the earlier.
const (
	version2008 = "2008-10-17"
	version2012 = "2012-10-17"
)

// Parse reads a policy document and checks it as AWS checks one that is to be stored as the kind. The error is a
// *SyntaxError with AWS's words; which code goes with them is the calling service's affair (IAM: MalformedPolicyDocument,
// EC2: InvalidPolicyDocument, S3: MalformedPolicy, KMS: MalformedPolicyDocumentException). Documents over 131,072 bytes
// are refused, as are endpoint policies over 20,480 characters; the smaller quotas of IAM are counted by IAM.
func Parse(text []byte, kind Kind) (*Policy, error) {
	root, p := readJSON(text)
	var d *document
	if p == nil {
		d, p = readDocument(root)
	}
	if p == nil && kind.isEndpoint() && utf8.RuneCount(text) > maxEndpointCharacters {
		p = &problem{fault: faultOther, message: "The policy is longer than 20480 characters"}
	}
	if p == nil {
		if kind.namesPrincipals() {
			p = checkService(d, kind)
		} else {
			p = checkIAM(d, kind)
		}
	}
	var compiled *Policy
	if p == nil {
		compiled, p = build(d, kind, text)
	}
	if p != nil {
		return nil, p.error(kind, text)
	}
	return compiled, nil
}

// build compiles a checked document.
func build(d *document, kind Kind, text []byte) (*Policy, *problem) {
	vars := d.version == version2012
	places := linesOf(text)
	p := &Policy{kind: kind, variables: vars, statements: make([]statement, 0, len(d.statements))}
	for i := range d.statements {
		e := &d.statements[i]
		s := statement{
			label: e.sid,
			deny:  strings.EqualFold(e.effect, "Deny"),
			start: places.position(e.start),
			end:   places.position(e.end),
		}
		if s.label == "" {
			s.label = "#" + strconv.Itoa(i+1)
		}
		actions := e.action
		if e.notAction != nil {
			actions, s.not = e.notAction, true
		}
		for _, a := range *actions {
			s.actions = append(s.actions, compile(a, syntax{wild: true, fold: true}))
		}
		resources := e.resource
		if e.notResource != nil {
			resources, s.notResource = e.notResource, true
		}
		if resources == nil {
			s.everywhere = true
		} else {
			for _, r := range *resources {
				if !kind.namesPrincipals() {
					r = completeARN(r)
				}
				q := compile(r, syntax{wild: true, vars: vars, arn: strings.HasPrefix(r, "arn:")})
				s.everywhere = s.everywhere || q.shape == shapeAll && !s.notResource
				s.resources = append(s.resources, q)
			}
		}
		if kind.namesPrincipals() {
			n := e.principal
			if e.notPrincipal != nil {
				n, s.notPrincipal = e.notPrincipal, true
			}
			var bad *problem
			if s.principals, bad = readPrincipals(n, kind); bad != nil {
				return nil, bad
			}
		}
		for _, c := range e.conditions {
			compiled, ok := newCondition(c.operator, c.key, c.values, vars)
			if !ok {
				return nil, &problem{fault: faultBadOperator, name: c.operator}
			}
			s.conditions = append(s.conditions, compiled)
		}
		p.statements = append(p.statements, s)
	}
	p.index()
	return p, nil
}

// completeARN gives an incomplete resource of an identity policy its missing fields: "arn:aws:sqs" means
// "arn:aws:sqs:*:*:*" (userguide: policy grammar, resource_string).
func completeARN(r string) string {
	if r == "*" || !strings.HasPrefix(r, "arn:") {
		return r
	}
	for fields := strings.Count(maskVariables(r), ":") + 1; fields < arnFields; fields++ {
		r += ":*"
	}
	return r
}

// readPrincipals compiles a Principal or NotPrincipal element.
func readPrincipals(n *node, kind Kind) (principals, *problem) {
	var e principals
	if n.kind == '"' {
		e.everyone = n.text == "*"
		switch {
		case !e.everyone:
			return e, &problem{fault: faultBadPrincipal, at: n.start}
		case kind == Trust:
			return e, &problem{fault: faultOther, message: `AssumeRolepolicy contained an invalid principal: "STAR":"*".`}
		}
		return e, nil
	}
	if n.kind != '{' {
		return e, &problem{fault: faultBadStructure, at: n.start}
	}
	if len(n.keys) == 0 {
		return e, &problem{fault: faultOther, message: "Missing required field Principal cannot be empty!"}
	}
	for i, key := range n.keys {
		values, p := readStrings(&n.items[i], false)
		if p != nil {
			return e, p
		}
		for _, v := range *values {
			if !e.add(key, v, kind) {
				return e, &problem{fault: faultBadPrincipal, name: strconv.Quote(key) + ":" + strconv.Quote(v), at: n.items[i].start}
			}
		}
		if len(*values) == 0 && !principalKeys[key] {
			return e, &problem{fault: faultBadPrincipal, name: strconv.Quote(key), at: n.items[i].start}
		}
	}
	return e, nil
}

// principalKeys are the keys of a Principal element.
var principalKeys = map[string]bool{"AWS": true, "Service": true, "Federated": true, "CanonicalUser": true}

// add reads one principal; false when AWS would not take it there.
func (e *principals) add(key, v string, kind Kind) bool {
	switch key {
	case "AWS":
		return e.addAWS(v)
	case "Service":
		e.services = append(e.services, v)
		return v != "" && !strings.ContainsAny(v, "*? ") && strings.Contains(v, ".")
	case "Federated":
		e.providers = append(e.providers, v)
		return v != "" && !strings.ContainsAny(v, "*?")
	case "CanonicalUser":
		e.canonical = append(e.canonical, v)
		return v != "" && kind == Resource
	}
	return false
}
