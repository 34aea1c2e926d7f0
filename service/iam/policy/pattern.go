package policy

import (
	"strings"
	"unicode/utf8"
)

// shape is how much work a pattern is.
type shape uint8

// The shapes of a pattern, cheapest first.
const (
	shapeExact  shape = iota // equals literal
	shapePrefix              // begins with literal
	shapeAll                 // anything
	shapeTokens              // a list of tokens
	shapeNever               // nothing: it names a variable where AWS resolves none
)

// pattern is a compiled action, resource or condition value. It matches in time linear in the subject for the usual
// shapes, and at worst proportional to subject times pattern; it never backtracks further than one star.
type pattern struct {
	text    string // as written
	literal string
	tokens  []token
	shape   shape
	fold    bool // ASCII letters match in either case; literals are lower case
	vars    int
	limited bool // a wildcard stays inside its ARN field
}

// tokenKind says what one token of a pattern matches.
type tokenKind uint8

// The kinds of token.
const (
	tokenText     tokenKind = iota // its text
	tokenStar                      // any run of characters
	tokenQuestion                  // one character
	tokenVariable                  // the value of a condition key, taken literally
)

// token is one piece of a pattern.
type token struct {
	kind    tokenKind
	limited bool   // does not match a colon
	text    string // the literal, or the variable's key
	value   string // the variable's default
	preset  bool   // the variable has a default
}

// syntax says which parts of the pattern language apply to a text.
type syntax struct {
	wild bool // * and ? are wildcards
	vars bool // ${key} is a variable (version 2012-10-17)
	fold bool
	arn  bool // a Resource ARN: wildcards inside one of the first five fields stay there, variables resolve only after them
}

// compile reads a pattern.
func compile(s string, x syntax) pattern {
	p := pattern{text: s, fold: x.fold}
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			p.tokens = append(p.tokens, token{kind: tokenText, text: lit.String()})
			lit.Reset()
		}
	}
	colons, unresolved := 0, false
	for i := 0; i < len(s); {
		c := s[i]
		head := x.arn && colons < 5
		switch {
		case c == '$' && x.vars:
			t, n := readVariable(s[i:])
			switch {
			case n == 0:
				lit.WriteByte(c)
				i++
				continue
			case t.kind == tokenText:
				lit.WriteString(t.text)
			case head:
				unresolved = true
			default:
				flush()
				p.tokens = append(p.tokens, t)
				p.vars++
			}
			i += n
		case c == '*' && x.wild:
			flush()
			for i < len(s) && s[i] == '*' {
				i++
			}
			inside := head && i < len(s) && s[i] != ':'
			p.tokens = append(p.tokens, token{kind: tokenStar, limited: inside})
			p.limited = p.limited || inside
		case c == '?' && x.wild:
			flush()
			p.tokens = append(p.tokens, token{kind: tokenQuestion, limited: head})
			p.limited = p.limited || head
			i++
		default:
			if c == ':' {
				colons++
			}
			if x.fold {
				c = lowerByte(c)
			}
			lit.WriteByte(c)
			i++
		}
	}
	flush()
	p.classify(unresolved)
	return p
}

// classify picks the cheapest shape for the tokens read.
func (p *pattern) classify(unresolved bool) {
	switch n := len(p.tokens); {
	case unresolved:
		p.shape = shapeNever
	case n == 0:
		p.shape = shapeExact
	case n == 1 && p.tokens[0].kind == tokenText:
		p.shape, p.literal, p.tokens = shapeExact, p.tokens[0].text, nil
	case n == 1 && p.tokens[0].kind == tokenStar && !p.limited:
		p.shape, p.tokens = shapeAll, nil
	case n == 2 && p.tokens[0].kind == tokenText && p.tokens[1].kind == tokenStar && !p.limited:
		p.shape, p.literal, p.tokens = shapePrefix, p.tokens[0].text, nil
	default:
		p.shape = shapeTokens
	}
}

// readVariable reads ${key}, ${key, 'default'} or one of ${*}, ${?} and ${$} at the start of s, and says how many bytes
// it took; zero when there is none, and then the dollar sign is itself.
func readVariable(s string) (token, int) {
	if len(s) < 4 || s[1] != '{' {
		return token{}, 0
	}
	end := strings.IndexByte(s, '}')
	if end < 0 {
		return token{}, 0
	}
	body := s[2:end]
	if body == "*" || body == "?" || body == "$" {
		return token{kind: tokenText, text: body}, end + 1
	}
	key, rest, preset := strings.Cut(body, ",")
	t := token{kind: tokenVariable, text: strings.TrimSpace(key), preset: preset}
	if preset {
		rest = strings.TrimSpace(rest)
		if len(rest) < 2 || rest[0] != '\'' || rest[len(rest)-1] != '\'' {
			return token{}, 0
		}
		t.value = rest[1 : len(rest)-1]
	}
	if t.text == "" {
		return token{}, 0
	}
	return t, end + 1
}

// replaceVariables rewrites every variable of a pattern.
func replaceVariables(s string, with func(variable string) string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] == '$' {
			if _, n := readVariable(s[i:]); n > 0 {
				b.WriteString(with(s[i : i+n]))
				i += n
				continue
			}
		}
		b.WriteByte(s[i])
		i++
	}
	return b.String()
}

// maskVariables replaces every variable, whose name holds colons and whose braces may hold a star, by as many dollars.
func maskVariables(s string) string {
	return replaceVariables(s, func(v string) string { return strings.Repeat("$", len(v)) })
}

// service is the service that an action pattern names, in lower case; false when it may match several.
func (p *pattern) service() (string, bool) {
	head := p.literal
	if p.shape == shapeTokens && p.tokens[0].kind == tokenText {
		head = p.tokens[0].text
	}
	service, _, ok := strings.Cut(head, ":")
	return service, ok && p.shape != shapeAll
}

// resolved holds the values of a pattern's variables for one request.
type resolved struct {
	few  [4]string
	many []string
}

// value is the value of the i-th variable.
func (r *resolved) value(i int) string {
	if r.many != nil {
		return r.many[i]
	}
	return r.few[i]
}

// resolve looks up the pattern's variables; false when one has no value and no default, for then nothing is like it.
func (p *pattern) resolve(ctx *Context, r *resolved) bool {
	if p.vars == 0 {
		return true
	}
	if p.vars > len(r.few) {
		r.many = make([]string, p.vars)
	}
	i := 0
	for k := range p.tokens {
		t := &p.tokens[k]
		if t.kind != tokenVariable {
			continue
		}
		v, ok := ctx.single(t.text)
		if !ok {
			if !t.preset {
				return false
			}
			v = t.value
		}
		if r.many != nil {
			r.many[i] = v
		} else {
			r.few[i] = v
		}
		i++
	}
	return true
}

// match tells whether s fits the pattern, its variables taken from ctx.
func (p *pattern) match(s string, ctx *Context) bool {
	switch p.shape {
	case shapeAll:
		return true
	case shapeNever:
		return false
	case shapeExact:
		return len(s) == len(p.literal) && hasPrefix(s, p.literal, p.fold)
	case shapePrefix:
		return hasPrefix(s, p.literal, p.fold)
	}
	var r resolved
	if !p.resolve(ctx, &r) {
		return false
	}
	if p.limited {
		return p.spread(s, &r)
	}
	return p.walk(s, &r)
}

// expand is the text of a pattern without wildcards.
func (p *pattern) expand(ctx *Context) (string, bool) {
	switch p.shape {
	case shapeExact:
		return p.literal, true
	case shapeNever:
		return "", false
	}
	var r resolved
	if !p.resolve(ctx, &r) {
		return "", false
	}
	var b strings.Builder
	v := 0
	for k := range p.tokens {
		if p.tokens[k].kind == tokenVariable {
			b.WriteString(r.value(v))
			v++
		} else {
			b.WriteString(p.tokens[k].text)
		}
	}
	return b.String(), true
}

// walk matches token by token and, on a mismatch, lets the last star take one character more: earlier stars never need
// to be reconsidered, because the leftmost fit of what lies between two stars is always as good as any other.
func (p *pattern) walk(s string, r *resolved) bool {
	i, t, v := 0, 0, 0
	starAt, starToken, starVar := -1, 0, 0
	for {
		if t == len(p.tokens) {
			if i == len(s) {
				return true
			}
		} else {
			k := &p.tokens[t]
			switch k.kind {
			case tokenStar:
				if t == len(p.tokens)-1 {
					return true
				}
				starAt, starToken, starVar = i, t, v
				t++
				continue
			case tokenQuestion:
				if i < len(s) {
					i += width(s[i:])
					t++
					continue
				}
			default:
				lit := k.text
				if k.kind == tokenVariable {
					lit = r.value(v)
				}
				if hasPrefix(s[i:], lit, p.fold) {
					i += len(lit)
					t++
					if k.kind == tokenVariable {
						v++
					}
					continue
				}
			}
		}
		if starAt < 0 || starAt >= len(s) {
			return false
		}
		starAt += width(s[starAt:])
		if next := &p.tokens[starToken+1]; next.kind == tokenText && !p.fold {
			j := strings.Index(s[starAt:], next.text)
			if j < 0 {
				return false
			}
			starAt += j
		}
		i, t, v = starAt, starToken+1, starVar
	}
}

// spread matches by keeping every position reachable after each token; it serves the rare patterns whose wildcards may
// not cross a colon, for which walk's shortcut does not hold.
func (p *pattern) spread(s string, r *resolved) bool {
	at, next := make([]bool, len(s)+1), make([]bool, len(s)+1)
	at[0] = true
	v := 0
	for k := range p.tokens {
		t := &p.tokens[k]
		clear(next)
		lit := t.text
		if t.kind == tokenVariable {
			lit = r.value(v)
			v++
		}
		switch t.kind {
		case tokenStar:
			open := false
			for i := range at {
				if at[i] {
					open = true
				}
				next[i] = open
				if t.limited && i < len(s) && s[i] == ':' {
					open = false
				}
			}
		case tokenQuestion:
			for i := 0; i < len(s); i++ {
				if at[i] && (!t.limited || s[i] != ':') {
					next[i+width(s[i:])] = true
				}
			}
		default:
			for i := range at {
				if at[i] && hasPrefix(s[i:], lit, p.fold) {
					next[i+len(lit)] = true
				}
			}
		}
		at, next = next, at
	}
	return at[len(s)]
}

// hasPrefix tells whether s begins with lit; with fold, lit is lower case and s may be in any case.
func hasPrefix(s, lit string, fold bool) bool {
	if len(s) < len(lit) {
		return false
	}
	if !fold {
		return s[:len(lit)] == lit
	}
	for i := 0; i < len(lit); i++ {
		if lowerByte(s[i]) != lit[i] {
			return false
		}
	}
	return true
}

// width is the length of the first character of s.
func width(s string) int {
	if s[0] < utf8.RuneSelf {
		return 1
	}
	_, n := utf8.DecodeRuneInString(s)
	return n
}

// lowerByte lowers an ASCII letter.
func lowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// lower lowers the ASCII letters of a string.
func lower(s string) string {
	for i := 0; i < len(s); i++ {
		if lowerByte(s[i]) != s[i] {
			b := []byte(s)
			for j := i; j < len(b); j++ {
				b[j] = lowerByte(b[j])
			}
			return string(b)
		}
	}
	return s
}
