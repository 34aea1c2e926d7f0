package policy

import "testing"

// TestEvaluateFieldCases has the policies with which people protect Systems Manager behind endpoints, and who passes.
// source: userguide (Systems Manager: endpoint policies and hybrid nodes, data perimeters; S3: policies for endpoints;
// IAM: global condition keys, for what anonymous requests carry)
func TestEvaluateFieldCases(t *testing.T) {
	const (
		ownOrg = `endpoint: {"Sid":"MyOrg","Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}}`
		hybrid = `endpoint: {"Sid":"MyNodes","Effect":"Allow","Principal":"*","Action":["ssm:RegisterManagedInstance","ssm:RequestManagedInstanceRoleToken","ssm:UpdateManagedInstancePublicKey"],"Resource":"*","Condition":{"StringEquals":{"ssm:NodeOrgId":"o-1"}}}`
		agent  = `identity: {"Effect":"Allow","Action":["ssm:*","ssmmessages:*","ec2messages:*","s3:*"],"Resource":"*"}`
		public = `bucket: {"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::patch-baseline-snapshot-eu-west-1/*"}`
		object = "arn:aws:s3:::patch-baseline-snapshot-eu-west-1/x"
	)
	inOrg := []string{"aws:PrincipalOrgID=o-1", "aws:PrincipalAccount=111111111111", "aws:SourceVpc=vpc-1", "aws:SourceVpce=vpce-1", "aws:ResourceOrgID=o-1"}
	unsigned := []string{"aws:PrincipalAccount=anonymous", "aws:SourceVpc=vpc-1", "aws:SourceVpce=vpce-1"}
	tests := []struct {
		name             string
		who              Principal
		action, resource string
		account          string
		context          []string
		policies         []string
		want             string
	}{
		{"OwnOrgAgent", roleDev, "ssm:UpdateInstanceInformation", "*", "", inOrg, []string{agent, ownOrg}, "allow"},
		{"OwnOrgRegistration", nodeOne, "ssm:RegisterManagedInstance", "*", "", append([]string{"ssm:NodeOrgId=o-1"}, unsigned...), []string{ownOrg}, "VPC endpoint policy"},
		{"OwnOrgRegistrationExcepted", nodeOne, "ssm:RegisterManagedInstance", "*", "", append([]string{"ssm:NodeOrgId=o-1"}, unsigned...), []string{ownOrg, hybrid}, "allow"},
		{"OtherOrgRegistration", nodeOne, "ssm:RegisterManagedInstance", "*", "", append([]string{"ssm:NodeOrgId=o-2"}, unsigned...), []string{ownOrg, hybrid}, "VPC endpoint policy"},
		{"OwnAccountUnsignedGet", nobody, "s3:GetObject", object, "222222222222", unsigned, []string{public, `gateway: {"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalAccount":"111111111111"}}}`}, "VPC endpoint policy"},
		{"ResourceOrgManagedBucket", roleDev, "s3:GetObject", object, "222222222222", []string{"aws:ResourceOrgID=o-aws"}, []string{agent, public, `gateway: {"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceOrgID":"o-1"}}}`}, "VPC endpoint policy"},
		{"ManagedBucketsByName", nobody, "s3:GetObject", object, "222222222222", unsigned, []string{public, `gateway: {"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::patch-baseline-snapshot-eu-west-1/*"}`}, "allow"},
		{"ChannelNeedsStar", roleDev, "ssmmessages:CreateControlChannel", "*", "", inOrg, []string{agent, `endpoint: {"Effect":"Allow","Principal":"*","Action":"ssmmessages:*","Resource":"arn:aws:ssm:*:*:managed-instance/*"}`}, "VPC endpoint policy"},
		{"ScpOmitsMessages", roleDev, "ssmmessages:CreateDataChannel", "*", "", inOrg, []string{agent, `scp: {"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","NotAction":["ssm:*","ec2:*"],"Resource":"*"}`}, "!service control policy"},
		{"VpceBucketInside", roleDev, "s3:PutObject", "arn:aws:s3:::out/k", "", inOrg, []string{agent, `bucket: {"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::out/*","Condition":{"StringNotEquals":{"aws:SourceVpce":"vpce-1"}}}`}, "allow"},
		{"VpceBucketOldEndpoint", roleDev, "s3:PutObject", "arn:aws:s3:::out/k", "", inOrg, []string{agent, `bucket: {"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::out/*","Condition":{"StringNotEquals":{"aws:SourceVpce":"vpce-0"}}}`}, "!resource-based policy"},
		{"SourceIpBucket", roleDev, "s3:PutObject", "arn:aws:s3:::out/k", "", inOrg, []string{agent, `bucket: {"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*","Condition":{"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}`}, "!resource-based policy"},
		{"SourceVpcOnPublicWay", roleDev, "ssm:GetParameter", "*", "", []string{"aws:SourceIp=203.0.113.9"}, []string{agent, `identity: {"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringNotEquals":{"aws:SourceVpc":"vpc-1"}}}`}, "!identity-based policy"},
		{"HybridRoleTrust", service, "sts:AssumeRole", "arn:aws:iam::111111111111:role/SSMService", "", []string{"aws:SourceAccount=111111111111", "aws:SourceArn=arn:aws:ssm:eu-west-1:111111111111:managed-instance/mi-1"}, []string{`trust: {"Effect":"Allow","Principal":{"Service":"ssm.amazonaws.com"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"aws:SourceAccount":"111111111111"},"ArnEquals":{"aws:SourceArn":"arn:aws:ssm:eu-west-1:111111111111:*"}}}`}, "allow"},
		{"HybridRoleTrustOtherRegion", service, "sts:AssumeRole", "arn:aws:iam::111111111111:role/SSMService", "", []string{"aws:SourceAccount=111111111111", "aws:SourceArn=arn:aws:ssm:us-east-1:111111111111:managed-instance/mi-1"}, []string{`trust: {"Effect":"Allow","Principal":{"Service":"ssm.amazonaws.com"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"aws:SourceAccount":"111111111111"},"ArnEquals":{"aws:SourceArn":"arn:aws:ssm:eu-west-1:111111111111:*"}}}`}, "role trust policy"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := Request{Action: tt.action, Resource: tt.resource, Principal: tt.who, ResourceAccount: tt.account, Context: contextOf(tt.context...)}
			d := Evaluate(&req, policies(t, tt.policies...))
			if got := outcome(d); got != tt.want {
				t.Errorf("got %q, want %q: %s", got, tt.want, d.Explain())
			}
		})
	}
}
