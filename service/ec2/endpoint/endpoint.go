// Package endpoint keeps VPC endpoints, the services they are for, and their policies.
//
// It uses networkinterface, routing and securitygroup.
package endpoint

import "github.com/vennel/vennel/store"

// Endpoints is the capability.
type Endpoints struct {
	db *store.DB
}

// New gives the capability.
func New(db *store.DB) *Endpoints { return &Endpoints{db} }
