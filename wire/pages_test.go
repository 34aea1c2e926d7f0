package wire

import (
	"context"
	"encoding/base64"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/cloudtrail"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/api/kms"
	"github.com/vennel/vennel/api/logs"
	"github.com/vennel/vennel/api/route53resolver"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/wire/sigv4"
)

// unpaged are the operations that look as if they had pages, and why their tokens are not sealed.
var unpaged = map[string]string{
	"logs:GetLogEvents":       "clients compare the tokens, so that one page must always have the same",
	"s3:ListBuckets":          "the token comes back in the answer",
	"s3:ListObjects":          "the marker is the name of an object, which clients make up",
	"s3:ListObjectsV2":        "the token comes back in the answer",
	"s3:ListObjectVersions":   "the markers are names of objects",
	"s3:ListMultipartUploads": "the markers are names of objects",
	"s3:ListParts":            "the marker is a number",
}

// TestEveryPagedOperation lists which operations have pages, over the whole vocabulary, and misses
// none: whatever has a token or a marker in both input and output, or says that it is truncated.
// source: model
func TestEveryPagedOperation(t *testing.T) {
	token := regexp.MustCompile(`^(Next|next|Continuation|PartNumber|Key)?(Token|Marker)$|^next(Forward)?Token$`)
	answered := regexp.MustCompile(`^([Nn]ext.*)?(Token|Marker)$|^ContinuationToken$|^(IsTruncated|Truncated)$`)
	has := func(s *shape, names *regexp.Regexp) bool {
		return s != nil && slices.ContainsFunc(s.members, func(m *member) bool { return names.MatchString(m.name) })
	}
	paged := map[string][]string{}
	for name, svc := range bindings() {
		for operation, op := range svc.operations {
			looks := has(op.in(), token) && has(op.out(), answered)
			reason, excepted := unpaged[name+":"+operation]
			switch {
			case op.pages() != nil && excepted:
				t.Errorf("%s:%s has pages, although %s", name, operation, reason)
			case op.pages() != nil:
				paged[name] = append(paged[name], operation)
			case excepted && !looks:
				t.Errorf("%s:%s is excepted for nothing", name, operation)
			case looks && !excepted:
				t.Errorf("%s:%s has pages that nobody seals", name, operation)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(paged)) {
		slices.Sort(paged[name])
		t.Logf("%s: %d: %s", name, len(paged[name]), strings.Join(paged[name], " "))
	}
	// Counted once, so that a change of the rules or of the models is seen.
	for name, least := range map[string]int{"ec2": 28, "iam": 40, "kms": 8, "logs": 29, "ssm": 55, "cloudtrail": 1, "route53resolver": 16} {
		if len(paged[name]) < least {
			t.Errorf("%s has pages at %d operations only", name, len(paged[name]))
		}
	}
}

// listing is a world with a paged operation of each service. Each answers with the cursor that it
// got and one more, "c".
func listing(t *testing.T) *world {
	t.Helper()
	next := func(token *string) *string { return new(api.Or(token, "") + "c") }
	return newWorld(t, map[string]api.Operation{
		"ssm:DescribeParameters": allowed("DescribeParameters", func(_ context.Context, in *ssm.DescribeParametersInput) (*ssm.DescribeParametersOutput, error) {
			return &ssm.DescribeParametersOutput{NextToken: next(in.NextToken), Parameters: []ssm.ParameterMetadata{{Name: in.NextToken}}}, nil
		}),
		"ssm:ListDocuments": allowed("ListDocuments", func(_ context.Context, in *ssm.ListDocumentsInput) (*ssm.ListDocumentsOutput, error) {
			return &ssm.ListDocumentsOutput{NextToken: next(in.NextToken)}, nil
		}),
		"iam:ListUsers": allowed("ListUsers", func(_ context.Context, in *iam.ListUsersInput) (*iam.ListUsersOutput, error) {
			return &iam.ListUsersOutput{Marker: next(in.Marker), IsTruncated: new(true)}, nil
		}),
		"kms:ListKeys": allowed("ListKeys", func(_ context.Context, in *kms.ListKeysInput) (*kms.ListKeysOutput, error) {
			return &kms.ListKeysOutput{NextMarker: next(in.Marker), Truncated: new(true)}, nil
		}),
		"logs:DescribeLogGroups": allowed("DescribeLogGroups", func(_ context.Context, in *logs.DescribeLogGroupsInput) (*logs.DescribeLogGroupsOutput, error) {
			return &logs.DescribeLogGroupsOutput{NextToken: next(in.NextToken)}, nil
		}),
		"ec2:DescribeVpcs": allowed("DescribeVpcs", func(_ context.Context, in *ec2.DescribeVpcsInput) (*ec2.DescribeVpcsOutput, error) {
			return &ec2.DescribeVpcsOutput{NextToken: next(in.NextToken)}, nil
		}),
		"route53resolver:ListResolverRules": allowed("ListResolverRules", func(_ context.Context, in *route53resolver.ListResolverRulesInput) (*route53resolver.ListResolverRulesOutput, error) {
			return &route53resolver.ListResolverRulesOutput{NextToken: next(in.NextToken)}, nil
		}),
		"cloudtrail:LookupEvents": allowed("LookupEvents", func(_ context.Context, in *cloudtrail.LookupEventsInput) (*cloudtrail.LookupEventsOutput, error) {
			return &cloudtrail.LookupEventsOutput{NextToken: next(in.NextToken)}, nil
		}),
	})
}

// tokenIn finds the token of an answer.
var tokenIn = regexp.MustCompile(`(?:"(?:NextToken|nextToken|NextMarker)":"|<(?:Marker|nextToken)>)([^"<]*)`)

// page sends a request and gives the token of the answer.
func (w *world) page(t *testing.T, r *http.Request, service string) string {
	t.Helper()
	rec := w.do(signed(r, service))
	m := tokenIn.FindStringSubmatch(rec.Body.String())
	if rec.Code != 200 || m == nil {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	return m[1]
}

// TestPages walks through pages, and refuses every token that was not made for the question.
// source: model for the codes, aws for EC2's and Logs' words
func TestPages(t *testing.T) {
	w := listing(t)
	for _, c := range []struct {
		service string
		ask     func(filter, token string) *http.Request
		code    string
	}{
		{"ssm", func(filter, token string) *http.Request {
			return jsonRequest("ssm", "DescribeParameters", `{"MaxResults":`+limitOf(filter)+`,"Filters":[{"Key":"Name","Values":["`+strings.TrimSuffix(filter, "+")+`"]}]`+given(`,"NextToken":`, token)+`}`)
		}, "InvalidNextToken"},
		{"iam", func(filter, token string) *http.Request {
			return formRequest("iam", "Action=ListUsers&PathPrefix=/"+strings.TrimSuffix(filter, "+")+"/&MaxItems="+limitOf(filter)+form("&Marker=", token))
		}, "ValidationError"},
		{"kms", func(filter, token string) *http.Request {
			return jsonRequest("kms", "ListKeys", `{"Limit":`+limitOf(filter)+given(`,"Marker":`, token)+`}`)
		}, "InvalidMarkerException"},
		{"logs", func(filter, token string) *http.Request {
			return jsonRequest("logs", "DescribeLogGroups", `{"limit":`+limitOf(filter)+`,"logGroupNamePrefix":"`+strings.TrimSuffix(filter, "+")+`"`+given(`,"nextToken":`, token)+`}`)
		}, "InvalidParameterException"},
		{"ec2", func(filter, token string) *http.Request {
			return formRequest("ec2", "Action=DescribeVpcs&MaxResults="+limitOf(filter)+"&VpcId.1="+strings.TrimSuffix(filter, "+")+form("&NextToken=", token))
		}, "InvalidParameterValue"},
		{"route53resolver", func(filter, token string) *http.Request {
			return jsonRequest("route53resolver", "ListResolverRules", `{"MaxResults":`+limitOf(filter)+`,"Filters":[{"Name":"`+strings.TrimSuffix(filter, "+")+`"}]`+given(`,"NextToken":`, token)+`}`)
		}, "InvalidNextTokenException"},
		{"cloudtrail", func(filter, token string) *http.Request {
			return jsonRequest("cloudtrail", "LookupEvents", `{"MaxResults":`+limitOf(filter)+`,"EventCategory":"insight"`+given(`,"NextToken":`, token)+`}`)
		}, "InvalidNextTokenException"},
	} {
		first := w.page(t, c.ask("a", ""), c.service)
		second := w.page(t, c.ask("a", first), c.service)
		third := w.page(t, c.ask("a", second), c.service)
		if first == second || second == third {
			t.Errorf("%s: pages have the same token", c.service)
		}
		if decoded, err := base64.RawURLEncoding.DecodeString(third); err != nil || strings.Contains(string(decoded), "ccc") {
			t.Errorf("%s: the token shows its cursor", c.service)
		}
		w.page(t, c.ask("a+", first), c.service) // another number of items on the next page
		flipped := "A" + first[1:]
		if flipped == first {
			flipped = "B" + first[1:]
		}
		bad := map[string]*http.Request{
			"changed at the start": c.ask("a", flipped),
			"changed at the end":   c.ask("a", first[:len(first)-2]+"__"),
			"cut":                  c.ask("a", first[:len(first)-4]),
			"cut to little":        c.ask("a", first[:8]),
			"longer":               c.ask("a", first+"AAAA"),
			"made up":              c.ask("a", "made-up"),
			"a plain cursor":       c.ask("a", "cccc"),
			"no base64":            c.ask("a", "!!!!"),
		}
		if c.service != "kms" && c.service != "cloudtrail" { // which have nothing to filter by here
			bad["another filter"] = c.ask("b", first)
		}
		for name, r := range bad {
			if rec := w.do(signed(r, c.service)); rec.Code != 400 || !strings.Contains(rec.Body.String(), c.code) {
				t.Errorf("%s, %s: %d %s", c.service, name, rec.Code, rec.Body)
			}
		}
		w.keys["AKIAOTHER"] = holder{key: sigv4.Key{Secret: testSecret}, principal: user{"other"}}
		other := sigv4.Credentials{AccessKeyID: "AKIAOTHER", SecretAccessKey: testSecret}
		foreign := map[string]*http.Request{"another account": signedAs(c.ask("a", first), other, testRegion, c.service, time.Now())}
		elsewhere := c.ask("a", first)
		elsewhere.Host = "localhost"
		foreign["another Region"] = scoped(elsewhere, "eu-west-3", c.service)
		for name, r := range foreign {
			if rec := w.do(r); rec.Code != 400 || !strings.Contains(rec.Body.String(), c.code) {
				t.Errorf("%s, %s: %d %s", c.service, name, rec.Code, rec.Body)
			}
		}
	}
}

// limitOf is the number of items for a filter: a plus asks for more.
func limitOf(filter string) string {
	if strings.HasSuffix(filter, "+") {
		return "40"
	}
	return "10"
}

// given writes a member of JSON where there is a value.
func given(name, value string) string {
	if value == "" {
		return ""
	}
	return name + `"` + value + `"`
}

// form writes a parameter where there is a value.
func form(name, value string) string {
	if value == "" {
		return ""
	}
	return name + value
}

// TestPagesOfAnotherOperation takes a token from one operation to the next, of the same question.
func TestPagesOfAnotherOperation(t *testing.T) {
	w := listing(t)
	token := w.page(t, jsonRequest("ssm", "DescribeParameters", `{}`), "ssm")
	if rec := w.do(signed(jsonRequest("ssm", "ListDocuments", `{"NextToken":"`+token+`"}`), "ssm")); !strings.Contains(rec.Body.String(), "InvalidNextToken") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// TestPagesAfterARestart reads the token of a server with another that has the same key, and with
// one that has not.
func TestPagesAfterARestart(t *testing.T) {
	token := listing(t).page(t, jsonRequest("ssm", "DescribeParameters", `{}`), "ssm")
	again := listing(t)
	rec := again.do(signed(jsonRequest("ssm", "DescribeParameters", `{"NextToken":"`+token+`"}`), "ssm"))
	if rec.Code != 200 || !strings.Contains(rec.Body.String(), `{"Name":"c"}`) { // the operation sees the plain cursor
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	stranger := listing(t)
	stranger.tokens = newTokens([]byte("another key of the same length!!"))
	rec = stranger.do(signed(jsonRequest("ssm", "DescribeParameters", `{"NextToken":"`+token+`"}`), "ssm"))
	if rec.Code != 400 || !strings.Contains(rec.Body.String(), "InvalidNextToken") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// TestEmptyTokens holds that some clients ask for the first page with an empty token.
func TestEmptyTokens(t *testing.T) {
	w := listing(t)
	w.page(t, jsonRequest("ssm", "DescribeParameters", `{"NextToken":""}`), "ssm")
	w.page(t, formRequest("ec2", "Action=DescribeVpcs&NextToken="), "ec2")
}

// TestLongCursors holds that a cursor which no request could bring back is an error of ours, and
// that those which fit are let through.
func TestLongCursors(t *testing.T) {
	cursor := ""
	w := newWorld(t, map[string]api.Operation{
		"iam:ListUsers": allowed("ListUsers", func(context.Context, *iam.ListUsersInput) (*iam.ListUsersOutput, error) {
			return &iam.ListUsersOutput{Marker: new(cursor)}, nil
		}),
	})
	for length, status := range map[int]int{0: 200, 128: 200, 212: 200, 213: 500, 5000: 500} {
		cursor = strings.Repeat("x", length)
		if rec := w.do(signed(formRequest("iam", "Action=ListUsers"), "iam")); rec.Code != status {
			t.Errorf("a cursor of %d bytes: %d %s", length, rec.Code, rec.Body)
		}
	}
}
