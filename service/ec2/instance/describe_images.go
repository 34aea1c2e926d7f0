package instance

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
)

// imageFilters are what images can be filtered by. source: model, "DescribeImagesRequest"
var imageFilters = map[string]func(*ec2.Image) []string{
	"architecture":        func(i *ec2.Image) []string { return resource.One(i.Architecture) },
	"creation-date":       func(i *ec2.Image) []string { return resource.One(i.CreationDate) },
	"description":         func(i *ec2.Image) []string { return resource.One(i.Description) },
	"ena-support":         func(i *ec2.Image) []string { return resource.Bool(i.EnaSupport) },
	"hypervisor":          func(i *ec2.Image) []string { return resource.One(i.Hypervisor) },
	"image-id":            func(i *ec2.Image) []string { return resource.One(i.ImageId) },
	"image-type":          func(i *ec2.Image) []string { return resource.One(i.ImageType) },
	"is-public":           func(i *ec2.Image) []string { return resource.Bool(i.Public) },
	"name":                func(i *ec2.Image) []string { return resource.One(i.Name) },
	"owner-alias":         func(i *ec2.Image) []string { return resource.One(i.ImageOwnerAlias) },
	"owner-id":            func(i *ec2.Image) []string { return resource.One(i.OwnerId) },
	"platform":            func(i *ec2.Image) []string { return resource.One(i.Platform) },
	"root-device-name":    func(i *ec2.Image) []string { return resource.One(i.RootDeviceName) },
	"root-device-type":    func(i *ec2.Image) []string { return resource.One(i.RootDeviceType) },
	"state":               func(i *ec2.Image) []string { return resource.One(i.State) },
	"tag-key":             func(*ec2.Image) []string { return nil },
	"virtualization-type": func(i *ec2.Image) []string { return resource.One(i.VirtualizationType) },
}

// DescribeImages describes the images that instances can be made of.
func (s *Instances) DescribeImages(ctx context.Context, in *ec2.DescribeImagesInput) (*ec2.DescribeImagesOutput, error) {
	if err := iam.Allow(ctx, "ec2:DescribeImages", "*", iam.Key("ec2:region", api.CallFrom(ctx).Region)); err != nil {
		return nil, err
	}
	if err := resource.DryRun(in.DryRun); err != nil {
		return nil, err
	}
	list := []ec2.Image{}
	for _, i := range s.images {
		list = append(list, i.image())
	}
	for _, id := range in.ImageIds {
		if _, err := s.image(id); err != nil {
			return nil, err
		}
	}
	list = slices.DeleteFunc(list, func(i ec2.Image) bool {
		return len(in.ImageIds) > 0 && !slices.Contains(in.ImageIds, *i.ImageId) || len(in.Owners) > 0 && !slices.Contains(in.Owners, imageOwner)
	})
	list, err := resource.Select(list, in.Filters, imageFilters)
	if err != nil {
		return nil, err
	}
	page, next, err := resource.Page(list, in.MaxResults, in.NextToken, 1, 1000)
	return &ec2.DescribeImagesOutput{Images: page, NextToken: next}, err
}

// image gives an image by its id. source: aws
func (s *Instances) image(id string) (Image, error) {
	if err := imageIDs.Check(id); err != nil {
		return Image{}, err
	}
	i := slices.IndexFunc(s.images, func(i Image) bool { return i.ID == id })
	if i < 0 {
		return Image{}, resource.Errorf("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id)
	}
	return s.images[i], nil
}

// imageIDs are the ids of images, which are no records.
var imageIDs = &resource.Kind[struct{}]{Name: "image", Prefix: "ami", Code: "InvalidAMIID"}
