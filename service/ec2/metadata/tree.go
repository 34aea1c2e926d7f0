package metadata

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vennel/vennel/api"
)

// versions are the versions of the tree; the paths of all but the last are dates. source: userguide, "Access instance metadata"; cloud-init
var versions = []string{
	"1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01", "2009-04-04", "2011-01-01",
	"2011-05-01", "2012-01-12", "2014-02-25", "2014-11-05", "2015-10-20", "2016-04-19", "2016-06-30", "2016-09-02", "2018-03-28", "2018-05-23",
	"2018-08-17", "2018-09-24", "2019-10-01", "2020-08-24", "2020-10-27", "2021-01-03", "2021-03-23", "2021-07-15", "latest",
}

// isVersion says whether there is a version.
func isVersion(name string) bool { return slices.Contains(versions, name) }

// introduced is the version with which a name came. What is not here was there from the first on, or came with what it is in. source:
// userguide, "Instance metadata categories"
var introduced = map[string]string{
	"dynamic":                                  "2009-04-04",
	"meta-data/block-device-mapping":           "2007-12-15",
	"meta-data/events":                         "2018-08-17",
	"meta-data/iam":                            "2012-01-12",
	"meta-data/identity-credentials":           "2018-05-23",
	"meta-data/instance-action":                "2008-09-01",
	"meta-data/instance-life-cycle":            "2019-10-01",
	"meta-data/instance-type":                  "2007-08-29",
	"meta-data/local-hostname":                 "2007-01-19",
	"meta-data/mac":                            "2011-01-01",
	"meta-data/network":                        "2011-01-01",
	"meta-data/placement":                      "2008-02-01",
	"meta-data/placement/availability-zone-id": "2019-10-01",
	"meta-data/placement/group-name":           "2020-08-24",
	"meta-data/placement/partition-number":     "2020-08-24",
	"meta-data/placement/region":               "2020-08-24",
	"meta-data/public-hostname":                "2007-01-19",
	"meta-data/public-ipv4":                    "2007-01-19",
	"meta-data/services":                       "2014-02-25",
	"meta-data/services/partition":             "2015-10-20",
	"meta-data/tags":                           "2021-03-23",
}

// tree is a folder: names and what they are, which is another tree, a text, data, or a function that makes one of them. A text that is empty is
// not there.
type tree map[string]any

// named is a folder that is listed with a name beside its own: that of a public key, 0=NAME.
type named struct {
	tree
	name string
}

// text is the content of most names.
type text string

// data is content that may be anything, and empty.
type data []byte

// page is a text that is made when it is read; it is always there.
type page func() ([]byte, error)

// folder is a tree that is made when it is asked about; nil is none.
type folder func() (tree, error)

// resolve finds out what something is; nil is nothing. Pages stay as they are.
func resolve(v any) (any, error) {
	switch v := v.(type) {
	case named:
		return v.tree, nil
	case folder:
		t, err := v()
		if err != nil || t == nil {
			return nil, err
		}
		return t, nil
	case text:
		if v == "" {
			return nil, nil
		}
	case data:
		if v == nil {
			return nil, nil
		}
	}
	return v, nil
}

// list lists a folder, folders among its names with a slash.
func (t tree) list(at, version string) ([]byte, error) {
	names := []string{}
	for _, name := range slices.Sorted(maps.Keys(t)) {
		if introduced[strings.TrimPrefix(at+"/"+name, "/")] > version {
			continue
		}
		v, err := resolve(t[name])
		if err != nil {
			return nil, err
		}
		if v == nil {
			continue
		}
		if n, ok := t[name].(named); ok {
			name += "=" + n.name
		} else if _, ok := v.(tree); ok {
			name += "/"
		}
		names = append(names, name)
	}
	return []byte(strings.Join(names, "\n")), nil
}

// root is all that is told to an instance.
func (rq *request) root() tree {
	n := rq.instance
	return tree{
		"dynamic":   tree{"instance-identity": rq.identity()},
		"meta-data": rq.metadata(),
		"user-data": data(n.UserData),
	}
}

// metadata is the instance's metadata.
func (rq *request) metadata() tree {
	n := rq.instance
	p := n.primary()
	t := tree{
		"ami-id":            text(n.Image),
		"ami-launch-index":  text(strconv.Itoa(n.LaunchIndex)),
		"ami-manifest-path": text("(unknown)"), // source: aws, of an image that is no bundle in S3
		"events": tree{
			"maintenance":     tree{"history": text("[]"), "scheduled": text("[]")},
			"recommendations": tree{},
		},
		"hostname":            text(p.Hostname),
		"instance-action":     text("none"),
		"instance-id":         text(n.ID),
		"instance-life-cycle": text(n.Lifecycle),
		"instance-type":       text(n.Type),
		"local-hostname":      text(p.Hostname),
		"local-ipv4":          address(p.address()),
		"mac":                 text(p.MAC),
		"network":             tree{"interfaces": tree{"macs": n.interfaces()}},
		"placement": tree{
			"availability-zone": text(n.Zone), "availability-zone-id": text(n.ZoneID), "region": text(n.Region),
			"group-name": text(n.Placement), "partition-number": text(n.Partition),
		},
		"public-hostname": text(n.PublicHostname),
		"reservation-id":  text(n.Reservation),
		"security-groups": lines(p.Groups),
		"services":        tree{"domain": text(cmp.Or(n.Domain, "amazonaws.com")), "partition": text(api.Partition(n.Region))},
		"identity-credentials": tree{"ec2": tree{
			"info":                 page(rq.identityInfo),
			"security-credentials": tree{"ec2-instance": page(rq.identityCredentials)},
		}},
	}
	if len(p.Public) > 0 {
		t["public-ipv4"] = address(p.Public[0].Public)
	}
	if n.RootDevice != "" {
		t["block-device-mapping"] = tree{"ami": text(n.RootDevice), "root": text(n.RootDevice)}
	}
	if n.PublicKey != "" {
		t["public-keys"] = tree{"0": named{tree{"openssh-key": text(n.PublicKey)}, n.KeyName}}
	}
	if n.Profile != "" {
		t["iam"] = tree{"info": page(rq.profileInfo), "security-credentials": folder(rq.roles)}
	}
	if n.Options.Tags && len(n.Tags) > 0 {
		tags := tree{}
		for name, value := range n.Tags {
			tags[name] = data(value)
		}
		t["tags"] = tree{"instance": tags}
	}
	return t
}

// interfaces are an instance's network interfaces by their hardware addresses.
func (n *Instance) interfaces() tree {
	macs := tree{}
	for i := range n.Interfaces {
		e := &n.Interfaces[i]
		var four, six []netip.Addr
		for _, a := range e.Addresses {
			if a.Is4() {
				four = append(four, a)
			} else {
				six = append(six, a)
			}
		}
		t := tree{
			"device-number": text(strconv.Itoa(e.Device)), "interface-id": text(e.ID), "local-hostname": text(e.Hostname),
			"local-ipv4s": lines(four), "ipv6s": lines(six), "mac": text(e.MAC), "owner-id": text(n.Account),
			"security-group-ids": lines(e.GroupsIDs), "security-groups": lines(e.Groups), "subnet-id": text(e.Subnet), "vpc-id": text(e.VPC),
			"subnet-ipv6-cidr-blocks": lines(e.SubnetBlocks6), "vpc-ipv4-cidr-blocks": lines(e.VPCBlocks), "vpc-ipv6-cidr-blocks": lines(e.VPCBlocks6),
		}
		if e.SubnetBlock.IsValid() {
			t["subnet-ipv4-cidr-block"] = text(e.SubnetBlock.String())
		}
		if len(e.VPCBlocks) > 0 {
			t["vpc-ipv4-cidr-block"] = text(e.VPCBlocks[0].String())
		}
		public, names, associations := []netip.Addr{}, []string{}, tree{}
		for _, a := range e.Public {
			public = append(public, a.Public)
			if a.Hostname != "" {
				names = append(names, a.Hostname)
			}
			associations[a.Public.String()] = address(a.Private)
		}
		if len(public) > 0 {
			t["public-ipv4s"], t["public-hostname"], t["ipv4-associations"] = lines(public), lines(names), associations
		}
		macs[e.MAC] = t
	}
	return macs
}

// address is an address as text; none is none.
func address(a netip.Addr) text {
	if !a.IsValid() {
		return ""
	}
	return text(a.String())
}

// lines writes values one a line.
func lines[T any](values []T) text {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = fmt.Sprint(v)
	}
	return text(strings.Join(list, "\n"))
}

// member is a member of a document.
type member struct {
	name  string
	value any
}

// document writes members in their order, spaced as AWS does: scripts cut it into pieces.
func document(members ...member) ([]byte, error) {
	b := []byte("{\n")
	for i, m := range members {
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		end := ",\n"
		if i == len(members)-1 {
			end = "\n"
		}
		b = fmt.Appendf(b, "  %q : %s%s", m.name, value, end)
	}
	return append(b, '}'), nil
}

// stamp is a time as documents have it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// identity is the document that says which instance this is, and its signatures. source: userguide, "Instance identity documents"
func (rq *request) identity() tree {
	n := rq.instance
	write := func() ([]byte, error) {
		return document(
			member{"accountId", n.Account}, member{"architecture", n.Architecture}, member{"availabilityZone", n.Zone}, member{"billingProducts", nil},
			member{"devpayProductCodes", nil}, member{"marketplaceProductCodes", nil}, member{"imageId", n.Image}, member{"instanceId", n.ID},
			member{"instanceType", n.Type}, member{"kernelId", nil}, member{"pendingTime", stamp(n.Launched)},
			member{"privateIp", string(address(n.primary().address()))}, member{"ramdiskId", nil}, member{"region", n.Region}, member{"version", "2017-09-30"},
		)
	}
	signed := func(sign func([]byte) ([]byte, error)) page {
		return func() ([]byte, error) {
			b, err := write()
			if err == nil {
				b, err = sign(b)
			}
			return wrap(base64.StdEncoding.EncodeToString(b)), err
		}
	}
	return tree{
		"document": page(write), "pkcs7": signed(rq.Signer.envelop), "rsa2048": signed(rq.Signer.envelop), "signature": signed(rq.Signer.sign),
	}
}

// wrap breaks a text into lines of 64 characters, as the tools that read signatures want them.
func wrap(s string) []byte {
	var b []byte
	for len(s) > 64 {
		b = append(append(b, s[:64]...), '\n')
		s = s[64:]
	}
	return append(b, s...)
}
