package policy

import (
	"fmt"
	"strconv"
	"strings"
)

// SyntaxError says, in AWS's words, why AWS would not store a policy document.
type SyntaxError struct {
	// Message is AWS's error message.
	Message string
	// Position is where in the document, as near as is known; the zero Position when it is about the whole.
	Position Position
}

// Error is AWS's message.
func (e *SyntaxError) Error() string { return e.Message }

// fault is a kind of mistake that several dialects word differently.
type fault uint8

// The faults.
const (
	faultOther fault = iota // has its message
	faultNotJSON
	faultNotPolicy
	faultBadStructure
	faultBadVersion
	faultBadEffect
	faultBadOperator
	faultBadPrincipal
	faultUnknownField
	faultMissingField
	faultNoStatement
)

// problem is a mistake on its way to becoming a SyntaxError.
type problem struct {
	fault   fault
	name    string
	message string
	at      int
}

// error words the problem for the kind of policy. IAM has one sentence for everything its grammar refuses; the services
// that keep resource policies share a parser with sentences of its own, which EC2 prefixes; Organizations has one for all.
func (p *problem) error(kind Kind, doc []byte) *SyntaxError {
	e := &SyntaxError{Message: p.message}
	if p.at > 0 {
		e.Position = linesOf(doc).position(p.at)
	}
	switch {
	case kind == SCP:
		e.Message = "The provided policy document does not meet the requirements of the specified policy type."
	case !kind.namesPrincipals():
		if p.fault != faultOther {
			e.Message = "Syntax errors in policy."
		}
	default:
		if p.fault != faultOther {
			e.Message = p.serviceMessage(kind, e.Position)
		}
		if kind.isEndpoint() {
			e.Message = "The Policy Document is not valid. " + e.Message
		}
	}
	return e
}

// serviceMessage is the sentence of the services' parser.
func (p *problem) serviceMessage(kind Kind, at Position) string {
	switch p.fault {
	case faultNotJSON:
		return "This policy contains invalid Json"
	case faultNotPolicy:
		return "This text appears not to be a policy"
	case faultBadVersion:
		return "The policy must contain a valid version string"
	case faultBadEffect:
		return "Invalid effect: " + p.name
	case faultBadOperator:
		return "Invalid Condition type : " + p.name
	case faultUnknownField:
		return "Unknown field " + p.name
	case faultMissingField:
		return "Missing required field " + p.name
	case faultNoStatement:
		return "Could not parse the policy: Statement is empty!"
	case faultBadPrincipal:
		switch {
		case kind == Key:
			return "Policy contains a statement with one or more invalid principals."
		case kind == Trust && p.name != "":
			return "Invalid principal in policy: " + p.name
		}
		return "Invalid principal in policy"
	}
	return fmt.Sprintf("Syntax error at position (%d,%d)", at.Line, at.Column)
}

// checkIAM checks a policy of IAM in the order in which IAM does.
func checkIAM(d *document, kind Kind) *problem {
	fail := func(format string, args ...any) *problem {
		return &problem{fault: faultOther, message: fmt.Sprintf(format, args...)}
	}
	if d.version != version2012 && kind != SCP {
		return fail("Policy document must be version 2012-10-17 or greater.")
	}
	for i := range d.statements {
		if e := &d.statements[i]; !legacyEffect(e.effect) || !legacyDates(e.conditions) {
			return fail("The policy failed legacy parsing")
		}
	}
	bad := ""
	for i := range d.statements {
		for _, list := range []*[]string{d.statements[i].resource, d.statements[i].notResource} {
			if list == nil {
				continue
			}
			for _, r := range *list {
				if bad == "" {
					bad = checkResource(r, kind)
				}
				if bad == "" && !legacyResource(r) {
					return fail("The policy failed legacy parsing")
				}
			}
		}
	}
	seen := map[string]bool{}
	for i := range d.statements {
		e := &d.statements[i]
		if e.principal != nil || e.notPrincipal != nil {
			return fail("Policy document should not specify a principal.")
		}
		if e.sid != "" && !alphanumeric(e.sid) {
			return fail("Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*")
		}
		if e.sid != "" && seen[e.sid] {
			return fail("Statement IDs (SID) in a single policy must be unique.")
		}
		seen[e.sid] = true
	}
	for i := range d.statements {
		if e := &d.statements[i]; empty(e.action) && empty(e.notAction) {
			return fail("Policy statement must contain actions.")
		}
	}
	if bad != "" {
		return fail("%s", bad)
	}
	for _, not := range []bool{false, true} {
		for i := range d.statements {
			list := d.statements[i].action
			if not {
				list = d.statements[i].notAction
			}
			if list == nil {
				continue
			}
			for _, a := range *list {
				if m := checkAction(a); m != "" {
					return fail("%s", m)
				}
			}
		}
	}
	for i := range d.statements {
		if e := &d.statements[i]; empty(e.resource) && empty(e.notResource) {
			return fail("Policy statement must contain resources.")
		}
	}
	return nil
}

// empty tells whether an element is absent or an empty list.
func empty(list *[]string) bool { return list == nil || len(*list) == 0 }

// alphanumeric tells whether s is of ASCII letters and digits.
func alphanumeric(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := lowerByte(s[i]); (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// legacyEffect is the case-sensitive half of IAM's check of an effect.
func legacyEffect(s string) bool { return s == "Allow" || s == "Deny" }

// legacyDates tells whether IAM takes the values of date operators.
func legacyDates(conditions []conditionElement) bool {
	for _, c := range conditions {
		if op, _, _, _ := splitOperator(c.operator); op.family != familyDate {
			continue
		}
		for _, v := range c.values {
			if !legacyDate(v) {
				return false
			}
		}
	}
	return true
}

// legacyDate tells whether IAM takes a date: seconds that fit 63 bits, or something like ISO 8601 whose fields are in
// range. It takes more than has a meaning; what has none matches no request.
func legacyDate(s string) bool {
	if !strings.ContainsAny(s, "tT-") {
		n, err := strconv.ParseInt(s, 10, 64)
		return err == nil && n >= 0
	}
	inRange := func(s string, low, high int) bool {
		n, err := strconv.Atoi(s)
		return err == nil && n >= low && n <= high
	}
	day, clock, _ := strings.Cut(strings.ToLower(s), "t")
	rest, negative := strings.CutPrefix(day, "-")
	fields := strings.Split(rest, "-")
	if negative {
		fields[0] = "-" + fields[0]
	}
	if len(fields) > 3 || !inRange(fields[0], -292275054, 292278993) ||
		len(fields) > 1 && !inRange(fields[1], 1, 12) || len(fields) > 2 && !inRange(fields[2], 1, 31) {
		return false
	}
	times := strings.SplitN(clock, ":", 3)
	if times[0] != "" && !inRange(times[0], 0, 23) || len(times) > 1 && !inRange(times[1], 0, 59) {
		return false
	}
	if len(times) < 3 {
		return true
	}
	seconds := times[2]
	if before, ok := strings.CutSuffix(seconds, "z"); ok {
		seconds = before
	} else if before, zone, ok := strings.Cut(seconds, "+"); ok {
		hours, minutes, colon := strings.Cut(zone, ":")
		if len(hours) != 2 || !inRange(hours, 0, 23) || colon && (len(minutes) != 2 || !inRange(minutes, 0, 59)) {
			return false
		}
		seconds = before
	} else if before, zone, ok := strings.Cut(seconds, "-"); ok {
		hours, minutes, colon := strings.Cut(zone, ":")
		if len(hours) != 2 || !inRange(hours, 0, 23) || colon && (len(minutes) != 2 || !inRange(minutes, 0, 59)) {
			return false
		}
		seconds = before
	}
	seconds, fraction, dot := strings.Cut(seconds, ".")
	return inRange(seconds, 0, 59) && (!dot || inRange(fraction, 0, 999999999))
}

// legacyResource is the second of IAM's two checks of a resource.
func legacyResource(r string) bool {
	if r == "*" {
		return true
	}
	fields := strings.Split(r, ":")
	return len(fields) > 2 && fields[2] != "" && (len(fields) >= arnFields || !strings.Contains(r, "::"))
}

// partitions are AWS's partitions.
var partitions = map[string]bool{
	"*": true, "aws": true, "aws-cn": true, "aws-us-gov": true, "aws-iso": true, "aws-iso-b": true, "aws-iso-e": true,
	"aws-iso-f": true, "aws-eusc": true,
}

// iamPaths are the beginnings that the resource part of an IAM ARN may have.
var iamPaths = []string{
	"user/", "federated-user/", "role/", "group/", "instance-profile/", "mfa/", "server-certificate/", "policy/",
	"sms-mfa/", "saml-provider/", "oidc-provider/", "report/", "access-report/",
}

// checkResource is the first of IAM's two checks of a resource: the message, or nothing when it passes.
func checkResource(r string, kind Kind) string {
	if r == "*" {
		return ""
	}
	_, rest, ok := strings.Cut(r, ":")
	if !ok {
		return fmt.Sprintf("Resource %s must be in ARN format or \"*\".", r)
	}
	partition, rest, more := strings.Cut(rest, ":")
	if !partitions[partition] {
		f := strings.SplitN(rest, ":", 4)
		if f[0] == "" && len(f) == 1 {
			f[0] = "*"
		}
		for len(f) < 4 {
			f = append(f, "*")
		}
		return fmt.Sprintf("Partition %q is not valid for resource \"arn:%s:%s\".", partition, partition, strings.Join(f, ":"))
	}
	if !more {
		return "Resource vendor must be fully qualified and cannot contain regexes."
	}
	service, rest, _ := strings.Cut(rest, ":")
	region, rest, _ := strings.Cut(rest, ":")
	_, path, complete := strings.Cut(rest, ":")
	switch {
	case service == "iam" && region != "":
		return fmt.Sprintf("IAM resource %s cannot contain region information.", r)
	case service == "iam" && complete && !iamPath(path):
		return "IAM resource path must either be \"*\" or start with " + strings.Join(iamPaths, ", ") + "."
	case service == "s3" && region != "" && !beginsWithAny(path, regionalS3):
		return fmt.Sprintf("Resource %s can not contain region information.", r)
	case kind == Session && strings.Count(maskVariables(r), ":") < arnFields-1:
		// Session policies take no incomplete ARNs (userguide: policy grammar); the wording is a guess.
		return fmt.Sprintf("Resource %s must be in ARN format or \"*\".", r)
	}
	return ""
}

// regionalS3 are the beginnings of S3 resources whose ARNs have a Region.
var regionalS3 = []string{"accesspoint/", "access-grants/", "async-request/", "job/", "storage-lens/", "storage-lens-group/"}

// beginsWithAny tells whether a text begins with one of several.
func beginsWithAny(s string, list []string) bool {
	for _, p := range list {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// iamPath tells whether the resource part of an IAM ARN begins as one can, as far as its first wildcard says; the root
// user has none of the beginnings that IAM's message lists.
func iamPath(path string) bool {
	if path == "root" || beginsWithAny(path, iamPaths) {
		return true
	}
	sure := path
	if i := strings.IndexAny(path, "*?"); i >= 0 {
		sure = path[:i]
	}
	for _, p := range iamPaths {
		if len(sure) < len(path) && strings.HasPrefix(p, sure) {
			return true
		}
	}
	return false
}

// checkAction checks the form of an action: the message, or nothing when it passes. Whether it exists is not asked.
func checkAction(a string) string {
	if a == "*" {
		return ""
	}
	vendor, name, ok := strings.Cut(a, ":")
	switch {
	case !ok:
		return "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
	case strings.Contains(name, ":"):
		return "Actions/Condition can contain only one colon."
	}
	if vendor == "*" {
		return ""
	}
	for i := 0; i < len(vendor); i++ {
		if c := vendor[i]; c != '-' && c != '.' && !alphanumeric(vendor[i:i+1]) {
			return fmt.Sprintf("Vendor %s is not valid", vendor)
		}
	}
	return ""
}

// checkService checks a policy that a service keeps beside a resource, a role, a key or an endpoint.
func checkService(d *document, kind Kind) *problem {
	fail := func(message string) *problem { return &problem{fault: faultOther, message: message} }
	seen := map[string]bool{}
	for i := range d.statements {
		e := &d.statements[i]
		switch {
		case !legacyEffect(e.effect):
			return &problem{fault: faultBadEffect, name: e.effect, at: e.start}
		case e.notPrincipal != nil && e.effect == "Allow":
			return fail("Allow with NotPrincipal is not allowed.")
		case e.notPrincipal != nil && kind == Trust:
			return fail("AssumeRole policy must not contain NotPrincipal field.")
		case e.principal == nil && e.notPrincipal == nil:
			return &problem{fault: faultMissingField, name: "Principal", at: e.start}
		case empty(e.action) && empty(e.notAction):
			return &problem{fault: faultMissingField, name: "Action", at: e.start}
		case kind == Trust && e.resource != nil:
			return fail("Has prohibited field Resource")
		case kind == Trust && e.notResource != nil:
			return fail("AssumeRole policy must not contain resources.")
		case kind != Trust && empty(e.resource) && empty(e.notResource):
			return &problem{fault: faultMissingField, name: "Resource", at: e.start}
		case e.sid != "" && seen[e.sid]:
			return fail("The Statement Ids in the policy are not unique")
		}
		seen[e.sid] = true
		for _, list := range []*[]string{e.action, e.notAction} {
			if list == nil {
				continue
			}
			for _, a := range *list {
				if kind == Trust {
					if m := checkTrustAction(a); m != "" {
						return fail(m)
					}
				} else if checkAction(a) != "" {
					return fail("Policy has invalid action")
				}
			}
		}
		for _, list := range []*[]string{e.resource, e.notResource} {
			if list == nil {
				continue
			}
			for _, r := range *list {
				if r != "*" && !strings.HasPrefix(r, "arn:") {
					return fail("Policy has invalid resource")
				}
			}
		}
		if kind.isEndpoint() {
			if p := checkEndpoint(e); p != nil {
				return p
			}
		}
	}
	return nil
}

// trustActions are the actions that a trust policy may name.
var trustActions = []string{
	"sts:assumerole", "sts:assumerolewithsaml", "sts:assumerolewithwebidentity", "sts:setsourceidentity", "sts:tagsession",
	"sts:setcontext", "sts:decodeauthorizationmessage", "sts:getaccesskeyinfo", "sts:getcalleridentity",
	"sts:getfederationtoken", "sts:getservicebearertoken", "sts:getsessiontoken",
}

// checkTrustAction checks an action of a trust policy: the message, or nothing when it passes.
func checkTrustAction(a string) string {
	if !strings.HasPrefix(lower(a), "sts:") {
		return "AssumeRole policy may only specify STS AssumeRole actions."
	}
	p := compile(a, syntax{wild: true, fold: true})
	for _, t := range trustActions {
		if p.match(t, nil) {
			return ""
		}
	}
	return "Trust Policy statement actions can only be sts:AssumeRole, sts:AssumeRoleWithSAML,  and sts:AssumeRoleWithWebIdentity"
}
