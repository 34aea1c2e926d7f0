package dns

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	// patience is how long the servers of a rule are asked: less than the five seconds after which a stub resolver asks again.
	patience = 4 * time.Second
	// maxTry is how long one of them has for an answer.
	maxTry = time.Second
	// maxAsking is how many queries of one VPC are with other servers at once, and maxAskingOf how many with one of them, so that a
	// dead server cannot hold all.
	maxAsking, maxAskingOf = 256, 128
	// maxUDPAnswer is the longest answer that is read from a packet.
	maxUDPAnswer = 4096
)

// errStranger says that what came is no answer to what was asked.
var errStranger = errors.New("the answer is to another question")

// lane is the way from a VPC to a target or, without one, to all of them.
type lane struct {
	vpc string
	to  netip.AddrPort
}

// traffic is what is known of a lane.
type traffic struct {
	asking int  // queries under way
	silent bool // the last one failed, and was told so
}

// enter reports whether a lane has room for one more query, and takes it.
func (s *Server) enter(l lane) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.lanes[l]
	if t == nil {
		t = new(traffic)
		s.lanes[l] = t
	}
	most := maxAskingOf
	if !l.to.IsValid() {
		most = maxAsking
	}
	if t.asking >= most {
		return false
	}
	t.asking++
	return true
}

// leave gives back what a query has taken.
func (s *Server) leave(l lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lanes[l].asking--
}

// turned reports whether a target was heard, or not, for the first time since the opposite.
func (s *Server) turned(l lane, silent bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.lanes[l]
	before := t.silent
	t.silent = silent
	return before != silent
}

// forget drops the idle lanes that a table does not know.
func (s *Server) forget(t *Table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l, traffic := range s.lanes {
		v := t.view(l.vpc)
		known := v != nil
		if known && l.to.IsValid() {
			_, known = v.targets[l.to]
		}
		if !known && traffic.asking == 0 {
			delete(s.lanes, l)
		}
	}
}

// forward asks the servers of the query's rule, in a random order as Resolver does, twice around, until one knows, and puts what it
// says into the reply. A server that answers with a failure is not asked again; if none does better, that is the reply.
func (s *Server) forward(ctx context.Context, q *query) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	rule := q.finding.place.rule
	targets := slices.Clone(rule.Targets)
	rand.Shuffle(len(targets), func(i, j int) { targets[i], targets[j] = targets[j], targets[i] })
	try := min(maxTry, patience/time.Duration(2*len(targets)))
	start, failure := time.Now(), dns.RcodeServerFailure
	for around := range 2 {
		if around > 0 && len(targets) > 0 {
			wait(ctx, try-time.Since(start)) // what was refused at once may be there a little later
		}
		var left []netip.AddrPort
		for _, to := range targets {
			if ctx.Err() != nil {
				break
			}
			in, err := s.ask(ctx, q, to, try)
			switch {
			case err != nil:
				left = append(left, to)
			case in.Rcode == dns.RcodeSuccess || in.Rcode == dns.RcodeNameError:
				q.tell(in)
				return
			case in.Rcode <= 0xf:
				failure = in.Rcode
			}
		}
		targets = left
	}
	q.refuse(failure)
}

// ask asks one server, by UDP unless the query came by TCP, and again by TCP when the answer is longer than a packet.
func (s *Server) ask(ctx context.Context, q *query, to netip.AddrPort, try time.Duration) (*dns.Msg, error) {
	l := lane{vpc: q.view.vpc, to: to}
	if !s.enter(l) {
		return nil, errors.New("too many queries are waiting for the server")
	}
	defer s.leave(l)
	var in *dns.Msg
	var err error
	if !q.tcp {
		in, err = s.exchange(ctx, q, to, "udp", try)
	}
	if err == nil && (in == nil || in.Truncated) {
		in, err = s.exchange(ctx, q, to, "tcp", try)
	}
	if ctx.Err() == nil && s.turned(l, err != nil) {
		if err != nil {
			s.options.Log.WarnContext(ctx, "a server of a resolver rule does not answer", "vpc", l.vpc, "target", to, "error", err)
		} else {
			s.options.Log.InfoContext(ctx, "a server of a resolver rule answers again", "vpc", l.vpc, "target", to)
		}
	}
	return in, err
}

// exchange sends the query over a connection of its own, whose port nobody can guess, and waits for its answer.
func (s *Server) exchange(ctx context.Context, q *query, to netip.AddrPort, network string, try time.Duration) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, try)
	defer cancel()
	if s.options.Dial == nil {
		return nil, errors.New("there is no way to other servers")
	}
	out := new(dns.Msg)
	name := q.reply.Question[0].Name
	if len(q.finding.aliases) > 0 {
		name = q.finding.name
	}
	out.SetQuestion(name, q.reply.Question[0].Qtype)
	out.CheckingDisabled = q.reply.CheckingDisabled
	if q.edns {
		out.SetEdns0(maxPacket, false)
	}
	packet, err := out.Pack()
	if err != nil {
		return nil, err
	}
	source, err := from(q.finding.place.rule, to)
	if err != nil {
		return nil, err
	}
	conn, err := s.options.Dial(ctx, cmp.Or(q.finding.place.rule.VPC, q.view.vpc), source, network, to)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if network == "tcp" {
		packet = frame(packet)
	}
	if _, err := conn.Write(packet); err != nil {
		return nil, errors.Join(err, ctx.Err())
	}
	for buf := make([]byte, maxUDPAnswer); ; {
		in, err := hear(conn, network, buf, out)
		switch {
		case err == nil:
			return in, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case network == "tcp" || !errors.Is(err, errStranger):
			return nil, err
		}
	}
}

// hear reads the answer to a message, or errStranger for anything else that was said.
func hear(conn net.Conn, network string, buf []byte, out *dns.Msg) (*dns.Msg, error) {
	var packet []byte
	var err error
	if network == "tcp" {
		packet, err = readFrame(conn, dns.MaxMsgSize)
	} else {
		var n int
		n, err = conn.Read(buf)
		packet = buf[:n]
	}
	if err != nil {
		return nil, err
	}
	return recognize(packet, out)
}

// recognize reads a packet as the answer to a message.
func recognize(packet []byte, out *dns.Msg) (*dns.Msg, error) {
	in := new(dns.Msg)
	if in.Unpack(packet) != nil || in.Id != out.Id || !in.Response || in.Opcode != dns.OpcodeQuery || len(in.Question) != 1 {
		return nil, errStranger
	}
	asked, answered := out.Question[0], in.Question[0]
	if asked.Qtype != answered.Qtype || asked.Qclass != answered.Qclass || !strings.EqualFold(asked.Name, answered.Name) {
		return nil, errStranger
	}
	return in, nil
}

// from picks an address of the outbound endpoint, of the target's family; none when the rule leaves that to Dial.
func from(rule *Rule, to netip.AddrPort) (netip.Addr, error) {
	if len(rule.From) == 0 {
		return netip.Addr{}, nil
	}
	var fit []netip.Addr
	for _, a := range rule.From {
		if a.Is4() == to.Addr().Is4() {
			fit = append(fit, a)
		}
	}
	if len(fit) == 0 {
		return netip.Addr{}, errors.New("the outbound endpoint has no address of the target's family")
	}
	return fit[rand.IntN(len(fit))], nil
}

// tell puts what another server has said into the reply, behind the aliases that led there.
func (q *query) tell(in *dns.Msg) {
	q.reply.Rcode = in.Rcode
	q.reply.Answer = append(q.reply.Answer, in.Answer...)
	q.reply.Ns = in.Ns
	for _, r := range in.Extra {
		switch r.Header().Rrtype {
		case dns.TypeOPT, dns.TypeTSIG, dns.TypeSIG: // they are of that connection alone
		default:
			q.reply.Extra = append(q.reply.Extra, r)
		}
	}
}
