package instance

import (
	"runtime"
	"time"

	"github.com/vennel/vennel/api/ec2"
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

// imageOwner is who the images belong to. source: guess
const imageOwner = "amazon"

// imagesMade is when the images were made, as far as anybody asks.
var imagesMade = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// architecture is AWS's word for the host's.
func architecture() string {
	if runtime.GOARCH == "arm64" {
		return ec2.ArchitectureTypeArm64
	}
	return "x86_64"
}

// rootDevice is the name of an instance's disk.
const rootDevice = "/dev/xvda"
