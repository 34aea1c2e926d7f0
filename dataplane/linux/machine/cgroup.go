package machine

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vennel/vennel/dataplane"
)

// hierarchy is a tree of cgroups in which this Launcher has a folder.
type hierarchy struct {
	folder      string // ours
	controllers []string
	unified     bool // version 2
}

// file is the name of the file of a limit.
func (h hierarchy) file(controller string) string {
	switch {
	case controller == "pids":
		return "pids.max"
	case h.unified:
		return "memory.max"
	default:
		return "memory.limit_in_bytes"
	}
}

// findGroups looks for cgroups to limit processes and memory with: below the group that this process is in, or, where version
// 2 forbids that because there are processes in it, below the root.
func (l *Launcher) findGroups() ([]hierarchy, error) {
	var list []hierarchy
	missing := []string{"pids", "memory"}
	sum := sha256.Sum256([]byte(l.Dir))
	name := "vennel-" + hex.EncodeToString(sum[:4])
	at, err := ownGroups()
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, mount := range cgroupMounts() {
		var have []string
		for _, c := range missing {
			if mount.unified || slices.Contains(mount.controllers, c) {
				have = append(have, c)
			}
		}
		if len(have) == 0 {
			continue
		}
		key := ""
		if !mount.unified {
			key = have[0]
		}
		places := []string{at[key]}
		if mount.unified && at[key] != "/" {
			places = append(places, "/")
		}
		for _, place := range places {
			h := hierarchy{folder: filepath.Join(mount.folder, place, name), controllers: have, unified: mount.unified}
			if err := h.make(filepath.Join(mount.folder, place)); err != nil {
				errs = append(errs, err)
				continue
			}
			list = append(list, h)
			missing = slices.DeleteFunc(missing, func(c string) bool { return slices.Contains(h.controllers, c) })
			break
		}
	}
	for _, c := range missing {
		what := map[string]string{"pids": "the processes of each of their users are counted, not all together", "memory": "nothing limits their memory"}[c]
		l.degraded = append(l.degraded, fmt.Sprintf("%s: there is no cgroup to do it with (%v)", what, errors.Join(errs...)))
	}
	return list, nil
}

// make makes our folder below a group, with the controllers that it has; in version 2 they have to be handed down twice.
func (h *hierarchy) make(above string) error {
	if h.unified {
		text, err := os.ReadFile(filepath.Join(above, "cgroup.controllers"))
		if err != nil {
			return err
		}
		there := strings.Fields(string(text))
		h.controllers = slices.DeleteFunc(h.controllers, func(c string) bool { return !slices.Contains(there, c) })
		if len(h.controllers) == 0 {
			return fmt.Errorf("%s has none of the controllers", above)
		}
	}
	if err := os.Mkdir(h.folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if !h.unified {
		return nil
	}
	for _, folder := range []string{above, h.folder} {
		for _, c := range h.controllers {
			if err := os.WriteFile(filepath.Join(folder, "cgroup.subtree_control"), []byte("+"+c), 0); err != nil {
				return errors.Join(err, os.Remove(h.folder))
			}
		}
	}
	return nil
}

// ownGroups says in which group this process is, by controller; the unified hierarchy's is "".
func ownGroups() (map[string]string, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	at := map[string]string{}
	for line := range strings.Lines(string(text)) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) == 3 {
			for c := range strings.SplitSeq(part[1], ",") {
				at[c] = part[2]
			}
		}
	}
	return at, nil
}

// cgroupMounts lists where cgroups are mounted, those with controllers of their own first.
func cgroupMounts() []hierarchy {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	defer shut(f)
	var first, unified []hierarchy
	for lines := bufio.NewScanner(f); lines.Scan(); {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 5 || len(right) < 3 {
			continue
		}
		switch right[0] {
		case "cgroup":
			first = append(first, hierarchy{folder: left[4], controllers: strings.Split(right[2], ",")})
		case "cgroup2":
			unified = append(unified, hierarchy{folder: left[4], unified: true})
		}
	}
	return append(first, unified...)
}

// place puts a process into cgroups of its machine.
func (l *Launcher) place(g *guest, m *dataplane.Machine, pid int) error {
	for _, h := range l.groups {
		folder := filepath.Join(h.folder, g.id)
		if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if !slices.Contains(g.run.Groups, folder) {
			g.run.Groups = append(g.run.Groups, folder)
		}
	}
	if err := l.limit(g, m); err != nil {
		return err
	}
	for _, h := range l.groups {
		if err := os.WriteFile(filepath.Join(h.folder, g.id, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
			return err
		}
	}
	return nil
}

// limit writes a machine's limits. The first process's threads are not the machine's doing and come on top.
func (l *Launcher) limit(g *guest, m *dataplane.Machine) error {
	for _, h := range l.groups {
		folder := filepath.Join(h.folder, g.id)
		if !slices.Contains(g.run.Groups, folder) { // it was started where others were to be had
			continue
		}
		for _, c := range h.controllers {
			value := "max"
			switch {
			case c == "pids":
				value = strconv.Itoa(pidsOf(m) + spareThreads)
			case m.Memory > 0:
				value = strconv.FormatInt(m.Memory, 10)
			case !h.unified:
				value = "-1"
			}
			if err := os.WriteFile(filepath.Join(folder, h.file(c)), []byte(value), 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// pidsOf is how many processes a machine may have.
func pidsOf(m *dataplane.Machine) int {
	if m.Pids > 0 {
		return m.Pids
	}
	return defaultPids
}

// sweep removes the cgroups of a machine that has ended. The last of its processes may need a moment to be gone from them.
func (l *Launcher) sweep(g *guest) {
	for _, folder := range g.run.Groups {
		above := filepath.Dir(folder)
		err := os.Remove(folder)
		for range 100 {
			if err == nil || errors.Is(err, fs.ErrNotExist) {
				break
			}
			<-time.After(5 * time.Millisecond)
			err = os.Remove(folder)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.Log.Warn("a cgroup cannot be removed", "machine", g.id, "error", err)
		}
		if !slices.ContainsFunc(l.groups, func(h hierarchy) bool { return h.folder == above }) {
			_ = os.Remove(above) // of a Launcher that was somewhere else; there may be more in it
		}
	}
	g.run.Groups = nil
}

// sweepAll removes cgroups of machines that are gone, which a kill may have left. One with processes in it stays.
func (l *Launcher) sweepAll() {
	for _, h := range l.groups {
		entries, err := os.ReadDir(h.folder)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.IsDir() {
				_ = os.Remove(filepath.Join(h.folder, e.Name()))
			}
		}
	}
}

// removeGroups removes our folders from the hierarchies.
func (l *Launcher) removeGroups() {
	l.sweepAll()
	for _, h := range l.groups {
		if err := os.Remove(h.folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.Log.Warn("a cgroup cannot be removed", "error", err)
		}
	}
}
