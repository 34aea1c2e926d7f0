// Package managed is the AWS managed policies that this project ships, as AWS wrote them; README.md says where they come
// from. It is data, and uses nothing.
package managed

import (
	"embed"
	"encoding/json"
	"fmt"
	"path"
	"sync"
	"time"
)

// Policy is an AWS managed policy.
type Policy struct {
	// Name is the last part of its ARN.
	Name string
	// Path is what stands before it, as "/" or "/service-role/".
	Path string
	// DefaultVersionID is the version that the document is of, as "v2".
	DefaultVersionID string
	// CreateDate and UpdateDate are AWS's.
	CreateDate, UpdateDate time.Time
	// Document is the policy.
	Document json.RawMessage
}

// ARN is the policy's ARN in a partition, as "aws".
func (p Policy) ARN(partition string) string {
	return "arn:" + partition + ":iam::aws:policy" + p.Path + p.Name
}

//go:embed *.json
var files embed.FS

// all reads the policies once.
var all = sync.OnceValue(func() []Policy {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err)
	}
	list := make([]Policy, len(entries))
	for i, e := range entries {
		text, err := files.ReadFile(e.Name())
		if err == nil {
			err = json.Unmarshal(text, &list[i])
		}
		if err == nil && list[i].Name+path.Ext(e.Name()) != e.Name() {
			err = fmt.Errorf("is about %s", list[i].Name)
		}
		if err != nil {
			// The files are part of the program, so one that cannot be read is a mistake in it.
			panic(fmt.Errorf("service/iam/managed/%s: %w", e.Name(), err))
		}
	}
	return list
})

// All lists the policies by name. They must not be changed.
func All() []Policy { return all() }

// byARN finds policies by their ARN in the first partition.
var byARN = sync.OnceValue(func() map[string]Policy {
	m := map[string]Policy{}
	for _, p := range All() {
		m[p.ARN("aws")] = p
	}
	return m
})

// Lookup finds a policy by its ARN.
func Lookup(arn string) (Policy, bool) {
	p, ok := byARN()[arn]
	return p, ok
}
