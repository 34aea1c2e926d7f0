package instance

import (
	"runtime"

	"github.com/vennel/vennel/api/ec2"
)

// kind is an instance type: what a machine of it may use.
type kind struct {
	name         string
	architecture string
	cpus, cores  int64 // said, not enforced
	memory       int64 // MiB; the machine's limit
	interfaces   int64 // network interfaces
	addresses    int64 // of each
	old          bool  // of a generation before
	burstable    bool
}

// defaultType is that of a launch that names none. source: model
const defaultType = "m1.small"

// The architectures of types.
const (
	intel = "x86_64"
	arm   = ec2.ArchitectureTypeArm64
)

// architecture is AWS's word for the host's.
func architecture() string {
	if runtime.GOARCH == "arm64" {
		return arm
	}
	return intel
}

// kinds are the types that there are. source: aws, "Amazon EC2 instance types"
var kinds = []kind{
	{"m1.small", intel, 1, 1, 1740, 2, 4, true, false},
	{"t3.nano", intel, 2, 1, 512, 2, 2, false, true},
	{"t3.micro", intel, 2, 1, 1024, 2, 2, false, true},
	{"t3.small", intel, 2, 1, 2048, 3, 4, false, true},
	{"t3.medium", intel, 2, 1, 4096, 3, 6, false, true},
	{"t3.large", intel, 2, 1, 8192, 3, 12, false, true},
	{"t4g.nano", arm, 2, 2, 512, 2, 2, false, true},
	{"t4g.micro", arm, 2, 2, 1024, 2, 2, false, true},
	{"t4g.small", arm, 2, 2, 2048, 3, 4, false, true},
	{"t4g.medium", arm, 2, 2, 4096, 3, 6, false, true},
}

// findKind gives a type by its name.
func findKind(name string) (*kind, error) {
	for i := range kinds {
		if kinds[i].name == name {
			return &kinds[i], nil
		}
	}
	return nil, invalid("Invalid value '%s' for InstanceType.", name) // source: aws
}

// fits refuses a type that the host's programs do not run on. source: aws
func (k *kind) fits() error {
	if k.architecture == architecture() {
		return nil
	}
	return invalid("The architecture '%s' of the specified instance type does not match the architecture '%s' of the specified AMI. "+
		"Specify an instance type and an AMI that have matching architectures, and try again. You can use 'describe-instance-types' or "+
		"'describe-images' to discover the architecture of the instance type or AMI.", k.architecture, architecture())
}

// Memory is how much a machine of a type may use, in bytes; 0 for no limit.
func Memory(name string) int64 {
	k, err := findKind(name)
	if err != nil {
		return 0
	}
	return k.memory << 20
}

// info is the type as it is described. source: model, "InstanceTypeInfo"
func (k *kind) info() ec2.InstanceTypeInfo {
	hypervisor, support, maker := new("nitro"), "default", "Intel"
	if k.old {
		hypervisor, support = new("xen"), "unsupported"
	}
	if k.architecture == arm {
		maker = "AWS"
	}
	threads := k.cpus / k.cores
	return ec2.InstanceTypeInfo{
		InstanceType: &k.name, CurrentGeneration: new(!k.old), FreeTierEligible: new(k.name == "t3.micro"), SupportedUsageClasses: []string{"on-demand"},
		SupportedRootDeviceTypes: []string{"ebs"}, SupportedVirtualizationTypes: []string{"hvm"}, BareMetal: new(false), Hypervisor: hypervisor,
		ProcessorInfo: &ec2.ProcessorInfo{SupportedArchitectures: []string{k.architecture}, Manufacturer: &maker},
		VCpuInfo: &ec2.VCpuInfo{
			DefaultVCpus: &k.cpus, DefaultCores: &k.cores, DefaultThreadsPerCore: &threads, ValidCores: []int64{k.cores}, ValidThreadsPerCore: []int64{threads},
		},
		MemoryInfo: &ec2.MemoryInfo{SizeInMiB: &k.memory}, InstanceStorageSupported: new(false),
		EbsInfo: &ec2.EbsInfo{EbsOptimizedSupport: &support, EncryptionSupport: new("unsupported"), NvmeSupport: new("unsupported")},
		NetworkInfo: &ec2.NetworkInfo{
			NetworkPerformance: new("Low to Moderate"), MaximumNetworkInterfaces: &k.interfaces, MaximumNetworkCards: new(int64(1)),
			DefaultNetworkCardIndex: new(int64(0)), Ipv4AddressesPerInterface: &k.addresses, Ipv6AddressesPerInterface: new(int64(0)),
			Ipv6Supported: new(false), EnaSupport: new("supported"), EfaSupported: new(false), EncryptionInTransitSupported: new(false), EnaSrdSupported: new(false),
			NetworkCards: []ec2.NetworkCardInfo{{
				NetworkCardIndex: new(int64(0)), NetworkPerformance: new("Low to Moderate"), MaximumNetworkInterfaces: &k.interfaces,
			}},
		},
		PlacementGroupInfo: &ec2.PlacementGroupInfo{SupportedStrategies: []string{}}, HibernationSupported: new(false),
		BurstablePerformanceSupported: &k.burstable, DedicatedHostsSupported: new(false), AutoRecoverySupported: new(false),
		SupportedBootModes: []string{"legacy-bios"}, NitroEnclavesSupport: new("unsupported"), NitroTpmSupport: new("unsupported"),
		PhcSupport: new("unsupported"),
	}
}
