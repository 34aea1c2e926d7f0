package policy

import (
	"encoding/base64"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// family is the way in which an operator reads and compares values.
type family uint8

// The families of operators.
const (
	familyString family = iota
	familyFold
	familyLike
	familyNumeric
	familyDate
	familyBool
	familyBinary
	familyIP
	familyArn
	familyNull
)

// relation is what a numeric or date operator asks of the request's value against the policy's.
type relation uint8

// The relations.
const (
	relationEqual relation = iota
	relationLess
	relationLessOrEqual
	relationGreater
	relationGreaterOrEqual
)

// operator is a condition operator without its qualifiers.
type operator struct {
	family   family
	relation relation
	negated  bool
}

// operators are AWS's condition operators; their names are case sensitive.
var operators = map[string]operator{
	"StringEquals":              {family: familyString},
	"StringNotEquals":           {family: familyString, negated: true},
	"StringEqualsIgnoreCase":    {family: familyFold},
	"StringNotEqualsIgnoreCase": {family: familyFold, negated: true},
	"StringLike":                {family: familyLike},
	"StringNotLike":             {family: familyLike, negated: true},
	"NumericEquals":             {family: familyNumeric},
	"NumericNotEquals":          {family: familyNumeric, negated: true},
	"NumericLessThan":           {family: familyNumeric, relation: relationLess},
	"NumericLessThanEquals":     {family: familyNumeric, relation: relationLessOrEqual},
	"NumericGreaterThan":        {family: familyNumeric, relation: relationGreater},
	"NumericGreaterThanEquals":  {family: familyNumeric, relation: relationGreaterOrEqual},
	"DateEquals":                {family: familyDate},
	"DateNotEquals":             {family: familyDate, negated: true},
	"DateLessThan":              {family: familyDate, relation: relationLess},
	"DateLessThanEquals":        {family: familyDate, relation: relationLessOrEqual},
	"DateGreaterThan":           {family: familyDate, relation: relationGreater},
	"DateGreaterThanEquals":     {family: familyDate, relation: relationGreaterOrEqual},
	"Bool":                      {family: familyBool},
	"BinaryEquals":              {family: familyBinary},
	"IpAddress":                 {family: familyIP},
	"NotIpAddress":              {family: familyIP, negated: true},
	"ArnEquals":                 {family: familyArn},
	"ArnLike":                   {family: familyArn},
	"ArnNotEquals":              {family: familyArn, negated: true},
	"ArnNotLike":                {family: familyArn, negated: true},
	"Null":                      {family: familyNull},
}

// quantifier is a set qualifier of an operator.
type quantifier uint8

// The quantifiers.
const (
	single quantifier = iota
	forAllValues
	forAnyValue
)

// condition is one key of one operator of a Condition element.
type condition struct {
	operator
	quantifier quantifier
	ifExists   bool
	name       string // the operator as written
	key        string // the key as written
	values     []value
}

// value is one policy value, read once for its family; a value that cannot be read matches nothing.
type value struct {
	text     string
	ok       bool
	patterns []pattern // strings: one; ARNs: one per field
	number   number
	time     time.Time
	network  netip.Prefix
	bytes    string
}

// splitOperator takes "ForAllValues:StringLikeIfExists" apart; false when AWS has no such operator.
func splitOperator(name string) (operator, quantifier, bool, bool) {
	base, q := name, single
	if rest, ok := strings.CutPrefix(base, "ForAllValues:"); ok {
		base, q = rest, forAllValues
	} else if rest, ok := strings.CutPrefix(base, "ForAnyValue:"); ok {
		base, q = rest, forAnyValue
	}
	if op, ok := operators[base]; ok {
		return op, q, false, true
	}
	base, ifExists := strings.CutSuffix(base, "IfExists")
	op, ok := operators[base]
	return op, q, ifExists, ok && ifExists && op.family != familyNull
}

// newCondition compiles one key of an operator.
func newCondition(name, key string, values []string, vars bool) (condition, bool) {
	op, q, ifExists, ok := splitOperator(name)
	c := condition{operator: op, quantifier: q, ifExists: ifExists, name: name, key: key}
	for _, v := range values {
		c.values = append(c.values, op.read(v, vars))
	}
	return c, ok
}

// read compiles one policy value.
func (op operator) read(s string, vars bool) value {
	v := value{text: s, ok: true}
	switch op.family {
	case familyString, familyFold, familyBool:
		v.patterns = []pattern{compile(s, syntax{vars: vars})}
	case familyLike:
		v.patterns = []pattern{compile(s, syntax{wild: true, vars: vars})}
	case familyArn:
		for _, field := range splitArnPattern(s) {
			v.patterns = append(v.patterns, compile(field, syntax{wild: true, vars: vars}))
		}
	case familyNumeric:
		v.number, v.ok = parseNumber(s)
	case familyDate:
		v.time, v.ok = parseDate(s)
	case familyBinary:
		b, err := base64.StdEncoding.DecodeString(s)
		v.bytes, v.ok = string(b), err == nil
	case familyIP:
		v.network, v.ok = parseNetwork(s)
	}
	return v
}

// match evaluates the condition. Missing keys: true for ForAllValues and IfExists, false for ForAnyValue, and otherwise
// true exactly for negated operators (userguide: condition operators, single and multivalued keys).
func (c *condition) match(ctx *Context) bool {
	have := ctx.Get(c.key)
	if c.family == familyNull {
		for i := range c.values {
			switch lower(c.values[i].text) {
			case "true":
				if len(have) == 0 {
					return true
				}
			case "false":
				if len(have) > 0 {
					return true
				}
			}
		}
		return false
	}
	if len(have) == 0 {
		switch {
		case c.ifExists || c.quantifier == forAllValues:
			return true
		case c.quantifier == forAnyValue:
			return false
		}
		return c.negated
	}
	switch c.quantifier {
	case forAllValues:
		// "Or if the key value resolves to a null dataset, such as an empty string" (userguide: multivalued ARN operators).
		if len(have) == 1 && have[0] == "" {
			return true
		}
		for _, v := range have {
			if c.any(v, ctx) == c.negated {
				return false
			}
		}
		return true
	case forAnyValue:
		for _, v := range have {
			if c.any(v, ctx) != c.negated {
				return true
			}
		}
		return false
	}
	// A multivalued key under a plain operator is left undefined by AWS's guides; the positive reading is "some value
	// matches", and a negated operator is its exact opposite.
	for _, v := range have {
		if c.any(v, ctx) {
			return !c.negated
		}
	}
	return c.negated
}

// any tells whether the request's value stands in the operator's relation to one of the policy's, negation left aside.
func (c *condition) any(have string, ctx *Context) bool {
	switch c.family {
	case familyString, familyLike:
		for i := range c.values {
			if c.values[i].patterns[0].match(have, ctx) {
				return true
			}
		}
	case familyFold, familyBool:
		for i := range c.values {
			if want, ok := c.values[i].patterns[0].expand(ctx); ok && strings.EqualFold(want, have) {
				return true
			}
		}
	case familyArn:
		for i := range c.values {
			if matchArn(c.values[i].patterns, have, ctx) {
				return true
			}
		}
	case familyNumeric:
		if n, ok := parseNumber(have); ok {
			for i := range c.values {
				if c.values[i].ok && c.relation.holds(n.compare(c.values[i].number)) {
					return true
				}
			}
		}
	case familyDate:
		if t, ok := parseDate(have); ok {
			for i := range c.values {
				if c.values[i].ok && c.relation.holds(t.Compare(c.values[i].time)) {
					return true
				}
			}
		}
	case familyBinary:
		if b, err := base64.StdEncoding.DecodeString(have); err == nil {
			for i := range c.values {
				if c.values[i].ok && c.values[i].bytes == string(b) {
					return true
				}
			}
		}
	case familyIP:
		if a, err := netip.ParseAddr(have); err == nil {
			for i := range c.values {
				if c.values[i].ok && c.values[i].network.Contains(a.Unmap()) {
					return true
				}
			}
		}
	}
	return false
}

// holds tells whether a comparison (negative, zero, positive, or incomparable) satisfies the relation.
func (r relation) holds(cmp int) bool {
	switch {
	case cmp == incomparable:
		return false
	case r == relationLess:
		return cmp < 0
	case r == relationLessOrEqual:
		return cmp <= 0
	case r == relationGreater:
		return cmp > 0
	case r == relationGreaterOrEqual:
		return cmp >= 0
	}
	return cmp == 0
}

// incomparable is the result of comparing with what is not a number.
const incomparable = 2

// number is an integer kept exactly, or a decimal.
type number struct {
	whole   int64
	decimal float64
	exact   bool
}

// parseNumber reads an integer or decimal.
func parseNumber(s string) (number, bool) {
	s = strings.TrimSpace(s)
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return number{whole: i, decimal: float64(i), exact: true}, true
	}
	if s == "" || strings.ContainsAny(s, "xXpP_iInN") {
		return number{}, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return number{decimal: f}, err == nil && !math.IsInf(f, 0)
}

// compare orders two numbers.
func (n number) compare(m number) int {
	switch {
	case n.exact && m.exact && n.whole != m.whole:
		if n.whole < m.whole {
			return -1
		}
		return 1
	case n.exact && m.exact, n.decimal == m.decimal:
		return 0
	case n.decimal < m.decimal:
		return -1
	case n.decimal > m.decimal:
		return 1
	}
	return incomparable
}

// dateLayouts are the W3C profiles of ISO 8601 with which AWS's dates are written; times without a zone are UTC.
var dateLayouts = []string{
	"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04",
	"2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07", "2006-01-02", "2006-01",
}

// parseDate reads an ISO 8601 date, or seconds since 1970, with a fraction if there is one.
func parseDate(s string) (time.Time, bool) {
	if !isISODate(s) {
		n, ok := parseNumber(s)
		if !ok || math.Abs(n.decimal) > 1<<53 {
			return time.Time{}, false
		}
		if n.exact {
			return time.Unix(n.whole, 0), true
		}
		whole, part := math.Modf(n.decimal)
		return time.Unix(int64(whole), int64(part*1e9)), true
	}
	s = strings.ToUpper(s)
	for _, layout := range dateLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// isISODate tells a date from an epoch number, as IAM does.
func isISODate(s string) bool {
	return strings.ContainsAny(s, "tT") || strings.LastIndexByte(s, '-') > 0
}

// parseNetwork reads a CIDR block or a single address.
func parseNetwork(s string) (netip.Prefix, bool) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		return p, err == nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, false
	}
	a = a.Unmap()
	return netip.PrefixFrom(a, a.BitLen()), true
}

// arnFields is the number of colon-separated fields of an ARN.
const arnFields = 6

// splitArnPattern splits the pattern of an ARN condition into its fields, leaving the colons inside variables alone. A
// pattern with fewer fields is completed with wildcards, as IAM completes incomplete resources (guess).
func splitArnPattern(s string) []string {
	fields := make([]string, 0, arnFields)
	from := 0
	for i, c := range []byte(maskVariables(s)) {
		if c == ':' && len(fields) < arnFields-1 {
			fields = append(fields, s[from:i])
			from = i + 1
		}
	}
	fields = append(fields, s[from:])
	for len(fields) < arnFields {
		fields = append(fields, "*")
	}
	return fields
}

// ArnLike tells whether an ARN fits a pattern field by field, as the operator of that name compares; there are no variables.
func ArnLike(like, arn string) bool {
	var fields [arnFields]pattern
	for i, field := range splitArnPattern(like) {
		fields[i] = compile(field, syntax{wild: true})
	}
	return matchArn(fields[:], arn, nil)
}

// matchArn compares an ARN field by field, so that no wildcard reaches across a colon of the first five.
func matchArn(fields []pattern, arn string, ctx *Context) bool {
	for i := range fields {
		field := arn
		if i < len(fields)-1 {
			colon := strings.IndexByte(arn, ':')
			if colon < 0 {
				return false
			}
			field, arn = arn[:colon], arn[colon+1:]
		}
		if !fields[i].match(field, ctx) {
			return false
		}
	}
	return true
}
