package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/vennel/vennel/dataplane/linux/netns"
)

// names gives network namespaces their names: files in a folder, each the mount of a namespace.
type names struct {
	folder string
	prefix string
}

// newNames prepares the folder. One that `ip netns` reads is shared with the mount namespaces of others, as it would be
// had `ip netns` made it.
func newNames(folder, prefix string, shared bool) (*names, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	if shared {
		err := unix.Mount("", folder, "", unix.MS_SHARED|unix.MS_REC, "")
		if errors.Is(err, unix.EINVAL) { // it is no mount yet
			if err = unix.Mount(folder, folder, "", unix.MS_BIND|unix.MS_REC, ""); err == nil {
				err = unix.Mount("", folder, "", unix.MS_SHARED|unix.MS_REC, "")
			}
		}
		if err != nil {
			return nil, fmt.Errorf("sharing %s: %w", folder, err)
		}
	}
	return &names{folder: folder, prefix: prefix}, nil
}

// path is the file that has a namespace's name.
func (n *names) path(id string) string { return filepath.Join(n.folder, n.prefix+id) }

// open opens the namespace that has a name.
func (n *names) open(id string) (*os.File, error) { return netns.Open(n.path(id)) }

// create makes a namespace, or opens the one that has the name.
func (n *names) create(id string) (*os.File, error) {
	ns, err := n.open(id)
	if !errors.Is(err, fs.ErrNotExist) {
		return ns, err
	}
	if ns, err = netns.New(); err != nil {
		return nil, fmt.Errorf("making the network namespace %s: %w", n.prefix+id, err)
	}
	if err := n.name(id, ns); err != nil {
		return nil, errors.Join(err, ns.Close())
	}
	return ns, nil
}

// name gives a namespace a name, in place of what has it.
func (n *names) name(id string, ns *os.File) error {
	path := n.path(id)
	if err := n.remove(id); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o444)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", ns.Fd()), path, "none", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting %s: %w", path, err)
	}
	return nil
}

// named says whether it is this namespace that has the name.
func (n *names) named(id string, ns *os.File) bool {
	var a, b unix.Stat_t
	return unix.Stat(n.path(id), &a) == nil && unix.Fstat(int(ns.Fd()), &b) == nil && a.Ino == b.Ino && a.Dev == b.Dev
}

// remove takes a name away. The namespace goes when nothing is in it any more.
func (n *names) remove(id string) error {
	path := n.path(id)
	for { // a name may have been given twice, one mount on the other
		err := unix.Unmount(path, unix.MNT_DETACH)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			break
		}
		if err != nil {
			return fmt.Errorf("unmounting %s: %w", path, err)
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// list gives the ids that have namen.
func (n *names) list() ([]string, error) {
	entries, err := os.ReadDir(n.folder)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if id, ours := strings.CutPrefix(e.Name(), n.prefix); ours {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// inode tells one namespace from another while both are open.
func inode(ns *os.File) uint64 {
	var at unix.Stat_t
	if err := unix.Fstat(int(ns.Fd()), &at); err != nil {
		return 0
	}
	return at.Ino
}
