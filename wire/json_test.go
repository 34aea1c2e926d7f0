package wire

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/kms"
	"github.com/vennel/vennel/api/logs"
	"github.com/vennel/vennel/api/ssm"
)

// TestJSONWrongKinds puts a value of every kind where one of another kind belongs. source: aws
// (measured on Athena, Kinesis, SES and X-Ray, which read JSON with the same library)
func TestJSONWrongKinds(t *testing.T) {
	const list, object = "Start of list found where not expected", "Start of structure or map found where not expected."
	values := map[string]string{"string": `"x!"`, "number": "23", "true": "true", "false": "false", "list": "[]", "object": "{}"}
	for name, c := range map[string]struct {
		service, operation, member string // member has %s for the value
		want                       map[string]string
	}{
		"string": {"ssm", "GetParameter", `"Name":%s`, map[string]string{
			"number": "NUMBER_VALUE can not be converted to a String", "true": "TRUE_VALUE can not be converted to a String",
			"false": "FALSE_VALUE can not be converted to a String", "list": list, "object": object,
		}},
		"string in a list": {"ssm", "GetParameters", `"Names":[%s]`, map[string]string{
			"number": "NUMBER_VALUE can not be converted to a String", "true": "TRUE_VALUE can not be converted to a String",
			"false": "FALSE_VALUE can not be converted to a String", "list": list, "object": object,
		}},
		"string in a map": {"logs", "TagLogGroup", `"tags":{"a":%s}`, map[string]string{
			"number": "NUMBER_VALUE can not be converted to a String", "true": "TRUE_VALUE can not be converted to a String",
			"false": "FALSE_VALUE can not be converted to a String", "list": list, "object": object,
		}},
		"integer": {"ssm", "SendCommand", `"TimeoutSeconds":%s`, map[string]string{
			"string": "STRING_VALUE can not be converted to an Integer", "true": "TRUE_VALUE can not be converted to an Integer",
			"false": "FALSE_VALUE can not be converted to an Integer", "list": list, "object": object,
		}},
		"long": {"logs", "FilterLogEvents", `"startTime":%s`, map[string]string{
			"string": "STRING_VALUE can not be converted to a Long", "true": "TRUE_VALUE can not be converted to a Long",
			"false": "FALSE_VALUE can not be converted to a Long", "list": list, "object": object,
		}},
		"double": {"logs", "PutMetricFilter", `"metricTransformations":[{"defaultValue":%s}]`, map[string]string{
			"string": "STRING_VALUE can not be converted to a Double", "true": "TRUE_VALUE can not be converted to a Double",
			"false": "FALSE_VALUE can not be converted to a Double", "list": list, "object": object,
		}},
		"boolean": {"ssm", "GetParameter", `"WithDecryption":%s`, map[string]string{
			"string": "STRING_VALUE can not be converted to an Boolean", "number": "NUMBER_VALUE can not be converted to a Boolean",
			"list": list, "object": object,
		}},
		"timestamp": {"ssm", "CreateActivation", `"ExpirationDate":%s`, map[string]string{
			"string": "STRING_VALUE can not be converted to milliseconds since epoch", "true": "TRUE_VALUE can not be converted to milliseconds since epoch",
			"false": "FALSE_VALUE can not be converted to milliseconds since epoch", "list": list, "object": object,
		}},
		"blob": {"kms", "Decrypt", `"CiphertextBlob":%s`, map[string]string{
			"string": "'x!' can not be converted to a Blob: Base64 encoded length is expected a multiple of 4 bytes but found: 2",
			"number": "NUMBER_VALUE can not be converted to a Blob", "true": "TRUE_VALUE can not be converted to a Blob",
			"false": "FALSE_VALUE can not be converted to a Blob", "list": list, "object": object,
		}},
		"list": {"ssm", "GetParameters", `"Names":%s`, map[string]string{
			"string": "Expected list or null", "number": "Expected list or null", "true": "Expected list or null", "false": "Expected list or null",
			"object": object,
		}},
		"map": {"logs", "TagLogGroup", `"tags":%s`, map[string]string{
			"string": "Expected map or null", "number": "Expected map or null", "true": "Expected map or null", "false": "Expected map or null",
			"list": list,
		}},
		"structure": {"ssm", "SendCommand", `"NotificationConfig":%s`, map[string]string{
			"string": "Expected null", "number": "Expected null", "true": "Expected null", "false": "Expected null", "list": list,
		}},
		"structure in a list": {"ssm", "SendCommand", `"Targets":[%s]`, map[string]string{
			"string": "Expected null", "number": "Expected null", "true": "Expected null", "false": "Expected null", "list": list,
		}},
	} {
		for kind, want := range c.want {
			_, err := decodeAs(t, c.service, c.operation, "{"+fmt.Sprintf(c.member, values[kind])+"}")
			if e, ok := errors.AsType[*api.Error](err); !ok || e.Reason != api.Unserializable || e.Message != want {
				t.Errorf("%s for a %s: %v\nwant Unserializable: %s", kind, name, err, want)
			}
		}
	}
}

// TestJSONBrokenBodies sends what is no object at all. AWS gives no message. source: aws
func TestJSONBrokenBodies(t *testing.T) {
	for body, want := range map[string]string{
		`{`: "", `{"Name"`: "", `{"Name":`: "", `{"Name":"a"`: "", `{"Name":"a",}`: "", `{"Name":"a"}}`: "", `{"Name":"a"} {}`: "", `{"Name":"a"}x`: "",
		`null`: "", `"x"`: "", `1`: "", `true`: "", `[]`: "Start of list found where not expected",
		"\ufeff{}": "", `{Name:"a"}`: "", `{'Name':'a'}`: "", `{"Name":"a"/**/}`: "", `{"X":01}`: "", `{"X":00}`: "", `{"X":-}`: "", `{"X":1.}`: "", `{"Name":+1}`: "", `{"Name":.5}`: "",
		`{"Name":NaN}`: "", `{"Name":"a` + "\n" + `b"}`: "", `{"Name":"\x"}`: "", `{"Name":"a` + "\xff" + `"}`: "", `{"Name":"\ud800"}`: "", `{"Name":"\udc00\ud800"}`: "",
		`{"Na` + "\xff" + `me":1}`: "", "\x00": "", `{"Unknown":` + "\x01" + `}`: "",
	} {
		_, err := decodeAs(t, "ssm", "GetParameter", body)
		if e, ok := errors.AsType[*api.Error](err); !ok || e.Reason != api.Unserializable || e.Message != want {
			t.Errorf("%q: %v, want Unserializable: %s", body, err, want)
		}
	}
}

// TestJSONEmptyBody holds that nothing is an empty object: AWS's own tools send either.
func TestJSONEmptyBody(t *testing.T) {
	for _, body := range []string{"", " \r\n\t", "{}", " {} \n"} {
		if _, err := decodeAs(t, "ssm", "DescribeActivations", body); err != nil {
			t.Errorf("%q: %v", body, err)
		}
	}
}

// TestJSONNesting nests arrays and objects, in members that the model has and in one that it lacks.
func TestJSONNesting(t *testing.T) {
	for name, c := range map[string]struct{ open, inner, end string }{
		"unknown arrays":                   {`{"X":`, "[", "]"},
		"unknown objects":                  {`{"X":`, `{"X":`, "}"},
		"known arrays":                     {`{"Names":`, "[", "]"},
		"objects in place of a string":     {`{"Path":`, `{"X":`, "}"},
		"arrays in place of the whole":     {``, "[", "]"},
		"members of the model, recursive ": {`{"Filters":[`, `{"Aggregators":[`, "]}"},
	} {
		operation := "GetInventory"
		for _, depth := range []int{deepest * 2, 9_000, 100_000} {
			body := c.open + strings.Repeat(c.inner, depth)
			_, err := decodeAs(t, "ssm", operation, body+"1"+strings.Repeat(c.end, depth)+"}")
			if e, ok := errors.AsType[*api.Error](err); !ok || e.Reason != api.Unserializable {
				t.Errorf("%s, %d deep: %v", name, depth, err)
			}
		}
	}
	// Unknown members may nest, but not beyond all measure.
	for depth, want := range map[int]bool{10: true, deepest - 1: true, deepest: false} {
		_, err := decodeAs(t, "ssm", "GetInventory", `{"X":`+strings.Repeat("[", depth)+strings.Repeat("]", depth)+"}")
		if (err == nil) != want {
			t.Errorf("an unknown member %d deep: %v", depth, err)
		}
	}
}

// TestJSONDuplicateNames holds that the last of several members counts, alone: in its value, in its
// absence, and in what it breaks.
func TestJSONDuplicateNames(t *testing.T) {
	for body, want := range map[string]string{
		`{"Name":"","Name":"b"}`:           "b",
		`{"Name":"a","Name":"b"}`:          "b",
		`{"Name":"a","Name":null}`:         "Value null at 'name'",
		`{"Name":null,"Name":"b"}`:         "b",
		`{"Name":"a","Name":""}`:           "Value '' at 'name'",
		`{"\u004eame":"a","Name":"b"}`:     "b",
		`{"Name":"a","\u004eame":"b"}`:     "b",
		`{"Name":{"a":1},"Name":"b"}`:      "Start of structure",
		`{"X":1,"X":{},"Name":"b","X":[]}`: "b",
	} {
		in, err := decodeAs(t, "ssm", "GetParameter", body)
		if got := in.(*ssm.GetParameterInput).Name; err != nil && !strings.Contains(err.Error(), want) || err == nil && got != want {
			t.Errorf("%s: %q, %v; want %s", body, got, err, want)
		}
	}
	in, err := decodeAs(t, "ssm", "SendCommand",
		`{"DocumentName":"AWS-X","Targets":[{"Key":"a","Values":["1"]},{"Key":"!"}],"Targets":[{"Key":"b","Key":"c"}],"Parameters":{"p":["1"],"q":["1"],"p":["2"],"q":null}}`)
	if err != nil {
		t.Fatal(err)
	}
	want := &ssm.SendCommandInput{DocumentName: "AWS-X", Targets: []ssm.Target{{Key: new("c")}}, Parameters: map[string][]string{"p": {"2"}}}
	if diff := cmp.Diff(want, in); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	_, err = decodeAs(t, "ssm", "AddTagsToResource", `{"ResourceType":"x","ResourceId":"r","Tags":[{"Key":"!!"}],"Tags":[{"Key":"a","Value":"b"}]}`)
	if err == nil || !strings.HasPrefix(err.Error(), "Invalid: 1 validation error") {
		t.Errorf("the first tags still count: %v", err)
	}
}

// TestJSONNumbers reads numbers as AWS does: integers lose their fraction and go no further than
// integers do. source: aws; guess for the long and the double
func TestJSONNumbers(t *testing.T) {
	for _, c := range []struct {
		text string
		long int64
		int  int64
	}{
		{"0", 0, 0}, {"-0", 0, 0}, {"1", 1, 1}, {"1.5", 1, 1}, {"-1.9", -1, -1}, {"1e3", 1000, 1000}, {"1E+3", 1000, 1000}, {"1.0e-3", 0, 0},
		{"2147483647", math.MaxInt32, math.MaxInt32}, {"2147483648", math.MaxInt32 + 1, math.MaxInt32}, {"-2147483649", math.MinInt32 - 1, math.MinInt32},
		{"9007199254740993", 1<<53 + 1, math.MaxInt32}, {"9223372036854775807", math.MaxInt64, math.MaxInt32}, {"9223372036854775808", math.MaxInt64, math.MaxInt32},
		{"-9223372036854775809", math.MinInt64, math.MinInt32}, {"1e19", math.MaxInt64, math.MaxInt32}, {"-1e19", math.MinInt64, math.MinInt32},
		{"1e400", math.MaxInt64, math.MaxInt32}, {"-1e400", math.MinInt64, math.MinInt32}, {"1e-400", 0, 0},
		{strings.Repeat("9", 1000), math.MaxInt64, math.MaxInt32}, {"0." + strings.Repeat("9", 1000), 1, 1},
	} {
		in, err := decodeAs(t, "logs", "GetLogEvents", `{"logStreamName":"s","startTime":`+c.text+`}`)
		if got := api.Or(in.(*logs.GetLogEventsInput).StartTime, -7); got != c.long {
			t.Errorf("%.40s as a long: %d, %v; want %d", c.text, got, err, c.long)
		}
		in, _ = decodeAs(t, "ssm", "SendCommand", `{"DocumentName":"AWS-X","TimeoutSeconds":`+c.text+`}`)
		if got := api.Or(in.(*ssm.SendCommandInput).TimeoutSeconds, -7); got != c.int {
			t.Errorf("%.40s as an integer: %d, want %d", c.text, got, c.int)
		}
	}
	for text, want := range map[string]float64{"1.5": 1.5, "-0": math.Copysign(0, -1), "1e308": 1e308, "1e-400": 0} {
		in, err := decodeAs(t, "logs", "PutMetricFilter", metricFilter(text))
		if err != nil {
			t.Errorf("%s as a double: %v", text, err)
			continue
		}
		if got := *in.(*logs.PutMetricFilterInput).MetricTransformations[0].DefaultValue; got != want || math.Signbit(got) != math.Signbit(want) {
			t.Errorf("%s as a double: %v, want %v", text, got, want)
		}
	}
	for _, text := range []string{"1e400", "-1e400"} {
		if in, err := decodeAs(t, "logs", "PutMetricFilter", metricFilter(text)); err == nil {
			t.Errorf("%s as a double: %v", text, *in.(*logs.PutMetricFilterInput).MetricTransformations[0].DefaultValue)
		}
	}
}

// metricFilter is a valid request with a number in it.
func metricFilter(number string) string {
	return `{"logGroupName":"g","filterName":"f","filterPattern":"p","metricTransformations":[{"metricName":"m","metricNamespace":"n","metricValue":"1","defaultValue":` + number + `}]}`
}

// TestJSONBooleans reads the words that AWS takes for a boolean. source: aws
func TestJSONBooleans(t *testing.T) {
	for text, want := range map[string]bool{
		"true": true, "false": false, `"true"`: true, `"TRUE"`: true, `"yes"`: true, `"Y"`: true, `"t"`: true, `"1"`: true, `"false"`: false, `"No"`: false, `"0"`: false,
	} {
		in, err := decodeAs(t, "ssm", "GetParameter", `{"Name":"n","WithDecryption":`+text+`}`)
		if got := in.(*ssm.GetParameterInput).WithDecryption; err != nil || *got != want {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{`"on"`, `" true"`, `""`, "1", "0"} {
		if _, err := decodeAs(t, "ssm", "GetParameter", `{"Name":"n","WithDecryption":`+text+`}`); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
}

// TestJSONTimes reads seconds since 1970, to the millisecond.
func TestJSONTimes(t *testing.T) {
	for text, want := range map[string]string{
		"0": "1970-01-01T00:00:00Z", "-1": "1969-12-31T23:59:59Z", "1763750400": "2025-11-21T18:40:00Z", "1763750400.123": "2025-11-21T18:40:00.123Z",
		"1763750400.1239": "2025-11-21T18:40:00.124Z", "1.7637504E9": "2025-11-21T18:40:00Z", "-0.5": "1969-12-31T23:59:59.5Z",
		"-62167219200": "0000-01-01T00:00:00Z", "253402300799.999": "9999-12-31T23:59:59.999Z",
	} {
		in, err := decodeAs(t, "ssm", "CreateActivation", `{"IamRole":"r","ExpirationDate":`+text+`}`)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := in.(*ssm.CreateActivationInput).ExpirationDate.Format(time.RFC3339Nano); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{"-62167219201", "253402300800", "253402300799.9996", "1e400", "-1e400", "1763750400123", `"2025-11-21T18:40:00Z"`, `"1763750400"`} {
		if in, err := decodeAs(t, "ssm", "CreateActivation", `{"IamRole":"r","ExpirationDate":`+text+`}`); err == nil {
			t.Errorf("%s was taken for %v", text, in.(*ssm.CreateActivationInput).ExpirationDate)
		}
	}
}

// TestJSONBlobs reads base64 strictly, and repeats no secret. source: aws
func TestJSONBlobs(t *testing.T) {
	in, err := decodeAs(t, "kms", "Decrypt", `{"CiphertextBlob":"aGVsbG8="}`)
	if got := in.(*kms.DecryptInput).CiphertextBlob; err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	for text, want := range map[string]string{
		"23456":  "'23456' can not be converted to a Blob: Base64 encoded length is expected a multiple of 4 bytes but found: 5",
		"=+/=":   "'=+/=' can not be converted to a Blob: Invalid Base64 character",
		"aGVs_-": "'aGVs_-' can not be converted to a Blob: Base64 encoded length is expected a multiple of 4 bytes but found: 6",
	} {
		_, err := decodeAs(t, "kms", "Decrypt", `{"CiphertextBlob":"`+text+`"}`)
		if e, ok := errors.AsType[*api.Error](err); !ok || e.Reason != api.Unserializable || e.Message != want {
			t.Errorf("%s: %v", text, err)
		}
		_, err = decodeAs(t, "kms", "Encrypt", `{"KeyId":"k","Plaintext":"`+text+`"}`)
		if err == nil || strings.Contains(err.Error(), text) {
			t.Errorf("a secret was repeated: %v", err)
		}
	}
}

// TestJSONText reads escapes, and strings as large as a body.
func TestJSONText(t *testing.T) {
	huge := strings.Repeat("x", mostBody-100)
	for text, want := range map[string]string{
		`\"\\\/\b\f\n\r\t`: "\"\\/\b\f\n\r\t", `\u00e9\u65e5`: "é日", `\ud83d\ude00`: "😀", `é日😀`: "é日😀", `\u0000`: "\x00", huge: huge,
	} {
		in, err := decodeAs(t, "ssm", "PutParameter", `{"Name":"n","Value":"`+text+`"}`)
		if got := in.(*ssm.PutParameterInput).Value; err != nil || got != want {
			t.Errorf("%.40s: %.40q, %v", text, got, err)
		}
	}
}

// TestJSONNulls holds that a null is an absent member, item or entry.
func TestJSONNulls(t *testing.T) {
	in, err := decodeAs(t, "ssm", "SendCommand", `{"DocumentName":"AWS-X","InstanceIds":[null,"i-12345678",null],"Comment":null,"Targets":[null],"Parameters":{"a":null,"b":["1",null]}}`)
	want := &ssm.SendCommandInput{DocumentName: "AWS-X", InstanceIds: []string{"i-12345678"}, Targets: []ssm.Target{}, Parameters: map[string][]string{"b": {"1"}}}
	if diff := cmp.Diff(want, in); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

// TestJSONMemory decodes bodies that are small on the wire and might be large in memory: a body may
// not take a hundred times its size.
func TestJSONMemory(t *testing.T) {
	for name, body := range map[string]string{
		"items":   `{"Targets":[` + strings.TrimSuffix(strings.Repeat(`{},`, 200_000), ",") + `]}`,
		"nulls":   `{"Targets":[` + strings.TrimSuffix(strings.Repeat(`null,`, 200_000), ",") + `]}`,
		"entries": `{"Parameters":{` + entries(60_000) + `}}`,
		"unknown": `{` + entries(60_000) + `}`,
	} {
		op := operationOf(t, "ssm", "SendCommand")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := decodeJSON([]byte(body), op.in(), reflect.New(op.In).Elem(), new(checker))
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 100*uint64(len(body)) {
			t.Errorf("%s: %d bytes for a body of %d, %.100v", name, grown, len(body), err)
		} else {
			t.Logf("%s: %.1f bytes a byte", name, float64(grown)/float64(len(body)))
		}
	}
}

// entries are members of an object, all of different names.
func entries(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"%d":[]`, i)
	}
	return b.String()
}

// TestJSONAnswers writes what JSON has no number for as text, and repairs text that is no UTF-8.
func TestJSONAnswers(t *testing.T) {
	op := operationOf(t, "logs", "DescribeMetricFilters")
	out := &logs.DescribeMetricFiltersOutput{MetricFilters: []logs.MetricFilter{{
		FilterName:            new("a\xffb\u2028<&>\"\\\n"),
		MetricTransformations: []logs.MetricTransformation{{DefaultValue: new(math.NaN())}, {DefaultValue: new(math.Inf(-1))}, {DefaultValue: new(1e21)}},
	}}}
	got := string(appendJSON(nil, op.out(), reflect.ValueOf(out).Elem()))
	for _, want := range []string{`"filterName":"a` + "\ufffdb\u2028" + `<&>\"\\\n"`, `"defaultValue":"NaN"`, `"defaultValue":"-Infinity"`, `"defaultValue":1e+21`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s lacks %s", got, want)
		}
	}
}
