package cmd

import (
	"archive/tar"
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// entry is a file, folder or link of an archive.
type entry struct {
	path   string // here; "" has no content
	header *tar.Header
	inner  bool // it is in a folder whose name is not copied: ., or ..
}

// The folder of an archive that holds what is copied, and the file that comes last and says that nothing is missing.
const (
	archiveNew   = "new/"
	archiveWhole = "whole"
)

// longAgo is the time of what is given that of its arrival.
var longAgo = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// scan makes the entries of all sources. What cannot be copied is said.
func (r *copying) scan(sources []string) (tree []*entry) {
	for _, source := range sources {
		info, err := os.Stat(source)
		if err != nil {
			r.bad("%s: %v", source, reason(err))
			continue
		}
		if info.IsDir() && !r.flags.Recursive {
			r.bad("%s: Is a directory, which is copied with -r only", source)
			continue
		}
		name := filepath.Base(source)
		if info.IsDir() && (name == "." || name == ".." || name == string(filepath.Separator)) {
			tree = append(tree, r.scanFolder(source, archiveNew, true)...)
			continue
		}
		tree = append(tree, r.scanOne(source, archiveNew+name, info)...)
	}
	if len(tree) == 0 {
		return nil
	}
	root := &entry{header: &tar.Header{Typeflag: tar.TypeDir, Name: archiveNew, Mode: 0o700, ModTime: longAgo}, inner: tree[0].inner}
	whole := &entry{header: &tar.Header{Typeflag: tar.TypeReg, Name: archiveWhole, Mode: 0o600, ModTime: longAgo}}
	tree = append(append([]*entry{root}, tree...), whole)
	root.path = tree[1].path // it names the copy
	return tree
}

// scanOne makes the entries of a file, a link or a folder.
func (r *copying) scanOne(file, name string, info fs.FileInfo) []*entry {
	h := &tar.Header{Name: name, Mode: int64(info.Mode().Perm()), ModTime: longAgo, Format: tar.FormatGNU}
	if r.flags.Preserve {
		h.ModTime = info.ModTime().Truncate(time.Second) // a node takes offence at the future
		for bit, mode := range map[fs.FileMode]int64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
			if info.Mode()&bit != 0 {
				h.Mode |= mode
			}
		}
	}
	e := &entry{path: file, header: h}
	switch {
	case info.Mode().IsRegular():
		h.Typeflag, h.Size = tar.TypeReg, info.Size()
	case info.IsDir():
		h.Typeflag, h.Name, h.Mode = tar.TypeDir, name+"/", int64(info.Mode().Perm()|0o700) // what is in it must get there
		return append([]*entry{e}, r.scanFolder(file, h.Name, false)...)
	case info.Mode()&fs.ModeSymlink != 0:
		link, err := os.Readlink(file)
		if err != nil {
			r.bad("%s: %v", file, reason(err))
			return nil
		}
		h.Typeflag, h.Linkname = tar.TypeSymlink, filepath.ToSlash(link)
	default:
		r.bad("%s: not a regular file", file)
		return nil
	}
	return []*entry{e}
}

// scanFolder makes the entries of what is in a folder.
func (r *copying) scanFolder(folder, name string, inner bool) (tree []*entry) {
	list, err := os.ReadDir(folder)
	if err != nil {
		r.bad("%s: %v", folder, reason(err))
	}
	for _, d := range list {
		file := filepath.Join(folder, d.Name())
		info, err := d.Info()
		if err != nil {
			r.bad("%s: %v", file, reason(err))
			continue
		}
		below := r.scanOne(file, name+d.Name(), info)
		if len(below) > 0 {
			below[0].inner = inner
		}
		tree = append(tree, below...)
	}
	return tree
}

// reason is why something failed, without the path that is named beside it.
func reason(err error) error {
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		text := e.Error() // as the programs of a node say it, with a capital
		return errors.New(strings.ToUpper(text[:1]) + text[1:])
	}
	return err
}

// The sizes of archives, in bytes.
const (
	tarBlock  = 512
	tarRecord = 20 * tarBlock // what tar reads at a time
)

// counter counts bytes.
type counter int64

// Write counts.
func (c *counter) Write(b []byte) (int, error) { *c += counter(len(b)); return len(b), nil }

// archiveSize is the size of the archive that writeArchive writes.
func archiveSize(tree []*entry) int64 {
	var n counter
	for _, e := range tree {
		if tar.NewWriter(&n).WriteHeader(e.header) != nil {
			continue // writing says so
		}
		n += counter(e.header.Size+tarBlock-1) / tarBlock * tarBlock
	}
	n += 2 * tarBlock
	return int64(n+tarRecord-1) / tarRecord * tarRecord
}

// changedError is a file that is not what it was when the copy began.
type changedError struct {
	path string
	err  error
}

// Error says so.
func (e *changedError) Error() string { return fmt.Sprintf("%s: %v", e.path, e.err) }

// writeArchive writes the archive and gives its SHA-256. Without -p files get the permissions that the node's umask leaves.
func (r *copying) writeArchive(to io.Writer, tree []*entry, mask int64) (sum string, err error) {
	hash, size := sha256.New(), counter(0)
	out := bufio.NewWriterSize(to, 256<<10)
	all := io.MultiWriter(out, hash, &size, r.meter)
	archive := tar.NewWriter(all)
	for _, e := range tree {
		h := *e.header
		if !r.flags.Preserve {
			if h.Mode &^= mask; h.Typeflag == tar.TypeDir {
				h.Mode |= 0o700
			}
		}
		if err := archive.WriteHeader(&h); err != nil {
			return "", err
		}
		if h.Typeflag != tar.TypeReg || e.path == "" {
			continue
		}
		if err := writeContent(archive, e); err != nil {
			return "", err
		}
	}
	if err := archive.Close(); err != nil {
		return "", err
	}
	if _, err := all.Write(make([]byte, (tarRecord-int64(size)%tarRecord)%tarRecord)); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), out.Flush()
}

// writeContent writes the content of a file, which must have the size that it had.
func writeContent(archive *tar.Writer, e *entry) error {
	f, err := os.Open(e.path)
	if err != nil {
		return &changedError{e.path, reason(err)}
	}
	defer func() { _ = f.Close() }() // it is only read
	in := &faulty{reader: io.LimitReader(f, e.header.Size)}
	n, err := io.Copy(archive, in)
	switch {
	case in.err != nil:
		return &changedError{e.path, reason(in.err)}
	case err != nil:
		return err
	case n < e.header.Size:
		return &changedError{e.path, errors.New("it became shorter while it was copied")}
	}
	return nil
}

// faulty keeps the error of reading, to tell it from that of writing.
type faulty struct {
	reader io.Reader
	err    error
}

// Read reads.
func (f *faulty) Read(b []byte) (int, error) {
	n, err := f.reader.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}

// unbase64 reads what a node's base64 wrote.
func unbase64(from io.Reader) io.Reader { return base64.NewDecoder(base64.StdEncoding, from) }

// target is where copies go.
type target struct {
	path   string
	folder bool // it is a folder, into which they go
	device bool // it is a device or a pipe, which gets what the files hold
}

// newTarget looks at the destination.
func newTarget(to string, many bool) (*target, error) {
	info, err := os.Stat(to)
	switch {
	case err == nil && info.IsDir():
		return &target{path: to, folder: true}, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: %w", to, reason(err))
	case many && err == nil:
		return nil, fmt.Errorf("%s: Not a directory", to)
	case many:
		return nil, fmt.Errorf("%s: No such file or directory", to)
	}
	return &target{path: to, device: err == nil && !info.Mode().IsRegular()}, nil
}

// remoteBase is the last part of a path on a node; "" when it names no file itself.
func remoteBase(file string) string {
	switch base := path.Base(file); {
	case base == "." || base == ".." || base == "/" || file == "" || file == "~":
		return ""
	default:
		return base
	}
}

// root opens the folder below which an archive's files go, and gives the name that a single file gets in it.
func (t *target) root(source string, folder bool) (root *os.Root, name string, err error) {
	base := remoteBase(source)
	switch {
	case !folder && t.folder:
		root, err = os.OpenRoot(t.path)
		return root, base, err
	case !folder && strings.HasSuffix(filepath.ToSlash(t.path), "/"):
		return nil, "", errors.New("Is a directory's name")
	case !folder:
		root, err = os.OpenRoot(filepath.Dir(t.path))
		return root, filepath.Base(t.path), err
	}
	into := t.path
	if t.folder && base != "" {
		into = filepath.Join(t.path, base)
	}
	if err := os.Mkdir(into, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, "", err
	}
	root, err = os.OpenRoot(into)
	return root, "", err
}

// readArchive makes files of the archive of one source. The error is that of the session; what cannot be made is said.
func (r *copying) readArchive(in *bufio.Reader, source string, folder bool, to *target) error {
	w := &writer{r: r, in: &faulty{reader: in}}
	var err error
	if to.device {
		if folder {
			err = errors.New("Not a directory")
		}
	} else if w.root, w.name, err = to.root(source, folder); err == nil {
		defer func() { _ = w.root.Close() }() // nothing is written through it
	}
	if w.shown = to.path; w.name != "" && to.folder {
		w.shown = filepath.Join(to.path, w.name)
	}
	if err != nil {
		r.bad("%s: %v", w.shown, reason(err))
		w.broken = true
	}
	if w.folder = folder; folder {
		r.meter.begin(remoteBase(source), 0)
		defer r.meter.end()
	}
	archive := tar.NewReader(w.in)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) && w.in.err == nil {
			break
		}
		if err != nil {
			return cut(err)
		}
		if w.broken {
			continue
		}
		if err := w.make(archive, h, to); err != nil {
			return err
		}
	}
	for {
		b, err := in.ReadByte()
		if err != nil {
			return cut(err)
		}
		if b != 0 { // tar fills its last record
			return in.UnreadByte()
		}
	}
}

// cut is the error of an archive that ends too early.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errCut
	}
	return err
}

// writer makes the files of an archive.
type writer struct {
	r      *copying
	in     *faulty
	root   *os.Root
	name   string // that of a single file
	shown  string // where it goes, for people
	folder bool   // there may be more than one
	broken bool   // there is no place for them
}

// make makes one file, folder or link. The error is that of the session.
func (w *writer) make(archive *tar.Reader, h *tar.Header, to *target) error {
	name, shown := w.name, w.shown
	if name == "" && !to.device {
		if name = path.Clean("/" + h.Name)[1:]; name == "" {
			return nil // the folder itself is there
		}
		name = filepath.FromSlash(name)
		shown = filepath.Join(to.path, name)
	}
	if !w.folder && h.Typeflag != tar.TypeReg { // the node may be hostile: a file was asked for, and nothing that leads elsewhere
		w.r.bad("%s: not a regular file", shown)
		return nil
	}
	var err error
	switch h.Typeflag {
	case tar.TypeDir:
		if err = w.root.Mkdir(name, fs.FileMode(h.Mode&0o777|0o700)); errors.Is(err, fs.ErrExist) {
			var info fs.FileInfo
			if info, err = w.root.Stat(name); err == nil && !info.IsDir() {
				err = errors.New("Not a directory")
			}
		}
	case tar.TypeReg:
		if to.device {
			err = w.device(archive, h, to.path)
		} else {
			err = w.file(archive, h, name)
		}
	case tar.TypeSymlink:
		err = w.replace(name, func(temporary string) error { return w.root.Symlink(h.Linkname, temporary) })
	case tar.TypeLink:
		old := filepath.FromSlash(path.Clean("/" + h.Linkname)[1:])
		err = w.replace(name, func(temporary string) error { return w.root.Link(old, temporary) })
	default:
		err = errors.New("not a regular file")
	}
	switch {
	case w.in.err != nil:
		return w.in.err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errCut
	case err != nil:
		w.r.bad("%s: %v", shown, reason(err))
	}
	return nil
}

// replace makes something under another name and gives it its own.
func (w *writer) replace(name string, create func(temporary string) error) error {
	temporary := filepath.Join(filepath.Dir(name), ".vennel-cp-"+newKey())
	err := create(temporary)
	if err == nil {
		err = w.root.Rename(temporary, name)
	}
	if err != nil {
		_ = w.root.Remove(temporary) // it may not exist
	}
	return err
}

// file writes a file.
func (w *writer) file(archive *tar.Reader, h *tar.Header, name string) error {
	if !w.folder {
		w.r.meter.begin(path.Base(filepath.ToSlash(name)), h.Size)
		defer w.r.meter.end()
	}
	return w.replace(name, func(temporary string) error {
		f, err := w.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fs.FileMode(h.Mode&0o777))
		if err != nil {
			return err
		}
		_, err = io.Copy(io.MultiWriter(f, w.r.meter), archive)
		if err == nil && w.r.flags.Preserve {
			if err = f.Chmod(fileMode(h)); errors.Is(err, errors.ErrUnsupported) {
				err = nil
			}
		}
		if err = errors.Join(err, f.Close()); err == nil && w.r.flags.Preserve {
			err = w.root.Chtimes(temporary, h.ModTime, h.ModTime)
		}
		return err
	})
}

// fileMode is a mode with the bits that Go keeps elsewhere.
func fileMode(h *tar.Header) fs.FileMode {
	return h.FileInfo().Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
}

// device writes what a file holds to a device or a pipe.
func (w *writer) device(archive *tar.Reader, h *tar.Header, to string) error {
	w.r.meter.begin(path.Base(h.Name), h.Size)
	defer w.r.meter.end()
	f, err := os.OpenFile(to, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.MultiWriter(f, w.r.meter), archive)
	return errors.Join(err, f.Close())
}
