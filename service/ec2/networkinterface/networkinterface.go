// Package networkinterface keeps elastic network interfaces and their addresses.
//
// It uses securitygroup.
package networkinterface

import "github.com/vennel/vennel/store"

// NetworkInterfaces is the capability.
type NetworkInterfaces struct {
	db *store.DB
}

// New gives the capability.
func New(db *store.DB) *NetworkInterfaces { return &NetworkInterfaces{db} }
