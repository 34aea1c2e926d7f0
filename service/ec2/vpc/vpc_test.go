package vpc_test

import (
	"sync"
	"testing"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/internal/awstest"
)

// TestScripts runs the operation scripts.
func TestScripts(t *testing.T) { awstest.Script(t, "testdata") }

// TestCreateSubnetAtOnce makes overlapping subnets at the same time: one of them is there then, and everybody else was told of a
// conflict.
func TestCreateSubnetAtOnce(t *testing.T) {
	w := awstest.New(t)
	vpc := awstest.Call[ec2.CreateVpcOutput](w, "ec2", "CreateVpc", &ec2.CreateVpcInput{CidrBlock: new("10.0.0.0/16")}).Vpc
	const callers = 8
	errs := make([]error, callers)
	var group sync.WaitGroup
	for i := range callers {
		cidr := []string{"10.0.0.0/24", "10.0.0.128/25", "10.0.0.0/20"}[i%3]
		group.Go(func() {
			in := &ec2.CreateSubnetInput{VpcId: *vpc.VpcId, CidrBlock: &cidr}
			errs[i] = w.Client("ec2", w.Admin).Call(t.Context(), "CreateSubnet", in, new(ec2.CreateSubnetOutput))
		})
	}
	group.Wait()
	made := 0
	for _, err := range errs {
		switch {
		case err == nil:
			made++
		case awstest.Code(err) != "InvalidSubnet.Conflict":
			t.Error(err)
		}
	}
	subnets := awstest.Call[ec2.DescribeSubnetsOutput](w, "ec2", "DescribeSubnets", new(ec2.DescribeSubnetsInput)).Subnets
	if made != 1 || len(subnets) != 1 {
		t.Errorf("%d were made, %d are there", made, len(subnets))
	}
}

// TestCreateVpcAtOnce makes VPCs at the same time: no more are there than the quota allows, and they share one default option set.
func TestCreateVpcAtOnce(t *testing.T) {
	w := awstest.New(t)
	const callers = 9
	errs := make([]error, callers)
	var group sync.WaitGroup
	for i := range callers {
		group.Go(func() {
			in := &ec2.CreateVpcInput{CidrBlock: new("10.0.0.0/16")}
			errs[i] = w.Client("ec2", w.Admin).Call(t.Context(), "CreateVpc", in, new(ec2.CreateVpcOutput))
		})
	}
	group.Wait()
	made := 0
	for _, err := range errs {
		switch {
		case err == nil:
			made++
		case awstest.Code(err) != "VpcLimitExceeded":
			t.Error(err)
		}
	}
	vpcs := awstest.Call[ec2.DescribeVpcsOutput](w, "ec2", "DescribeVpcs", new(ec2.DescribeVpcsInput)).Vpcs
	options := map[string]bool{}
	for _, v := range vpcs {
		options[*v.DhcpOptionsId] = true
	}
	if made != 5 || len(vpcs) != 5 || len(options) != 1 {
		t.Errorf("%d were made, %d are there, with %d default option sets", made, len(vpcs), len(options))
	}
}
