package policy

import (
	"strconv"
	"strings"
	"testing"
)

// mustParse parses a document that is known to be right.
func mustParse(t testing.TB, kind Kind, doc string) *Policy {
	t.Helper()
	p, err := Parse([]byte(doc), kind)
	if err != nil {
		t.Fatalf("Parse(%s): %v", doc, err)
	}
	return p
}

// contextOf makes a context from "key=value" pairs; a key given twice is multivalued, and "key=" alone has an empty value.
func contextOf(pairs ...string) Context {
	values := map[string][]string{}
	var order []string
	for _, p := range pairs {
		k, v, _ := strings.Cut(p, "=")
		if _, ok := values[k]; !ok {
			order = append(order, k)
		}
		values[k] = append(values[k], v)
	}
	var c Context
	for _, k := range order {
		if len(values[k]) == 1 {
			c.Set(k, values[k][0])
		} else {
			c.SetList(k, values[k])
		}
	}
	return c
}

// TestConditionOperators evaluates Condition elements against request contexts.
// source: userguide (IAM: condition operators, multivalued keys, multiple keys or values, variables), unless a line says
// otherwise.
func TestConditionOperators(t *testing.T) {
	tags := []string{"aws:TagKeys=environment", "aws:TagKeys=dept"}
	tests := []struct {
		name      string
		condition string
		context   []string
		want      bool
	}{
		{"StringEquals", `{"StringEquals":{"aws:PrincipalTag/job":"admin"}}`, []string{"aws:PrincipalTag/job=admin"}, true},
		{"StringEqualsOther", `{"StringEquals":{"aws:PrincipalTag/job":"admin"}}`, []string{"aws:PrincipalTag/job=dev"}, false},
		{"StringEqualsCase", `{"StringEquals":{"aws:username":"john"}}`, []string{"aws:username=John"}, false},
		{"StringEqualsMissing", `{"StringEquals":{"aws:username":"john"}}`, nil, false},
		{"StringEqualsKeyCase", `{"StringEquals":{"AWS:UserName":"john"}}`, []string{"aws:username=john"}, true},
		{"StringEqualsAnyValue", `{"StringEquals":{"aws:username":["john","mary"]}}`, []string{"aws:username=mary"}, true},
		{"StringEqualsStarIsLiteral", `{"StringEquals":{"aws:username":"jo*"}}`, []string{"aws:username=john"}, false},
		{"StringEqualsNoValues", `{"StringEquals":{"aws:username":[]}}`, []string{"aws:username=john"}, false},
		{"StringNotEquals", `{"StringNotEquals":{"aws:username":"john"}}`, []string{"aws:username=mary"}, true},
		{"StringNotEqualsSame", `{"StringNotEquals":{"aws:username":"john"}}`, []string{"aws:username=john"}, false},
		{"StringNotEqualsMissing", `{"StringNotEquals":{"aws:username":"john"}}`, nil, true},
		{"StringNotEqualsIsNor", `{"StringNotEquals":{"aws:username":["john","mary"]}}`, []string{"aws:username=mary"}, false},
		{"StringEqualsIgnoreCase", `{"StringEqualsIgnoreCase":{"aws:username":"john"}}`, []string{"aws:username=JOHN"}, true},
		{"StringNotEqualsIgnoreCase", `{"StringNotEqualsIgnoreCase":{"aws:username":"john"}}`, []string{"aws:username=JOHN"}, false},
		{"StringLike", `{"StringLike":{"s3:prefix":["home/","home/a?c/*"]}}`, []string{"s3:prefix=home/abc/x/y"}, true},
		{"StringLikeCase", `{"StringLike":{"s3:prefix":"Home/*"}}`, []string{"s3:prefix=home/x"}, false},
		{"StringLikeEmptyPattern", `{"StringLike":{"s3:prefix":["","home/"]}}`, []string{"s3:prefix="}, true},
		{"StringNotLike", `{"StringNotLike":{"s3:prefix":"home/*"}}`, []string{"s3:prefix=etc/x"}, true},
		{"StringNotLikeMissing", `{"StringNotLike":{"s3:prefix":"home/*"}}`, nil, true},
		{"BooleanInJSON", `{"Bool":{"aws:SecureTransport":true}}`, []string{"aws:SecureTransport=true"}, true},
		{"NumberInJSON", `{"NumericLessThan":{"aws:MultiFactorAuthAge":3600}}`, []string{"aws:MultiFactorAuthAge=3599"}, true},

		{"TwoKeysAreAnd", `{"StringEquals":{"a:x":"1","a:y":"2"}}`, []string{"a:x=1", "a:y=3"}, false},
		{"TwoOperatorsAreAnd", `{"StringEquals":{"a:x":"1"},"ArnLike":{"a:y":"arn:aws:iam::1:user/*"}}`, []string{"a:x=1", "a:y=arn:aws:iam::1:user/u"}, true},
		{"EmptyCondition", `{}`, nil, true},
		{"EmptyOperator", `{"StringEquals":{}}`, nil, true},

		{"NumericEquals", `{"NumericEquals":{"s3:max-keys":"10"}}`, []string{"s3:max-keys=10.0"}, true},
		{"NumericEqualsLarge", `{"NumericEquals":{"s3:max-keys":"9007199254740993"}}`, []string{"s3:max-keys=9007199254740992"}, false},
		{"NumericNotEquals", `{"NumericNotEquals":{"s3:max-keys":"10"}}`, []string{"s3:max-keys=11"}, true},
		{"NumericLessThan", `{"NumericLessThan":{"s3:max-keys":"10"}}`, []string{"s3:max-keys=10"}, false},
		{"NumericLessThanEquals", `{"NumericLessThanEquals":{"s3:max-keys":"10"}}`, []string{"s3:max-keys=10"}, true},
		{"NumericGreaterThan", `{"NumericGreaterThan":{"s3:max-keys":"-1.5"}}`, []string{"s3:max-keys=-1"}, true},
		{"NumericGreaterThanEquals", `{"NumericGreaterThanEquals":{"s3:max-keys":"10"}}`, []string{"s3:max-keys=9.99"}, false},
		{"NumericMissing", `{"NumericLessThan":{"s3:max-keys":"10"}}`, nil, false},
		{"NumericUnreadableRequest", `{"NumericLessThan":{"s3:max-keys":"10"}}`, []string{"s3:max-keys=few"}, false},
		{"NumericUnreadablePolicy", `{"NumericLessThan":{"s3:max-keys":"ten"}}`, []string{"s3:max-keys=1"}, false},
		{"NumericHexIsNoNumber", `{"NumericEquals":{"s3:max-keys":"0x10"}}`, []string{"s3:max-keys=16"}, false},
		{"NumericNaN", `{"NumericNotEquals":{"s3:max-keys":"1"}}`, []string{"s3:max-keys=NaN"}, true},

		{"DateLessThan", `{"DateLessThan":{"aws:CurrentTime":"2026-06-30T00:00:00Z"}}`, []string{"aws:CurrentTime=2026-06-29T23:59:59Z"}, true},
		{"DateGreaterThan", `{"DateGreaterThan":{"aws:CurrentTime":"2026-06-30T00:00:00Z"}}`, []string{"aws:CurrentTime=2026-06-29T23:59:59Z"}, false},
		{"DateZone", `{"DateEquals":{"aws:CurrentTime":"2026-06-30T02:00:00+02:00"}}`, []string{"aws:CurrentTime=2026-06-30T00:00:00Z"}, true},
		{"DateEpochAgainstISO", `{"DateEquals":{"aws:EpochTime":"2009-02-13T23:31:30Z"}}`, []string{"aws:EpochTime=1234567890"}, true},
		{"DateISOAgainstEpoch", `{"DateLessThanEquals":{"aws:CurrentTime":"1234567890"}}`, []string{"aws:CurrentTime=2009-02-13T23:31:30Z"}, true},
		{"DateDayOnly", `{"DateGreaterThanEquals":{"aws:CurrentTime":"2026-01-01"}}`, []string{"aws:CurrentTime=2026-01-01T00:00:00Z"}, true},
		{"DateMonthOnly", `{"DateLessThan":{"aws:CurrentTime":"2026-01"}}`, []string{"aws:CurrentTime=2025-12-31T23:59:59Z"}, true},
		{"DateFraction", `{"DateGreaterThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"}}`, []string{"aws:CurrentTime=2026-01-01T00:00:00.5Z"}, true},
		{"DateNotEquals", `{"DateNotEquals":{"aws:CurrentTime":"2026-01-01T00:00:00Z"}}`, []string{"aws:CurrentTime=2026-01-01T00:00:00Z"}, false},
		{"DateMissing", `{"DateGreaterThan":{"aws:TokenIssueTime":"2020-01-01T00:00:01Z"}}`, nil, false},

		{"Bool", `{"Bool":{"aws:SecureTransport":"false"}}`, []string{"aws:SecureTransport=false"}, true},
		{"BoolOther", `{"Bool":{"aws:SecureTransport":"false"}}`, []string{"aws:SecureTransport=true"}, false},
		{"BoolMissing", `{"Bool":{"aws:SecureTransport":"false"}}`, nil, false},
		{"BoolIfExistsMissing", `{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}}`, nil, true},
		{"BoolCase", `{"Bool":{"kms:GrantIsForAWSResource":"True"}}`, []string{"kms:GrantIsForAWSResource=true"}, true}, // guess

		{"BinaryEquals", `{"BinaryEquals":{"a:k":"QmluYXJ5VmFsdWVJbkJhc2U2NA=="}}`, []string{"a:k=QmluYXJ5VmFsdWVJbkJhc2U2NA=="}, true},
		{"BinaryEqualsOther", `{"BinaryEquals":{"a:k":"QmluYXJ5VmFsdWVJbkJhc2U2NA=="}}`, []string{"a:k=ASIAIOSFODNN7EXAMPLE"}, false},
		{"BinaryEqualsMissing", `{"BinaryEquals":{"a:k":"QmluYXJ5VmFsdWVJbkJhc2U2NA=="}}`, nil, false},

		{"IpAddress", `{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`, []string{"aws:SourceIp=203.0.113.1"}, true},
		{"IpAddressOutside", `{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`, []string{"aws:SourceIp=198.51.100.1"}, false},
		{"IpAddressSingle", `{"IpAddress":{"aws:SourceIp":"203.0.113.7"}}`, []string{"aws:SourceIp=203.0.113.7"}, true},
		{"IpAddressV6", `{"IpAddress":{"aws:SourceIp":["203.0.113.0/24","2001:DB8:1234:5678::/64"]}}`, []string{"aws:SourceIp=2001:db8:1234:5678::1"}, true},
		{"IpAddressMapped", `{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`, []string{"aws:SourceIp=::ffff:10.1.2.3"}, true}, // guess
		{"IpAddressUnmaskedBlock", `{"IpAddress":{"aws:VpcSourceIp":"10.1.2.3/8"}}`, []string{"aws:VpcSourceIp=10.200.0.1"}, true},
		{"IpAddressMissing", `{"IpAddress":{"aws:SourceIp":"0.0.0.0/0"}}`, nil, false},
		{"IpAddressUnreadable", `{"IpAddress":{"aws:SourceIp":"0.0.0.0/0"}}`, []string{"aws:SourceIp=ssm.amazonaws.com"}, false},
		{"NotIpAddress", `{"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`, []string{"aws:SourceIp=198.51.100.1"}, true},
		{"NotIpAddressMissing", `{"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`, nil, true},

		{"ArnEqualsIsLike", `{"ArnEquals":{"aws:SourceArn":"arn:aws:ssm:*:123456789012:*"}}`, []string{"aws:SourceArn=arn:aws:ssm:us-east-1:123456789012:managed-instance/mi-1"}, true},
		{"ArnEqualsOtherAccount", `{"ArnEquals":{"aws:SourceArn":"arn:aws:sns:us-west-2:123456789012:T"}}`, []string{"aws:SourceArn=arn:aws:sns:us-west-2:777788889999:T"}, false},
		{"ArnLikeStaysInItsField", `{"ArnLike":{"aws:SourceArn":"arn:aws:sns:us-*:T"}}`, []string{"aws:SourceArn=arn:aws:sns:us-west-2:123456789012:T"}, false},
		{"ArnLikeLastFieldHoldsColons", `{"ArnLike":{"aws:SourceArn":"arn:aws:logs:*:*:log-group:*"}}`, []string{"aws:SourceArn=arn:aws:logs:eu-west-1:123456789012:log-group:/aws/ssm:x"}, true},
		{"ArnLikeNotAnArn", `{"ArnLike":{"aws:SourceArn":"arn:*:*:*:*:*"}}`, []string{"aws:SourceArn=T"}, false},
		{"ArnLikeStarAlone", `{"ArnLike":{"aws:SourceArn":"*"}}`, []string{"aws:SourceArn=arn:aws:sns:us-west-2:123456789012:T"}, true}, // guess
		{"ArnLikeMissing", `{"ArnLike":{"aws:SourceArn":"arn:aws:sns:*:*:*"}}`, nil, false},
		{"ArnNotLike", `{"ArnNotLike":{"aws:PrincipalArn":["arn:aws:iam::1:user/Ana","arn:aws:iam::1:user/Mary"]}}`, []string{"aws:PrincipalArn=arn:aws:iam::1:user/Nikki"}, true},
		{"ArnNotEqualsSame", `{"ArnNotEquals":{"aws:PrincipalArn":["arn:aws:iam::1:user/Ana","arn:aws:iam::1:user/Mary"]}}`, []string{"aws:PrincipalArn=arn:aws:iam::1:user/Mary"}, false},
		{"ArnNotEqualsMissing", `{"ArnNotEquals":{"aws:PrincipalArn":"arn:aws:iam::1:user/Ana"}}`, nil, true},

		{"NullTrueMissing", `{"Null":{"aws:TokenIssueTime":"true"}}`, nil, true},
		{"NullTruePresent", `{"Null":{"aws:TokenIssueTime":true}}`, []string{"aws:TokenIssueTime=2026-01-01T00:00:00Z"}, false},
		{"NullFalsePresent", `{"Null":{"aws:TokenIssueTime":"false"}}`, []string{"aws:TokenIssueTime=2026-01-01T00:00:00Z"}, true},
		{"NullFalseMissing", `{"Null":{"aws:TokenIssueTime":"false"}}`, nil, false},

		{"IfExistsPresent", `{"StringLikeIfExists":{"ec2:InstanceType":["t1.*","t2.*"]}}`, []string{"ec2:InstanceType=t1.micro"}, true},
		{"IfExistsOther", `{"StringLikeIfExists":{"ec2:InstanceType":["t1.*","t2.*"]}}`, []string{"ec2:InstanceType=m2.micro"}, false},
		{"IfExistsMissing", `{"StringLikeIfExists":{"ec2:InstanceType":["t1.*","t2.*"]}}`, nil, true},
		{"NegatedIfExistsMissing", `{"StringNotEqualsIfExists":{"aws:PrincipalOrgID":"o-1"}}`, nil, true},

		{"ForAllValues", `{"ForAllValues:StringEquals":{"aws:TagKeys":["environment","cost-center"]}}`, []string{"aws:TagKeys=environment", "aws:TagKeys=cost-center"}, true},
		{"ForAllValuesOneOutside", `{"ForAllValues:StringEquals":{"aws:TagKeys":["environment","cost-center"]}}`, tags, false},
		{"ForAllValuesMissing", `{"ForAllValues:StringEquals":{"aws:TagKeys":["environment","cost-center"]}}`, nil, true},
		{"ForAllValuesEmptyString", `{"ForAllValues:ArnLike":{"logs:LogGeneratingResourceArns":"arn:aws:s3:::*"}}`, []string{"logs:LogGeneratingResourceArns="}, true},
		{"ForAllValuesMissingButNull", `{"ForAllValues:StringEquals":{"aws:TagKeys":"environment"},"Null":{"aws:TagKeys":"false"}}`, nil, false},
		{"ForAllValuesNot", `{"ForAllValues:StringNotEquals":{"aws:TagKeys":["secret"]}}`, tags, true},
		{"ForAllValuesNotOneInside", `{"ForAllValues:StringNotEquals":{"aws:TagKeys":["dept"]}}`, tags, false},
		{"ForAllValuesNotMissing", `{"ForAllValues:StringNotLike":{"aws:ResourceOrgPaths":"o-a/*"}}`, nil, true},
		{"ForAnyValue", `{"ForAnyValue:StringEquals":{"aws:TagKeys":["environment","cost-center"]}}`, tags, true},
		{"ForAnyValueNone", `{"ForAnyValue:StringEquals":{"aws:TagKeys":["cost-center"]}}`, tags, false},
		{"ForAnyValueMissing", `{"ForAnyValue:StringEquals":{"aws:TagKeys":["environment"]}}`, nil, false},
		{"ForAnyValueNot", `{"ForAnyValue:StringNotEquals":{"aws:TagKeys":["dept"]}}`, tags, true},
		{"ForAnyValueNotAllInside", `{"ForAnyValue:StringNotEquals":{"aws:TagKeys":["dept","environment"]}}`, tags, false},
		{"ForAnyValueNotMissing", `{"ForAnyValue:StringNotEquals":{"aws:TagKeys":["dept"]}}`, nil, false},
		{"ForAnyValueIfExistsMissing", `{"ForAnyValue:StringEqualsIfExists":{"aws:TagKeys":["dept"]}}`, nil, true},
		{"ForAllValuesBool", `{"ForAllValues:Bool":{"a:flags":"true"}}`, []string{"a:flags=true", "a:flags=true"}, true},
		{"PlainOverManyValues", `{"StringEquals":{"aws:TagKeys":"dept"}}`, tags, true},        // guess
		{"PlainNotOverManyValues", `{"StringNotEquals":{"aws:TagKeys":"dept"}}`, tags, false}, // guess
		{"EmptyListIsAbsent", `{"Null":{"aws:TagKeys":"true"}}`, []string{"other:key=1"}, true},

		{"Variable", `{"StringLike":{"s3:prefix":"home/${aws:username}/*"}}`, []string{"aws:username=martha", "s3:prefix=home/martha/x"}, true},
		{"VariableOther", `{"StringLike":{"s3:prefix":"home/${aws:username}/*"}}`, []string{"aws:username=nikki", "s3:prefix=home/martha/x"}, false},
		{"VariableMissing", `{"StringEquals":{"s3:prefix":"${aws:username}"}}`, []string{"s3:prefix=martha"}, false},
		{"VariableMissingNegated", `{"StringNotEquals":{"s3:ExistingObjectTag/Team":"${aws:PrincipalTag/Team}"}}`, []string{"s3:ExistingObjectTag/Team=red"}, true},
		{"VariableDefault", `{"StringEquals":{"a:team":"${aws:PrincipalTag/team, 'company-wide'}"}}`, []string{"a:team=company-wide"}, true},
		{"VariableDefaultUnused", `{"StringEquals":{"a:team":"${aws:PrincipalTag/team, 'company-wide'}"}}`, []string{"a:team=company-wide", "aws:PrincipalTag/team=red"}, false},
		{"VariableEmptyDefault", `{"StringEquals":{"a:team":"x${aws:PrincipalTag/team, ''}"}}`, []string{"a:team=x"}, true},
		{"VariableKeyCase", `{"StringEquals":{"a:x":"${AWS:USERNAME}"}}`, []string{"aws:username=u", "a:x=u"}, true},
		{"VariableValueIsNoWildcard", `{"StringLike":{"a:x":"${aws:username}"}}`, []string{"aws:username=*", "a:x=anything"}, false},
		{"VariableValueIsItself", `{"StringLike":{"a:x":"${aws:username}"}}`, []string{"aws:username=*", "a:x=*"}, true},
		{"VariableMultivalued", `{"StringEquals":{"a:x":"${aws:TagKeys}"}}`, append([]string{"a:x=dept"}, tags...), false},
		{"VariableInArn", `{"ArnEquals":{"a:x":"arn:aws:iam::*:user/${aws:username}"}}`, []string{"aws:username=u:v", "a:x=arn:aws:iam::1:user/u:v"}, true},
		{"VariableInIgnoreCase", `{"StringEqualsIgnoreCase":{"a:x":"team-${aws:username}"}}`, []string{"aws:username=Mary", "a:x=TEAM-mary"}, true},
		{"VariableNotInNumeric", `{"NumericEquals":{"a:x":"${a:y}"}}`, []string{"a:y=1", "a:x=1"}, false},
		{"LiteralStar", `{"StringLike":{"a:x":"a${*}b*"}}`, []string{"a:x=a*bc"}, true},
		{"LiteralStarOnly", `{"StringLike":{"a:x":"a${*}b*"}}`, []string{"a:x=axbc"}, false},
		{"LiteralQuestion", `{"StringLike":{"a:x":"a${?}"}}`, []string{"a:x=ab"}, false},
		{"LiteralDollar", `{"StringEquals":{"a:x":"${$}{y}"}}`, []string{"a:x=${y}"}, true},
		{"UnclosedVariable", `{"StringEquals":{"a:x":"${y"}}`, []string{"a:x=${y"}, true}, // guess
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := mustParse(t, Identity, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":`+tt.condition+`}}`)
			req := Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k", Principal: Principal{Type: User, ARN: "arn:aws:iam::1:user/u"}, Context: contextOf(tt.context...)}
			got := Evaluate(&req, &Policies{Identity: []Attached{{Policy: p}}})
			if got.Allowed != tt.want {
				t.Errorf("allowed = %v, want %v: %s", got.Allowed, tt.want, got.Explain())
			}
		})
	}
}

// TestConditionVersion2008 has variables as plain text. source: userguide (policy variables, note on Version)
func TestConditionVersion2008(t *testing.T) {
	p := mustParse(t, Resource, `{"Version":"2008-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:username}","Condition":{"StringEquals":{"a:x":"${aws:username}"}}}}`)
	for resource, want := range map[string]bool{"arn:aws:s3:::b/u": false, "arn:aws:s3:::b/${aws:username}": true} {
		req := Request{Action: "s3:GetObject", Resource: resource, Context: contextOf("aws:username=u", "a:x=${aws:username}")}
		if got := Evaluate(&req, &Policies{Resource: []Attached{{Policy: p}}}); got.Allowed != want {
			t.Errorf("%s: allowed = %v, want %v", resource, got.Allowed, want)
		}
	}
}

// TestConditionUnknownOperators are refused. source: aws (IAM names operators with their case)
func TestConditionUnknownOperators(t *testing.T) {
	for _, name := range []string{"stringEquals", "NullIfExists", "ForAnyValue::StringEquals", "StringEqualsIfExistsIfExists", "ForSomeValue:StringEquals", "BinaryNotEquals"} {
		if _, _, _, ok := splitOperator(name); ok {
			t.Errorf("%s was taken for an operator", name)
		}
	}
	for name := range operators {
		for _, q := range []string{"", "ForAllValues:", "ForAnyValue:"} {
			if _, _, _, ok := splitOperator(q + name); !ok {
				t.Errorf("%s is no operator", q+name)
			}
		}
	}
}

// TestContextLookup covers replacing, absence and the fallback.
func TestContextLookup(t *testing.T) {
	c := contextOf("aws:SourceVpc=vpc-1")
	c.Set("AWS:sourcevpc", "vpc-2")
	c.SetList("aws:TagKeys", nil)
	c.Fallback = func(key string) []string {
		if n, ok := strings.CutPrefix(key, "tag/"); ok {
			return []string{strconv.Quote(n)}
		}
		return nil
	}
	for key, want := range map[string]string{"aws:sourceVpc": "vpc-2", "aws:TagKeys": "", "tag/a": `"a"`, "other": ""} {
		if got := strings.Join(c.Get(key), ","); got != want {
			t.Errorf("Get(%s) = %q, want %q", key, got, want)
		}
	}
}
