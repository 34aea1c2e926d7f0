// Package actions is AWS's Service Authorization Reference for the services of this project: which actions exist, what
// they act on, and which condition keys they have. It is data made by internal/geniam; README.md says from what. A
// service is read when it is first asked for. It uses service/iam/policy.
package actions

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/vennel/vennel/service/iam/policy"
)

// Action is one action of a service.
type Action struct {
	// Name is the full name, as "ssm:SendCommand".
	Name string
	// Level is the access level: List, Read, Write, Permissions management or Tagging; two are joined as "Tagging, Write".
	Level string
	// Resources are the types of resource that the action can act on; without any it takes only "*".
	Resources []Resource
	// Keys are the condition keys of the action itself; those of a resource come with it.
	Keys []Key
}

// Resource is a type of resource as one action uses it.
type Resource struct {
	// Type is the name of the type, as "managed-instance".
	Type string
	// Required tells that the action always acts on a resource of the type.
	Required bool
	// ARN is the form of its ARNs, as "arn:${Partition}:ssm:${Region}:${Account}:managed-instance/${InstanceId}".
	ARN string
	// Keys are the condition keys that this action has for resources of the type, or else those that the type has.
	Keys []Key
}

// Key is a condition key.
type Key struct {
	// Name is the key, with a placeholder where a part is free, as "aws:ResourceTag/${TagKey}".
	Name string
	// Type is String, ARN, Bool, Date, IPAddress, Numeric, or ArrayOf one of these for a multivalued key.
	Type string
}

// Pattern is the form of the ARNs with wildcards for the placeholders.
func (r Resource) Pattern() string {
	var b strings.Builder
	rest := r.ARN
	for {
		before, after, ok := strings.Cut(rest, "${")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		b.WriteByte('*')
		if _, rest, ok = strings.Cut(after, "}"); !ok {
			return b.String()
		}
	}
}

//go:embed data/*.json
var data embed.FS

// table is the data of one service.
type table struct {
	names   []string
	actions map[string]Action // by name in lower case
}

// tables reads each service once.
var tables = map[string]func() table{
	"cloudtrail":      sync.OnceValue(func() table { return read("cloudtrail") }),
	"ec2":             sync.OnceValue(func() table { return read("ec2") }),
	"ec2messages":     sync.OnceValue(func() table { return read("ec2messages") }),
	"iam":             sync.OnceValue(func() table { return read("iam") }),
	"kms":             sync.OnceValue(func() table { return read("kms") }),
	"logs":            sync.OnceValue(func() table { return read("logs") }),
	"route53resolver": sync.OnceValue(func() table { return read("route53resolver") }),
	"s3":              sync.OnceValue(func() table { return read("s3") }),
	"ssm":             sync.OnceValue(func() table { return read("ssm") }),
	"ssmmessages":     sync.OnceValue(func() table { return read("ssmmessages") }),
	"sts":             sync.OnceValue(func() table { return read("sts") }),
}

// find is the table of a service; empty for one that is not known.
func find(service string) table {
	if load, ok := tables[service]; ok {
		return load()
	}
	return table{}
}

// Lookup finds an action by its full name, whatever the case of its letters.
func Lookup(name string) (Action, bool) {
	name = strings.ToLower(name)
	service, _, _ := strings.Cut(name, ":")
	a, ok := find(service).actions[name]
	return a, ok
}

// Names lists the full names of a service's actions in order; none for a service that is not known.
func Names(service string) []string { return find(strings.ToLower(service)).names }

// Matches tells whether a request for the action can be about the ARN: one that fits a type of resource that it acts on,
// or "*" when it needs none. It is false for an action that does not exist.
func Matches(action, arn string) bool {
	a, ok := Lookup(action)
	if !ok {
		return false
	}
	required := false
	for _, r := range a.Resources {
		if policy.ArnLike(r.Pattern(), arn) {
			return true
		}
		required = required || r.Required
	}
	return arn == "*" && !required
}

// Catalog gives policy.Lint the actions of this package.
type Catalog struct{}

// Names is the function of that name.
func (Catalog) Names(service string) []string { return Names(service) }

// Resources lists the patterns of the ARNs that an action acts on.
func (Catalog) Resources(action string) []string {
	a, _ := Lookup(action)
	var patterns []string
	for _, r := range a.Resources {
		patterns = append(patterns, r.Pattern())
	}
	return patterns
}

// read reads the file of a service. The files are part of the program, so one that cannot be read is a mistake in it.
func read(service string) table {
	text, err := data.ReadFile("data/" + service + ".json")
	if err != nil {
		panic(err)
	}
	t, err := parse(service, text)
	if err != nil {
		panic(fmt.Errorf("service/iam/actions/data/%s.json: %w", service, err))
	}
	return t
}

// parse reads a data file: keys as [name, type], resources as [type, arn, keys], actions as [name, level, keys,
// [[type, required, keys]…]], where keys are places in the list of keys.
func parse(service string, text []byte) (table, error) {
	var file struct {
		Keys      []tuple
		Resources []tuple
		Actions   []tuple
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return table{}, err
	}
	keys := make([]Key, len(file.Keys))
	for i, f := range file.Keys {
		if err := f.into(&keys[i].Name, &keys[i].Type); err != nil {
			return table{}, err
		}
	}
	named := func(places []int) ([]Key, error) {
		var list []Key
		for _, i := range places {
			if i < 0 || i >= len(keys) {
				return nil, fmt.Errorf("no condition key %d", i)
			}
			list = append(list, keys[i])
		}
		return list, nil
	}
	types := map[string]Resource{}
	for _, f := range file.Resources {
		var r Resource
		var places []int
		err := f.into(&r.Type, &r.ARN, &places)
		if err == nil {
			r.Keys, err = named(places)
		}
		if err != nil {
			return table{}, err
		}
		types[r.Type] = r
	}
	t := table{actions: map[string]Action{}}
	for _, f := range file.Actions {
		var a Action
		var places []int
		var uses []tuple
		err := f.into(&a.Name, &a.Level, &places, &uses)
		if err == nil {
			a.Keys, err = named(places)
		}
		if err != nil {
			return table{}, err
		}
		a.Name = service + ":" + a.Name
		for _, u := range uses {
			var name string
			var required bool
			if err := u.into(&name, &required, &places); err != nil {
				return table{}, err
			}
			r, ok := types[name]
			if !ok {
				return table{}, fmt.Errorf("%s acts on unknown type %s", a.Name, name)
			}
			r.Required = required
			if len(places) > 0 {
				if r.Keys, err = named(places); err != nil {
					return table{}, err
				}
			}
			a.Resources = append(a.Resources, r)
		}
		t.names = append(t.names, a.Name)
		t.actions[strings.ToLower(a.Name)] = a
	}
	return t, nil
}

// tuple is a JSON array whose elements differ in type.
type tuple []json.RawMessage

// into reads the elements into as many variables.
func (t tuple) into(vars ...any) error {
	if len(t) != len(vars) {
		return fmt.Errorf("%d elements where %d belong", len(t), len(vars))
	}
	for i, v := range vars {
		if err := json.Unmarshal(t[i], v); err != nil {
			return err
		}
	}
	return nil
}
