package test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/api/ssm"
)

// statements is a policy document of statements.
func statements(list ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(list, ",") + `]}`
}

// allowAll is the statement of the default policy.
const allowAll = `{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}`

// roleARN is the ARN of a role of the estate.
func (e *estate) roleARN(name string) string {
	return "arn:aws:iam::" + e.serve.Account + ":role/" + name
}

// denial is the end of the message with which an endpoint's policy refuses, without an explicit deny.
func denial(action, endpoint string) string {
	return "because no VPC endpoint policy allows the " + action + " action: " + endpoint
}

// listed waits until the call is refused in words, or allowed when there are none.
func (g *guest) listed(t testing.TB, words string) {
	t.Helper()
	await(t, fmt.Sprintf("from %s, ListDocuments, want %q", g.name, words), func() (string, bool) {
		got := said(g.list(g.host("ssm"), patience/6))
		if words == "" {
			return got, got == reached
		}
		return got, strings.HasPrefix(got, "AccessDeniedException") && strings.HasSuffix(got, words)
	})
}

// s59: a policy names who may act.
func s59(t *testing.T, s *seed) {
	v, e := s.page, s.page.endpoints["ssm"]
	other := `{"Effect":"Allow","Principal":{"AWS":"` + s.roleARN("Open") + `"},"Action":"*","Resource":"*"}`
	own := `{"Effect":"Allow","Principal":{"AWS":"` + s.roleARN("Node") + `"},"Action":"*","Resource":"*"}`
	s.probe.listed(t, "")
	v.policy(t, e, statements(other))
	s.probe.listed(t, denial("ssm:ListDocuments", e))
	s.twin.listed(t, "") // through another endpoint
	await(t, "the refusal in the audit trail", func() (string, bool) {
		for _, r := range s.audited(t, "ListDocuments") {
			if r.ErrorCode != "" && r.SourceIPAddress == "10.0.1.60" && r.VPCEndpointID == e && strings.Contains(r.ErrorMessage, e) {
				return "", true
			}
		}
		return fmt.Sprint(s.audited(t, "ListDocuments")[0]), false
	})
	v.policy(t, e, statements(other, own))
	s.probe.listed(t, "")
	v.policy(t, e, "")
}

// s60: a policy names the actions.
func s60(t *testing.T, s *seed) {
	v, e := s.page, s.page.endpoints["ssm"]
	v.policy(t, e, statements(`{"Effect":"Allow","Principal":"*","Action":"ssm:UpdateInstanceInformation","Resource":"*"}`))
	s.probe.listed(t, denial("ssm:ListDocuments", e))
	in := &ssm.UpdateInstanceInformationInput{
		InstanceId: s.probe.id, AgentVersion: new("3.2.2303.0"), AgentStatus: new("Active"), PlatformType: new("Linux"), PlatformName: new("Debian"), PlatformVersion: new("12"),
	}
	if err := s.probe.client("ssm", s.probe.host("ssm"), patience/6).Call(t.Context(), "UpdateInstanceInformation", in, new(ssm.UpdateInstanceInformationOutput)); err != nil {
		t.Error(said(err))
	}
	v.policy(t, e, statements(allowAll, `{"Sid":"NoLists","Effect":"Deny","Principal":"*","Action":"ssm:List*","Resource":"*"}`))
	s.probe.listed(t, "with an explicit deny in a VPC endpoint policy: "+e+", statement NoLists")
	v.policy(t, e, "")
	s.probe.listed(t, "")
}

// s61: a policy names the resources.
func s61(t *testing.T, s *seed) {
	v, e := s.page, s.page.endpoints["ssm"]
	get := func(name string) string {
		return said(s.probe.client("ssm", s.probe.host("ssm"), patience/6).Call(t.Context(), "GetDocument", &ssm.GetDocumentInput{Name: name}, new(ssm.GetDocumentOutput)))
	}
	v.policy(t, e, statements(`{"Effect":"Allow","Principal":"*","Action":"ssm:GetDocument","Resource":"arn:aws:ssm:us-east-1:*:document/AWS-RunShellScript"}`))
	await(t, "the policy to hold", func() (string, bool) {
		got := get("AWS-RunPowerShellScript")
		return got, strings.HasSuffix(got, denial("ssm:GetDocument", e))
	})
	if got := get("AWS-RunShellScript"); got != reached {
		t.Errorf("the document that is allowed: %s", got)
	}
	v.policy(t, e, "")
	await(t, "the policy to be gone", func() (string, bool) {
		got := get("AWS-RunPowerShellScript")
		return got, got == reached
	})
}

// s62: the policy filters and never grants; its keys are those of the way; its language has limits.
func s62(t *testing.T, s *seed) {
	v, e := s.page, s.page.endpoints["ssm"]
	v.policy(t, e, statements(`{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:SourceVpc":"`+v.id+`","aws:SourceVpce":"`+e+`"},`+
		`"IpAddress":{"aws:VpcSourceIp":"10.0.1.0/24"},"Null":{"aws:SourceIp":"true"}}}`))
	s.probe.listed(t, "")
	if got := said(s.probe.client("ssm", s.probe.host("ssm"), patience/6).Call(t.Context(), "CreateActivation", &ssm.CreateActivationInput{IamRole: "Node"}, new(ssm.CreateActivationOutput))); !strings.Contains(got, "no identity-based policy allows") {
		t.Errorf("an endpoint policy has granted: %s", got)
	}
	v.policy(t, e, statements(`{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:SourceVpc":"`+s.hybrid.id+`"}}}`))
	s.probe.listed(t, denial("ssm:ListDocuments", e))
	v.policy(t, e, statements(`{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"0.0.0.0/0"}}}`))
	s.probe.listed(t, denial("ssm:ListDocuments", e)) // the typical mistake
	v.policy(t, e, "")
	s.probe.listed(t, "")
	for name, document := range map[string]string{
		"without Principal":   `{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`,
		"too long":            statements(allowAll, `{"Sid":"Long","Effect":"Deny","Principal":"*","Action":"ssm:ListCommands","Resource":"arn:aws:ssm:us-east-1:*:`+strings.Repeat("x", 20_480)+`"}`),
		"not JSON":            `{"Statement":`,
		"another effect":      `{"Statement":[{"Effect":"Maybe","Principal":"*","Action":"*","Resource":"*"}]}`,
		"a wildcard in a VPC": statements(`{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringLike":{"aws:SourceVpc":"vpc-*"}}}`),
	} {
		v.refuses(t, "InvalidPolicyDocument", "ec2", "ModifyVpcEndpoint", &ec2.ModifyVpcEndpointInput{VpcEndpointId: e, PolicyDocument: &document}, new(ec2.ModifyVpcEndpointOutput))
		if t.Failed() {
			t.Fatalf("it was a policy %s", name)
		}
	}
	s.probe.listed(t, "")
}

// n3: Run Command needs ssmmessages, or ec2messages in its place.
func n3(t *testing.T, s *seed) {
	v := s.page
	v.drop(t, v.endpoints["ssmmessages"])
	v.drop(t, v.endpoints["ec2messages"])
	s.node.reboot(t)
	running(t, s.node)
	v.online(t, s.node.id) // by its heartbeat alone
	s51(t, s)
	command := v.send(t, "echo late", s.node.id)
	await(t, "the node to be lost", func() (string, bool) { got := v.ping(t, s.node.id); return got, got == "ConnectionLost" })
	if status, _ := v.invocation(t, command, s.node.id); status != "Pending" && status != "Delayed" {
		t.Errorf("the command is %s", status)
	}
	v.endpoint(t, "ssmmessages", "endpoints", endpointAt("ssmmessages"), s.groups[v])
	s.node.reboot(t)
	await(t, "the command to run", func() (string, bool) {
		status, output := v.invocation(t, command, s.node.id)
		return status, status == "Success" && output == "late"
	})
	v.endpoint(t, "ec2messages", "endpoints", endpointAt("ec2messages"), s.groups[v])
}

// n4: with both there, ec2messages is not asked.
func n4(t *testing.T, s *seed) {
	polls := func() (n int) {
		for _, r := range s.audited(t, "GetMessages") {
			if strings.HasSuffix(r.UserIdentity.ARN, s.node.id) {
				n++
			}
		}
		return n
	}
	s.node.reboot(t)
	running(t, s.node)
	s.channel(t, s.node.id, "connected")
	before := polls()
	s.page.runs(t, "echo channel", "channel", s.node.id)
	if after := polls(); after != before {
		t.Errorf("it has polled %d times", after-before)
	}
}

// n5: the dual-stack names are the public ones; endpoints do not take them over (docs/divergences.md).
func n5(t *testing.T, s *seed) {
	for _, service := range []string{"ssm", "ssmmessages", "ec2messages"} {
		name := service + "." + s.page.region + ".api.aws"
		s.open.resolves(t, name, s.serviceAt[service])
		s.probe.resolves(t, name, s.serviceAt[service])
	}
	s.open.listsAt(t, "ssm."+s.page.region+".api.aws", reached)
	s.probe.listsAt(t, "ssm."+s.page.region+".api.aws", silent)
}

// n6: the calls of hybrid nodes are not signed: a policy that demands a principal's account stops them, and one that knows the node's does not.
func n6(t *testing.T, s *seed) {
	v, e := s.hybrid, s.hybrid.endpoints["ssm"]
	p := &premises{estate: s.estate, office: s.office, state: s.folder + "/premises2"}
	demand := func(key, value string) string {
		return statements(`{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"` + key + `":"` + value + `"}}}`)
	}
	v.policy(t, e, demand("aws:PrincipalAccount", s.serve.Account))
	s.twin.listed(t, "") // who signs has an account
	if out := p.register(t, v.area, false); !strings.Contains(out, "no VPC endpoint policy allows the ssm:RegisterManagedInstance action") {
		t.Errorf("it is refused with %s", out)
	}
	v.policy(t, e, demand("ssm:NodeAccountId", "999999999999"))
	p.register(t, v.area, false)
	v.policy(t, e, demand("ssm:NodeAccountId", s.serve.Account))
	p.register(t, v.area, true)
	v.policy(t, e, "")
	act(t, v.area, "ssm", "DeregisterManagedInstance", &ssm.DeregisterManagedInstanceInput{InstanceId: p.id})
}

// sameAddress: two VPCs have the same ranges, guests and endpoints of the same addresses, at once.
func sameAddress(t *testing.T, s *seed) {
	s.probe.lists(t, reached)
	s.twin.lists(t, reached)
	document := statements(allowAll, `{"Sid":"Here","Effect":"Deny","Principal":"*","Action":"ssm:ListCommands","Resource":"*"}`)
	s.page.policy(t, s.page.endpoints["ssm"], document)
	for g, want := range map[*guest]string{s.probe: "statement Here", s.twin: reached} {
		await(t, "the policy of its own endpoint, from "+g.vpc.id, func() (string, bool) {
			got := said(g.client("ssm", g.host("ssm"), patience/6).Call(t.Context(), "ListCommands", &ssm.ListCommandsInput{}, new(ssm.ListCommandsOutput)))
			return got, strings.HasSuffix(got, want)
		})
	}
	s.page.policy(t, s.page.endpoints["ssm"], "")
	await(t, "each endpoint in the audit trail", func() (string, bool) {
		refusals, answers := map[string]int{}, map[string]int{}
		for _, r := range s.audited(t, "ListCommands") {
			if r.SourceIPAddress != "10.0.1.60" {
				continue
			}
			if r.ErrorCode != "" {
				refusals[r.VPCEndpointID]++
			} else {
				answers[r.VPCEndpointID]++
			}
		}
		got := fmt.Sprint(refusals, answers)
		return got, refusals[s.page.endpoints["ssm"]] > 0 && refusals[s.hybrid.endpoints["ssm"]] == 0 && answers[s.hybrid.endpoints["ssm"]] > 0
	})
}

// flowLogs: each connection that is decided upon leaves a record, and no record tells of anybody outside.
func flowLogs(t *testing.T, s *seed) {
	v := s.page
	log := do[ec2.CreateFlowLogsOutput](t, v.area, "ec2", "CreateFlowLogs", &ec2.CreateFlowLogsInput{
		ResourceType: "VPC", ResourceIds: []string{v.id}, TrafficType: new("ALL"), LogGroupName: new("flows"), DeliverLogsPermissionArn: new(s.roleARN("Node")),
	}).FlowLogIds[0]
	at := endpointAt("ssm") + ":443"
	type flow struct{ Eni, Source, Destination, DestinationPort, Action string }
	rows := func(action string) (list []flow) {
		lines := bufio.NewScanner(strings.NewReader(s.vennel(t, "flow", "--vpc", v.id, "--action", action, "--output", "json")))
		for lines.Scan() {
			var f flow
			if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
				t.Fatalf("%v: %s", err, lines.Text())
			}
			list = append(list, f)
		}
		return list
	}
	decided := func(action, destination, number string) {
		await(t, "a record of "+action+" to "+destination, func() (string, bool) {
			if action == "ACCEPT" {
				s.probe.probe(at, patience/6)
			} else {
				s.probe.probe(destination+":"+number, silence)
			}
			list := rows(action)
			for _, f := range list {
				if f.Source == "10.0.1.60" && f.Destination == destination && f.DestinationPort == number {
					return "", true
				}
			}
			return fmt.Sprint(list), false
		})
	}
	decided("ACCEPT", endpointAt("ssm"), "443")
	decided("REJECT", endpointAt("ssm"), "80") // its group has 443 only
	decided("REJECT", "10.0.1.50", "7000")     // and that of the node has nothing
	v.runs(t, "echo recorded", "recorded", s.node.id)
	for _, f := range rows("ACCEPT") {
		if !strings.HasPrefix(f.Destination, "10.0.") || !strings.HasPrefix(f.Source, "10.0.") {
			t.Errorf("somebody outside the VPC: %+v", f)
		}
	}
	act(t, v.area, "ec2", "DeleteFlowLogs", &ec2.DeleteFlowLogsInput{FlowLogIds: []string{log}})
}

// dark: a node that loses something it needs is lost for that reason, and comes back with it.
func dark(t *testing.T, s *seed) {
	page, public := s.page, s.public
	ssmEndpoint := func() string { return page.endpoints["ssm"] }
	all := port("tcp", 443, "10.0.0.0/16")
	turns := map[*guest]*sync.Mutex{s.node: {}, s.open: {}}
	for _, c := range []struct {
		name       string
		node       *guest
		from       *guest // who sees why
		harm, mend func(t *testing.T)
		why        string // how its calls end
	}{
		{name: "Endpoint", node: s.node, from: s.probe, why: silent,
			harm: func(t *testing.T) { page.drop(t, ssmEndpoint()) },
			mend: func(t *testing.T) { page.endpoint(t, "ssm", "endpoints", endpointAt("ssm"), s.groups[page]) }},
		{name: "GroupRule", node: s.node, from: s.probe, why: silent,
			harm: func(t *testing.T) { page.forbid(t, s.groups[page], all) },
			mend: func(t *testing.T) { page.permit(t, s.groups[page], all) }},
		{name: "PrivateDNS", node: s.node, from: s.probe, why: silent,
			harm: func(t *testing.T) {
				act(t, page.area, "ec2", "ModifyVpcEndpoint", &ec2.ModifyVpcEndpointInput{VpcEndpointId: ssmEndpoint(), PrivateDnsEnabled: new(false)})
				s.probe.resolves(t, s.probe.host("ssm"), s.serviceAt["ssm"])
			},
			mend: func(t *testing.T) {
				act(t, page.area, "ec2", "ModifyVpcEndpoint", &ec2.ModifyVpcEndpointInput{VpcEndpointId: ssmEndpoint(), PrivateDnsEnabled: new(true)})
			}},
		{name: "Statement", node: s.node, from: s.probe, why: "AccessDeniedException",
			harm: func(t *testing.T) {
				page.policy(t, ssmEndpoint(), statements(`{"Effect":"Allow","Principal":"*","Action":"ssm:GetDocument","Resource":"*"}`))
			},
			mend: func(t *testing.T) { page.policy(t, ssmEndpoint(), "") }},
		{name: "Route", node: s.open, from: s.open, why: silent,
			harm: func(t *testing.T) { public.unroute(t, "0.0.0.0/0") },
			mend: func(t *testing.T) {
				public.route(t, &ec2.CreateRouteInput{DestinationCidrBlock: new("0.0.0.0/0"), GatewayId: &s.internet})
			}},
		{name: "Role", node: s.open, from: s.open, why: reached, // what its role may do beside goes on
			harm: func(t *testing.T) {
				act(t, public.area, "iam", "DetachRolePolicy", &iam.DetachRolePolicyInput{RoleName: "Open", PolicyArn: corePolicy})
			},
			mend: func(t *testing.T) {
				act(t, public.area, "iam", "AttachRolePolicy", &iam.AttachRolePolicyInput{RoleName: "Open", PolicyArn: corePolicy})
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // causes of one node come one after the other, and nodes at once
			turns[c.node].Lock()
			defer turns[c.node].Unlock()
			c.node.vpc.online(t, c.node.id)
			c.node.stop(t) // connections that were established would go on, as on AWS
			c.harm(t)
			act(t, c.node.vpc.area, "ec2", "StartInstances", &ec2.StartInstancesInput{InstanceIds: []string{c.node.id}})
			running(t, c.node)
			c.from.lists(t, c.why)
			await(t, "the node to be lost", func() (string, bool) {
				got := c.node.vpc.ping(t, c.node.id)
				return got, got == "ConnectionLost"
			})
			c.mend(t)
			c.from.lists(t, reached)
			c.node.reboot(t)
			c.node.vpc.online(t, c.node.id)
			c.node.vpc.runs(t, "echo back", "back", c.node.id)
		})
	}
}
