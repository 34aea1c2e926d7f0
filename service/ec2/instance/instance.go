// Package instance keeps instances, their disks, images, types and instance profiles.
//
// It uses networkinterface and securitygroup.
package instance

import "github.com/vennel/vennel/store"

// Instances is the capability.
type Instances struct {
	db *store.DB
}

// New gives the capability.
func New(db *store.DB) *Instances { return &Instances{db} }
