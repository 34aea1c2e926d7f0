package nft

import (
	"fmt"
	"strings"
)

// fixed are the chains that every table has. "return" of a chain for a group or an ACL means that it permits.
//
// Interfaces that have a device are known by it, those that the VPC's own router answers for by their address. Packets from
// peerings, tunnels and the internet have mark 0, so no route table is theirs.
const fixed = `
raw_pre
	type filter hook prerouting priority raw; policy drop;
	iifname "e*" goto raw_eni
	iifname "lo" accept
	meta mark set 0
	iifname . ip saddr @link_src accept
	iifname "igw0" ip daddr @eip_pub ip saddr != @inside accept

raw_eni
	meta mark set iifname map @eni_rtb
	iifname @eni_nosdc accept
	iifname . ip saddr != @eni_src drop
	ip daddr @lls notrack
	accept

raw_out
	type filter hook output priority raw; policy accept;
	ip saddr @lls notrack

nat_pre
	type nat hook prerouting priority dstnat; policy accept;
	iifname "igw0" dnat to ip daddr map @eip_dnat

nat_post
	type nat hook postrouting priority srcnat; policy accept;
	oifname "igw0" snat to ip saddr map @eip_snat

forward
	type filter hook forward priority filter; policy drop;
	oifname "e*" oifname . ip daddr != @eni_src oifname != @eni_nosdc drop
	ct state vmap { established : goto forward_known, related : goto forward_known, invalid : drop }
	iifname vmap @sg_out
	ip saddr . ip daddr @same_subnet goto forward_near
	iifname vmap @acl_out
	iifname "e*" jump log_out
	oifname "igw0" ip saddr != @eip_priv drop
	oifname vmap @acl_in
	oifname vmap @sg_in
	oifname "e*" jump log_in
	accept

forward_near
	iifname "e*" jump log_out
	oifname vmap @sg_in
	oifname "e*" jump log_in
	accept

forward_known
	ip saddr . ip daddr @same_subnet accept
	iifname vmap @acl_out
	oifname "igw0" ip saddr != @eip_priv drop
	oifname vmap @acl_in
	accept

input
	type filter hook input priority filter; policy drop;
	iifname "e*" ip daddr @lls goto lls
	ct state vmap { established : goto input_known, related : goto input_known, invalid : drop }
	iifname vmap @sg_out
	ip saddr . ip daddr @same_subnet goto input_near
	iifname vmap @acl_out
	iifname "e*" jump log_out
	ip daddr vmap @acl_in_ip
	goto input_new

input_near
	iifname "e*" jump log_out
	goto input_new

input_new
	iifname "e*" ip daddr @gateway tcp dport { 80, 443 } accept
	ip daddr vmap @sg_in_ip
	ip daddr @local_ip jump log_in
	ip daddr . meta l4proto . th dport @listener accept

input_known
	ip saddr . ip daddr @same_subnet accept
	iifname vmap @acl_out
	ip daddr vmap @acl_in_ip
	accept

output
	type filter hook output priority filter; policy drop;
	ip saddr @lls accept
	ct state != new goto output_known
	ip saddr != @dialer_ip drop
	ip saddr vmap @sg_out_ip
	ip saddr . ip daddr @same_subnet goto output_near
	ip saddr vmap @acl_out_ip
	jump log_out
	oifname "igw0" ip saddr != @eip_priv drop
	oifname vmap @acl_in
	oifname vmap @sg_in
	oifname "e*" jump log_in
	accept

output_near
	jump log_out
	oifname vmap @sg_in
	oifname "e*" jump log_in
	accept

output_known
	ip saddr . ip daddr @same_subnet accept
	ip saddr vmap @acl_out_ip
	oifname vmap @acl_in
	accept
`

// fixedChains adds the chains that every table has, and those that depend on little.
func (b *builder) fixedChains() {
	for text := range strings.SplitSeq(strings.TrimSpace(fixed), "\n\n") {
		lines := strings.Split(text, "\n\t")
		b.chains = append(b.chains, chain{lines[0], lines[1:]})
	}
	// Every interface has 1024 packets in a second for all of these services.
	services := chain{"lls", []string{"update @lls_rate { iifname limit rate over 1024/second burst 1024 packets } drop"}}
	if b.vpc.DNS {
		services.rules = append(services.rules, "ip daddr != 169.254.169.254 meta l4proto { tcp, udp } th dport 53 accept")
	}
	b.chains = append(b.chains, chain{services.name, append(services.rules, "ip daddr 169.254.169.254 tcp dport 80 accept", "drop")})
	b.logs()
}

// logGroup is where the kernel's log goes, in the VPC's network namespace.
const logGroup = 1

// logs adds the chains that log decisions. An accepted connection is logged with the packet that makes it known: before it is
// confirmed. Those that pass through an unchecked interface come again, and are logged again, up to a rate. Refused packets are
// logged up to a rate for each interface; in its place, for each address that has no device.
func (b *builder) logs() {
	const rate = "limit rate 100/second burst 200 packets"
	for _, d := range []struct {
		name, device, address string
	}{{"out", "iifname", "ip saddr"}, {"in", "oifname", "ip daddr"}} {
		log := func(verdict string) string {
			return fmt.Sprintf(`log prefix "%s" group %d`, verdict+"-"+d.name, logGroup)
		}
		b.chains = append(b.chains, chain{"log_" + d.name, []string{
			"ct status & confirmed == 0 " + log("accept") + " return",
			"iifname @log_again update @log_rate { iifname " + rate + " } " + log("accept"),
		}})
		for _, by := range []string{"sg", "acl"} {
			b.chains = append(b.chains, chain{"refuse_" + by + "_" + d.name, []string{
				d.device + ` "e*" update @log_rate { ` + d.device + " " + rate + " } " + log(by),
				d.address + " @local_ip update @log_rate_ip { " + d.address + " " + rate + " } " + log(by),
				"drop",
			}})
		}
	}
}
