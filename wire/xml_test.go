package wire

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/s3"
)

// decodeBody reads an XML body as the payload of an S3 operation.
func decodeBody(t testing.TB, operation, body string) (any, error) {
	t.Helper()
	op := operationOf(t, "s3", operation)
	in := reflect.New(op.In)
	rq := &request{Request: newRequest(op.model.HTTP.Method, "http://s3.us-east-1.amazonaws.com/b", ""), svc: bindings()["s3"], op: op, body: []byte(body)}
	err := readRESTXML(rq, op.in(), in.Elem())
	return in.Interface(), err
}

// TestXMLForms reads the same tags in all the ways in which XML lets one write them.
func TestXMLForms(t *testing.T) {
	const tag = "<Tag><Key>a</Key><Value>1</Value></Tag>"
	for name, body := range map[string]string{
		"plain":             "<Tagging><TagSet>" + tag + "</TagSet></Tagging>",
		"declaration":       `<?xml version="1.0" encoding="UTF-8"?>` + "\n<Tagging><TagSet>" + tag + "</TagSet></Tagging>\n",
		"namespace":         `<Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><TagSet>` + tag + "</TagSet></Tagging>",
		"prefixed":          `<s:Tagging xmlns:s="http://s3.amazonaws.com/doc/2006-03-01/"><s:TagSet><s:Tag><s:Key>a</s:Key><s:Value>1</s:Value></s:Tag></s:TagSet></s:Tagging>`,
		"comments":          "<!-- x --><Tagging><!-- x --><TagSet><Tag><Key>a<!-- x --></Key><Value>1</Value></Tag></TagSet></Tagging><!-- x -->",
		"cdata":             "<Tagging><TagSet><Tag><Key><![CDATA[a]]></Key><Value>1</Value></Tag></TagSet></Tagging>",
		"character refs":    "<Tagging><TagSet><Tag><Key>&#97;</Key><Value>&#x31;</Value></Tag></TagSet></Tagging>",
		"unknown elements":  "<Tagging><Other>x</Other><TagSet><Other/>" + tag + "</TagSet></Tagging>",
		"unknown attribute": `<Tagging id="1"><TagSet x="y">` + tag + "</TagSet></Tagging>",
		"white space":       "<Tagging>\n  <TagSet>\n    <Tag>\n <Key>a</Key>\t<Value>1</Value></Tag>\n</TagSet></Tagging>",
		"processing":        "<?target data?><Tagging><TagSet>" + tag + "</TagSet></Tagging>",
	} {
		in, err := decodeBody(t, "PutBucketTagging", body)
		want := s3.Tagging{TagSet: []s3.Tag{{Key: "a", Value: "1"}}}
		if diff := cmp.Diff(want, in.(*s3.PutBucketTaggingInput).Tagging); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got)\n%s", name, err, diff)
		}
	}
}

// TestXMLMalformed sends what is no XML, no XML of ours, or a bomb. source: userguide, for the code
func TestXMLMalformed(t *testing.T) {
	tags := func(inner string) string { return "<Tagging><TagSet>" + inner + "</TagSet></Tagging>" }
	for name, body := range map[string]string{
		"text":                 "hello",
		"json":                 `{"Tagging":{}}`,
		"unclosed":             "<Tagging><TagSet>",
		"crossed":              "<Tagging><TagSet></Tagging></TagSet>",
		"two roots":            tags("") + tags(""),
		"text after the root":  tags("") + "x",
		"text before the root": "x" + tags(""),
		"other root":           "<CORSConfiguration/>",
		"doctype":              "<!DOCTYPE Tagging>" + tags(""),
		"external entity":      `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>` + tags("<Tag><Key>&e;</Key><Value>1</Value></Tag>"),
		"billion laughs":       `<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>` + tags("<Tag><Key>&c;</Key><Value>1</Value></Tag>"),
		"unknown entity":       tags("<Tag><Key>&nbsp;</Key><Value>1</Value></Tag>"),
		"other encoding":       `<?xml version="1.0" encoding="ISO-8859-1"?>` + tags(""),
		"no UTF-8":             tags("<Tag><Key>\xff</Key><Value>1</Value></Tag>"),
		"control character":    tags("<Tag><Key>\x01</Key><Value>1</Value></Tag>"),
		"element in a text":    tags("<Tag><Key>a<b/>c</Key><Value>1</Value></Tag>"),
		"missing member":       tags("<Tag><Key>a</Key></Tag>"),
		"missing list":         "<Tagging/>",
		"depth":                strings.Repeat("<Tagging>", 100) + strings.Repeat("</Tagging>", 100),
		"great depth":          strings.Repeat("<a>", 500_000),
		"elements":             tags(strings.Repeat("<a/>", 500_000)),
		"attributes":           "<Tagging " + attributesText(300_000) + "/>",
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := decodeBody(t, "PutBucketTagging", body)
		runtime.ReadMemStats(&after)
		if e, ok := errors.AsType[*api.Error](err); !ok || e.Reason != api.Unserializable || !strings.HasPrefix(e.Message, "The XML you provided was not well-formed") {
			t.Errorf("%s: %v", name, err)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 128<<20 {
			t.Errorf("%s: took %d MiB", name, grown>>20)
		}
	}
	_, err := decodeBody(t, "PutBucketTagging", "")
	if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != "MissingRequestBodyError" {
		t.Errorf("no body: %v", err)
	}
}

// attributesText is many attributes.
func attributesText(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `a%d="" `, i)
	}
	return b.String()
}

// TestXMLScalars reads the scalars of a configuration, and refuses wrong ones.
func TestXMLScalars(t *testing.T) {
	rule := func(inner string) string {
		return "<LifecycleConfiguration><Rule><Status>Enabled</Status>" + inner + "</Rule></LifecycleConfiguration>"
	}
	in, err := decodeBody(t, "PutBucketLifecycleConfiguration", rule("<Expiration><Days>7</Days><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration><Transition><Date>2026-01-01T00:00:00.000Z</Date></Transition><Transition><Days>1</Days></Transition>"))
	if err != nil {
		t.Fatal(err)
	}
	got := in.(*s3.PutBucketLifecycleConfigurationInput).LifecycleConfiguration.Rules[0]
	if *got.Expiration.Days != 7 || !*got.Expiration.ExpiredObjectDeleteMarker || len(got.Transitions) != 2 || got.Transitions[0].Date.Year() != 2026 || *got.Transitions[1].Days != 1 {
		t.Errorf("%+v", got)
	}
	for _, inner := range []string{
		"<Expiration><Days>seven</Days></Expiration>", "<Expiration><Days></Days></Expiration>", "<Expiration><Days>99999999999</Days></Expiration>",
		"<Expiration><ExpiredObjectDeleteMarker>1</ExpiredObjectDeleteMarker></Expiration>", "<Expiration><Date>soon</Date></Expiration>",
	} {
		if _, err := decodeBody(t, "PutBucketLifecycleConfiguration", rule(inner)); err == nil {
			t.Errorf("%s was taken", inner)
		}
	}
}

// TestXMLAttributes reads the one attribute that S3's shapes have.
func TestXMLAttributes(t *testing.T) {
	const body = `<AccessControlPolicy xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Owner><ID>o</ID></Owner><AccessControlList><Grant>` +
		`<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"><ID>g</ID></Grantee><Permission>READ</Permission></Grant></AccessControlList></AccessControlPolicy>`
	in, err := decodeBody(t, "PutBucketAcl", body)
	if err != nil {
		t.Fatal(err)
	}
	if grantee := in.(*s3.PutBucketAclInput).AccessControlPolicy.Grants[0].Grantee; grantee.Type != "CanonicalUser" || *grantee.ID != "g" {
		t.Errorf("%+v", grantee)
	}
	if _, err := decodeBody(t, "PutBucketAcl", strings.Replace(body, ` xsi:type="CanonicalUser"`, "", 1)); err == nil {
		t.Error("a grantee without its type was taken")
	}
}

// TestXMLAnswersAreEscaped writes what XML would misread.
func TestXMLAnswersAreEscaped(t *testing.T) {
	w := newWorld(t, map[string]api.Operation{
		"s3:GetBucketTagging": allowed("GetBucketTagging", func(context.Context, *s3.GetBucketTaggingInput) (*s3.GetBucketTaggingOutput, error) {
			return &s3.GetBucketTaggingOutput{TagSet: []s3.Tag{{Key: "</Key>&<\x00\xff", Value: "é\r\n\t \"'"}}}, nil
		}),
	})
	rec := w.do(signed(newRequest("GET", "http://s3.us-east-1.amazonaws.com/b?tagging", ""), "s3"))
	const want = "<Key>&lt;/Key&gt;&amp;&lt;\ufffd\ufffd</Key><Value>é&#xD;&#xA;&#x9; &#34;&#39;</Value>"
	if rec.Code != 200 || !strings.Contains(rec.Body.String(), want) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// TestEveryBodyOfS3IsAPayload holds what the XML protocol counts on: no input has members in the
// body that are not its payload.
func TestEveryBodyOfS3IsAPayload(t *testing.T) {
	for name, op := range bindings()["s3"].operations {
		for _, m := range op.in().members {
			if m.inBody() && m != op.in().payload {
				t.Errorf("%s has %s in the body", name, m.name)
			}
		}
	}
}
