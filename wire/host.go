package wire

import (
	"net/netip"
	"regexp"
	"strings"

	"github.com/vennel/vennel/api"
)

// hostName is what a host name of ours says.
type hostName struct {
	service, region string
	bucket          string // of S3's virtual-host style
	aws             bool   // the name is under a domain of AWS's, where names mean what they say
}

// awsDomains are the domains of AWS's endpoints. source: aws
var awsDomains = []string{".amazonaws.com", ".amazonaws.com.cn", ".api.aws"}

// parseHost takes a host name apart:
//
//	SERVICE.REGION.DOMAIN  SERVICE-fips.REGION.DOMAIN  SERVICE.amazonaws.com
//	vpce-….SERVICE.REGION.vpce.DOMAIN
//	s3.REGION.DOMAIN  s3.dualstack.REGION.DOMAIN  s3-REGION.DOMAIN  and a BUCKET before any of them
//	bucket.vpce-….s3.REGION.vpce.DOMAIN           and a BUCKET before it
//
// A name of something else gives the zero value.
func parseHost(host string, serves func(service string) bool) hostName {
	name := hostOf(host)
	if name == "" {
		return hostName{}
	}
	aws := false
	for _, domain := range awsDomains {
		if front, ok := strings.CutSuffix(name, domain); ok {
			name, aws = front, true
		}
	}
	if !aws { // a domain of one's own has one label or more
		name = name[:max(0, strings.LastIndexByte(name, '.'))]
	}
	if name == "" {
		return hostName{}
	}
	front := strings.Split(name, ".")
	at := serviceAt(front, aws, serves)
	if at < 0 {
		return hostName{}
	}
	service, region := splitService(front[at])
	after := front[at+1:]
	if len(after) > 0 && after[0] == "dualstack" {
		after = after[1:]
	}
	switch {
	case region != "":
	case len(after) > 0 && api.IsRegion(after[0]):
		region = after[0]
	case !aws:
		return hostName{} // only AWS's own domains have names without a Region
	}
	return hostName{service: service, region: region, bucket: bucketOf(front[:at]), aws: aws}
}

// hostOf is the name of a host in lower case, without its port; "" for an address.
func hostOf(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		if strings.IndexByte(host, ':') != i { // an IPv6 address
			return ""
		}
		host = host[:i]
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "" || host[len(host)-1] >= '0' && host[len(host)-1] <= '9' && isAddress(host) {
		return ""
	}
	return host
}

// isAddress says whether a host is an IPv4 address.
func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// serviceAt finds the label of a served service, or gives -1. It is the first, or the second after
// an endpoint's own. S3's may stand further on, after a bucket's, which may look like a service's;
// and under AWS's domains a bucket's may even look like S3's own.
func serviceAt(front []string, aws bool, serves func(string) bool) int {
	first := 0
	if len(front) > 1 && strings.HasPrefix(front[0], "vpce-") {
		first = 1
	}
	s3 := -1
	for i := first; i < len(front) && serves("s3"); i++ {
		if service, _ := splitService(front[i]); service == "s3" && (aws || s3 < 0) {
			s3 = i
		}
	}
	plain, _ := splitService(front[first])
	switch {
	case s3 >= 0 && (aws || s3 <= first+1 || !serves(plain)):
		return s3
	case serves(plain):
		return first
	}
	return -1
}

// s3Region is S3's older style, in which one label has both.
var s3Region = regexp.MustCompile(`^s3-([a-z]+(?:-[a-z]+)+-\d+)$`)

// splitService takes a label apart into service and, in S3's older style, Region.
func splitService(label string) (service, region string) {
	if strings.HasPrefix(label, "s3-") {
		if m := s3Region.FindStringSubmatch(label); m != nil && !strings.HasPrefix(m[1], "website-") {
			return "s3", m[1]
		}
	}
	return strings.TrimSuffix(label, "-fips"), ""
}

// bucketOf is the bucket that the labels before S3's name. At an interface endpoint the word bucket
// and the endpoint's own name stand between.
func bucketOf(before []string) string {
	if n := len(before); n > 0 && strings.HasPrefix(before[n-1], "vpce-") {
		before = before[:n-1]
		if n > 1 && before[n-2] == "bucket" {
			before = before[:n-2]
		}
	}
	return strings.Join(before, ".")
}
