package nft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/dataplane/linux/netns"
)

// What the kernel's log speaks: nfnetlink_log.h.
const (
	logPacket    = unix.NFNL_SUBSYS_ULOG << 8
	logConfigure = unix.NFNL_SUBSYS_ULOG<<8 | 1

	configCommand   = 1
	configMode      = 2
	configTimeout   = 4
	configThreshold = 5
	configFlags     = 6

	commandBind   = 1
	modePacket    = 2
	flagSequence  = 1
	packetTime    = 3
	packetIn      = 4
	packetOut     = 5
	packetPayload = 9
	packetPrefix  = 10
	packetNumber  = 12
)

// How the kernel gathers what it logs: as many packets, or for as long (in hundredths of a second), with as many bytes of each,
// which is the longest IP header and the ports.
const (
	logThreshold = 64
	logTimeout   = 10
	logBytes     = 64
)

// logBuffer is how much may wait for a reader that is busy. The kernel may allow less.
const logBuffer = 1 << 20

// Flows reads what the rules of a network namespace decide, as it is decided, until the context ends. The table, which is asked
// for when there is something, is the one that was applied last and says whose interface it is. What is lost, because
// the reader was slow, or cannot be understood is counted. There is one reader at a time.
func Flows(ctx context.Context, ns *os.File, table func() *Table, f func(flows []dataplane.Flow, lost int)) (err error) {
	var conn *netlink.Conn
	var links linkNames
	err = netns.Do(ns, func() (err error) {
		if conn, err = dial(&netlink.Config{}); err != nil {
			return err
		}
		links.socket, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return errors.Join(err, conn.Close())
		}
		return nil
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(), unix.Close(links.socket)) }()
	if err := conn.SetReadBuffer(logBuffer); err != nil {
		return err
	}
	if err := bind(conn); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) }) // it fails on a closed socket only
	defer stop()
	var next uint32 // the number of the next record
	for {
		messages, err := conn.Receive()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, unix.ENOBUFS) {
			continue // the numbers of the records say how many are lost
		}
		if err != nil {
			return err
		}
		var flows []dataplane.Flow
		lost := 0
		t := table()
		for _, m := range messages {
			if m.Header.Type != logPacket {
				continue
			}
			r, err := parse(m.Data)
			if err != nil {
				lost, next = lost+1, next+1
				continue
			}
			lost += int(r.number - next)
			next = r.number + 1
			if flow, ok := t.flow(r, &links); ok {
				flows = append(flows, flow)
			} else {
				lost++
			}
		}
		if len(flows) > 0 || lost > 0 {
			f(flows, lost)
		}
	}
}

// bind asks for the log.
func bind(conn *netlink.Conn) error {
	ae := netlink.NewAttributeEncoder()
	ae.ByteOrder = binary.BigEndian
	ae.Bytes(configCommand, []byte{commandBind})
	ae.Bytes(configMode, []byte{0, 0, 0, logBytes, modePacket, 0})
	ae.Uint32(configTimeout, logTimeout)
	ae.Uint32(configThreshold, logThreshold)
	ae.Uint16(configFlags, flagSequence)
	attributes, err := ae.Encode()
	if err != nil {
		return err
	}
	_, err = conn.Execute(netlink.Message{
		Header: netlink.Header{Type: logConfigure, Flags: netlink.Request | netlink.Acknowledge},
		Data:   append([]byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, logGroup >> 8, logGroup & 0xff}, attributes...),
	})
	if err != nil {
		return fmt.Errorf("asking for the log: %w", err)
	}
	return nil
}

// record is a packet in the log.
type record struct {
	number  uint32
	time    time.Time
	verdict verdict
	in, out uint32 // indexes of devices; 0 for none
	flow    dataplane.Flow
}

// verdict is what a record's prefix says.
type verdict struct {
	accepted, egress bool
	by               string
}

// verdicts are all that there are.
var verdicts = map[string]verdict{
	"accept-out": {accepted: true, egress: true},
	"accept-in":  {accepted: true},
	"sg-out":     {egress: true, by: "sg"},
	"sg-in":      {by: "sg"},
	"acl-out":    {egress: true, by: "acl"},
	"acl-in":     {by: "acl"},
}

// parse understands a message of the log's. What is in it was sent by anybody.
func parse(data []byte) (r record, err error) {
	m, err := attributes(data)
	if err != nil {
		return r, err
	}
	word := func(id uint16) uint32 {
		if len(m[id]) != 4 {
			return 0
		}
		return binary.BigEndian.Uint32(m[id])
	}
	if len(m[packetNumber]) != 4 {
		return r, errors.New("a record without a number")
	}
	var known bool
	if r.verdict, known = verdicts[text(m[packetPrefix])]; !known {
		return r, errors.New("a record of somebody else's")
	}
	r.number, r.in, r.out = word(packetNumber), word(packetIn), word(packetOut)
	if at := m[packetTime]; len(at) == 16 {
		r.time = time.Unix(int64(binary.BigEndian.Uint64(at)), int64(binary.BigEndian.Uint64(at[8:]))*1000)
	}
	r.flow, err = packet(m[packetPayload])
	return r, err
}

// packet reads a packet's headers: addresses, protocol, ports, and its length.
func packet(b []byte) (dataplane.Flow, error) {
	if len(b) < 20 || b[0]>>4 != 4 {
		return dataplane.Flow{}, errors.New("no IPv4 packet")
	}
	header := int(b[0]&15) * 4
	if header < 20 || len(b) < header {
		return dataplane.Flow{}, errors.New("a header that is cut off")
	}
	f := dataplane.Flow{Protocol: int(b[9]), Bytes: int(binary.BigEndian.Uint16(b[2:]))}
	var from, to uint16
	const tcp, udp = 6, 17
	first := binary.BigEndian.Uint16(b[6:])&0x1fff == 0 // of a fragmented packet
	if first && len(b) >= header+4 && (f.Protocol == tcp || f.Protocol == udp) {
		from, to = binary.BigEndian.Uint16(b[header:]), binary.BigEndian.Uint16(b[header+2:])
	}
	f.From = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[12:16])), from)
	f.To = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[16:20])), to)
	return f, nil
}

// flow says whose interface a record is about. Interfaces with a device are known by it, since an unchecked one has
// packets of all addresses; others have theirs.
func (t *Table) flow(r record, links *linkNames) (dataplane.Flow, bool) {
	f := r.flow
	f.Time, f.VPC, f.Accepted, f.Egress, f.By = r.time, t.vpc, r.verdict.accepted, r.verdict.egress, r.verdict.by
	if f.Time.IsZero() {
		f.Time = time.Now()
	}
	index, address := r.out, f.To.Addr()
	if f.Egress {
		index, address = r.in, f.From.Addr()
	}
	if f.ENI = t.devices[links.name(index)]; f.ENI == "" {
		f.ENI = t.addresses[address]
	}
	return f, f.ENI != ""
}

// linkNames knows the names of a network namespace's devices.
type linkNames struct {
	socket int
	known  map[uint32]string
}

// maxNames is how many names are remembered. The indexes of those that have gone are not used again soon.
const maxNames = 4096

// name is the name of a device, or "" when it is not there.
func (l *linkNames) name(index uint32) string {
	if index == 0 {
		return ""
	}
	if name, ok := l.known[index]; ok {
		return name
	}
	request, err := unix.NewIfreq("")
	if err != nil {
		return ""
	}
	request.SetUint32(index)
	if err := unix.IoctlIfreq(l.socket, unix.SIOCGIFNAME, request); err != nil {
		return ""
	}
	if l.known == nil || len(l.known) >= maxNames {
		l.known = map[uint32]string{}
	}
	l.known[index] = request.Name()
	return l.known[index]
}
