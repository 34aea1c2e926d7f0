package instance

import (
	"context"
	"encoding/base64"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DescribeInstanceAttribute gives one attribute of an instance.
func (s *Instances) DescribeInstanceAttribute(ctx context.Context, in *ec2.DescribeInstanceAttributeInput) (*ec2.DescribeInstanceAttributeOutput, error) {
	out := new(ec2.DescribeInstanceAttributeOutput)
	err := s.db.View(ctx, func(tx *store.Tx) error {
		*out = ec2.DescribeInstanceAttributeOutput{InstanceId: &in.InstanceId}
		r, err := findFor(ctx, tx, "ec2:DescribeInstanceAttribute", in.InstanceId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		if err := completeOne(ctx, tx, r); err != nil {
			return err
		}
		return tellAttribute(&r.Data, in.Attribute, out)
	})
	return out, err
}

// tellAttribute puts an attribute in an answer.
func tellAttribute(d *resource.Instance, name string, out *ec2.DescribeInstanceAttributeOutput) error {
	text := func(value *string) *ec2.AttributeValue { return &ec2.AttributeValue{Value: value} }
	truth := func(value *bool) *ec2.AttributeBooleanValue { return &ec2.AttributeBooleanValue{Value: value} }
	switch name {
	case ec2.InstanceAttributeNameInstanceType:
		out.InstanceType = text(d.InstanceType)
	case ec2.InstanceAttributeNameKernel:
		out.KernelId = text(d.KernelId)
	case ec2.InstanceAttributeNameRamdisk:
		out.RamdiskId = text(d.RamdiskId)
	case ec2.InstanceAttributeNameUserData:
		out.UserData = text(nil)
		if len(d.UserData) > 0 {
			out.UserData = text(new(base64.StdEncoding.EncodeToString(d.UserData)))
		}
	case ec2.InstanceAttributeNameDisableApiTermination:
		out.DisableApiTermination = truth(&d.DisableTermination)
	case ec2.InstanceAttributeNameDisableApiStop:
		out.DisableApiStop = truth(&d.DisableStop)
	case ec2.InstanceAttributeNameInstanceInitiatedShutdownBehavior:
		behavior := ec2.ShutdownBehaviorStop
		if d.ShutdownTerminates {
			behavior = ec2.ShutdownBehaviorTerminate
		}
		out.InstanceInitiatedShutdownBehavior = text(&behavior)
	case ec2.InstanceAttributeNameRootDeviceName:
		out.RootDeviceName = text(d.RootDeviceName)
	case ec2.InstanceAttributeNameBlockDeviceMapping:
		out.BlockDeviceMappings = d.BlockDeviceMappings
	case ec2.InstanceAttributeNameProductCodes:
		out.ProductCodes = []ec2.ProductCode{}
	case ec2.InstanceAttributeNameSourceDestCheck:
		out.SourceDestCheck = truth(d.SourceDestCheck)
	case ec2.InstanceAttributeNameGroupSet:
		out.Groups = d.SecurityGroups
	case ec2.InstanceAttributeNameEbsOptimized:
		out.EbsOptimized = truth(d.EbsOptimized)
	case ec2.InstanceAttributeNameSriovNetSupport:
		out.SriovNetSupport = text(d.SriovNetSupport)
	case ec2.InstanceAttributeNameEnaSupport:
		out.EnaSupport = truth(d.EnaSupport)
	case ec2.InstanceAttributeNameEnclaveOptions:
		out.EnclaveOptions = d.EnclaveOptions
	default:
		return invalid("Value (%s) for parameter attribute is invalid. Unknown attribute.", name) // source: aws
	}
	return nil
}
