package policy

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The people of the evaluation tests.
var (
	userAna = Principal{Type: User, ARN: "arn:aws:iam::111111111111:user/ana", Account: "111111111111", ID: "AIDAAAAAAAAAAAAAAANA"}
	roleDev = Principal{
		Type: AssumedRole, ARN: "arn:aws:sts::111111111111:assumed-role/dev/s1", RoleARN: "arn:aws:iam::111111111111:role/team/dev",
		Account: "111111111111", ID: "AROAAAAAAAAAAAAAADEV:s1",
	}
	fedBob = Principal{
		Type: FederatedUser, ARN: "arn:aws:sts::111111111111:federated-user/bob", RoleARN: userAna.ARN,
		Account: "111111111111", ID: "111111111111:bob",
	}
	rootOne = Principal{Type: Root, ARN: "arn:aws:iam::111111111111:root", Account: "111111111111", ID: "111111111111"}
	service = Principal{Type: Service, Names: []string{"ssm.amazonaws.com", "ssm.us-east-1.amazonaws.com"}}
	nobody  = Principal{}
	nodeOne = Principal{Type: Node, Account: "111111111111"}
	oidc    = Principal{Type: Federated, Names: []string{"arn:aws:iam::111111111111:oidc-provider/idp.example.com"}}
)

// allow and deny write one statement without a principal; for adds one.
const (
	allowAll = `{"Effect":"Allow","Action":"s3:*","Resource":"*"}`
	denyAll  = `{"Effect":"Deny","Action":"s3:*","Resource":"*"}`
	allowEC2 = `{"Effect":"Allow","Action":"ec2:*","Resource":"*"}`
)

// forPrincipal is a statement of a resource policy.
func forPrincipal(effect, principal string) string {
	return `{"Effect":"` + effect + `","Principal":` + principal + `,"Action":"s3:*","Resource":"*"}`
}

// exceptPrincipal is a Deny with NotPrincipal.
func exceptPrincipal(principals ...string) string {
	list, _ := json.Marshal(principals)
	return `{"Effect":"Deny","NotPrincipal":{"AWS":` + string(list) + `},"Action":"s3:*","Resource":"*"}`
}

// policies builds a Policies from "kind: statement" lines; a kind alone is a layer that is present but empty.
func policies(t testing.TB, lines ...string) *Policies {
	t.Helper()
	p := &Policies{}
	for _, line := range lines {
		kind, statements, _ := strings.Cut(line, ": ")
		attached := func(k Kind) []Attached {
			if statements == "" {
				return nil
			}
			return []Attached{{Name: kind, Policy: mustParse(t, k, `{"Version":"2012-10-17","Statement":[`+statements+`]}`)}}
		}
		layer := func(l *Layer, k Kind) { l.Present, l.Policies = true, append(l.Policies, attached(k)...) }
		switch kind {
		case "scp":
			p.SCP = append(p.SCP, Layer{Present: true, Policies: attached(SCP)})
		case "identity":
			p.Identity = append(p.Identity, attached(Identity)...)
		case "boundary":
			layer(&p.Boundary, Identity)
		case "session":
			layer(&p.Session, Session)
		case "endpoint":
			layer(&p.Endpoint, Endpoint)
		case "gateway":
			layer(&p.Endpoint, GatewayEndpoint)
		case "bucket":
			p.Resource = append(p.Resource, attached(Resource)...)
		case "trust":
			p.Resource = append(p.Resource, attached(Trust)...)
		case "key":
			p.Resource = append(p.Resource, attached(Key)...)
		default:
			t.Fatalf("no kind %q", kind)
		}
	}
	return p
}

// outcome writes a decision as "allow" or as the kind that denies, with "!" for an explicit deny.
func outcome(d Decision) string {
	switch {
	case d.Allowed:
		return "allow"
	case d.Explicit:
		return "!" + d.By.String()
	}
	return d.By.String()
}

// TestEvaluateCombination has how the kinds of policy combine.
// source: userguide (IAM: evaluation logic, deny-allow, cross-account, boundaries, principals, NotPrincipal; KMS: default
// key policy; PrivateLink: endpoint policies), unless a line says otherwise.
func TestEvaluateCombination(t *testing.T) {
	const (
		star    = `"*"`
		awsStar = `{"AWS":"*"}`
		account = `{"AWS":"111111111111"}`
		rootArn = `{"AWS":"arn:aws:iam::111111111111:root"}`
		other   = `{"AWS":"222222222222"}`
		ana     = `{"AWS":"arn:aws:iam::111111111111:user/ana"}`
		role    = `{"AWS":"arn:aws:iam::111111111111:role/team/dev"}`
		session = `{"AWS":"arn:aws:sts::111111111111:assumed-role/dev/s1"}`
		bob     = `{"AWS":"arn:aws:sts::111111111111:federated-user/bob"}`
	)
	trust := func(principal string) string {
		return `trust: {"Effect":"Allow","Principal":` + principal + `,"Action":"sts:AssumeRole"}`
	}
	assume := "identity: " + `{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}`
	tests := []struct {
		name     string
		who      Principal
		account  string // of the resource; empty is the principal's
		policies []string
		want     string
	}{
		{"NothingAllows", userAna, "", nil, "identity-based policy"},
		{"IdentityAllows", userAna, "", []string{"identity: " + allowAll}, "allow"},
		{"IdentityOtherService", userAna, "", []string{"identity: " + allowEC2}, "identity-based policy"},
		{"IdentityDenies", userAna, "", []string{"identity: " + allowAll + "," + denyAll}, "!identity-based policy"},
		{"IdentityDenyBeforeAllow", userAna, "", []string{"identity: " + denyAll, "identity: " + allowAll}, "!identity-based policy"},
		{"ResourceAloneAllows", userAna, "", []string{"bucket: " + forPrincipal("Allow", ana)}, "allow"},
		{"ResourceDenies", userAna, "", []string{"identity: " + allowAll, "bucket: " + forPrincipal("Deny", star)}, "!resource-based policy"},
		{"ResourceDeniesAccount", userAna, "", []string{"identity: " + allowAll, "bucket: " + forPrincipal("Deny", account)}, "!resource-based policy"},
		{"ResourceDeniesOther", userAna, "", []string{"identity: " + allowAll, "bucket: " + forPrincipal("Deny", other)}, "allow"},
		{"ResourceAccountDelegates", userAna, "", []string{"bucket: " + forPrincipal("Allow", account)}, "identity-based policy"},
		{"ResourceRootDelegates", userAna, "", []string{"bucket: " + forPrincipal("Allow", rootArn)}, "identity-based policy"},
		{"ResourceEveryone", userAna, "", []string{"bucket: " + forPrincipal("Allow", star)}, "allow"},

		// source: userguide (deny-allow, "Resource-based policies")
		{"UserArnPassesBoundary", userAna, "", []string{"bucket: " + forPrincipal("Allow", ana), "boundary"}, "allow"},
		{"UserIDPassesBoundary", userAna, "", []string{"bucket: " + forPrincipal("Allow", `{"AWS":"AIDAAAAAAAAAAAAAAANA"}`), "boundary"}, "allow"},
		{"RoleArnWithoutIdentity", roleDev, "", []string{"bucket: " + forPrincipal("Allow", role)}, "allow"},
		{"RoleArnStoppedByBoundary", roleDev, "", []string{"bucket: " + forPrincipal("Allow", role), "boundary"}, "permissions boundary"},
		{"RoleArnStoppedBySession", roleDev, "", []string{"bucket: " + forPrincipal("Allow", role), "session: " + allowEC2}, "session policy"},
		{"RoleIDWithoutIdentity", roleDev, "", []string{"bucket: " + forPrincipal("Allow", `{"AWS":"AROAAAAAAAAAAAAAADEV"}`)}, "allow"},
		{"SessionArnPassesBoth", roleDev, "", []string{"bucket: " + forPrincipal("Allow", session), "boundary", "session: " + allowEC2}, "allow"},
		{"EveryonePassesBoth", roleDev, "", []string{"bucket: " + forPrincipal("Allow", star), "boundary", "session: " + allowEC2}, "allow"},
		{"SessionArnStoppedByDeny", roleDev, "", []string{"bucket: " + forPrincipal("Allow", session), "boundary: " + denyAll}, "!permissions boundary"},
		{"SessionArnStoppedBySessionDeny", roleDev, "", []string{"bucket: " + forPrincipal("Allow", session), "session: " + denyAll}, "!session policy"},
		{"FederatedArnPasses", fedBob, "", []string{"bucket: " + forPrincipal("Allow", bob)}, "allow"},
		{"FederatedByUserNeedsSession", fedBob, "", []string{"bucket: " + forPrincipal("Allow", ana)}, "session policy"},
		{"FederatedByUserWithSession", fedBob, "", []string{"bucket: " + forPrincipal("Allow", ana), "session: " + allowAll}, "allow"},
		{"FederatedWithoutSession", fedBob, "", []string{"identity: " + allowAll}, "session policy"},
		{"FederatedWithSession", fedBob, "", []string{"identity: " + allowAll, "session: " + allowAll}, "allow"},

		{"BoundaryAllows", userAna, "", []string{"identity: " + allowAll, "boundary: " + allowAll}, "allow"},
		{"BoundaryNotEnough", userAna, "", []string{"boundary: " + allowAll}, "identity-based policy"},
		{"BoundaryStops", userAna, "", []string{"identity: " + allowAll, "boundary: " + allowEC2}, "permissions boundary"},
		{"BoundaryEmptyStops", userAna, "", []string{"identity: " + allowAll, "boundary"}, "permissions boundary"},
		{"BoundaryDenies", userAna, "", []string{"identity: " + allowAll, "boundary: " + allowAll + "," + denyAll}, "!permissions boundary"},
		{"SessionStops", roleDev, "", []string{"identity: " + allowAll, "session: " + allowEC2}, "session policy"},
		{"SessionAbsent", roleDev, "", []string{"identity: " + allowAll}, "allow"},
		{"AllThree", roleDev, "", []string{"identity: " + allowAll, "boundary: " + allowAll, "session: " + allowAll}, "allow"},

		{"ScpAllows", userAna, "", []string{"scp: " + allowAll, "identity: " + allowAll}, "allow"},
		{"ScpNeverGrants", userAna, "", []string{"scp: " + allowAll}, "identity-based policy"},
		{"ScpStops", userAna, "", []string{"scp: " + allowEC2, "identity: " + allowAll}, "service control policy"},
		{"ScpStopsResourceGrant", userAna, "", []string{"scp: " + allowEC2, "bucket: " + forPrincipal("Allow", ana)}, "service control policy"},
		{"ScpEveryLevel", userAna, "", []string{"scp: " + allowAll, "scp: " + allowEC2, "identity: " + allowAll}, "service control policy"},
		{"ScpEmptyLevel", userAna, "", []string{"scp: " + allowAll, "scp", "identity: " + allowAll}, "service control policy"},
		{"ScpDenies", userAna, "", []string{"scp: " + allowAll + "," + denyAll, "identity: " + allowAll}, "!service control policy"},
		{"ScpBindsRoot", rootOne, "", []string{"scp: " + allowEC2}, "service control policy"},
		{"ScpNotForServices", service, "", []string{"scp: " + denyAll, "bucket: " + forPrincipal("Allow", `{"Service":"ssm.amazonaws.com"}`)}, "allow"},

		{"RootMayAll", rootOne, "", nil, "allow"},
		{"RootIgnoresIdentityDeny", rootOne, "", []string{"identity: " + denyAll, "boundary"}, "allow"}, // userguide: identity policies do not bind root
		{"RootDeniedByBucket", rootOne, "", []string{"bucket: " + forPrincipal("Deny", star)}, "!resource-based policy"},
		{"RootDeniedAsAccount", rootOne, "", []string{"bucket: " + forPrincipal("Deny", account)}, "!resource-based policy"},
		{"RootElsewhere", rootOne, "222222222222", nil, "resource-based policy"},
		{"RootElsewhereNamed", rootOne, "222222222222", []string{"bucket: " + forPrincipal("Allow", account)}, "allow"},
		{"RootTaskPolicy", rootOne, "", []string{"session: " + allowEC2}, "session policy"}, // userguide: sts:AssumeRoot

		{"CrossBoth", userAna, "222222222222", []string{"identity: " + allowAll, "bucket: " + forPrincipal("Allow", account)}, "allow"},
		{"CrossIdentityOnly", userAna, "222222222222", []string{"identity: " + allowAll}, "resource-based policy"},
		{"CrossResourceOnly", userAna, "222222222222", []string{"bucket: " + forPrincipal("Allow", ana)}, "identity-based policy"},
		{"CrossEveryoneOnly", userAna, "222222222222", []string{"bucket: " + forPrincipal("Allow", star)}, "identity-based policy"},
		{"CrossBoundary", roleDev, "222222222222", []string{"identity: " + allowAll, "bucket: " + forPrincipal("Allow", session), "boundary"}, "permissions boundary"},
		{"CrossSession", roleDev, "222222222222", []string{"identity: " + allowAll, "bucket: " + forPrincipal("Allow", session), "session: " + allowEC2}, "session policy"},
		{"CrossWrongAccount", userAna, "222222222222", []string{"identity: " + allowAll, "bucket: " + forPrincipal("Allow", other)}, "resource-based policy"},

		{"AnonymousNothing", nobody, "222222222222", nil, "resource-based policy"},
		{"AnonymousStar", nobody, "222222222222", []string{"bucket: " + forPrincipal("Allow", star)}, "allow"},
		{"AnonymousAwsStar", nobody, "222222222222", []string{"bucket: " + forPrincipal("Allow", awsStar)}, "allow"},
		{"AnonymousNotInAccount", nobody, "111111111111", []string{"bucket: " + forPrincipal("Allow", account)}, "resource-based policy"},
		{"AnonymousHasNoIdentity", nobody, "", []string{"identity: " + allowAll}, "resource-based policy"},
		{"AnonymousThroughEndpoint", nobody, "222222222222", []string{"bucket: " + forPrincipal("Allow", star), "endpoint: " + forPrincipal("Allow", star)}, "allow"},
		{"AnonymousStoppedByEndpoint", nobody, "222222222222", []string{"bucket: " + forPrincipal("Allow", star), "endpoint: " + forPrincipal("Allow", account)}, "VPC endpoint policy"},

		{"ServiceNamed", service, "", []string{"bucket: " + forPrincipal("Allow", `{"Service":"ssm.amazonaws.com"}`)}, "allow"},
		{"ServiceRegionalName", service, "", []string{"bucket: " + forPrincipal("Allow", `{"Service":["sns.amazonaws.com","ssm.us-east-1.amazonaws.com"]}`)}, "allow"},
		{"ServiceOther", service, "", []string{"bucket: " + forPrincipal("Allow", `{"Service":"ec2.amazonaws.com"}`)}, "resource-based policy"},
		{"ServiceIsNoUser", userAna, "", []string{"bucket: " + forPrincipal("Allow", `{"Service":"ssm.amazonaws.com"}`)}, "identity-based policy"},

		{"EndpointDefault", userAna, "", []string{"identity: " + allowAll, "endpoint: " + forPrincipal("Allow", star)}, "allow"},
		{"EndpointNeverGrants", userAna, "", []string{"endpoint: " + forPrincipal("Allow", star)}, "identity-based policy"},
		{"EndpointNeverGrantsElsewhere", userAna, "222222222222", []string{"identity: " + allowAll, "endpoint: " + forPrincipal("Allow", star)}, "resource-based policy"},
		{"EndpointOmits", userAna, "", []string{"identity: " + allowAll, `endpoint: {"Effect":"Allow","Principal":"*","Action":"ec2:*","Resource":"*"}`}, "VPC endpoint policy"},
		{"EndpointPresentButEmpty", userAna, "", []string{"identity: " + allowAll, "endpoint"}, "VPC endpoint policy"},
		{"EndpointDenies", userAna, "", []string{"identity: " + allowAll, "endpoint: " + forPrincipal("Allow", star) + "," + forPrincipal("Deny", ana)}, "!VPC endpoint policy"},
		{"EndpointStopsResourceGrant", userAna, "", []string{"bucket: " + forPrincipal("Allow", ana), "endpoint"}, "VPC endpoint policy"},
		{"EndpointBindsRoot", rootOne, "", []string{"endpoint"}, "VPC endpoint policy"},
		{"EndpointAccount", roleDev, "", []string{"identity: " + allowAll, "endpoint: " + forPrincipal("Allow", account)}, "allow"},
		{"EndpointRole", roleDev, "", []string{"identity: " + allowAll, "endpoint: " + forPrincipal("Allow", role)}, "allow"},
		{"EndpointOtherRole", roleDev, "", []string{"identity: " + allowAll, "endpoint: " + forPrincipal("Allow", `{"AWS":"arn:aws:iam::111111111111:role/dev"}`)}, "VPC endpoint policy"},
		{"GatewayStar", roleDev, "", []string{"identity: " + allowAll, "gateway: " + forPrincipal("Allow", star)}, "allow"},
		{"GatewayAccountIsRootOnly", roleDev, "", []string{"identity: " + allowAll, "gateway: " + forPrincipal("Allow", account)}, "VPC endpoint policy"},
		{"GatewayAccountRoot", rootOne, "", []string{"gateway: " + forPrincipal("Allow", account)}, "allow"},
		{"GatewayRoleNeverMatches", roleDev, "", []string{"identity: " + allowAll, "gateway: " + forPrincipal("Allow", role)}, "VPC endpoint policy"}, // guess

		// source: userguide (Systems Manager: endpoint policies and unsigned requests)
		{"NodeNeedsNoGrant", nodeOne, "", nil, "allow"},
		{"NodeThroughDefault", nodeOne, "", []string{"endpoint: " + forPrincipal("Allow", star)}, "allow"},
		{"NodeHasNoPrincipal", nodeOne, "", []string{"endpoint: " + forPrincipal("Allow", account)}, "VPC endpoint policy"},
		{"NodeDeniedByScp", nodeOne, "", []string{"scp: " + allowAll + "," + denyAll}, "!service control policy"},

		{"NotPrincipalOthers", userAna, "", []string{"identity: " + allowAll, "bucket: " + exceptPrincipal("arn:aws:iam::111111111111:user/bob", "111111111111")}, "!resource-based policy"},
		{"NotPrincipalUserAndAccount", userAna, "", []string{"identity: " + allowAll, "bucket: " + exceptPrincipal(userAna.ARN, "111111111111")}, "allow"},
		{"NotPrincipalUserOnly", userAna, "", []string{"identity: " + allowAll, "bucket: " + exceptPrincipal(userAna.ARN)}, "!resource-based policy"},
		{"NotPrincipalAccountOnly", userAna, "", []string{"identity: " + allowAll, "bucket: " + exceptPrincipal("111111111111")}, "!resource-based policy"},
		{"NotPrincipalAccountIsRoot", rootOne, "", []string{"bucket: " + exceptPrincipal("arn:aws:iam::111111111111:root")}, "allow"},
		{"NotPrincipalSessionRoleAccount", roleDev, "", []string{"identity: " + allowAll, "bucket: " + exceptPrincipal(roleDev.ARN, roleDev.RoleARN, "111111111111")}, "allow"},
		{"NotPrincipalRoleWithoutSession", roleDev, "", []string{"identity: " + allowAll, "bucket: " + exceptPrincipal(roleDev.RoleARN, "111111111111")}, "!resource-based policy"},
		{"NotPrincipalWithBoundary", userAna, "", []string{"identity: " + allowAll, "boundary: " + allowAll, "bucket: " + exceptPrincipal(userAna.ARN, "111111111111")}, "!resource-based policy"},
		{"NotPrincipalAnonymous", nobody, "", []string{"bucket: " + forPrincipal("Allow", star) + "," + exceptPrincipal("111111111111")}, "!resource-based policy"},

		{"CanonicalUser", userAna, "", []string{"bucket: " + forPrincipal("Allow", `{"CanonicalUser":"79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"}`)}, "identity-based policy"},

		{"TrustRequired", userAna, "", []string{assume, trust(other)}, "role trust policy"},
		{"TrustUserNeedsNoIdentity", userAna, "", []string{trust(ana)}, "allow"},
		{"TrustAccountDelegates", userAna, "", []string{trust(account)}, "identity-based policy"},
		{"TrustAccountAndIdentity", userAna, "", []string{assume, trust(account)}, "allow"},
		{"TrustCrossNeedsIdentity", userAna, "222222222222", []string{trust(ana)}, "identity-based policy"},
		{"TrustCrossBoth", userAna, "222222222222", []string{assume, trust(account)}, "allow"},
		{"TrustService", service, "", []string{trust(`{"Service":"ssm.amazonaws.com"}`)}, "allow"},
		{"TrustServiceOther", service, "", []string{trust(`{"Service":"ec2.amazonaws.com"}`)}, "role trust policy"},
		{"TrustFederated", oidc, "", []string{trust(`{"Federated":"arn:aws:iam::111111111111:oidc-provider/idp.example.com"}`)}, "allow"},
		{"TrustRoot", rootOne, "", []string{trust(account)}, "allow"},
		{"TrustRootUnnamed", rootOne, "", []string{trust(ana)}, "role trust policy"},
		{"TrustDeny", userAna, "", []string{assume, trust(ana) + `,{"Effect":"Deny","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}`}, "!role trust policy"},

		{"KeyDefaultDelegates", userAna, "", []string{"identity: " + allowAll, "key: " + forPrincipal("Allow", rootArn)}, "allow"},
		{"KeyDefaultAlone", userAna, "", []string{"key: " + forPrincipal("Allow", rootArn)}, "identity-based policy"},
		{"KeyWithoutDelegation", userAna, "", []string{"identity: " + allowAll, "key: " + forPrincipal("Allow", `{"AWS":"arn:aws:iam::111111111111:user/bob"}`)}, "resource-based policy"},
		{"KeyUser", userAna, "", []string{"key: " + forPrincipal("Allow", ana)}, "allow"},
		{"KeyRootUnnamed", rootOne, "", []string{"key: " + forPrincipal("Allow", ana)}, "resource-based policy"},
		{"KeyRootNamed", rootOne, "", []string{"key: " + forPrincipal("Allow", rootArn)}, "allow"},
		{"KeyCross", userAna, "222222222222", []string{"identity: " + allowAll, "key: " + forPrincipal("Allow", account)}, "allow"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k", Principal: tt.who, ResourceAccount: tt.account}
			if strings.HasPrefix(tt.name, "Trust") {
				req.Action, req.Resource = "sts:AssumeRole", "arn:aws:iam::111111111111:role/target"
			}
			d := Evaluate(&req, policies(t, tt.policies...))
			if got := outcome(d); got != tt.want {
				t.Errorf("got %q, want %q: %s", got, tt.want, d.Explain())
			}
			if d.Allowed == (d.Message(&req) != "") {
				t.Errorf("allowed %v with message %q", d.Allowed, d.Message(&req))
			}
		})
	}
}

// TestEvaluateActionsAndResources has what a statement is about.
// source: userguide (IAM: Action, NotAction, Resource, NotResource, policy variables, grammar), guess where marked
func TestEvaluateActionsAndResources(t *testing.T) {
	tests := []struct {
		name, statement  string
		action, resource string
		context          []string
		want             bool
	}{
		{"ActionCase", `"Action":"SSM:sendcommand","Resource":"*"`, "ssm:SendCommand", "*", nil, true},
		{"ActionPrefix", `"Action":"ssm:Get*","Resource":"*"`, "ssm:GetParameter", "*", nil, true},
		{"ActionMiddle", `"Action":"iam:*AccessKey*","Resource":"*"`, "iam:ListAccessKeys", "*", nil, true},
		{"ActionQuestion", `"Action":"ssm:GetParameter?","Resource":"*"`, "ssm:GetParameters", "*", nil, true},
		{"ActionQuestionNone", `"Action":"ssm:GetParameter?","Resource":"*"`, "ssm:GetParameter", "*", nil, false},
		{"ActionOtherService", `"Action":"ec2:*","Resource":"*"`, "ec2messages:GetMessages", "*", nil, false},
		{"ActionNoVariables", `"Action":"ssm:${a}","Resource":"*"`, "ssm:x", "*", []string{"a=x"}, false},
		{"NotAction", `"NotAction":["iam:*","sts:*"],"Resource":"*"`, "ssm:GetParameter", "*", nil, true},
		{"NotActionListed", `"NotAction":["iam:*","sts:*"],"Resource":"*"`, "sts:AssumeRole", "*", nil, false},
		{"ResourceExact", `"Action":"*","Resource":"arn:aws:iam::1:user/Bob"`, "iam:GetUser", "arn:aws:iam::1:user/Bob", nil, true},
		{"ResourceCase", `"Action":"*","Resource":"arn:aws:iam::1:user/Bob"`, "iam:GetUser", "arn:aws:iam::1:user/bob", nil, false},
		{"ResourceSlashes", `"Action":"*","Resource":"arn:aws:s3:::b/*/test/*"`, "s3:GetObject", "arn:aws:s3:::b/1/2/3/test/4/object.jpg", nil, true},
		{"ResourceSlashesEmpty", `"Action":"*","Resource":"arn:aws:s3:::b/*/test/*"`, "s3:GetObject", "arn:aws:s3:::b//test/object.jpg", nil, true},
		{"ResourceSlashesEnd", `"Action":"*","Resource":"arn:aws:s3:::b/*/test/*"`, "s3:GetObject", "arn:aws:s3:::b/1/test/", nil, true},
		{"ResourceSlashesDash", `"Action":"*","Resource":"arn:aws:s3:::b/*/test/*"`, "s3:GetObject", "arn:aws:s3:::b/1-test/object.jpg", nil, false},
		{"ResourceSlashesMissing", `"Action":"*","Resource":"arn:aws:s3:::b/*/test/*"`, "s3:GetObject", "arn:aws:s3:::b/test/object.jpg", nil, false},
		{"ResourceStarAtFieldEndCrosses", `"Action":"*","Resource":"arn:aws:ssm:*:parameter/x:*"`, "ssm:GetParameter", "arn:aws:ssm:us-east-1:1:parameter/x:3", nil, true},
		{"ResourceStarInsideFieldStays", `"Action":"*","Resource":"arn:aws:ssm:us-*-1:111111111111:parameter/x"`, "ssm:GetParameter", "arn:aws:ssm:us-east-1:111111111111:parameter/x", nil, true},
		{"ResourceStarInsideFieldDoesNotCross", `"Action":"*","Resource":"arn:aws:sns:us-*-1:111111111111:t"`, "sns:Publish", "arn:aws:sns:us-east-2:222222222222:a-1:111111111111:t", nil, false},
		{"ResourceQuestionDoesNotCross", `"Action":"*","Resource":"arn:aws:sns:us-east-1?*:t"`, "sns:Publish", "arn:aws:sns:us-east-1:222222222222:t", nil, false},
		{"ResourceStarAfterFifthColonHoldsColons", `"Action":"*","Resource":"arn:aws:logs:*:*:log-group:/aws/*/x"`, "logs:PutLogEvents", "arn:aws:logs:eu-west-1:1:log-group:/aws/a:b/x", nil, true},
		{"ResourceIncomplete", `"Action":"*","Resource":"arn:aws:sqs"`, "sqs:SendMessage", "arn:aws:sqs:us-east-1:1:q", nil, true},
		{"ResourceIncompleteOther", `"Action":"*","Resource":"arn:aws:sqs"`, "sns:Publish", "arn:aws:sns:us-east-1:1:q", nil, false},
		{"ResourceUnicode", `"Action":"*","Resource":"arn:aws:s3:::b/?"`, "s3:GetObject", "arn:aws:s3:::b/é", nil, true}, // guess
		{"ResourceStarOnly", `"Action":"*","Resource":"arn:aws:ssm:us-east-1:1:*"`, "ssmmessages:CreateControlChannel", "*", nil, false},
		{"ResourceVariable", `"Action":"*","Resource":"arn:aws:s3:::b-${aws:PrincipalTag/team}/*"`, "s3:GetObject", "arn:aws:s3:::b-red/k", []string{"aws:PrincipalTag/team=red"}, true},
		{"ResourceVariableMissing", `"Action":"*","Resource":"arn:aws:s3:::b-${aws:PrincipalTag/team}/*"`, "s3:GetObject", "arn:aws:s3:::b-/k", nil, false},
		{"ResourceVariableDefault", `"Action":"*","Resource":"arn:aws:s3:::b-${aws:PrincipalTag/team, 'company-wide'}"`, "s3:ListBucket", "arn:aws:s3:::b-company-wide", nil, true},
		{"ResourceVariableNoWildcard", `"Action":"*","Resource":"arn:aws:s3:::b/${aws:username}/*"`, "s3:GetObject", "arn:aws:s3:::b/mary/k", []string{"aws:username=*"}, false},
		{"ResourceVariableBeforeFifthColon", `"Action":"*","Resource":"arn:aws:ssm:*:${aws:PrincipalAccount}:parameter/x"`, "ssm:GetParameter", "arn:aws:ssm:r:1:parameter/x", []string{"aws:PrincipalAccount=1"}, false},
		{"ResourceManyVariables", `"Action":"*","Resource":"arn:aws:s3:::b/${a:a}${a:b}${a:c}${a:d}${a:e}*${a:f}"`, "s3:GetObject", "arn:aws:s3:::b/12345xx6", []string{"a:a=1", "a:b=2", "a:c=3", "a:d=4", "a:e=5", "a:f=6"}, true},
		{"NotResource", `"Action":"*","NotResource":["arn:aws:s3:::HR","arn:aws:s3:::HR/*"]`, "s3:GetObject", "arn:aws:s3:::b/k", nil, true},
		{"NotResourceListed", `"Action":"*","NotResource":["arn:aws:s3:::HR","arn:aws:s3:::HR/*"]`, "s3:GetObject", "arn:aws:s3:::HR/k", nil, false},
		{"NotResourceVariableMissing", `"Action":"*","NotResource":"arn:aws:s3:::b/${aws:username}"`, "s3:GetObject", "arn:aws:s3:::b/k", nil, true},
		{"NotResourceStar", `"Action":"*","NotResource":"*"`, "s3:GetObject", "arn:aws:s3:::b/k", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := Request{Action: tt.action, Resource: tt.resource, Principal: userAna, Context: contextOf(tt.context...)}
			d := Evaluate(&req, policies(t, `identity: {"Effect":"Allow",`+tt.statement+`}`))
			if d.Allowed != tt.want {
				t.Errorf("allowed = %v, want %v: %s", d.Allowed, tt.want, d.Explain())
			}
		})
	}
}

// TestEvaluateIndexed asks the same of large policies with their indexes and without.
func TestEvaluateIndexed(t *testing.T) {
	actions := []string{"ssm:GetParameter", "SSM:Put*", "s3:*", "EC2:Describe*", "ec2messages:GetMessages", "kms:Decrypt", "*:Tag*", "logs:P?tLogEvents", "iam:PassRole", "sts:AssumeRole", "sqs:S*"}
	requests := []string{"ssm:GetParameter", "SSM:putparameter", "s3:GetObject", "ec2:DescribeInstances", "ec2messages:GetMessages", "logs:PutLogEvents", "iam:PassRole", "iam:TagRole", "unknown:TagX", "unknown:X", "nocolon", ""}
	list, _ := json.Marshal(actions)
	var statements []string
	for i, a := range actions {
		effect := "Allow"
		if i%4 == 3 {
			effect = "Deny"
		}
		statements = append(statements, `{"Effect":"`+effect+`","Action":"`+a+`","Resource":"*"}`)
	}
	statements = append(statements, `{"Effect":"Allow","NotAction":["s3:*","unknown:*"],"Resource":"*"}`)
	for _, doc := range []string{
		strings.Join(statements, ","),
		`{"Effect":"Allow","Action":` + string(list) + `,"Resource":"*"}`,
		`{"Effect":"Allow","NotAction":` + string(list) + `,"Resource":"*"}`,
	} {
		indexed, plain := policies(t, "identity: "+doc), policies(t, "identity: "+doc)
		p := plain.Identity[0].Policy
		if indexed.Identity[0].byService == nil && indexed.Identity[0].statements[0].actionIndex == nil {
			t.Fatalf("not indexed: %s", doc)
		}
		p.byService = nil
		for i := range p.statements {
			p.statements[i].actionIndex = nil
		}
		for _, action := range requests {
			req := Request{Action: action, Resource: "*", Principal: userAna}
			if got, want := Evaluate(&req, indexed).Explain(), Evaluate(&req, plain).Explain(); got != want {
				t.Errorf("%q: indexed %s, plain %s", action, got, want)
			}
		}
	}
}

// TestDecisionMessage has AWS's words.
// source: userguide (access denied messages) for the forms; aws for the quoted S3 resource, the left-out "*", the message of
// a node stopped by an endpoint policy, KMS, and "anonymous"
func TestDecisionMessage(t *testing.T) {
	node := Principal{Type: AssumedRole, ARN: "arn:aws:sts::123456789012:assumed-role/SSMActivationServiceRole/mi-05f208d396178669e", Account: "123456789012"}
	john := Principal{Type: User, ARN: "arn:aws:iam::123456789012:user/John", Account: "123456789012"}
	const (
		on  = "arn:aws:codedeploy:us-east-1:123456789012:deploymentgroup:*"
		ssm = "arn:aws:ssm:ap-northeast-1:123456789012:managed-instance/mi-05f208d396178669e"
	)
	all := `{"Effect":"Allow","Action":"*","Resource":"*"}`
	deny := `{"Effect":"Deny","Action":"*","Resource":"*"}`
	tests := []struct {
		name             string
		who              Principal
		action, resource string
		policies         []string
		rename           string // the name of every policy
		want             string
	}{
		{"Scp", john, "codecommit:ListRepositories", "*", []string{"scp"}, "", "User: arn:aws:iam::123456789012:user/John is not authorized to perform: codecommit:ListRepositories because no service control policy allows the codecommit:ListRepositories action"},
		{"ScpDeny", john, "codecommit:ListRepositories", "*", []string{"scp: " + deny}, "", "User: arn:aws:iam::123456789012:user/John is not authorized to perform: codecommit:ListRepositories with an explicit deny in a service control policy"},
		{"ScpDenyArn", john, "codecommit:ListRepositories", "*", []string{"scp: " + deny}, "arn:aws:organizations::777788889999:policy/o-exampleorgid/service_control_policy/p-examplepolicyid123", "User: arn:aws:iam::123456789012:user/John is not authorized to perform: codecommit:ListRepositories with an explicit deny in a service control policy: arn:aws:organizations::777788889999:policy/o-exampleorgid/service_control_policy/p-examplepolicyid123"},
		{"Endpoint", node, "ssm:UpdateInstanceInformation", ssm, []string{"identity: " + all, "endpoint"}, "", "User: arn:aws:sts::123456789012:assumed-role/SSMActivationServiceRole/mi-05f208d396178669e is not authorized to perform: ssm:UpdateInstanceInformation on resource: " + ssm + " because no VPC endpoint policy allows the ssm:UpdateInstanceInformation action"},
		{"EndpointDeny", john, "codedeploy:ListDeployments", on, []string{`endpoint: {"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}`}, "arn:aws:ec2:us-east-1:123456789012:vpc-endpoint/vpce-1", "User: arn:aws:iam::123456789012:user/John is not authorized to perform: codedeploy:ListDeployments on resource: " + on + " with an explicit deny in a VPC endpoint policy"},
		{"Boundary", john, "codedeploy:ListDeployments", on, []string{"identity: " + all, "boundary"}, "", "User: arn:aws:iam::123456789012:user/John is not authorized to perform: codedeploy:ListDeployments on resource: " + on + " because no permissions boundary allows the codedeploy:ListDeployments action"},
		{"BoundaryDenyArn", john, "sagemaker:ListModels", "*", []string{"boundary: " + deny}, "arn:aws:iam::123456789012:policy/DeveloperPermissionBoundary", "User: arn:aws:iam::123456789012:user/John is not authorized to perform: sagemaker:ListModels with an explicit deny in a permissions boundary: arn:aws:iam::123456789012:policy/DeveloperPermissionBoundary"},
		{"Session", node, "codecommit:ListRepositories", "*", []string{"identity: " + all, "session: " + allowEC2}, "", "User: " + node.ARN + " is not authorized to perform: codecommit:ListRepositories because no session policy allows the codecommit:ListRepositories action"},
		{"SessionDeny", node, "codedeploy:ListDeployments", on, []string{"session: " + deny}, "inline", "User: " + node.ARN + " is not authorized to perform: codedeploy:ListDeployments on resource: " + on + " with an explicit deny in a session policy"},
		{"Identity", john, "codecommit:ListRepositories", "", nil, "", "User: arn:aws:iam::123456789012:user/John is not authorized to perform: codecommit:ListRepositories because no identity-based policy allows the codecommit:ListRepositories action"},
		{"IdentityDeny", john, "codedeploy:ListDeployments", on, []string{"identity: " + deny}, "", "User: arn:aws:iam::123456789012:user/John is not authorized to perform: codedeploy:ListDeployments on resource: " + on + " with an explicit deny in an identity-based policy"},
		{"IdentityDenyArn", john, "codedeploy:ListDeployments", on, []string{"identity: " + deny}, "arn:aws:iam::123456789012:policy/HRAccessPolicy", "User: arn:aws:iam::123456789012:user/John is not authorized to perform: codedeploy:ListDeployments on resource: " + on + " with an explicit deny in an identity-based policy: arn:aws:iam::123456789012:policy/HRAccessPolicy"},
		{"S3Quotes", node, "s3:GetObject", "arn:aws:s3:::b/k", nil, "", "User: " + node.ARN + ` is not authorized to perform: s3:GetObject on resource: "arn:aws:s3:::b/k" because no identity-based policy allows the s3:GetObject action`},
		{"ResourceDeny", john, "kms:Decrypt", "arn:aws:kms:us-east-1:123456789012:key/k", []string{`key: {"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}`}, "arn:aws:kms:us-east-1:123456789012:key/k", "User: arn:aws:iam::123456789012:user/John is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:us-east-1:123456789012:key/k with an explicit deny in a resource-based policy"},
		{"Key", john, "kms:DescribeKey", "arn:aws:kms:us-east-1:123456789012:key/k", []string{"identity: " + all, `key: {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:user/other"},"Action":"kms:*","Resource":"*"}`}, "", "User: arn:aws:iam::123456789012:user/John is not authorized to perform: kms:DescribeKey on resource: arn:aws:kms:us-east-1:123456789012:key/k because no resource-based policy allows the kms:DescribeKey action"},
		{"Anonymous", Principal{}, "es:ESHttpGet", "", nil, "", "User: anonymous is not authorized to perform: es:ESHttpGet because no resource-based policy allows the es:ESHttpGet action"},
		{"Trust", john, "sts:AssumeRole", "", []string{"identity: " + all, `trust: {"Effect":"Allow","Principal":{"AWS":"222222222222"},"Action":"sts:AssumeRole"}`}, "", "User: arn:aws:iam::123456789012:user/John is not authorized to perform: sts:AssumeRole because no role trust policy allows the sts:AssumeRole action"},
		{"TrustDeny", john, "sts:AssumeRole", "", []string{`trust: {"Effect":"Deny","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}`}, "", "User: arn:aws:iam::123456789012:user/John is not authorized to perform: sts:AssumeRole with an explicit deny in the role trust policy"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := policies(t, tt.policies...)
			for _, list := range [][]Attached{p.Identity, p.Boundary.Policies, p.Session.Policies, p.Endpoint.Policies, p.Resource} {
				for i := range list {
					list[i].Name = tt.rename
				}
			}
			for i := range p.SCP {
				for j := range p.SCP[i].Policies {
					p.SCP[i].Policies[j].Name = tt.rename
				}
			}
			req := Request{Action: tt.action, Resource: tt.resource, Principal: tt.who}
			if diff := cmp.Diff(tt.want, Evaluate(&req, p).Message(&req)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestDecisionExplain has our own words for people; there is no AWS text to match.
func TestDecisionExplain(t *testing.T) {
	tests := []struct {
		name     string
		who      Principal
		context  []string
		policies []string
		want     string
	}{
		{"Allow", userAna, nil, []string{"identity: " + allowAll}, `Statement #1 of the identity-based policy identity allows s3:GetObject on arn:aws:s3:::b/k.`},
		{"Root", rootOne, nil, nil, `arn:aws:iam::111111111111:root may do everything in its account.`},
		{"Node", nodeOne, nil, nil, `anonymous needs no grant for s3:GetObject, and nothing denies it.`},
		{"NoStatement", userAna, nil, nil, `No identity-based policy has a statement that allows s3:GetObject on arn:aws:s3:::b/k for arn:aws:iam::111111111111:user/ana; add one.`},
		{"Deny", userAna, nil, []string{"identity: " + denyAll}, `Statement #1 of the identity-based policy identity denies s3:GetObject on arn:aws:s3:::b/k, and a deny overrides every allow.`},
		{"DenyCondition", userAna, nil, []string{"identity: " + allowAll, `bucket: {"Sid":"Perimeter","Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"StringNotEquals":{"aws:SourceVpce":"vpce-1"}}}`},
			`Statement Perimeter of the resource-based policy bucket denies s3:GetObject on arn:aws:s3:::b/k because the request has no aws:SourceVpce and the condition is StringNotEquals aws:SourceVpce "vpce-1". A deny overrides every allow.`},
		{"MissingKey", nobody, nil, []string{"bucket: " + forPrincipal("Allow", `"*"`), `endpoint: {"Sid":"MyOrg","Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}}`},
			`No VPC endpoint policy allows s3:GetObject on arn:aws:s3:::b/k for anonymous. Statement MyOrg of the VPC endpoint policy endpoint would, but it asks for StringEquals aws:PrincipalOrgID "o-1" and the request has no aws:PrincipalOrgID.`},
		{"OtherValue", userAna, []string{"aws:SourceVpc=vpc-2"}, []string{`identity: {"Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s3:::other/*"},{"Sid":"Vpc","Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringEquals":{"aws:SourceVpc":["vpc-1","vpc-3"]}}}`},
			`No identity-based policy allows s3:GetObject on arn:aws:s3:::b/k for arn:aws:iam::111111111111:user/ana. Statement Vpc of the identity-based policy identity would, but it asks for StringEquals aws:SourceVpc "vpc-1" or "vpc-3" and the request has aws:SourceVpc "vpc-2".`},
		{"OtherResource", userAna, nil, []string{`identity: {"Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s3:::other/*"}`},
			`No identity-based policy allows s3:GetObject on arn:aws:s3:::b/k for arn:aws:iam::111111111111:user/ana. Statement #1 of the identity-based policy identity would, but it is about arn:aws:s3:::other/*.`},
		{"NotResource", userAna, nil, []string{`identity: {"Effect":"Allow","Action":"s3:Get*","NotResource":"arn:aws:s3:::b/*"}`},
			`No identity-based policy allows s3:GetObject on arn:aws:s3:::b/k for arn:aws:iam::111111111111:user/ana. Statement #1 of the identity-based policy identity would, but it leaves out arn:aws:s3:::b/*.`},
		{"OtherPrincipal", roleDev, nil, []string{"identity: " + allowAll, "endpoint: " + forPrincipal("Allow", `{"AWS":"arn:aws:iam::111111111111:role/other"}`)},
			`No VPC endpoint policy allows s3:GetObject on arn:aws:s3:::b/k for arn:aws:sts::111111111111:assumed-role/dev/s1. Statement #1 of the VPC endpoint policy endpoint would, but it is for arn:aws:iam::111111111111:role/other.`},
		{"SecondLevel", userAna, nil, []string{"scp: " + allowAll, "scp: " + allowEC2, "identity: " + allowAll}, `No service control policy has a statement that allows s3:GetObject on arn:aws:s3:::b/k for arn:aws:iam::111111111111:user/ana; add one.`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k", Principal: tt.who, Context: contextOf(tt.context...)}
			if diff := cmp.Diff(tt.want, Evaluate(&req, policies(t, tt.policies...)).Explain()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestDecisionMissing carries the same as data.
func TestDecisionMissing(t *testing.T) {
	req := Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k", Principal: userAna, Context: contextOf("a:x=1")}
	d := Evaluate(&req, policies(t, `identity: {"Sid":"S","Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/*","Condition":{"StringEquals":{"a:x":"2","a:y":"3"}}}`))
	want := []Reason{
		{Policy: "identity", Statement: "S", Element: "Condition", Operator: "StringEquals", Key: "a:x", Want: []string{"2"}, Have: []string{"1"}},
		{Policy: "identity", Statement: "S", Element: "Condition", Operator: "StringEquals", Key: "a:y", Want: []string{"3"}},
	}
	if diff := cmp.Diff(want, d.Missing); diff != "" {
		t.Error(diff)
	}
}
