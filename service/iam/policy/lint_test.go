package policy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLint has what AWS stores but what never, or always, matches; the texts are ours.
// source: userguide for the facts (privatelink, policy variables, condition operators)
func TestLint(t *testing.T) {
	one := func(statement string) string { return `{"Version":"2012-10-17","Statement":[` + statement + `]}` }
	tests := []struct {
		name string
		kind Kind
		doc  string
		want string // codes and statements
	}{
		{"Clean", Identity, one(`{"Effect":"Allow","Action":"*","Resource":"*"}`), ""},
		{"DenyOnlyIdentity", Identity, one(`{"Effect":"Deny","Action":"*","Resource":"*"}`), ""},
		{"DenyOnlyEndpoint", Endpoint, one(`{"Sid":"D","Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"StringNotEquals":{"aws:SourceVpc":"vpc-1"}}}`), "NothingAllowed"},
		{"DenyOnlySCP", SCP, one(`{"Effect":"Deny","Action":"*","Resource":"*"}`), "NothingAllowed"},
		{"GatewayRole", GatewayEndpoint, one(`{"Sid":"R","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:role/r"},"Action":"*","Resource":"*"}`), "GatewayPrincipal R"},
		{"InterfaceRole", Endpoint, one(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:role/r"},"Action":"*","Resource":"*"}`), ""},
		{"EndpointSourceIp", Endpoint, one(`{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:sourceip":"10.0.0.0/8"}}}`), "AbsentThroughEndpoint #1"},
		{"VariableInAccount", Identity, one(`{"Effect":"Allow","Action":"ssm:*","Resource":"arn:aws:ssm:*:${aws:PrincipalAccount}:parameter/*"}`), "UnresolvedVariable #1"},
		{"OldVersion", Resource, `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:username}","Condition":{"StringEquals":{"a:x":"${aws:username}"}}}]}`, "LiteralVariable #1,LiteralVariable #1"},
		{"StarInEquals", Identity, one(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalArn":"arn:aws:iam::*:role/r"}}}`), "LiteralWildcard #1"},
		{"LiteralStarInEquals", Identity, one(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"a:x":"${*}"}}}`), ""},
		{"Unreadable", Identity, one(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"NumericEquals":{"a:n":"ten"},"IpAddress":{"aws:SourceIp":"10.0.0/8"},"Bool":{"a:b":"yes"},"Null":{"a:c":"maybe"},"BinaryEquals":{"a:d":"?"},"DateEquals":{"a:e":"01T"}}}`),
			"UnreadableValue #1,UnreadableValue #1,UnreadableValue #1,UnreadableValue #1,UnreadableValue #1,UnreadableValue #1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, f := range Lint(mustParse(t, tt.kind, tt.doc), nil) {
				got = append(got, strings.TrimSpace(f.Code+" "+f.Statement))
				if !strings.HasSuffix(f.Text, ".") {
					t.Errorf("%q is no sentence", f.Text)
				}
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, ",")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestOverlap tells patterns that share a text from those that do not.
func TestOverlap(t *testing.T) {
	for pair, want := range map[[2]string]bool{
		{"a*", "*b"}: true, {"a*c", "ab*"}: true, {"a", "b*"}: false, {"", "*"}: true, {"?", ""}: false, {"a?", "?b"}: true,
		{"arn:aws:ssm:*:*:parameter/x", "arn:*:ssm:*:*:parameter/*"}: true,
		{"arn:aws:ssm:*:*:document/x", "arn:*:ssm:*:*:parameter/*"}:  false,
		{"*", "arn:*:ssm:*:*:parameter/*"}:                           true,
	} {
		if overlapARN(pair[0], pair[1]) != want || overlapARN(pair[1], pair[0]) != want {
			t.Errorf("overlap(%q, %q) is not %v", pair[0], pair[1], want)
		}
	}
}
