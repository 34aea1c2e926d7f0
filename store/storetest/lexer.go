package storetest

import (
	"strings"
	"unicode"
)

// kind is the kind of a piece.
type kind int

// The kinds of pieces.
const (
	word    kind = iota // a keyword or an identifier without quotes, in capitals
	number              // digits
	param               // $1
	literal             // 'text'
	name                // "identifier"
	comment             // -- to the end of the line or /* … */, without the marks
	symbol              // an operator or a punctuation mark
)

// piece is a word, a literal or a mark of SQL.
type piece struct {
	kind kind
	text string
	line int
}

// symbols are the operators of more than one character, longest first.
var symbols = []string{"->>", "#>>", "!~~", "->", "::", "||", "<=", ">=", "<>", "!=", "@>", "<@", "#>", "~~", "~*", "!~"}

// pieces splits SQL into its pieces.
func pieces(text string) []piece {
	var out []piece
	line := 1
	// take cuts n bytes off text.
	take := func(kind kind, n int) {
		part := text[:n]
		text = text[n:]
		t := piece{kind, part, line}
		line += strings.Count(part, "\n")
		switch kind {
		case word:
			t.text = strings.ToUpper(part)
		case comment:
			t.text = strings.TrimSpace(strings.TrimSuffix(strings.TrimLeft(part, "-/*"), "*/"))
		}
		out = append(out, t)
	}
	// until returns the length of a piece that begins here and ends with mark.
	until := func(begin int, mark string) int {
		if i := strings.Index(text[begin:], mark); i >= 0 {
			return begin + i + len(mark)
		}
		return len(text)
	}
	for text != "" {
		c := rune(text[0])
		switch {
		case unicode.IsSpace(c):
			if c == '\n' {
				line++
			}
			text = text[1:]
		case strings.HasPrefix(text, "--"):
			n := strings.IndexByte(text, '\n')
			if n < 0 {
				n = len(text)
			}
			take(comment, n)
		case strings.HasPrefix(text, "/*"):
			take(comment, until(2, "*/"))
		case c == '\'':
			take(literal, until(1, "'"))
		case c == '"':
			take(name, until(1, `"`))
		case c == '$' && len(text) > 1 && isDigit(text[1]):
			n := 1
			for n < len(text) && isDigit(text[n]) {
				n++
			}
			take(param, n)
		case isDigit(text[0]):
			n := 1
			for n < len(text) && (isDigit(text[n]) || text[n] == '.') {
				n++
			}
			take(number, n)
		case isLetter(text[0]):
			n := 1
			for n < len(text) && (isLetter(text[n]) || isDigit(text[n])) {
				n++
			}
			take(word, n)
		default:
			n := 1
			for _, s := range symbols {
				if strings.HasPrefix(text, s) {
					n = len(s)
					break
				}
			}
			take(symbol, n)
		}
	}
	return out
}

// isDigit says whether c is a digit.
func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// isLetter says whether c can begin an identifier.
func isLetter(c byte) bool {
	return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= 0x80
}
