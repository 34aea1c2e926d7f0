package awstest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/vennel/vennel/dataplane"
)

// settleTime is longer than the network waits before it looks at its host again.
const settleTime = 3 * time.Second

// network does what a script says about the private network and its host.
func (s *script) network(verb, one, rest string) error {
	if s.w.Host == nil {
		return errors.New("there is no host; the script needs a line that says host")
	}
	switch verb {
	case "settle":
		time.Sleep(settleTime)
		synctest.Wait()
	case "fail":
		s.w.Host.Fail(one, rest)
	case "end":
		s.w.Host.End(one, rest)
	case "console":
		s.w.Host.Say(one, rest+"\n")
	case "plan":
		return s.plan(one)
	case "carries", "names":
		var value any = s.w.Host.Config()
		if verb == "names" {
			name, kind, _ := strings.Cut(rest, " ")
			value = s.w.server.Network().Names().Lookup(one, name, kind)
		}
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		return s.keep(text)
	}
	return nil
}

// plan compares what the host carries with a file of the script. With VENNEL_UPDATE in the environment the file is written anew.
func (s *script) plan(file string) error {
	names := map[string]string{}
	for name, value := range s.names {
		if len(value) > 4 {
			names[value] = "$" + name
		}
	}
	c := s.w.Host.Config()
	if c == nil {
		return errors.New("the host carries nothing yet")
	}
	text := Text(c, names)
	if text == s.files[file] {
		return nil
	}
	i := slices.IndexFunc(s.archive.Files, func(f txtar.File) bool { return f.Name == file })
	if os.Getenv("VENNEL_UPDATE") == "" || i < 0 {
		return fmt.Errorf("the host carries\n%s\nwant\n%s", text, s.files[file])
	}
	s.archive.Files[i].Data = []byte(text)
	return os.WriteFile(s.path, txtar.Format(s.archive), 0o644)
}

// word is what may be an id or an address in a text.
var word = regexp.MustCompile(`[0-9A-Za-z-]+(\.[0-9]+)*`)

// randomID is an id that no two runs share.
var randomID = regexp.MustCompile(`^([a-z-]+)-[0-9a-f]{17}$`)

// Text is a Config as people read it, with names in the place of values: an object is a line, and what belongs to it follows,
// indented. Lines are in an order that depends on the names, not on the ids. An id without a name is its prefix and a star. The
// public addresses of services, and what all machines have in common, are left out.
func Text(c *dataplane.Config, names map[string]string) string {
	t := &prose{names: names}
	for i := range c.VPCs {
		t.vpc(&c.VPCs[i])
	}
	for _, p := range c.Peerings {
		t.add(nil, "peering %s %s and %s", p.ID, p.A, p.B)
	}
	for _, s := range c.Sites {
		if len(c.Tunnels) > 0 {
			t.add(nil, "site %s %s at %s", s.ID, s.CIDR, s.Internet)
		}
	}
	for _, l := range c.Tunnels {
		t.add(nil, "tunnel %s %s to %s %s", l.ID, l.Site, l.VPC, join(l.Prefixes))
	}
	for i := range c.Machines {
		m := &c.Machines[i]
		state := fmt.Sprintf("boot %d", m.Boot)
		if m.Stopped {
			state = "stopped"
		}
		if m.Gone {
			state = "gone"
		}
		t.add(nil, "machine %s %s asks %s %s", m.ID, state, join(m.Nameservers), strings.Join(m.Search, " "))
	}
	slices.Sort(t.blocks)
	return strings.Join(t.blocks, "")
}

// prose collects lines.
type prose struct {
	names  map[string]string
	blocks []string
}

// name puts the names in the place of values in a line.
func (t *prose) name(line string) string {
	return word.ReplaceAllStringFunc(strings.TrimRight(line, " "), func(w string) string {
		if name, ok := t.names[w]; ok {
			return name
		}
		if m := randomID.FindStringSubmatch(w); m != nil {
			return m[1] + "-*"
		}
		return w
	})
}

// add adds a block: a line, and the lines that belong to it in order.
func (t *prose) add(lines []string, format string, args ...any) {
	for i := range lines {
		lines[i] = t.name(lines[i])
	}
	slices.Sort(lines)
	block := append([]string{t.name(fmt.Sprintf(format, args...))}, lines...)
	t.blocks = append(t.blocks, strings.Join(block, "\n  ")+"\n")
}

// vpc adds the blocks of a VPC.
func (t *prose) vpc(v *dataplane.VPC) {
	lines := []string{}
	line := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for _, s := range v.Subnets {
		line("subnet %s %s by %s within %s", s.ID, s.CIDR, s.RouteTable, s.ACL)
	}
	for _, r := range v.RouteTables {
		line("table %s", r.ID)
		for _, to := range r.Routes {
			line("table %s leads %s to %s %s", r.ID, to.Destination, to.Target, to.ID)
		}
	}
	for i := range v.Groups {
		lines = append(lines, groupText(&v.Groups[i])...)
	}
	for _, a := range v.ACLs {
		for _, e := range a.Ingress {
			line("acl %s in %s", a.ID, entryText(e))
		}
		for _, e := range a.Egress {
			line("acl %s out %s", a.ID, entryText(e))
		}
	}
	for _, n := range v.Interfaces {
		unchecked := ""
		if n.Unchecked {
			unchecked = " unchecked"
		}
		line("%s %s in %s %s groups [%s]%s %s%s", n.Kind, n.ID, n.Subnet, join(n.Addresses), strings.Join(n.Groups, " "), unchecked, n.Owner, n.Machine)
	}
	for _, g := range v.Gateways {
		line("gateway %s %s", g.ID, join(g.Prefixes))
	}
	if v.InternetGateway != "" {
		line("internet %s", v.InternetGateway)
	}
	for _, p := range v.Publics {
		line("public %s is %s", p.Public, p.Private)
	}
	dns := ""
	if v.DNS {
		dns = "with a resolver"
	}
	t.add(lines, "vpc %s %s %s", v.ID, join(v.CIDRs), dns)
}

// groupText are the lines of a security group.
func groupText(g *dataplane.Group) []string {
	lines := []string{"group " + g.ID}
	for _, r := range g.Ingress {
		lines = append(lines, "group "+g.ID+" in "+ruleText(r))
	}
	for _, r := range g.Egress {
		lines = append(lines, "group "+g.ID+" out "+ruleText(r))
	}
	if len(g.Members) > 0 {
		lines = append(lines, "group "+g.ID+" has "+join(g.Members))
	}
	return lines
}

// ruleText is what a rule lets pass.
func ruleText(r dataplane.Rule) string {
	if r.Group != "" {
		return fmt.Sprintf("protocol %d %d-%d %s", r.Protocol, r.From, r.To, r.Group)
	}
	return fmt.Sprintf("protocol %d %d-%d %s", r.Protocol, r.From, r.To, r.CIDR)
}

// entryText is what an entry says.
func entryText(e dataplane.Entry) string {
	does := "denies"
	if e.Allow {
		does = "allows"
	}
	return fmt.Sprintf("%05d %s protocol %d %d-%d %s", e.Number, does, e.Protocol, e.From, e.To, e.CIDR)
}

// join joins addresses or ranges.
func join[T netip.Addr | netip.Prefix](list []T) string {
	words := make([]string, len(list))
	for i, a := range list {
		words[i] = fmt.Sprint(a)
	}
	return strings.Join(words, " ")
}
