//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

package store

import (
	"errors"
	"os"
)

// lockFile refuses: without a lock that dies with its process, two servers could write one database.
func lockFile(string) (*os.File, error) {
	return nil, errors.New("a SQLite database cannot be locked on this operating system, use PostgreSQL")
}
