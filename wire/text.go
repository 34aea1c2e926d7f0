package wire

import (
	"encoding/base64"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// The protocols that write scalars as text (queries, XML, headers, URIs) share these two functions.
// A time has one of three forms: iso8601, rfc822 or unixTimestamp; a shape's own form wins over the
// place's.

// setText reads a scalar from its text; ok is false when it is not one of that shape. The caller
// knows the words for it.
func setText(s *shape, form, in string, v reflect.Value) (ok bool) {
	switch s.kind {
	case text:
		v.SetString(in)
	case integer:
		n, err := strconv.ParseInt(in, 10, bits(s)) // with a sign or zeroes before it. source: aws
		if err != nil {
			return false
		}
		v.SetInt(n)
	case float:
		f, err := strconv.ParseFloat(in, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return false
		}
		v.SetFloat(f)
	case boolean:
		if !strings.EqualFold(in, "true") && !strings.EqualFold(in, "false") {
			return false
		}
		v.SetBool(strings.EqualFold(in, "true"))
	case timestamp:
		t, err := parseTime(orElse(s.Timestamp, form), in)
		if err != nil {
			return false
		}
		v.Set(reflect.ValueOf(t))
	case blob:
		b, err := base64.StdEncoding.DecodeString(in)
		if err != nil {
			return false
		}
		v.SetBytes(b)
	default:
		return false
	}
	return true
}

// getText writes a scalar.
func getText(s *shape, form string, v reflect.Value) string {
	switch s.kind {
	case integer:
		return strconv.FormatInt(v.Int(), 10)
	case float:
		return floatText(v.Float())
	case boolean:
		return strconv.FormatBool(v.Bool())
	case timestamp:
		return formatTime(orElse(s.Timestamp, form), v.Interface().(time.Time))
	case blob:
		return base64.StdEncoding.EncodeToString(v.Bytes())
	case list: // of a header
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = getText(s.elem, form, v.Index(i))
		}
		return strings.Join(parts, ",")
	}
	return v.String()
}

// floatText writes a number; what is none as AWS spells it. source: sdk
func floatText(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// isoForms are the spellings of ISO 8601 that clients use.
var isoForms = []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04Z", "2006-01-02"}

// parseTime reads a time in its form.
func parseTime(form, in string) (time.Time, error) {
	switch form {
	case "rfc822":
		return http.ParseTime(in)
	case "unixTimestamp":
		f, err := strconv.ParseFloat(in, 64)
		if err != nil {
			return time.Time{}, err
		}
		t, ok := fromEpoch(f)
		if !ok {
			return t, fmt.Errorf("wire: time %s is out of range", in)
		}
		return t, nil
	}
	for _, iso := range isoForms {
		if t, err := time.Parse(iso, in); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("wire: %q is no time", in)
}

// formatTime writes a time in its form, in UTC. Milliseconds are written where there are any.
func formatTime(form string, t time.Time) string {
	t = t.UTC()
	switch form {
	case "rfc822":
		return t.Format(http.TimeFormat)
	case "unixTimestamp":
		return string(appendEpoch(nil, t))
	}
	if t.Nanosecond() < 1e6 {
		return t.Format("2006-01-02T15:04:05Z")
	}
	return t.Format("2006-01-02T15:04:05.000Z")
}
