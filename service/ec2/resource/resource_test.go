package resource_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
	"github.com/vennel/vennel/store/storetest"
)

// start is the time of the tests' first calls.
var start = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// as gives a context with a call of an account in a Region.
func as(t *testing.T, account, region string, at time.Time) context.Context {
	return api.WithCall(t.Context(), &api.Call{Account: account, Region: region, Time: at})
}

// update runs f in a transaction that must succeed.
func update(t *testing.T, db *store.DB, f func(tx *store.Tx) error) {
	t.Helper()
	if err := db.Update(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// code gives the code of an error.
func code(err error) string {
	if e, ok := errors.AsType[*api.Error](err); ok {
		return e.Code
	}
	return fmt.Sprint(err)
}

// TestRecords puts, gets, lists and deletes records: each account and Region has its own, a VPC's are found whoever's they are,
// and whoever carries the network is woken.
func TestRecords(t *testing.T) {
	db := storetest.New(t)
	wakes := db.Subscribe(resource.Topic)
	defer wakes.Close()
	mine, theirs, away := as(t, "111111111111", "us-east-1", start), as(t, "222222222222", "us-east-1", start), as(t, "111111111111", "eu-west-1", start)
	ids := map[string]string{}
	for name, ctx := range map[string]context.Context{"mine": mine, "theirs": theirs, "away": away} {
		ids[name] = resource.Subnets.NewID()
		update(t, db, func(tx *store.Tx) error {
			s := resource.Subnets.New(ctx, ids[name], "vpc-1", resource.Subnet{Subnet: ec2.Subnet{CidrBlock: new("10.0.0.0/24"), MapPublicIpOnLaunch: new(false)}})
			s.Tags = map[string]string{"Name": name}
			return resource.Subnets.Create(ctx, tx, s)
		})
	}
	update(t, db, func(tx *store.Tx) error {
		s, err := resource.Subnets.Find(mine, tx, ids["mine"])
		if err != nil || s.Tags["Name"] != "mine" || *s.Data.CidrBlock != "10.0.0.0/24" || s.Data.MapPublicIpOnLaunch == nil || *s.Data.MapPublicIpOnLaunch || s.VPC != "vpc-1" {
			t.Errorf("%+v, %v", s, err)
		}
		for _, other := range []string{ids["theirs"], ids["away"], "subnet-00000000000000000"} {
			if _, err := resource.Subnets.Find(mine, tx, other); code(err) != "InvalidSubnetID.NotFound" {
				t.Errorf("finding %s: %v", other, err)
			}
		}
		if r, err := resource.VPCs.Get(mine, tx, ids["mine"]); r != nil || err != nil {
			t.Errorf("a subnet is a VPC: %v, %v", r, err)
		}
		list, err := resource.Subnets.List(mine, tx)
		if err != nil || len(list) != 1 || list[0].Tags["Name"] != "mine" {
			t.Errorf("List: %v, %v", list, err)
		}
		if of, err := resource.Subnets.Of(mine, tx, "vpc-1"); err != nil || len(of) != 3 {
			t.Errorf("Of: %v, %v", of, err)
		}
		if all, err := resource.Subnets.All(mine, tx); err != nil || len(all) != 3 {
			t.Errorf("All: %v, %v", all, err)
		}
		return resource.Subnets.Delete(mine, tx, s)
	})
	update(t, db, func(tx *store.Tx) error {
		if r, err := resource.Subnets.Get(mine, tx, ids["mine"]); r != nil || err != nil {
			t.Errorf("it is still there: %v, %v", r, err)
		}
		if tags, err := resource.Tags(mine, tx); err != nil || len(tags) != 0 {
			t.Errorf("its tags are still there: %v, %v", tags, err)
		}
		return nil
	})
	if keys, err := wakes.Next(t.Context()); err != nil || !slices.Contains(keys, "vpc-1") {
		t.Errorf("woken with %v, %v", keys, err)
	}
}

// TestAll lists more records than are read at a time.
func TestAll(t *testing.T) {
	db := storetest.New(t)
	ctx := as(t, "111111111111", "us-east-1", start)
	const many = 2001
	update(t, db, func(tx *store.Tx) error {
		for i := range many {
			id := fmt.Sprintf("eni-%017x", i)
			if err := resource.NetworkInterfaces.Put(ctx, tx, resource.NetworkInterfaces.New(ctx, id, "vpc-1", resource.NetworkInterface{})); err != nil {
				return err
			}
		}
		return nil
	})
	err := db.View(ctx, func(tx *store.Tx) error {
		all, err := resource.NetworkInterfaces.All(ctx, tx)
		if len(all) != many || !slices.IsSortedFunc(all, func(a, b *resource.Record[resource.NetworkInterface]) int { return strings.Compare(a.ID, b.ID) }) {
			t.Errorf("%d records", len(all))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestQuotas fills an account and a VPC.
func TestQuotas(t *testing.T) {
	db := storetest.New(t)
	ctx := as(t, "111111111111", "us-east-1", start)
	update(t, db, func(tx *store.Tx) error {
		for i := range 6 {
			id := fmt.Sprintf("vpc-%017x", i)
			err := resource.VPCs.Create(ctx, tx, resource.VPCs.New(ctx, id, id, resource.VPC{}))
			if want := map[bool]string{false: "<nil>", true: "VpcLimitExceeded"}[i == 5]; code(err) != want {
				t.Errorf("VPC %d: %v", i, err)
			}
		}
		for i := range 402 {
			id, vpc := fmt.Sprintf("rtb-%017x", i), fmt.Sprintf("vpc-%017x", i%2)
			err := resource.RouteTables.Create(ctx, tx, resource.RouteTables.New(ctx, id, vpc, resource.RouteTable{}))
			if want := map[bool]string{false: "<nil>", true: "RouteTableLimitExceeded"}[i >= 400]; code(err) != want {
				t.Errorf("route table %d: %v", i, err)
			}
		}
		return nil
	})
}

// TestOnce repeats requests with client tokens: the same gets what it made, another is refused, and after a day, in another
// account and without a token everything is new.
func TestOnce(t *testing.T) {
	db := storetest.New(t)
	ctx := as(t, "111111111111", "us-east-1", start)
	in := &ec2.CreateRouteTableInput{VpcId: "vpc-1", ClientToken: new("token")}
	once := func(ctx context.Context, operation string, in *ec2.CreateRouteTableInput) (id string) {
		err := db.Update(ctx, func(tx *store.Tx) (err error) {
			id, err = resource.Once(ctx, tx, operation, in.ClientToken, in)
			return err
		})
		if err != nil {
			return code(err)
		}
		return id
	}
	if id := once(ctx, "CreateRouteTable", in); id != "" {
		t.Errorf("the first request has made %s", id)
	}
	update(t, db, func(tx *store.Tx) error {
		return resource.Made(ctx, tx, "CreateRouteTable", in.ClientToken, in, "rtb-1")
	})
	other := *in
	other.VpcId = "vpc-2"
	tokenless := *in
	tokenless.ClientToken = new("")
	for _, c := range []struct {
		name, account, region string
		after                 time.Duration
		operation             string
		in                    *ec2.CreateRouteTableInput
		want                  string
	}{
		{"the same", "111111111111", "us-east-1", time.Hour, "CreateRouteTable", in, "rtb-1"},
		{"another request", "111111111111", "us-east-1", 0, "CreateRouteTable", &other, "IdempotentParameterMismatch"},
		{"another operation", "111111111111", "us-east-1", 0, "CreateNetworkAcl", in, ""},
		{"another account", "222222222222", "us-east-1", 0, "CreateRouteTable", in, ""},
		{"another Region", "111111111111", "eu-west-1", 0, "CreateRouteTable", in, ""},
		{"no token", "111111111111", "us-east-1", 0, "CreateRouteTable", &tokenless, ""},
		{"a day later", "111111111111", "us-east-1", 25 * time.Hour, "CreateRouteTable", in, ""},
	} {
		if id := once(as(t, c.account, c.region, start.Add(c.after)), c.operation, c.in); id != c.want {
			t.Errorf("%s: %q, want %q", c.name, id, c.want)
		}
	}
}

// TestCheck reads ids.
func TestCheck(t *testing.T) {
	for id, want := range map[string]string{
		"rtb-0123456789abcdef0": "<nil>", "rtb-01234567": "<nil>", resource.RouteTables.NewID(): "<nil>",
		"": "InvalidRouteTableId.Malformed", "rtb": "InvalidRouteTableId.Malformed", "rtb-": "InvalidRouteTableId.Malformed", "rtb-0123456": "InvalidRouteTableId.Malformed",
		"rtb-0123456789abcdefg": "InvalidRouteTableId.Malformed", "rtb-0123456789ABCDEF0": "InvalidRouteTableId.Malformed", "vpc-01234567": "InvalidRouteTableId.Malformed",
		"rtb-01234567\n": "InvalidRouteTableId.Malformed",
	} {
		if err := resource.RouteTables.Check(id); fmt.Sprint(err) != want && code(err) != want {
			t.Errorf("%q: %v", id, err)
		}
	}
	for id, want := range map[string]string{
		"nat-01234567": "NatGatewayNotFound", "nat-": "NatGatewayMalformed", "sg-01234567": "InvalidGroup.NotFound", "sg-1": "InvalidGroupId.Malformed",
		"vol-01234567": "InvalidVolume.NotFound", "x": "InvalidID", "rslvr-in-01234567": "InvalidID",
	} {
		if err := resource.MissingAny(id); code(err) != want {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// TestNewID makes ids that are all different.
func TestNewID(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := resource.VPCs.NewID()
		if err := resource.VPCs.Check(id); err != nil || seen[id] || len(id) != len("vpc-")+17 {
			t.Fatalf("%s, %v", id, err)
		}
		seen[id] = true
	}
}

// TestLike compares texts with filters' values.
func TestLike(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"a", "a", true}, {"a", "A", false}, {"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "anything", true}, {"?", "ä", true}, {"?", "", false},
		{"a*c", "abbbc", true}, {"a*c", "ac", true}, {"a*c", "acd", false}, {"*a*b*", "xxaxxbxx", true}, {"*a*b*", "xxbxxaxx", false}, {"a?c", "abc", true},
		{`a\*c`, "a*c", true}, {`a\*c`, "abc", false}, {`\?`, "?", true}, {`\?`, "x", false}, {`\\`, `\`, true}, {`a**c`, "abc", true}, {`*\*`, "ab*", true}, {`*\*`, "ab", false},
	} {
		if resource.Like(c.pattern, c.text) != c.want {
			t.Errorf("%q and %q: not %v", c.pattern, c.text, c.want)
		}
	}
}

// FuzzLike finds every text with itself, when what has a meaning in it is taken its meaning, and with parts left out.
func FuzzLike(f *testing.F) {
	f.Add("abc", 1)
	f.Add(`a*b?c\d`, 3)
	f.Add("ä*", 0)
	f.Fuzz(func(t *testing.T, text string, cut int) {
		text = strings.ToValidUTF8(text, "")
		literal := strings.NewReplacer(`*`, `\*`, `?`, `\?`, `\`, `\\`)
		if !resource.Like(literal.Replace(text), text) || !resource.Like("*", text) || !resource.Like(text+"*", text) && !strings.Contains(text, `\`) {
			t.Errorf("%q is not like itself", text)
		}
		runes := []rune(text)
		if cut < 0 || cut > len(runes) {
			return
		}
		if !resource.Like(literal.Replace(string(runes[:cut]))+"*"+literal.Replace(string(runes[cut:])), text) {
			t.Errorf("%q is not like its parts at %d", text, cut)
		}
	})
}

// TestRange reads address ranges.
func TestRange(t *testing.T) {
	for cidr, want := range map[string]string{
		"10.0.0.0/8": "10.0.0.0/8", "100.68.0.18/18": "100.68.0.0/18", "0.0.0.0/0": "0.0.0.0/0", "10.0.0.1/32": "10.0.0.1/32",
		"10.0.0.0": "", "10.0.0.0/33": "", "10.0.0/8": "", "::/0": "", "": "", "10.0.0.0/08": "", "010.0.0.0/8": "", "10.0.0.0/8 ": "", "10.0.0.0/-1": "",
	} {
		p, err := resource.Range(cidr, "cidrBlock")
		if err != nil && (want != "" || code(err) != "InvalidParameterValue") || err == nil && p.String() != want {
			t.Errorf("%q: %v, %v", cidr, p, err)
		}
	}
	for _, c := range []struct {
		outer, inner string
		want         bool
	}{
		{"10.0.0.0/8", "10.1.0.0/16", true}, {"10.0.0.0/8", "10.0.0.0/8", true}, {"10.1.0.0/16", "10.0.0.0/8", false}, {"10.0.0.0/8", "11.0.0.0/16", false}, {"0.0.0.0/0", "10.0.0.0/8", true},
	} {
		if resource.Contains(netip.MustParsePrefix(c.outer), netip.MustParsePrefix(c.inner)) != c.want {
			t.Errorf("%s in %s: not %v", c.inner, c.outer, c.want)
		}
	}
}

// TestZoneID names zones as AWS does.
func TestZoneID(t *testing.T) {
	for zone, want := range map[string]string{
		"us-east-1a": "use1-az1", "us-west-2c": "usw2-az3", "eu-central-1b": "euc1-az2", "ap-southeast-2a": "apse2-az1", "ap-northeast-1a": "apne1-az1", "ap-south-1a": "aps1-az1",
		"us-gov-west-1a": "usgw1-az1", "cn-north-1a": "cnn1-az1", "me-south-1a": "mes1-az1", "sa-east-1a": "sae1-az1", "ca-west-1a": "caw1-az1", "il-central-1a": "ilc1-az1",
		"my--own-placea": "myoplace-az1",
	} {
		if id := resource.ZoneID(zone); id != want {
			t.Errorf("%s: %s, want %s", zone, id, want)
		}
	}
}

// TestServiceAddresses gives each service of a Region an address of its own, and S3's is in the prefix list.
func TestServiceAddresses(t *testing.T) {
	for _, region := range []string{"us-east-1", "eu-central-1", "lab-1"} {
		seen := map[netip.Addr]string{}
		for _, service := range resource.EndpointServices {
			a := resource.ServiceAddress(region, service)
			if other := seen[a]; other != "" || !resource.ServiceRange.Contains(a) {
				t.Errorf("%s and %s of %s have %s", service, other, region, a)
			}
			seen[a] = service
			lists := resource.AWSPrefixLists(region)
			if in := lists[0].CIDRs[0].Contains(a); in != (service == "s3") {
				t.Errorf("%s of %s in the prefix list: %v", service, region, in)
			}
		}
		if resource.ServiceAddress(region, "none").IsValid() {
			t.Error("a service that there is not has an address")
		}
		if id := resource.AWSPrefixLists(region)[0].ID; resource.PrefixLists.Check(id) != nil {
			t.Errorf("%s is no id", id)
		}
	}
}

// TestFreeNumber gives the lowest number that is not taken.
func TestFreeNumber(t *testing.T) {
	for _, c := range []struct {
		taken []int
		want  int
	}{{nil, 1}, {[]int{1, 2, 3}, 4}, {[]int{3, 1}, 2}, {[]int{2}, 1}, {[]int{0, 1, 1}, 2}} {
		if n := resource.FreeNumber(c.taken); n != c.want {
			t.Errorf("%v: %d, want %d", c.taken, n, c.want)
		}
	}
}

// TestAddTags keeps tags within the limits.
func TestAddTags(t *testing.T) {
	long := func(n int) *string { return new(strings.Repeat("ä", n)) }
	for name, c := range map[string]struct {
		tag  ec2.Tag
		want string
	}{
		"longest":        {ec2.Tag{Key: long(128), Value: long(256)}, "<nil>"},
		"no value":       {ec2.Tag{Key: new("a")}, "<nil>"},
		"key too long":   {ec2.Tag{Key: long(129)}, "InvalidParameterValue"},
		"value too long": {ec2.Tag{Key: new("a"), Value: long(257)}, "InvalidParameterValue"},
		"no key":         {ec2.Tag{Value: new("a")}, "InvalidParameterValue"},
		"AWS's":          {ec2.Tag{Key: new("AWS:a")}, "InvalidParameterValue"},
	} {
		if err := resource.AddTags(map[string]string{}, []ec2.Tag{c.tag}); code(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	tags := map[string]string{}
	for i := range 50 {
		tags[fmt.Sprint(i)] = ""
	}
	if err := resource.AddTags(tags, []ec2.Tag{{Key: new("49"), Value: new("new")}}); err != nil || tags["49"] != "new" {
		t.Error(err)
	}
	if err := resource.AddTags(tags, []ec2.Tag{{Key: new("50")}}); code(err) != "TagLimitExceeded" {
		t.Error(err)
	}
}

// TestPage walks through lists.
func TestPage(t *testing.T) {
	list := []int{1, 2, 3, 4, 5}
	var got []int
	var after *string
	for pages := 1; ; pages++ {
		page, next, err := resource.Page(list, new(int64(2)), after, 1, 100)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, page...)
		if after = next; next == nil {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
	}
	if !slices.Equal(got, list) {
		t.Errorf("got %v", got)
	}
	if page, next, err := resource.Page(list, nil, new("9"), 1, 3); len(page) != 0 || next != nil || err != nil {
		t.Errorf("after a list that has become shorter: %v, %v, %v", page, next, err)
	}
	if page, next, err := resource.Page(list, nil, nil, 1, 3); len(page) != 3 || next == nil || err != nil {
		t.Errorf("without a limit: %v, %v, %v", page, next, err)
	}
	if _, _, err := resource.Page(list, new(int64(4)), nil, 5, 10); code(err) != "InvalidParameterValue" {
		t.Error(err)
	}
}

// TestFilterLimits refuses too many filters, and too many values.
func TestFilterLimits(t *testing.T) {
	by := map[string]func(*string) []string{"name": func(s *string) []string { return []string{*s} }}
	one := ec2.Filter{Name: new("name"), Values: []string{"a", "b*"}}
	list, err := resource.Select([]string{"a", "b", "bc", "c"}, []ec2.Filter{one}, by)
	if err != nil || !slices.Equal(list, []string{"a", "b", "bc"}) {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := resource.Select([]string{"a"}, slices.Repeat([]ec2.Filter{one}, 51), by); code(err) != "FilterLimitExceeded" {
		t.Error(err)
	}
	if _, err := resource.Select([]string{"a"}, []ec2.Filter{{Name: new("name"), Values: make([]string, 201)}}, by); code(err) != "FilterLimitExceeded" {
		t.Error(err)
	}
	if _, err := resource.Select([]string{"a"}, []ec2.Filter{{Name: new("colour")}}, by); code(err) != "InvalidParameterValue" {
		t.Error(err)
	}
	if list, err := resource.Select([]string{"a"}, []ec2.Filter{{Name: new("name")}}, by); err != nil || len(list) != 0 {
		t.Errorf("a filter without values passes %v, %v", list, err)
	}
}
