package policy

import (
	"fmt"
	"strings"
)

// maxEndpointCharacters is the most that an endpoint policy may have, white space included (userguide: privatelink).
const maxEndpointCharacters = 20480

// systemKeys are the global condition keys that hold identifiers which AWS made; an endpoint policy may compare them only
// whole (userguide: global condition keys, "Sensitive condition keys").
var systemKeys = map[string]bool{
	"aws:principalaccount": true, "aws:principalorgid": true, "aws:resourceaccount": true, "aws:resourceorgid": true,
	"aws:sourceaccount": true, "aws:sourceorgid": true, "aws:sourcevpc": true, "aws:sourcevpce": true,
	"aws:vpceaccount": true, "aws:vpceorgid": true,
}

// checkEndpoint applies the limits of the language in endpoint policies. They are errors and not advice, because AWS
// refuses to store what breaks them, since such policies were used to find out identifiers: "condition key … with value …
// is at risk of NO_WILDCARD" (aws, as quoted in a report of 2024; the sentence around those words is a guess).
func checkEndpoint(e *element) *problem {
	risk := func(key, value string) *problem {
		return &problem{fault: faultOther, message: fmt.Sprintf("Condition key %s with value %s is at risk of NO_WILDCARD", key, value)}
	}
	for _, c := range e.conditions {
		op, _, _, _ := splitOperator(c.operator)
		system := systemKeys[lower(c.key)]
		for _, v := range c.values {
			wild := (op.family == familyLike || op.family == familyArn) && strings.ContainsAny(maskVariables(v), "*?")
			switch {
			case system && (wild || op.family == familyNumeric), op.family == familyLike && !anchored(v), mixedAccount(v):
				return risk(c.key, v)
			}
		}
	}
	for _, list := range []*[]string{e.resource, e.notResource} {
		if list == nil {
			continue
		}
		for _, r := range *list {
			if mixedAccount(r) {
				return &problem{fault: faultOther, message: fmt.Sprintf("Resource %s is at risk of NO_WILDCARD", r)}
			}
		}
	}
	return nil
}

// leastAnchor is how many plain characters must stand before or after a wildcard of a string operator.
const leastAnchor = 6

// anchored tells whether every wildcard of a pattern has enough plain characters directly before or after it. Wildcards
// side by side count as one, and a variable counts as plain.
func anchored(s string) bool {
	s = maskVariables(s)
	for i := 0; i < len(s); {
		if s[i] != '*' && s[i] != '?' {
			i++
			continue
		}
		end := i
		for end < len(s) && (s[end] == '*' || s[end] == '?') {
			end++
		}
		before := i - 1 - strings.LastIndexAny(s[:i], "*?")
		after := strings.IndexAny(s[end:], "*?")
		if after < 0 {
			after = len(s) - end
		}
		if before < leastAnchor && after < leastAnchor {
			return false
		}
		i = end
	}
	return true
}

// mixedAccount tells whether the account of an ARN pattern is neither whole nor just a wildcard.
func mixedAccount(s string) bool {
	f := strings.SplitN(maskVariables(s), ":", arnFields)
	return len(f) == arnFields && f[0] == "arn" && f[4] != "*" && strings.ContainsAny(f[4], "*?")
}
