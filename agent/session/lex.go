package session

import (
	"errors"
	"strings"
)

// split takes a command line apart into words as the official agent does: white space separates, ' and " quote, \ escapes outside
// of ' and a # at the beginning of a word is a comment to the end of the line. Nothing else means anything: this is no shell.
//
// The values of parameters are in the line already, so they can hold more than one word, end a quotation or begin a comment, and where the
// command is itself a shell its whole syntax. What a value may be, a document says with allowedPattern. source: agent
func split(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	var quote rune // the open one, or 0
	in, escaped, comment := false, false, false
	for _, c := range line {
		switch {
		case comment:
			comment = c != '\n'
		case escaped:
			word.WriteRune(c)
			escaped = false
		case c == '\\' && quote != '\'':
			in, escaped = true, true
		case quote != 0:
			if c == quote {
				quote = 0
			} else {
				word.WriteRune(c)
			}
		case c == '\'' || c == '"':
			in, quote = true, c
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			if in {
				words = append(words, word.String())
				word.Reset()
				in = false
			}
		case c == '#' && !in:
			comment = true
		default:
			in = true
			word.WriteRune(c)
		}
	}
	switch {
	case escaped:
		return nil, errors.New("EOF found after escape character")
	case quote != 0:
		return nil, errors.New("EOF found when expecting closing quote")
	case in:
		words = append(words, word.String())
	}
	if len(words) == 0 {
		return nil, errors.New("there is no command")
	}
	return words, nil
}
