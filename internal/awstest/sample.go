package awstest

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/vennel/vennel/api/model"
	"github.com/vennel/vennel/service/ec2/instance"
)

// samples are values of shapes whose model does not say all that a value must be, by name of the
// shape, or of the member where the shape is too wide.
var samples = map[string]any{
	"arnType":                  "arn:aws:iam::" + Account + ":policy/nothing",
	"policyDocumentType":       policyText("Identity"),
	"AssumeRolePolicyDocument": policyText("Trust"),
	"PolicySourceArn":          "arn:aws:iam::" + Account + ":user/nobody",
	"ActionNameType":           "ssm:GetParameter",
	"DeletionTaskIdType":       "task/aws-service-role/ssm.amazonaws.com/AWSServiceRoleForAmazonSSM/1",
	"ResourceTypeForTagging":   "ManagedInstance",
	"RoleArn":                  "arn:aws:iam::" + Account + ":role/nobody",

	// What EC2 requires though its model does not say so.
	"DeleteKeyPairRequest":            map[string]any{"KeyName": "nothing"},
	"IamInstanceProfileSpecification": map[string]any{"Name": "nothing"},
	"ModifyInstanceAttributeRequest":  map[string]any{"InstanceId": "i-0123456789abcdef0", "DisableApiStop": map[string]any{"Value": false}},
	"RunInstancesRequest":             map[string]any{"ImageId": instance.AgentImage.ID, "MinCount": 1, "MaxCount": 1, "SubnetId": "subnet-0123456789abcdef0"},
}

// policyText is a policy of a kind.
func policyText(kind string) string {
	if kind == "Trust" {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ssm.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	}
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ssm:GetParameter","Resource":"*"}]}`
}

// Sample makes a small input of an operation that breaks no constraint of the model: the required
// members alone, each as short as it may be.
func Sample(service, operation string) ([]byte, error) {
	m := model.Load(service)
	op := m.Operations[operation]
	if op.Input == nil {
		return []byte("{}"), nil
	}
	v, err := sample(m, "", op.Input.Shape, 0)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", service, operation, err)
	}
	return json.Marshal(v)
}

// sample makes a value of a shape.
func sample(m *model.Service, member, name string, depth int) (any, error) {
	if v, ok := samples[member]; ok {
		return v, nil
	}
	if v, ok := samples[name]; ok {
		return v, nil
	}
	s := m.Shapes[name]
	least := 0.0
	if s.Min != nil {
		least = *s.Min
	}
	if depth > 20 {
		return nil, fmt.Errorf("%s nests without end", name)
	}
	switch s.Type {
	case "structure":
		out := map[string]any{}
		for _, member := range s.Members {
			if !slices.Contains(s.Required, member.Name) {
				continue
			}
			v, err := sample(m, member.Name, member.Shape, depth+1)
			if err != nil {
				return nil, err
			}
			out[member.Name] = v
		}
		return out, nil
	case "list":
		out := []any{}
		for range max(1, int(least)) {
			v, err := sample(m, "", s.Member.Shape, depth+1)
			if item, ok := v.(map[string]any); ok && len(item) == 0 && err == nil {
				err = fill(m, s.Member.Shape, item, depth+1)
			}
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, nil
	case "map":
		key, err := sample(m, "", s.Key.Shape, depth+1)
		if err != nil {
			return nil, err
		}
		v, err := sample(m, "", s.Value.Shape, depth+1)
		return map[string]any{fmt.Sprint(key): v}, err
	case "string":
		return text(name, s, int(least))
	case "integer", "long", "float", "double":
		return max(1, least), nil
	case "boolean":
		return false, nil
	case "timestamp":
		return 1893456000, nil // 2030
	case "blob":
		return "AAAA", nil
	}
	return nil, fmt.Errorf("%s is a %s", name, s.Type)
}

// fill gives an item of a list that needs nothing one member, without which queries would not show that there is an item.
func fill(m *model.Service, name string, item map[string]any, depth int) error {
	members := m.Shapes[name].Members
	if len(members) == 0 {
		return nil
	}
	v, err := sample(m, members[0].Name, members[0].Shape, depth)
	item[members[0].Name] = v
	return err
}

// lookahead is what Go's regular expressions do not know; the models use it only to forbid what a
// sample does not hold anyway.
var lookahead = regexp.MustCompile(`\(\?[!=][^()]*(\([^()]*\)[^()]*)*\)`)

// javaEscape is how the models write characters by number.
var javaEscape = regexp.MustCompile(`\\u([0-9A-Fa-f]{4})`)

// text makes a short text that a shape allows.
func text(name string, s *model.Shape, least int) (string, error) {
	switch {
	case len(s.Enum) > 0:
		return s.Enum[0], nil
	case s.Pattern == "":
		return strings.Repeat("a", max(1, least)), nil
	}
	pattern := javaEscape.ReplaceAllString(lookahead.ReplaceAllString(s.Pattern, ""), `\x{$1}`)
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return "", fmt.Errorf("%s has the pattern %s: %w", name, s.Pattern, err)
	}
	g := generator{}
	out := g.text(re)
	for spare := 1; utf8.RuneCountInString(out) < max(1, least); spare++ {
		if spare > least+1 {
			return "", fmt.Errorf("%s has the pattern %s, but no text of %d characters was found", name, s.Pattern, least)
		}
		g.spare = spare
		out = g.text(re)
	}
	if !regexp.MustCompile("^(?:" + pattern + ")$").MatchString(out) {
		return "", fmt.Errorf("%s has the pattern %s, which %q does not fit", name, s.Pattern, out)
	}
	return out, nil
}

// generator writes a text that a regular expression matches.
type generator struct {
	spare int // how often more than needed the first part that may be repeated is
}

// text writes the text of an expression.
func (g *generator) text(re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpLiteral:
		return string(re.Rune)
	case syntax.OpCharClass:
		return string(pick(re.Rune))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return "a"
	case syntax.OpCapture:
		return g.text(re.Sub[0])
	case syntax.OpConcat:
		var b strings.Builder
		for _, sub := range re.Sub {
			b.WriteString(g.text(sub))
		}
		return b.String()
	case syntax.OpAlternate:
		return g.text(re.Sub[0])
	case syntax.OpStar:
		return g.repeat(re.Sub[0], 0, math.MaxInt)
	case syntax.OpPlus:
		return g.repeat(re.Sub[0], 1, math.MaxInt)
	case syntax.OpQuest:
		return g.repeat(re.Sub[0], 0, 1)
	case syntax.OpRepeat:
		most := re.Max
		if most < 0 {
			most = math.MaxInt
		}
		return g.repeat(re.Sub[0], re.Min, most)
	}
	return "" // anchors
}

// repeat writes a part as often as it must be, and spends what is to spare.
func (g *generator) repeat(re *syntax.Regexp, least, most int) string {
	n := min(least+g.spare, most)
	g.spare -= n - least
	var b strings.Builder
	for range n {
		b.WriteString(g.text(re))
	}
	return b.String()
}

// pick takes a character of a class, a letter where there is one.
func pick(class []rune) rune {
	for _, wanted := range []rune{'a', 'A', '1'} {
		for i := 0; i < len(class); i += 2 {
			if class[i] <= wanted && wanted <= class[i+1] {
				return wanted
			}
		}
	}
	return class[0]
}
