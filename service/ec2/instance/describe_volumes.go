package instance

import (
	"context"
	"strconv"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// disk is the record of a disk.
type disk = resource.Record[resource.Volume]

// attachments are what a disk's attachments have, for filters.
func attachments(value func(*ec2.VolumeAttachment) *string) func(*disk) []string {
	return func(r *disk) []string { return resource.Each(r.Data.Attachments, value) }
}

// volumeSearch is DescribeVolumes. source: model, "DescribeVolumesRequest"
var volumeSearch = &resource.Search[resource.Volume]{
	Kind: resource.Volumes, Operation: "DescribeVolumes",
	Complete: func(_ context.Context, _ *store.Tx, list []*disk) error {
		for _, r := range list {
			r.Data.Tags = resource.TagList(r.Tags)
		}
		return nil
	},
	Filters: resource.Filters[resource.Volume]{
		"attachment.delete-on-termination": func(r *disk) (values []string) {
			for _, a := range r.Data.Attachments {
				values = append(values, resource.Bool(a.DeleteOnTermination)...)
			}
			return values
		},
		"attachment.device":      attachments(func(a *ec2.VolumeAttachment) *string { return a.Device }),
		"attachment.instance-id": attachments(func(a *ec2.VolumeAttachment) *string { return a.InstanceId }),
		"attachment.status":      attachments(func(a *ec2.VolumeAttachment) *string { return a.State }),
		"availability-zone":      func(r *disk) []string { return resource.One(r.Data.AvailabilityZone) },
		"encrypted":              func(r *disk) []string { return resource.Bool(r.Data.Encrypted) },
		"multi-attach-enabled":   func(r *disk) []string { return resource.Bool(r.Data.MultiAttachEnabled) },
		"size":                   func(r *disk) []string { return []string{strconv.FormatInt(*r.Data.Size, 10)} },
		"snapshot-id":            func(r *disk) []string { return resource.One(r.Data.SnapshotId) },
		"status":                 func(r *disk) []string { return resource.One(r.Data.State) },
		"volume-id":              func(r *disk) []string { return []string{r.ID} },
		"volume-type":            func(r *disk) []string { return resource.One(r.Data.VolumeType) },
	},
}

// DescribeVolumes describes the disks of instances.
func (s *Instances) DescribeVolumes(ctx context.Context, in *ec2.DescribeVolumesInput) (*ec2.DescribeVolumesOutput, error) {
	list, next, err := volumeSearch.Run(ctx, s.db, resource.Query{
		DryRun: in.DryRun, IDs: in.VolumeIds, Filters: in.Filters, Max: in.MaxResults, After: in.NextToken,
	})
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeVolumesOutput{Volumes: []ec2.Volume{}, NextToken: next}
	for _, r := range list {
		out.Volumes = append(out.Volumes, r.Data.Volume)
	}
	return out, nil
}
