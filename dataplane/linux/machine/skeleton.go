package machine

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// shim is mounted on the programs that reboot.
//
//go:embed shim.sh
var shim []byte

// shimName is the file that holds it.
const shimName = "shim"

// shimNames are the programs that it stands for, in /usr/sbin.
var shimNames = []string{"shutdown", "reboot", "poweroff", "halt", "telinit"}

// system is what is mounted in every machine.
var system = []struct {
	kind, at string
	flags    uintptr
	options  string
}{
	{"proc", "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
	{"sysfs", "sys", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_RDONLY, ""},
	{"tmpfs", "dev", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=755,size=1m"},
	{"devpts", "dev/pts", unix.MS_NOSUID | unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620"},
	{"tmpfs", "dev/shm", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777,size=64m"},
	{"mqueue", "dev/mqueue", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
	{"tmpfs", "run", unix.MS_NOSUID | unix.MS_NODEV, "mode=755,size=64m"},
	{"tmpfs", "tmp", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777,size=512m"},
}

// optional are the kinds of mounts that some hosts do not allow and that machines can live without.
var optional = map[string]bool{"sysfs": true, "mqueue": true}

// devices are those of the host's that a machine may use.
var devices = []string{"null", "zero", "full", "random", "urandom", "tty"}

// host is what of the host's is copied into a machine, and the rest is made up: it has to fit /usr, or is the machine's clock and
// locale. None of it is anybody's secret.
var host = []string{
	"ld.so.conf", "ld.so.conf.d", "localtime", "timezone", "protocols", "services", "mime.types", "login.defs", "debian_version", "lsb-release",
	"redhat-release", "system-release", "ssl/openssl.cnf", "crypto-policies",
}

// bundle is where a machine keeps the certificates that it trusts, in one file.
const bundle = "/etc/ssl/certs/ca-certificates.crt"

// bundles are where a host may keep them.
var bundles = []string{
	bundle, "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
}

// mount makes this process's root of the folder that it was started in.
func (o *one) mount() error {
	// A mount that was inherited cannot become the root, but a copy can, whose own mounts stay locked.
	tree, err := unix.OpenTree(unix.AT_FDCWD, ".", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return fmt.Errorf("its root: %w", err)
	}
	defer shutFD(tree)
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, ".", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("its root: %w", err)
	}
	if err := unix.Fchdir(tree); err != nil {
		return err
	}
	for _, m := range system {
		if err := folder(m.at, 0o755); err != nil {
			return err
		}
		options := m.options
		if m.kind == "devpts" && !o.boot.Single {
			options += ",gid=5"
		}
		err := unix.Mount(m.kind, m.at, m.kind, m.flags, options)
		if err != nil && !optional[m.kind] {
			return fmt.Errorf("/%s: %w", m.at, err)
		}
		if err != nil {
			o.console.say("there is no /%s: %v", m.at, err)
		}
		if m.at == "dev" {
			if err := nodes(); err != nil {
				return err
			}
		}
	}
	if err := o.read(); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil { // the host's root, which is on top
		return err
	}
	return unix.Chdir("/")
}

// nodes fills dev: device files cannot be made here, but those of the host's can be shown.
func nodes() error {
	for _, name := range devices {
		f, err := os.OpenFile("dev/"+name, os.O_CREATE|os.O_WRONLY, 0o666)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Close(), unix.Mount("/dev/"+name, "dev/"+name, "", unix.MS_BIND, "")); err != nil {
			return fmt.Errorf("/dev/%s: %w", name, err)
		}
	}
	for name, to := range map[string]string{
		"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
		"console": "/proc/1/fd/1",
	} {
		if err := os.Symlink(to, "dev/"+name); err != nil {
			return err
		}
	}
	return nil
}

// folder makes a folder; anything else of that name goes.
func folder(name string, mode fs.FileMode) error {
	info, err := os.Lstat(name)
	if err == nil && info.IsDir() {
		return nil
	}
	if err == nil {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(name, mode); err != nil {
		return err
	}
	return os.Chmod(name, mode)
}

// inherited is what is read of the host before it is out of sight.
type inherited struct {
	bundle []byte            // certificates
	at     string            // where they were
	cache  []byte            // where the libraries in /usr are
	files  map[string][]byte // below /etc
	links  map[string]string
	groups map[string]string // numbers by name
	bash   bool
	sbin   []string // programs in /usr/sbin
}

// read reads that.
func (o *one) read() error {
	h := &inherited{files: map[string][]byte{}, links: map[string]string{}, groups: map[string]string{}}
	for _, name := range bundles {
		text, err := os.ReadFile(name)
		if err == nil {
			h.bundle, h.at = text, name
			break
		}
	}
	h.cache, _ = os.ReadFile("/etc/ld.so.cache") // without one, libraries are looked for
	for _, name := range host {
		h.copy(name, 3)
	}
	groups, err := os.ReadFile("/etc/group")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(groups)) {
		if part := strings.Split(line, ":"); len(part) > 2 {
			h.groups[part[0]] = part[2]
		}
	}
	_, err = os.Stat("/usr/bin/bash")
	h.bash = err == nil
	for _, name := range shimNames {
		if _, err := os.Stat("/usr/sbin/" + name); err != nil {
			entries, err := os.ReadDir("/usr/sbin")
			if err != nil {
				return err
			}
			for _, e := range entries {
				h.sbin = append(h.sbin, e.Name())
			}
			break
		}
	}
	o.host = h
	return nil
}

// copy remembers what is at a name below /etc, when everybody may read it and it is small.
func (h *inherited) copy(name string, depth int) {
	path := filepath.Join("/etc", name)
	info, err := os.Lstat(path)
	if err != nil || depth == 0 || len(h.files)+len(h.links) > 256 {
		return
	}
	switch info.Mode().Type() {
	case fs.ModeSymlink:
		if to, err := os.Readlink(path); err == nil && strings.HasPrefix(filepath.Join(filepath.Dir(path), to), "/usr/") || filepath.IsAbs(to) && strings.HasPrefix(to, "/usr/") {
			h.links[name] = to
		} else if text, err := os.ReadFile(path); err == nil && len(text) < 256<<10 {
			h.files[name] = text
		}
	case fs.ModeDir:
		entries, err := os.ReadDir(path)
		if err != nil {
			return
		}
		for _, e := range entries {
			h.copy(filepath.Join(name, e.Name()), depth-1)
		}
	case 0:
		if text, err := os.ReadFile(path); err == nil && info.Mode().Perm()&0o4 != 0 && len(text) < 256<<10 {
			h.files[name] = text
		}
	}
}

// group is the number of a group: the host's, which /usr goes by, or else the usual one.
func (h *inherited) group(name, usual string) string {
	if n, ok := h.groups[name]; ok {
		return n
	}
	return usual
}

// skeleton makes what a system has outside of /usr. What is there stays, because the disk is the machine's; what comes from
// outside of it is written at every boot: names, trusted certificates, where libraries are.
func (o *one) skeleton() error {
	for _, f := range []struct {
		name string
		mode fs.FileMode
	}{
		{"/etc/pam.d", 0o755}, {"/etc/ssl/certs", 0o755}, {"/etc/sudoers.d", 0o750}, {"/etc/skel", 0o755}, {"/etc/profile.d", 0o755},
		{"/var/lib", 0o755}, {"/var/log", 0o755}, {"/var/cache", 0o755}, {"/var/spool", 0o755}, {"/var/tmp", 0o777 | fs.ModeSticky},
		{"/root", 0o700}, {"/home", 0o755}, {"/opt", 0o755}, {"/mnt", 0o755}, {"/srv", 0o755}, {"/run/lock", 0o777 | fs.ModeSticky},
	} {
		if info, err := os.Stat(f.name); err == nil && info.IsDir() {
			continue
		}
		if err := folder(f.name, f.mode); err != nil {
			return err
		}
	}
	for name, to := range o.links() {
		if err := link(name, to); err != nil {
			return err
		}
	}
	for _, f := range o.made() {
		if _, err := os.Lstat(f.name); err == nil {
			continue
		}
		if err := write(f.name, []byte(f.text), f.mode); err != nil {
			return err
		}
		if f.group != 0 && !o.boot.Single {
			if err := os.Lchown(f.name, 0, f.group); err != nil {
				return err
			}
		}
	}
	for name, text := range o.host.files {
		name = filepath.Join("/etc", name)
		if _, err := os.Lstat(name); err == nil {
			continue
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), write(name, text, 0o644)); err != nil {
			return err
		}
	}
	if err := o.always(); err != nil {
		return err
	}
	o.host = nil
	if err := o.names(); err != nil {
		return err
	}
	if err := unix.Mkfifo(initctl, 0o600); err != nil {
		return fmt.Errorf("%s: %w", initctl, err)
	}
	return nil
}

// links are those of a system whose programs are in /usr.
func (o *one) links() map[string]string {
	links := map[string]string{
		"/bin": "usr/bin", "/sbin": "usr/sbin", "/lib": "usr/lib", "/var/run": "../run", "/var/lock": "../run/lock",
		"/etc/os-release": "../usr/lib/os-release", "/etc/mtab": "../proc/self/mounts",
	}
	if at := o.host.at; at != "" && at != bundle { // programs of this host look there
		links[at] = bundle
	}
	for _, name := range []string{"lib32", "lib64", "libx32"} {
		if _, err := os.Stat("/usr/" + name); err == nil {
			links["/"+name] = "usr/" + name
		}
	}
	for name, to := range o.host.links {
		links[filepath.Join("/etc", name)] = to
	}
	if len(o.host.sbin) > 0 { // the host lacks a program that reboots: /sbin is a folder of ours that has it
		delete(links, "/sbin")
		for _, name := range o.host.sbin {
			links["/sbin/"+name] = "../usr/sbin/" + name
		}
	}
	return links
}

// link makes a link where there is nothing.
func link(name, to string) error {
	if _, err := os.Lstat(name); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.Symlink(to, name)
}

// write replaces a file; the new one has the mode that it should have.
func write(name string, text []byte, mode fs.FileMode) error {
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, text) {
		return nil
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(name, text, mode); err != nil {
		return err
	}
	return os.Chmod(name, mode)
}

// always writes what comes from outside of the disk.
func (o *one) always() error {
	if len(o.host.cache) > 0 {
		if err := write("/etc/ld.so.cache", o.host.cache, 0o644); err != nil {
			return err
		}
	}
	trusted := o.host.bundle
	if n := len(trusted); n > 0 && trusted[n-1] != '\n' {
		trusted = append(trusted, '\n')
	}
	if err := write(bundle, append(trusted, o.boot.CA...), 0o644); err != nil {
		return err
	}
	if len(o.host.sbin) == 0 {
		return nil
	}
	for _, name := range shimNames {
		if err := write("/sbin/"+name, shim, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// names writes what the network is called: host names and name servers.
func (o *one) names() error {
	m := &o.boot.Machine
	address := "127.0.1.1"
	if m.Address.IsValid() {
		address = m.Address.String()
	}
	short, _, dotted := strings.Cut(m.Name, ".")
	own := m.Name
	if dotted {
		own += " " + short
	}
	var resolv strings.Builder
	if len(m.Search) > 0 {
		fmt.Fprintf(&resolv, "search %s\n", strings.Join(m.Search, " "))
	}
	for _, a := range m.Nameservers {
		fmt.Fprintf(&resolv, "nameserver %s\n", a)
	}
	return errors.Join(
		write("/etc/hostname", []byte(m.Name+"\n"), 0o644),
		write("/etc/hosts", fmt.Appendf(nil, "127.0.0.1 localhost\n%s %s\n::1 localhost ip6-localhost ip6-loopback\n", address, own), 0o644),
		write("/etc/resolv.conf", []byte(resolv.String()), 0o644),
	)
}

// file is one that a system has.
type file struct {
	name, text string
	mode       fs.FileMode
	group      int
}

// made are the files that a new disk gets.
func (o *one) made() []file {
	shell := "/bin/sh"
	if o.host.bash {
		shell = "/bin/bash"
	}
	nobody, admins := "nogroup", "sudo"
	if _, ok := o.host.groups["nogroup"]; !ok {
		nobody = "nobody"
	}
	if _, ok := o.host.groups["sudo"]; !ok {
		admins = "wheel"
	}
	var passwd, shadow, group, gshadow strings.Builder
	for _, u := range [][4]string{
		{"root", "0", "/root", shell}, {"daemon", "1", "/usr/sbin", "/usr/sbin/nologin"}, {"bin", "2", "/bin", "/usr/sbin/nologin"},
		{"nobody", "65534", "/nonexistent", "/usr/sbin/nologin"},
	} {
		fmt.Fprintf(&passwd, "%s:x:%s:%s:%s:%s:%s\n", u[0], u[1], u[1], u[0], u[2], u[3])
		fmt.Fprintf(&shadow, "%s:*:20000:0:99999:7:::\n", u[0])
	}
	shadowGroup := 0
	for _, g := range [][2]string{
		{"root", "0"}, {"daemon", "1"}, {"bin", "2"}, {"sys", "3"}, {"adm", "4"}, {"tty", "5"}, {"disk", "6"}, {"mail", "8"}, {"kmem", "15"},
		{admins, "27"}, {"shadow", "42"}, {"utmp", "43"}, {"users", "100"}, {nobody, "65534"},
	} {
		number := g[1]
		if g[0] != "tty" { // devpts goes by it
			number = o.host.group(g[0], g[1])
		}
		if g[0] == "shadow" {
			_, _ = fmt.Sscan(number, &shadowGroup) // a number that is none leaves the file to root alone
		}
		fmt.Fprintf(&group, "%s:x:%s:\n", g[0], number)
		fmt.Fprintf(&gshadow, "%s:*::\n", g[0])
	}
	return []file{
		{name: "/etc/passwd", text: passwd.String(), mode: 0o644},
		{name: "/etc/shadow", text: shadow.String(), mode: 0o640, group: shadowGroup},
		{name: "/etc/group", text: group.String(), mode: 0o644},
		{name: "/etc/gshadow", text: gshadow.String(), mode: 0o640, group: shadowGroup},
		{name: "/etc/nsswitch.conf", text: "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n", mode: 0o644},
		{name: "/etc/machine-id", text: o.boot.MachineID + "\n", mode: 0o444},
		{name: "/etc/pam.d/other", text: pam, mode: 0o644},
		{name: "/etc/fstab", mode: 0o644},
		{name: "/etc/environment", text: "PATH=" + defaultPath + "\n", mode: 0o644},
		{name: "/etc/profile", text: profile, mode: 0o644},
		{name: "/etc/shells", text: "/bin/sh\n/bin/bash\n/usr/bin/sh\n/usr/bin/bash\n", mode: 0o644},
		{name: "/etc/sudoers", text: "Defaults secure_path=\"" + defaultPath + "\"\nroot ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n", mode: 0o440},
		{name: "/root/.bashrc", text: "PS1='[\\u@\\h \\W]\\$ '\n", mode: 0o644},
		{name: "/etc/skel/.bashrc", text: "PS1='[\\u@\\h \\W]\\$ '\n", mode: 0o644},
	}
}

// pam is how users are who they say: for every service, as no other file is there.
const pam = `auth sufficient pam_rootok.so
auth required pam_unix.so
account required pam_unix.so
password required pam_unix.so
session required pam_unix.so
`

// profile is that of login shells.
const profile = `PATH=` + defaultPath + `
SSL_CERT_FILE=` + bundle + ` AWS_CA_BUNDLE=` + bundle + `
export PATH SSL_CERT_FILE AWS_CA_BUNDLE
for f in /etc/profile.d/*.sh; do
	[ -r "$f" ] && . "$f"
done
unset f
`
