package iam_test

import (
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/api/model"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/internal/awstest"
	"github.com/vennel/vennel/service/ec2/endpoint"
)

// closed is a policy that lets nothing through.
const closed = `{"Statement":[{"Sid":"Closed","Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}]}`

// before are operations that are refused before the policy of an endpoint is asked, and by what.
var before = map[string]string{
	"iam:GetAccessKeyLastUsed": "a key that there is not",
	"sts:AssumeRole":           "a role that there is not",
}

// TestNothingPassesAClosedEndpoint calls everything that is built through an endpoint whose policy denies everything: as the
// administrator, as a node, with a node's own key, and as nobody. Then it looks whether the trail says why.
func TestNothingPassesAClosedEndpoint(t *testing.T) {
	w := awstest.New(t)
	node := w.Register(awstest.NodeConfig{})
	node.Ping()
	open, ways := w.HTTP, endpoints(w)
	operations := 0
	secrets := map[string]string{}
	for _, s := range w.Services() {
		built := awstest.Built(s)
		if len(built) == 0 {
			continue
		}
		way, ok := ways[s.Name]
		if !ok {
			t.Errorf("there is no endpoint for %s", s.Name)
			continue
		}
		w.HTTP = way.client
		for _, o := range built {
			operations++
			name := s.Name + ":" + o.Name
			t.Run(name, func(t *testing.T) {
				auth := model.Load(s.Name).Operations[o.Name].AuthType
				callers := map[string]awstest.Keys{"the administrator": w.Admin, "a node": node.Keys(), "nobody": {}}
				for _, who := range []string{"nobody", "a node", "the administrator"} {
					e := attempt(t, w, s.Name, &o, callers[who], secrets)
					switch _, sooner := before[name]; {
					case e == nil:
						t.Errorf("%s: answered", who)
					case who == "a node" && e.Code == "ValidationError" && strings.HasPrefix(e.Message, "Must specify userName"):
						// a node is no user, and there is nothing to ask about
					case who == "nobody" && auth != "none" && auth != "optional":
						if !strings.HasPrefix(e.Code, "MissingAuthenticationToken") && e.Code != "AuthFailure" {
							t.Errorf("%s: %v", who, e)
						}
					case who != "nobody" && auth == "node":
						if !denied(e) { // it wants the node's own key
							t.Errorf("%s: %v", who, e)
						}
					case !denied(e) || !sooner && !strings.HasSuffix(e.Message, " with an explicit deny in a VPC endpoint policy: "+way.id+", statement Closed"):
						t.Errorf("%s: %v", who, e)
					}
				}
			})
		}
	}
	t.Logf("%d operations", operations)
	w.HTTP = ways["ssm"].client
	for operation, call := range map[string]func() error{
		"RequestManagedInstanceRoleToken": func() error {
			return node.SignedByKey("RequestManagedInstanceRoleToken", &ssm.RequestManagedInstanceRoleTokenInput{Fingerprint: awstest.Fingerprint}, &ssm.RequestManagedInstanceRoleTokenOutput{})
		},
		"UpdateManagedInstancePublicKey": func() error {
			return node.SignedByKey("UpdateManagedInstancePublicKey", &ssm.UpdateManagedInstancePublicKeyInput{NewPublicKey: awstest.PublicKey(node.Key()), NewPublicKeyType: "Rsa"}, &ssm.UpdateManagedInstancePublicKeyOutput{})
		},
	} {
		if err := call(); err == nil || awstest.Code(err) != "AccessDeniedException" || !strings.Contains(err.Error(), ways["ssm"].id) {
			t.Errorf("%s with the node's key: %v", operation, err)
		}
	}
	w.HTTP = open
	if len(secrets) > 0 {
		t.Errorf("secrets came through: %v", slices.Collect(maps.Values(secrets)))
	}
	trail(t, w, secrets)
	for _, operation := range []string{"ListCommands", "RegisterManagedInstance", "GetCallerIdentity"} {
		if d := decisions(w, operation); len(d) != 1 || d[0].Allowed || !strings.HasPrefix(d[0].Reason, "Statement Closed of the VPC endpoint policy vpce-") {
			t.Errorf("the record of %s says %+v", operation, d)
		}
	}
}

// way is a way through an endpoint.
type way struct {
	id     string
	client *http.Client
}

// endpoints makes an endpoint that lets nothing through for each service that is offered, and gives the ways through them.
func endpoints(w *awstest.World) map[string]way {
	w.T.Helper()
	vpc := *awstest.Call[ec2.CreateVpcOutput](w, "ec2", "CreateVpc", &ec2.CreateVpcInput{CidrBlock: new("10.0.0.0/16")}).Vpc.VpcId
	subnet := *awstest.Call[ec2.CreateSubnetOutput](w, "ec2", "CreateSubnet", &ec2.CreateSubnetInput{VpcId: vpc, CidrBlock: new("10.0.0.0/24")}).Subnet.SubnetId
	ways := map[string]way{}
	offered := awstest.Call[ec2.DescribeVpcEndpointServicesOutput](w, "ec2", "DescribeVpcEndpointServices", &ec2.DescribeVpcEndpointServicesInput{})
	for _, d := range offered.ServiceDetails {
		if *d.ServiceType[0].ServiceType != ec2.VpcEndpointTypeInterface {
			continue
		}
		made := awstest.Call[ec2.CreateVpcEndpointOutput](w, "ec2", "CreateVpcEndpoint", &ec2.CreateVpcEndpointInput{
			VpcId: vpc, VpcEndpointType: new(ec2.VpcEndpointTypeInterface), ServiceName: d.ServiceName, SubnetIds: []string{subnet}, PrivateDnsEnabled: new(false),
			PolicyDocument: new(closed),
		}).VpcEndpoint
		n := awstest.Call[ec2.DescribeNetworkInterfacesOutput](w, "ec2", "DescribeNetworkInterfaces", &ec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: made.NetworkInterfaceIds})
		to := netip.MustParseAddr(*n.NetworkInterfaces[0].PrivateIpAddress)
		name := (*d.ServiceName)[strings.LastIndexByte(*d.ServiceName, '.')+1:]
		ways[name] = way{*made.VpcEndpointId, w.Through(endpoint.Arrival{VPC: vpc, Local: to}, netip.MustParseAddr("10.0.0.200"))}
	}
	return ways
}
