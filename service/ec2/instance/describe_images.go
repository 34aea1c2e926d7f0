package instance

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
)

// DescribeImages describes the images that instances can be made of. source: model, "DescribeImagesRequest"
func (s *Instances) DescribeImages(ctx context.Context, in *ec2.DescribeImagesInput) (*ec2.DescribeImagesOutput, error) {
	if err := iam.Allow(ctx, "ec2:DescribeImages", "*"); err != nil {
		return nil, err
	}
	if err := resource.DryRun(in.DryRun); err != nil {
		return nil, err
	}
	out := &ec2.DescribeImagesOutput{Images: []ec2.Image{}}
	found := map[string]bool{}
	for _, i := range s.images {
		image := i.image()
		if wanted(in, &image) {
			out.Images = append(out.Images, image)
		}
		found[i.ID] = true
	}
	for _, id := range in.ImageIds {
		if !found[id] {
			return nil, resource.Errorf("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id) // source: aws
		}
	}
	for _, f := range in.Filters {
		if _, ok := imageFilters[api.Or(f.Name, "")]; !ok {
			return nil, invalid("The filter '%s' is invalid", api.Or(f.Name, "")) // source: aws
		}
	}
	return out, nil
}

// imageFilters are what images can be filtered by.
var imageFilters = map[string]func(*ec2.Image) *string{
	"architecture": func(i *ec2.Image) *string { return i.Architecture }, "description": func(i *ec2.Image) *string { return i.Description },
	"image-id": func(i *ec2.Image) *string { return i.ImageId }, "image-type": func(i *ec2.Image) *string { return i.ImageType },
	"name": func(i *ec2.Image) *string { return i.Name }, "owner-alias": func(i *ec2.Image) *string { return i.ImageOwnerAlias },
	"root-device-type": func(i *ec2.Image) *string { return i.RootDeviceType }, "state": func(i *ec2.Image) *string { return i.State },
	"virtualization-type": func(i *ec2.Image) *string { return i.VirtualizationType }, "hypervisor": func(i *ec2.Image) *string { return i.Hypervisor },
	"is-public": func(*ec2.Image) *string { return new("true") }, "owner-id": func(i *ec2.Image) *string { return i.OwnerId },
}

// wanted says whether a request asks for an image.
func wanted(in *ec2.DescribeImagesInput, i *ec2.Image) bool {
	has := func(list []string, value string) bool {
		for _, v := range list {
			if v == value {
				return true
			}
		}
		return len(list) == 0
	}
	if !has(in.ImageIds, *i.ImageId) || !has(in.Owners, imageOwner) {
		return false
	}
	for _, f := range in.Filters {
		value := imageFilters[api.Or(f.Name, "")]
		if value == nil {
			continue
		}
		ok := false
		for _, v := range f.Values {
			ok = ok || resource.Like(v, *value(i))
		}
		if !ok {
			return false
		}
	}
	return true
}

// image is an image as it is described.
func (i Image) image() ec2.Image {
	made := imagesMade.Format("2006-01-02T15:04:05.000Z")
	return ec2.Image{
		ImageId: new(i.ID), Name: new(i.Name), Description: new(i.About), ImageOwnerAlias: new(imageOwner), OwnerId: new(imageOwner), Public: new(true),
		State: new("available"), Architecture: new(architecture()), ImageType: new("machine"), RootDeviceName: new(rootDevice), RootDeviceType: new("ebs"),
		VirtualizationType: new("hvm"), Hypervisor: new("xen"), PlatformDetails: new("Linux/UNIX"), UsageOperation: new("RunInstances"), CreationDate: &made,
		EnaSupport: new(true), ImageLocation: new(imageOwner + "/" + i.Name), BlockDeviceMappings: []ec2.BlockDeviceMapping{},
	}
}
