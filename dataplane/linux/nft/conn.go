package nft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/vennel/vennel/dataplane/linux/netns"
)

// Conn is a line to the nftables of one network namespace, for one goroutine at a time.
//
// The messages for elements are our own. What a library would add is unfit for them: an acknowledgement for each message, so
// that a committed transaction may end in an error for want of room for them, and buffers that only the host's root may have.
type Conn struct {
	ns      *os.File
	netlink *netlink.Conn // nil after an error
}

// tableName is the name of a VPC's table in its network namespace.
const tableName = "vpc"

// Open opens a line to the nftables of a network namespace, whose file stays open as long.
func Open(ns *os.File) (*Conn, error) {
	c := &Conn{ns: ns}
	if err := c.dial(); err != nil {
		return nil, err
	}
	return c, nil
}

// dial connects. The socket remembers its network namespace.
func (c *Conn) dial() error {
	return netns.Do(c.ns, func() (err error) {
		c.netlink, err = dial(&netlink.Config{})
		return err
	})
}

// dial opens a socket to netfilter in the network namespace of the thread.
func dial(config *netlink.Config) (*netlink.Conn, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, config)
	if err != nil {
		return nil, err
	}
	// Errors without the message that they are about take less of the buffer.
	if err := conn.SetOption(netlink.CapAcknowledge, true); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// Close ends the line.
func (c *Conn) Close() error {
	if c.netlink == nil {
		return nil
	}
	return c.netlink.Close()
}

// patience is how long the kernel may take for an answer. It answers before the call that asks returns; this is for bugs.
const patience = 10 * time.Second

// Sizes of what is done element by element. Beyond them the whole table is made anew, so that a transaction always fits a
// socket's default buffers: an unprivileged user namespace cannot have larger ones.
const (
	maxElements = 1000
	maxBytes    = 100 << 10
)

// Apply makes the rules of the network namespace those of a table. The old one is what is there now; nil says that it is unknown.
// When only elements differ they are changed in one transaction, otherwise everything is replaced in one. Established
// connections go on either way. It gives the number of transactions, by which the generation has grown, unless somebody else
// has changed something at the same time.
func (c *Conn) Apply(ctx context.Context, old, table *Table) (commits uint32, err error) {
	if old != nil && old.revision == table.revision {
		return 0, nil
	}
	var first error
	if old != nil && old.shape == table.shape {
		changes, few := difference(old, table)
		if few {
			if first = c.change(changes, old, table); first == nil {
				return 1, nil
			}
		}
	}
	// An error says nothing about what is committed; the marker does.
	if first != nil {
		if have, ok, err := c.Read(ctx); err == nil && ok && have == table.revision {
			return 1, nil
		}
	}
	commits, err = c.load(ctx, table)
	if err != nil {
		if have, ok, again := c.Read(ctx); again == nil && ok && have == table.revision {
			return commits, nil
		}
		return commits, errors.Join(first, err)
	}
	return commits, nil
}

// load replaces the whole table in one transaction. In an unprivileged user namespace a large one does not fit into a socket's
// buffer; then it is replaced in several, and all packets are dropped until the last.
func (c *Conn) load(ctx context.Context, t *Table) (commits uint32, err error) {
	err = c.run(ctx, t.Text())
	if err == nil || !strings.Contains(err.Error(), "Message too long") {
		return 1, err
	}
	for _, part := range t.parts(partBytes) {
		if err := c.run(ctx, part); err != nil {
			return commits, err
		}
		commits++
	}
	return commits, nil
}

// partBytes is how long a script is whose transaction is sure to fit.
const partBytes = 32 << 10

// run has nft run a script.
func (c *Conn) run(ctx context.Context, script string) error {
	nft, err := exec.LookPath("nft")
	if err != nil {
		nft = "/usr/sbin/nft" // which is no place for everybody
	}
	cmd := exec.CommandContext(ctx, nft, "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	var said tail
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Env = []string{"LC_ALL=C"}
	if err := netns.Run(c.ns, cmd); err != nil {
		return fmt.Errorf("nft: %w: %s", err, strings.TrimSpace(string(said)))
	}
	return nil
}

// tail keeps the beginning of what a program says.
type tail []byte

// Write takes everything.
func (t *tail) Write(p []byte) (int, error) {
	*t = append(*t, p[:min(len(p), 4096-len(*t))]...)
	return len(p), nil
}

// change is what becomes of a set.
type change struct {
	set         *set
	gone, fresh []element
}

// difference says what becomes of the sets of a table with the same shape, and whether that is little enough.
func difference(old, table *Table) (changes []change, few bool) {
	count := 0
	for i, s := range table.sets {
		o := old.sets[i]
		if o.sum == s.sum {
			continue
		}
		c := change{set: s}
		a, b := o.elements, s.elements
		for len(a) > 0 || len(b) > 0 {
			order := 0
			switch {
			case len(a) == 0:
				order = 1
			case len(b) == 0:
				order = -1
			default:
				order = a[0].compare(b[0])
			}
			if order == 0 && a[0] == b[0] {
				a, b = a[1:], b[1:]
				continue
			}
			if order <= 0 {
				c.gone, a = append(c.gone, a[0]), a[1:]
			}
			if order >= 0 {
				c.fresh, b = append(c.fresh, b[0]), b[1:]
			}
			if count++; count > maxElements {
				return nil, false
			}
		}
		changes = append(changes, c)
	}
	return changes, true
}

// change changes elements and the marker in one transaction.
func (c *Conn) change(changes []change, old, table *Table) error {
	batch := []netlink.Message{boundary(unix.NFNL_MSG_BATCH_BEGIN)}
	for _, ch := range changes {
		if err := elements(&batch, unix.NFT_MSG_DELSETELEM, 0, ch.set, ch.gone); err != nil {
			return err
		}
	}
	for _, ch := range changes {
		if err := elements(&batch, unix.NFT_MSG_NEWSETELEM, netlink.Create|netlink.Excl, ch.set, ch.fresh); err != nil {
			return err
		}
	}
	for _, m := range []struct {
		operation int
		flags     netlink.HeaderFlags
		revision  string
	}{
		{unix.NFT_MSG_DELCHAIN, 0, old.revision},
		{unix.NFT_MSG_NEWCHAIN, netlink.Create | netlink.Excl | netlink.Acknowledge, table.revision},
	} {
		ae := netlink.NewAttributeEncoder()
		ae.String(unix.NFTA_CHAIN_TABLE, tableName)
		ae.String(unix.NFTA_CHAIN_NAME, marker(m.revision))
		message, err := request(m.operation, m.flags, ae)
		if err != nil {
			return err
		}
		batch = append(batch, message)
	}
	last := len(batch) - 1 // the only one that is acknowledged; errors come from all
	batch = append(batch, boundary(unix.NFNL_MSG_BATCH_END))
	size := 0
	for _, m := range batch {
		size += len(m.Data)
	}
	if size > maxBytes {
		return errors.New("too many elements for one transaction")
	}
	return c.try(func() error {
		sent, err := c.netlink.SendMessages(batch)
		if err != nil {
			return err
		}
		for {
			answers, err := c.netlink.Receive()
			if err != nil {
				return err
			}
			for _, a := range answers {
				if a.Header.Sequence == sent[last].Header.Sequence {
					return nil
				}
			}
		}
	})
}

// try does something with the socket, and has it replaced when it fails: there may be more answers in it.
func (c *Conn) try(f func() error) error {
	if c.netlink == nil {
		if err := c.dial(); err != nil {
			return err
		}
	}
	err := c.netlink.SetDeadline(time.Now().Add(patience))
	if err == nil {
		err = f()
	}
	if err != nil {
		err = errors.Join(err, c.netlink.Close())
		c.netlink = nil
	}
	return err
}

// boundary is the message before or after a transaction.
func boundary(what int) netlink.Message {
	return netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(what), Flags: netlink.Request},
		Data:   []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, unix.NFNL_SUBSYS_NFTABLES},
	}
}

// request is a message to nftables about IPv4.
func request(operation int, flags netlink.HeaderFlags, ae *netlink.AttributeEncoder) (netlink.Message, error) {
	attributes, err := ae.Encode()
	return netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | operation), Flags: netlink.Request | flags},
		Data:   append([]byte{unix.NFPROTO_IPV4, unix.NFNETLINK_V0, 0, 0}, attributes...),
	}, err
}

// perMessage is how many elements one message carries at most. Its list has a length of 16 bits.
const perMessage = 300

// elements adds messages about elements of a set to a batch.
func elements(batch *[]netlink.Message, operation int, flags netlink.HeaderFlags, s *set, list []element) error {
	for len(list) > 0 {
		part := list[:min(perMessage, len(list))]
		list = list[len(part):]
		ae := netlink.NewAttributeEncoder()
		ae.String(unix.NFTA_SET_ELEM_LIST_TABLE, tableName)
		ae.String(unix.NFTA_SET_ELEM_LIST_SET, s.name)
		ae.Nested(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func(ae *netlink.AttributeEncoder) error {
			for _, e := range part {
				ae.Nested(unix.NFTA_LIST_ELEM, func(ae *netlink.AttributeEncoder) error {
					ae.Nested(unix.NFTA_SET_ELEM_KEY, value(e.key))
					if s.ranges {
						ae.Nested(nftaSetElemKeyEnd, value(e.end))
					}
					switch {
					case operation == unix.NFT_MSG_DELSETELEM || s.value == kind{}:
					case s.value == kindVerdict:
						ae.Nested(unix.NFTA_SET_ELEM_DATA, jump(e.value))
					default:
						ae.Nested(unix.NFTA_SET_ELEM_DATA, value(e.value))
					}
					return nil
				})
			}
			return nil
		})
		m, err := request(operation, flags, ae)
		if err != nil {
			return err
		}
		*batch = append(*batch, m)
	}
	return nil
}

// nftaSetElemKeyEnd is the attribute with the last key of a range, NFTA_SET_ELEM_KEY_END.
const nftaSetElemKeyEnd = 10

// value is plain data.
func value(data string) func(*netlink.AttributeEncoder) error {
	return func(ae *netlink.AttributeEncoder) error {
		ae.Bytes(unix.NFTA_DATA_VALUE, []byte(data))
		return nil
	}
}

// jump is the verdict that jumps to a chain.
func jump(to string) func(*netlink.AttributeEncoder) error {
	return func(ae *netlink.AttributeEncoder) error {
		ae.Nested(unix.NFTA_DATA_VERDICT, func(ae *netlink.AttributeEncoder) error {
			code := int32(unix.NFT_JUMP)
			ae.Bytes(unix.NFTA_VERDICT_CODE, binary.BigEndian.AppendUint32(nil, uint32(code)))
			ae.String(unix.NFTA_VERDICT_CHAIN, to)
			return nil
		})
		return nil
	}
}

// Read gives the revision of the table that is committed. It is false when there is none of ours.
func (c *Conn) Read(ctx context.Context) (revision string, ok bool, err error) {
	ae := netlink.NewAttributeEncoder()
	ae.String(unix.NFTA_CHAIN_TABLE, tableName)
	for {
		answers, err := c.ask(unix.NFT_MSG_GETCHAIN, netlink.Dump, ae)
		if err != nil {
			return "", false, err
		}
		var found []string
		whole := true
		for _, a := range answers {
			whole = whole && a.Header.Flags&netlink.DumpInterrupted == 0
			chain, err := attributes(a.Data)
			if err != nil {
				return "", false, err
			}
			name := text(chain[unix.NFTA_CHAIN_NAME])
			if at, ours := strings.CutPrefix(name, markerPrefix); ours && text(chain[unix.NFTA_CHAIN_TABLE]) == tableName {
				found = append(found, at)
			}
		}
		if whole && len(found) == 1 {
			return found[0], true, nil
		}
		if whole || ctx.Err() != nil {
			return "", false, ctx.Err()
		}
	}
}

// Generation is a number that every change of the network namespace's rules makes another one, whoever makes the change.
func (c *Conn) Generation() (uint32, error) {
	answers, err := c.ask(unix.NFT_MSG_GETGEN, 0, netlink.NewAttributeEncoder())
	if err != nil {
		return 0, err
	}
	for _, a := range answers {
		if generation, err := attributes(a.Data); err == nil && len(generation[unix.NFTA_GEN_ID]) == 4 {
			return binary.BigEndian.Uint32(generation[unix.NFTA_GEN_ID]), nil
		}
	}
	return 0, errors.New("nftables has no generation")
}

// ask sends a question and gives the answers.
func (c *Conn) ask(operation int, flags netlink.HeaderFlags, ae *netlink.AttributeEncoder) (answers []netlink.Message, err error) {
	question, err := request(operation, flags, ae)
	if err != nil {
		return nil, err
	}
	err = c.try(func() error {
		if _, err := c.netlink.Send(question); err != nil {
			return err
		}
		answers, err = c.netlink.Receive()
		return err
	})
	return answers, err
}

// attributes takes a message of netfilter's apart.
func attributes(data []byte) (map[uint16][]byte, error) {
	if len(data) < 4 {
		return nil, errors.New("a message without a header")
	}
	ad, err := netlink.NewAttributeDecoder(data[4:])
	if err != nil {
		return nil, err
	}
	m := map[uint16][]byte{}
	for ad.Next() {
		m[ad.Type()] = ad.Bytes()
	}
	return m, ad.Err()
}

// text is a string as netlink has it, with a zero at the end.
func text(b []byte) string { return strings.TrimRight(string(b), "\x00") }
