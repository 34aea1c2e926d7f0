package instance

import (
	"time"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/iam"
)

// Image is something that an instance can be made of: the host's own system, with one agent or another.
type Image struct {
	ID, Name, About string
	Agent           string // as vennel boot names it
}

// The images, the same in every Region. The lab's clients find them by name.
var (
	AgentImage    = Image{ID: "ami-0a6e7000000000001", Name: "vennel-linux-agent", About: "The host's Linux with Vennel's agent", Agent: "vennel"}
	OfficialImage = Image{ID: "ami-0a6e7000000000002", Name: "vennel-linux-ssm-agent", About: "The host's Linux with the official SSM Agent", Agent: "official"}
	BareImage     = Image{ID: "ami-0a6e7000000000003", Name: "vennel-linux-bare", About: "The host's Linux without an agent", Agent: "none"}
)

// imageOwner is who the images belong to.
const imageOwner = "amazon"

// imagesMade is when the images were made, as far as anybody asks.
var imagesMade = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// What disks are, unless a launch says otherwise. Nothing but the host's own disk limits them.
const (
	rootDevice = "/dev/xvda"
	diskSize   = 8 // GiB
	diskType   = "gp3"
)

// image is an image as it is described.
func (i Image) image() ec2.Image {
	made := imagesMade.Format("2006-01-02T15:04:05.000Z")
	return ec2.Image{
		ImageId: new(i.ID), Name: new(i.Name), Description: new(i.About), ImageOwnerAlias: new(imageOwner), OwnerId: new(imageOwner), Public: new(true),
		State: new("available"), Architecture: new(architecture()), ImageType: new("machine"), RootDeviceName: new(rootDevice), RootDeviceType: new("ebs"),
		VirtualizationType: new("hvm"), Hypervisor: new("xen"), PlatformDetails: new("Linux/UNIX"), UsageOperation: new("RunInstances"), CreationDate: &made,
		EnaSupport: new(true), ImageLocation: new(imageOwner + "/" + i.Name), ProductCodes: []ec2.ProductCode{},
		BlockDeviceMappings: []ec2.BlockDeviceMapping{{
			DeviceName: new(rootDevice), Ebs: &ec2.EbsBlockDevice{DeleteOnTermination: new(true), VolumeSize: new(int64(diskSize)), VolumeType: new(diskType), Encrypted: new(false)},
		}},
	}
}

// keys are the condition keys of an image. source: SAR
func (i Image) keys() []iam.About {
	return []iam.About{
		iam.Key("ec2:imageid", i.ID), iam.Key("ec2:imagetype", "machine"), iam.Key("ec2:owner", imageOwner), iam.Key("ec2:public", "true"),
		iam.Key("ec2:rootdevicetype", "ebs"),
	}
}
