package nft

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/netlink"

	"github.com/vennel/vennel/dataplane"
)

// logged is a message of the log's. A time that is not given is left out.
func logged(t testing.TB, prefix string, at uint64, payload []byte) []byte {
	t.Helper()
	ae := netlink.NewAttributeEncoder()
	ae.ByteOrder = binary.BigEndian
	ae.String(packetPrefix, prefix)
	ae.Uint32(packetIn, 3)
	ae.Uint32(packetOut, 4)
	ae.Uint32(packetNumber, 7)
	ae.Bytes(packetPayload, payload)
	if at > 0 {
		ae.Bytes(packetTime, binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, at), 5))
	}
	b, err := ae.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte{2, 0, 0, 1}, b...)
}

// syn is the beginning of a TCP packet with an IP option.
var syn = []byte{0x46, 0, 0, 64, 0, 0, 0x40, 0, 63, 6, 0, 0, 10, 0, 1, 10, 10, 0, 2, 10, 1, 1, 1, 1, 0x80, 0, 1, 0xbb}

// TestParse reads records, and refuses what it does not understand.
func TestParse(t *testing.T) {
	r, err := parse(logged(t, "acl-out", 1700000000, syn))
	if err != nil {
		t.Fatal(err)
	}
	want := dataplane.Flow{Protocol: 6, Bytes: 64, From: netip.MustParseAddrPort("10.0.1.10:32768"), To: netip.MustParseAddrPort("10.0.2.10:443")}
	if diff := cmp.Diff(want, r.flow, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if r.number != 7 || r.in != 3 || r.out != 4 || r.time.UnixMicro() != 1700000000000005 || r.verdict != (verdict{egress: true, by: "acl"}) {
		t.Errorf("%+v", r)
	}
	fragment := append([]byte(nil), syn...)
	fragment[7] = 1
	if r, err := parse(logged(t, "accept-in", 0, fragment)); err != nil || r.flow.To.Port() != 0 || !r.time.IsZero() {
		t.Errorf("a fragment: %+v, %v", r, err)
	}
	for name, data := range map[string][]byte{
		"nothing":         nil,
		"no attributes":   {2, 0, 0, 1},
		"another prefix":  logged(t, "accept", 0, syn),
		"no packet":       logged(t, "accept-in", 0, nil),
		"half a header":   logged(t, "accept-in", 0, syn[:22]),
		"a short header":  logged(t, "accept-in", 0, append([]byte{0x44}, syn[1:]...)),
		"another version": logged(t, "accept-in", 0, append([]byte{0x66}, syn[1:]...)),
		"half a message":  logged(t, "accept-in", 0, syn)[:50],
	} {
		if r, err := parse(data); err == nil {
			t.Errorf("%s is %+v", name, r)
		}
	}
}

// FuzzParse reads anything.
func FuzzParse(f *testing.F) {
	f.Add(logged(f, "accept-out", 1, syn))
	f.Add(logged(f, "sg-in", 0, syn[:20]))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parse(data)
		if err == nil && (!r.flow.From.IsValid() || !r.flow.To.IsValid() || r.flow.Protocol < 0 || r.flow.Protocol > 255 || r.flow.Bytes < 0) {
			t.Errorf("%+v", r)
		}
	})
}
