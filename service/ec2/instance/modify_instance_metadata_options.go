package instance

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// ModifyInstanceMetadataOptions changes how an instance's metadata are told, from the next question on.
func (s *Instances) ModifyInstanceMetadataOptions(
	ctx context.Context, in *ec2.ModifyInstanceMetadataOptionsInput,
) (*ec2.ModifyInstanceMetadataOptionsOutput, error) {
	change := &ec2.InstanceMetadataOptionsRequest{
		HttpTokens: in.HttpTokens, HttpPutResponseHopLimit: in.HttpPutResponseHopLimit, HttpEndpoint: in.HttpEndpoint, HttpProtocolIpv6: in.HttpProtocolIpv6,
		InstanceMetadataTags: in.InstanceMetadataTags,
	}
	out := &ec2.ModifyInstanceMetadataOptionsOutput{InstanceId: &in.InstanceId}
	err := s.modify(ctx, "ec2:ModifyInstanceMetadataOptions", in.InstanceId, in.DryRun, func(_ *store.Tx, r *record) error {
		if is(r, ec2.InstanceStateNameShuttingDown, ec2.InstanceStateNameTerminated) {
			// source: aws
			return resource.Errorf("IncorrectInstanceState", "The instance '%s' must be in a 'running', 'pending', 'stopping' or 'stopped' state for this operation.", r.ID)
		}
		options := *r.Data.MetadataOptions
		if err := changeOptions(&options, change); err != nil {
			return err
		}
		r.Data.MetadataOptions, out.InstanceMetadataOptions = &options, &options
		return nil
	})
	return out, err
}
