package linux

import (
	"net/netip"
	"reflect"
	"testing"

	"github.com/vennel/vennel/dataplane"
)

// full gives everything in a value something that is not zero, with one element in each list.
func full(v reflect.Value) {
	switch v.Interface().(type) {
	case netip.Addr:
		v.Set(reflect.ValueOf(netip.MustParseAddr("10.0.0.1")))
		return
	case netip.Prefix:
		v.Set(reflect.ValueOf(netip.MustParsePrefix("10.0.0.0/8")))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, f := range v.Fields() {
			full(f)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		full(v.Index(0))
	case reflect.String:
		v.SetString("x")
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Bool:
		v.SetBool(true)
	default:
		panic(v.Type())
	}
}

// change changes everything in a value, one thing after another, and puts it back.
func change(v reflect.Value, path string, changed func(path string)) {
	was := reflect.New(v.Type()).Elem()
	was.Set(v)
	try := func(to any) {
		v.Set(reflect.ValueOf(to).Convert(v.Type()))
		changed(path)
		v.Set(was)
	}
	switch v.Interface().(type) {
	case netip.Addr:
		try(netip.MustParseAddr("10.0.0.2"))
		return
	case netip.Prefix:
		try(netip.MustParsePrefix("10.0.0.0/9"))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			change(v.Field(i), path+"."+v.Type().Field(i).Name, changed)
		}
	case reflect.Slice:
		change(v.Index(0), path+"[0]", changed)
		v.Set(reflect.Append(reflect.MakeSlice(v.Type(), 0, 2), v.Index(0), v.Index(0)))
		changed(path)
		v.Set(was)
	case reflect.String:
		try("y")
	case reflect.Int, reflect.Int64:
		try(2)
	case reflect.Bool:
		try(false)
	default:
		panic(v.Type())
	}
}

// TestSame changes every field of a Config: the change is noticed, and a copy is another's.
func TestSame(t *testing.T) {
	var c dataplane.Config
	full(reflect.ValueOf(&c).Elem())
	m := &memory{config: clone(&c)}
	if !reflect.DeepEqual(m.config, &c) {
		t.Fatalf("a copy is %+v of %+v", m.config, &c)
	}
	if groups, ok := m.same(&c, nil); !ok || len(groups) > 0 {
		t.Fatalf("it is not the same: %v", groups)
	}
	n, pristine := 0, clone(m.config)
	change(reflect.ValueOf(&c).Elem(), "Config", func(path string) {
		n++
		groups, ok := m.same(&c, nil)
		const within = "Config.VPCs[0].Groups"
		if in := len(path) >= len(within) && path[:len(within)] == within; in != (ok && len(groups) == 1) || !in && ok {
			t.Errorf("a change of %s: groups %v, same %v", path, groups, ok)
		}
		if !reflect.DeepEqual(m.config, pristine) {
			t.Errorf("a change of %s is one of the copy", path)
		}
	})
	if n < 100 {
		t.Errorf("%d things were changed", n)
	}
	for _, absent := range []map[string]bool{{"i": true}, {"i": false}} {
		if _, ok := m.same(&c, absent); ok {
			t.Error("other machines are absent")
		}
	}
}
