// Package nft makes the nftables rules of one VPC. [New] says what they should be, as a pure function; [Conn.Apply] makes
// them so in the VPC's network namespace, and touches no more than what differs; [Flows] reads what they decide.
//
// What changes often (rules, members, interfaces, addresses) is elements of sets, and what is left is chains: those of
// every VPC, one for each direction of a network ACL, and one for each combination of security groups that an interface
// has. So the everyday changes are a few elements in one transaction, and the rest is the whole table, in one transaction, too.
//
// The order in which a new connection is decided upon is AWS's: the sender's groups, its subnet's ACL, the receiver's
// subnet's ACL, the receiver's groups. Packets of connections that are known meet the ACLs only, and within a subnet nothing.
package nft

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"

	"github.com/vennel/vennel/dataplane"
)

// InternetDevice is the device of a VPC's internet gateway.
const InternetDevice = "igw0"

// Device is the router's end of an interface's cable. Devices have names of at most 15 characters, ids are longer.
func Device(eni string) string {
	digits := eni[strings.LastIndexByte(eni, '-')+1:]
	if digits == "" || strings.Trim(digits, "0123456789abcdef") != "" {
		sum := sha256.Sum256([]byte(eni))
		digits = hex.EncodeToString(sum[:])
	}
	return "e" + digits[max(0, len(digits)-14):]
}

// PeeringDevice is the device of a peering in both of its VPCs.
func PeeringDevice(number int) string { return "p" + strconv.Itoa(number) }

// TunnelDevice is the device of a tunnel in its VPC.
func TunnelDevice(number int) string { return "t" + strconv.Itoa(number) }

// Link is a peering's or tunnel's device, and where packets that come in through it may come from.
type Link struct {
	Device string
	CIDRs  []netip.Prefix
}

// valid says whether it is one of the names that PeeringDevice and TunnelDevice give. Nothing comes in through another.
func (l Link) valid() bool {
	if len(l.Device) < 2 || len(l.Device) > 15 || l.Device[0] != 'p' && l.Device[0] != 't' {
		return false
	}
	return strings.Trim(l.Device[1:], "0123456789") == ""
}

// word makes an id a part of a name. Ids of AWS's form stay as they are; another becomes a hash, so that no id
// is ever read as rules, and none has a "_".
func word(id string) string {
	if id != "" && len(id) <= 40 && id[0] >= 'a' && id[0] <= 'z' && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "x" + hex.EncodeToString(sum[:8])
}

// linkLocal are the addresses of services that every interface reaches, whatever its groups and ACLs say.
func linkLocal(v *dataplane.VPC) []netip.Addr {
	list := []netip.Addr{dataplane.DNSAddress, dataplane.MetadataAddress}
	if len(v.CIDRs) > 0 && ipv4(v.CIDRs[0]) {
		list = append(list, v.Base2())
	}
	return list
}
