package api

import "strings"

// ARN writes a resource's name; a global service has no Region.
func ARN(service, region, account, resource string) string {
	return "arn:" + Partition(region) + ":" + service + ":" + region + ":" + account + ":" + resource
}

// partitions are AWS's partitions by the beginning of their Regions' names. A Region of one's own
// is in the first.
var partitions = []struct{ prefix, partition string }{
	{"cn-", "aws-cn"}, {"us-gov-", "aws-us-gov"}, {"us-iso-", "aws-iso"}, {"us-isob-", "aws-iso-b"}, {"us-isof-", "aws-iso-f"},
	{"eu-isoe-", "aws-iso-e"}, {"eusc-", "aws-eusc"},
}

// Partition is the partition that a Region belongs to.
func Partition(region string) string {
	for _, p := range partitions {
		if strings.HasPrefix(region, p.prefix) {
			return p.partition
		}
	}
	return "aws"
}

// longestRegion is how long the name of a Region can be for the SSM Agent. source: agent
const longestRegion = 100

// IsRegion says whether a name can be a Region's: one of AWS's, or of one's own. It is letters, digits and
// hyphens, as the SSM Agent has it. Every request asks, so it is no regular expression. source: agent
func IsRegion(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return name != "" && len(name) <= longestRegion
}

// SplitARN takes a name apart; ok is false when it is none.
func SplitARN(arn string) (service, region, account, resource string, ok bool) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" {
		return "", "", "", "", false
	}
	return parts[2], parts[3], parts[4], parts[5], true
}
