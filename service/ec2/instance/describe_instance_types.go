package instance

import (
	"context"
	"slices"
	"strconv"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
)

// typeFilters are what types can be filtered by. source: model, "DescribeInstanceTypesRequest"
var typeFilters = map[string]func(*ec2.InstanceTypeInfo) []string{
	"bare-metal":                      func(i *ec2.InstanceTypeInfo) []string { return resource.Bool(i.BareMetal) },
	"burstable-performance-supported": func(i *ec2.InstanceTypeInfo) []string { return resource.Bool(i.BurstablePerformanceSupported) },
	"current-generation":              func(i *ec2.InstanceTypeInfo) []string { return resource.Bool(i.CurrentGeneration) },
	"free-tier-eligible":              func(i *ec2.InstanceTypeInfo) []string { return resource.Bool(i.FreeTierEligible) },
	"hypervisor":                      func(i *ec2.InstanceTypeInfo) []string { return resource.One(i.Hypervisor) },
	"instance-type":                   func(i *ec2.InstanceTypeInfo) []string { return resource.One(i.InstanceType) },
	"instance-storage-supported":      func(i *ec2.InstanceTypeInfo) []string { return resource.Bool(i.InstanceStorageSupported) },
	"memory-info.size-in-mib": func(i *ec2.InstanceTypeInfo) []string {
		return []string{strconv.FormatInt(*i.MemoryInfo.SizeInMiB, 10)}
	},
	"processor-info.supported-architecture": func(i *ec2.InstanceTypeInfo) []string { return i.ProcessorInfo.SupportedArchitectures },
	"supported-boot-mode":                   func(i *ec2.InstanceTypeInfo) []string { return i.SupportedBootModes },
	"supported-root-device-type":            func(i *ec2.InstanceTypeInfo) []string { return i.SupportedRootDeviceTypes },
	"supported-usage-class":                 func(i *ec2.InstanceTypeInfo) []string { return i.SupportedUsageClasses },
	"supported-virtualization-type":         func(i *ec2.InstanceTypeInfo) []string { return i.SupportedVirtualizationTypes },
	"vcpu-info.default-cores": func(i *ec2.InstanceTypeInfo) []string {
		return []string{strconv.FormatInt(*i.VCpuInfo.DefaultCores, 10)}
	},
	"vcpu-info.default-threads-per-core": func(i *ec2.InstanceTypeInfo) []string {
		return []string{strconv.FormatInt(*i.VCpuInfo.DefaultThreadsPerCore, 10)}
	},
	"vcpu-info.default-vcpus": func(i *ec2.InstanceTypeInfo) []string {
		return []string{strconv.FormatInt(*i.VCpuInfo.DefaultVCpus, 10)}
	},
}

// DescribeInstanceTypes describes the types that instances can be of.
func (s *Instances) DescribeInstanceTypes(ctx context.Context, in *ec2.DescribeInstanceTypesInput) (*ec2.DescribeInstanceTypesOutput, error) {
	if err := iam.Allow(ctx, "ec2:DescribeInstanceTypes", "*", iam.Key("ec2:region", api.CallFrom(ctx).Region)); err != nil {
		return nil, err
	}
	if err := resource.DryRun(in.DryRun); err != nil {
		return nil, err
	}
	for _, name := range in.InstanceTypes {
		if _, err := findKind(name); err != nil {
			// source: aws
			return nil, resource.Errorf("InvalidInstanceType", "The following supplied instance types do not exist: [%s]", name)
		}
	}
	list := []ec2.InstanceTypeInfo{}
	for i := range kinds {
		if len(in.InstanceTypes) == 0 || slices.Contains(in.InstanceTypes, kinds[i].name) {
			list = append(list, kinds[i].info())
		}
	}
	list, err := resource.Select(list, in.Filters, typeFilters)
	if err != nil {
		return nil, err
	}
	page, next, err := resource.Page(list, in.MaxResults, in.NextToken, 5, 100)
	return &ec2.DescribeInstanceTypesOutput{InstanceTypes: page, NextToken: next}, err
}
