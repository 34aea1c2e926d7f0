package wire

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/vennel/vennel/api"
)

// TestConstraintWords breaks one constraint of each kind, and some at once. source: aws for the words
// and their order, model for the constraints
func TestConstraintWords(t *testing.T) {
	const (
		one     = "1 validation error detected: "
		tags    = `^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$`
		logTags = `^([\p{L}\p{Z}\p{N}_.:/=+\-@]+)$`
		ids     = `(^i-(\w{8}|\w{17})$)|(^mi-\w{17}$)`
	)
	long := strings.Repeat("x", 2049)
	for _, c := range []struct{ name, service, operation, body, want string }{
		{
			"required", "ssm", "GetParameter", `{}`,
			one + "Value null at 'name' failed to satisfy constraint: Member must not be null",
		},
		{
			"required but null", "ssm", "GetParameter", `{"Name":null}`,
			one + "Value null at 'name' failed to satisfy constraint: Member must not be null",
		},
		{
			"required in an item of a list", "ssm", "CreateActivation", `{"IamRole":"r","Tags":[{"Key":"a","Value":"b"},{"Value":"b"}]}`,
			one + "Value null at 'tags.2.member.key' failed to satisfy constraint: Member must not be null",
		},
		{
			"too short a string", "ssm", "GetParameter", `{"Name":""}`,
			one + "Value '' at 'name' failed to satisfy constraint: Member must have length greater than or equal to 1",
		},
		{
			"too long a string", "ssm", "PutParameter", `{"Name":"` + long + `","Value":"v"}`,
			one + "Value '" + long + "' at 'name' failed to satisfy constraint: Member must have length less than or equal to 2048",
		},
		{
			"characters are counted, not bytes", "ssm", "PutParameter", `{"Name":"` + strings.Repeat("é", 2048) + `","Value":"v"}`, "",
		},
		{
			"nor UTF-16 units", "ssm", "PutParameter", `{"Name":"` + strings.Repeat("😀", 2048) + `","Value":"v"}`, "",
		},
		{
			"too small a number", "ssm", "SendCommand", `{"DocumentName":"AWS-RunShellScript","TimeoutSeconds":29}`,
			one + "Value '29' at 'timeoutSeconds' failed to satisfy constraint: Member must have value greater than or equal to 30",
		},
		{
			"too large a number", "ssm", "SendCommand", `{"DocumentName":"AWS-RunShellScript","TimeoutSeconds":2592001}`,
			one + "Value '2592001' at 'timeoutSeconds' failed to satisfy constraint: Member must have value less than or equal to 2592000",
		},
		{
			"numbers beyond an int are the largest int", "ssm", "SendCommand", `{"DocumentName":"AWS-RunShellScript","TimeoutSeconds":99999999999}`,
			one + "Value '2147483647' at 'timeoutSeconds' failed to satisfy constraint: Member must have value less than or equal to 2592000",
		},
		{
			"pattern", "sts", "AssumeRole", `{"RoleArn":"arn:aws:iam::123456789012:role/r","RoleSessionName":"bad/name"}`,
			one + `Value 'bad/name' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]*`,
		},
		{
			"pattern before length", "iam", "CreateUser", `{"UserName":""}`,
			`2 validation errors detected: Value '' at 'userName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]+; ` +
				"Value '' at 'userName' failed to satisfy constraint: Member must have length greater than or equal to 1",
		},
		{
			"pattern with Java's escapes", "sts", "AssumeRole", `{"RoleArn":"` + strings.Repeat("😀", 20) + `","RoleSessionName":"ab"}`,
			one + "Value '" + strings.Repeat("😀", 20) + "' at 'roleArn' failed to satisfy constraint: Member must satisfy regular expression pattern: " +
				`[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]+`,
		},
		{
			"pattern that looks ahead", "ssm", "CreateOpsItem", `{"Description":"d","Source":"s","Title":"   "}`,
			one + `Value '   ' at 'title' failed to satisfy constraint: Member must satisfy regular expression pattern: ^(?!\s*$).+`,
		},
		{
			"another that looks ahead", "iam", "CreateAccountAlias", `{"AccountAlias":"a--b"}`,
			one + `Value 'a--b' at 'accountAlias' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$`,
		},
		{
			"enumeration", "ssm", "AddTagsToResource", `{"ResourceType":"Toaster","ResourceId":"r","Tags":[]}`,
			one + "Value 'Toaster' at 'resourceType' failed to satisfy constraint: Member must satisfy enum value set: " +
				"[Document, ManagedInstance, MaintenanceWindow, Parameter, PatchBaseline, OpsItem, OpsMetadata, Automation, Association]",
		},
		{
			"too short a list", "ssm", "GetParameters", `{"Names":[]}`,
			one + "Value '[]' at 'names' failed to satisfy constraint: Member must have length greater than or equal to 1",
		},
		{
			"too long a list", "ssm", "GetParameters", `{"Names":["a","b","c","d","e","f","g","h","i","j","k"]}`,
			one + "Value '[a, b, c, d, e, f, g, h, i, j, k]' at 'names' failed to satisfy constraint: Member must have length less than or equal to 10",
		},
		{
			"items of a list", "ssm", "SendCommand", `{"DocumentName":"AWS-RunShellScript","InstanceIds":["i-12345678","x","y"]}`,
			one + "Value '[i-12345678, x, y]' at 'instanceIds' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy regular expression pattern: " + ids + "]",
		},
		{
			"items of a list, with all their constraints", "ssm", "GetParameters", `{"Names":["a",""]}`,
			one + "Value '[a, ]' at 'names' failed to satisfy constraint: Member must satisfy constraint: " +
				"[Member must have length less than or equal to 2048, Member must have length greater than or equal to 1]",
		},
		{
			"a list in an item of a list", "ssm", "SendCommand", `{"DocumentName":"AWS-RunShellScript","Targets":[{"Key":"k","Values":[` + strings.Repeat(`"v",`, 50) + `"v"]}]}`,
			one + "Value '[" + strings.Repeat("v, ", 50) + "v]' at 'targets.1.member.values' failed to satisfy constraint: Member must have length less than or equal to 50",
		},
		{
			"too small a map", "logs", "TagLogGroup", `{"logGroupName":"g","tags":{}}`,
			one + "Value '{}' at 'tags' failed to satisfy constraint: Member must have length greater than or equal to 1",
		},
		{
			"keys of a map", "logs", "TagLogGroup", `{"logGroupName":"g","tags":{"a":"1","b!":"2"}}`,
			one + "Value '{a=1, b!=2}' at 'tags' failed to satisfy constraint: Map keys must satisfy constraint: " +
				"[Member must have length less than or equal to 128, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: " + logTags + "]",
		},
		{
			"values of a map", "logs", "TagLogGroup", `{"logGroupName":"g","tags":{"a":"1!","b":"2"}}`,
			one + "Value '{a=1!, b=2}' at 'tags' failed to satisfy constraint: Map value must satisfy constraint: " +
				"[Member must have length less than or equal to 256, Member must satisfy regular expression pattern: " + tags + "]",
		},
		{
			"lists in a map", "ssm", "StartAutomationExecution", `{"DocumentName":"AWS-StopEC2Instance","Parameters":{"a":[` + strings.Repeat(`"v",`, 50) + `"v"]}}`,
			one + "Value '{a=[" + strings.Repeat("v, ", 50) + "v]}' at 'parameters' failed to satisfy constraint: Map value must satisfy constraint: " +
				"[Member must have length less than or equal to 50, Member must have length greater than or equal to 0, Member must satisfy constraint: " +
				"[Member must have length less than or equal to 512, Member must have length greater than or equal to 1]]",
		},
		{
			"too short a blob", "kms", "Decrypt", `{"CiphertextBlob":""}`,
			one + "Value 'java.nio.HeapByteBuffer[pos=0 lim=0 cap=0]' at 'ciphertextBlob' failed to satisfy constraint: Member must have length greater than or equal to 1",
		},
		{
			"a sensitive blob", "kms", "Encrypt", `{"KeyId":"k","Plaintext":""}`,
			one + "Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1",
		},
		{
			"a sensitive string", "iam", "CreateLoginProfile", `{"UserName":"u","Password":"snow☃"}`,
			one + `Value at 'password' failed to satisfy constraint: Member must satisfy regular expression pattern: [\u0009\u000A\u000D\u0020-\u00FF]+`,
		},
		{
			"several, in the order of the request, and then what is missing", "ssm", "AddTagsToResource",
			`{"Tags":[{"Key":"","Value":"v!"}],"ResourceType":"x"}`,
			"4 validation errors detected: Value '' at 'tags.1.member.key' failed to satisfy constraint: Member must have length greater than or equal to 1; " +
				"Value 'v!' at 'tags.1.member.value' failed to satisfy constraint: Member must satisfy regular expression pattern: " + tags + "; " +
				"Value 'x' at 'resourceType' failed to satisfy constraint: Member must satisfy enum value set: " +
				"[Document, ManagedInstance, MaintenanceWindow, Parameter, PatchBaseline, OpsItem, OpsMetadata, Automation, Association]; " +
				"Value null at 'resourceId' failed to satisfy constraint: Member must not be null",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := decodeAs(t, c.service, c.operation, c.body)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			e, ok := errors.AsType[*api.Error](err)
			if !ok || e.Reason != api.Invalid || e.Message != c.want {
				t.Errorf("got  %v\nwant Invalid: %s", err, c.want)
			}
		})
	}
}

// TestConstraintsOfOptionalValues holds that what is absent breaks nothing.
func TestConstraintsOfOptionalValues(t *testing.T) {
	for _, body := range []string{`{"DocumentName":"AWS-RunShellScript"}`, `{"DocumentName":"AWS-RunShellScript","TimeoutSeconds":null,"InstanceIds":null,"Targets":null}`} {
		if _, err := decodeAs(t, "ssm", "SendCommand", body); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// TestConstraintAnswersAreBounded sends values that are long, many and deep; the answer repeats a
// part of them.
func TestConstraintAnswersAreBounded(t *testing.T) {
	many := make([]string, 5000)
	for i := range many {
		many[i] = `{"Key":"!","Value":"` + strings.Repeat("!", 100) + `"}`
	}
	items := make([]string, 100000)
	for i := range items {
		items[i] = fmt.Sprintf(`"%d!"`, i)
	}
	for name, body := range map[string]string{
		"one long value":         `{"IamRole":"` + strings.Repeat("é!", 500000) + `"}`,
		"one long list":          `{"IamRole":"r","Tags":[` + strings.Join(many, ",") + `]}`,
		"a long value in a list": `{"IamRole":"r","RegistrationMetadata":[{"Key":"` + strings.Repeat(" ", 500000) + `","Value":"` + strings.Repeat("x", 500000) + `"}]}`,
	} {
		_, err := decodeAs(t, "ssm", "CreateActivation", body)
		if e, ok := errors.AsType[*api.Error](err); !ok || e.Reason != api.Invalid || len(e.Message) > mostViolations*(mostShown+1000) {
			t.Errorf("%s: %.200v, in all %d bytes", name, err, len(fmt.Sprint(err)))
		}
	}
	_, err := decodeAs(t, "ssm", "SendCommand", `{"DocumentName":"AWS-RunShellScript","InstanceIds":[`+strings.Join(items, ",")+`]}`)
	if e, ok := errors.AsType[*api.Error](err); !ok || !strings.HasPrefix(e.Message, "2 validation errors detected: Value '[0!, 1!, 2!") || len(e.Message) > 3*mostShown {
		t.Errorf("a list of scalars: %.200v, in all %d bytes", err, len(fmt.Sprint(err)))
	}
}

// TestConstraintsOfEC2 holds that EC2 refuses only what is absent, and that alone. source: aws
func TestConstraintsOfEC2(t *testing.T) {
	w := newWorld(t, nil)
	for body, want := range map[string]string{
		"Action=CreateSubnet&CidrBlock=10.0.0.0/24": "<Code>MissingParameter</Code><Message>The request must contain the parameter vpcId</Message>",
		"Action=CreateVpcEndpoint":                  "<Code>MissingParameter</Code><Message>The request must contain the parameter vpcId</Message>",
		// An enumeration and a bound that the operation itself must word: it is reached, and not built.
		"Action=CreateVpc&CidrBlock=x&InstanceTenancy=nonsense": "<Code>InvalidAction</Code>",
		"Action=DescribeVpcs&MaxResults=1":                      "<Code>InvalidAction</Code>",
	} {
		if rec := w.do(signed(formRequest("ec2", body), "ec2")); !strings.Contains(rec.Body.String(), want) {
			t.Errorf("%s: %d %s", body, rec.Code, rec.Body)
		}
	}
}
