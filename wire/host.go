package wire

import (
	"net"
	"net/netip"
	"regexp"
	"strings"
)

// hostName is what a host name of ours says.
type hostName struct {
	service, region string
	bucket          string // of S3's virtual-host style
}

// goodRegion is what the SSM Agent takes for a Region.
var goodRegion = regexp.MustCompile(`^[A-Za-z0-9-]{1,100}$`)

// parseHost takes a host name apart: SERVICE.REGION.DOMAIN, SERVICE-fips.REGION.DOMAIN, an endpoint's
// own name before it (vpce-….SERVICE.REGION.vpce.DOMAIN), S3's buckets before it and its older
// s3-REGION. A name of something else gives the zero value.
func parseHost(host string, serves func(service string) bool) hostName {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return hostName{}
	}
	labels := strings.Split(strings.ToLower(strings.TrimSuffix(host, ".")), ".")
	if strings.HasPrefix(labels[0], "vpce-") {
		labels = labels[1:]
	}
	for i := range labels {
		name := strings.TrimSuffix(labels[i], "-fips")
		if i == 0 && serves(name) && name != "s3" && len(labels) > 2 && !isS3(labels[1]) {
			return hostName{service: name, region: regionOf(labels[1:])}
		}
		if isS3(name) && len(labels) > i+2 && serves("s3") {
			h := hostName{service: "s3", region: strings.TrimPrefix(strings.TrimPrefix(name, "s3"), "-"), bucket: strings.Join(labels[:i], ".")}
			if h.region == "" {
				h.region = regionOf(labels[i+1:])
			}
			return h
		}
	}
	return hostName{}
}

// isS3 says whether a label is S3's, in either style.
func isS3(label string) bool { return label == "s3" || strings.HasPrefix(label, "s3-") }

// regionOf is the Region at the head of what follows a service's label; the global names of IAM,
// STS and S3 have none.
func regionOf(labels []string) string {
	if labels[0] == "amazonaws" || len(labels) < 2 || !goodRegion.MatchString(labels[0]) {
		return ""
	}
	return labels[0]
}
