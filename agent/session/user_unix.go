//go:build unix

package session

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// DefaultUser is who sessions run as when nothing says otherwise and the agent is root. It is created if need be. source: agent
const DefaultUser = "ssm-user"

// sudoers is the file that lets the default user become root. source: agent
const sudoers = "/etc/sudoers.d/ssm-agent-users"

// accountTime bounds the programs that know of users: they may ask a directory in the network.
const accountTime = 30 * time.Second

// account is whom a session's programs run as.
type account struct {
	name, home string
	credential *syscall.Credential // nil when that is who the agent is
}

// account finds out whom a session's programs run as. source: agent
func (s *Session) account(ctx context.Context, p *plan) (*account, error) {
	ctx, cancel := context.WithTimeout(ctx, accountTime)
	defer cancel()
	root := os.Geteuid() == 0
	switch {
	case bool(p.command.RunAsElevated):
		if !root {
			return nil, errors.New("the agent must run as root to run a command with elevated rights")
		}
		return &account{name: "root", home: homeOf("root")}, nil
	case bool(p.inputs.RunAsEnabled):
		if strings.TrimSpace(p.runAs) == "" {
			return nil, errors.New("please set the RunAs default user")
		}
		if !root {
			return nil, errors.New("the agent must run as root to use RunAs")
		}
		a, err := lookup(ctx, p.runAs)
		if err == nil && (a.credential.Uid == 0 || a.credential.Gid == 0) {
			return nil, errors.New("invalid uid and gid")
		}
		if errors.Is(err, errNoUser) {
			return nil, fmt.Errorf("failed to start pty since RunAs user %s does not exist", p.runAs)
		}
		return a, err
	case !root:
		own, err := user.Current()
		if err != nil {
			return nil, err
		}
		if s.User != "" && s.User != own.Username {
			return nil, fmt.Errorf("the agent must run as root to hold sessions as %s", s.User)
		}
		return &account{name: own.Username, home: own.HomeDir}, nil
	case s.User != "":
		return lookup(ctx, s.User)
	}
	a, err := lookup(ctx, DefaultUser)
	if errors.Is(err, errNoUser) {
		if err = createUser(ctx, s.Log); err == nil {
			a, err = lookup(ctx, DefaultUser)
		}
	}
	return a, err
}

// errNoUser says that a user does not exist.
var errNoUser = errors.New("there is no such user")

// lookup finds a user by asking id, which knows of those in directories, too.
func lookup(ctx context.Context, name string) (*account, error) {
	ask := func(what string) (string, error) {
		out, err := exec.CommandContext(ctx, "id", what, "--", name).Output()
		if _, exited := errors.AsType[*exec.ExitError](err); exited && ctx.Err() == nil {
			return "", fmt.Errorf("%s: %w", name, errNoUser)
		}
		return strings.TrimSpace(string(out)), err
	}
	var all []uint32
	for _, what := range []string{"-u", "-g", "-G"} {
		text, err := ask(what)
		if err != nil {
			return nil, err
		}
		for number := range strings.FieldsSeq(text) {
			n, err := strconv.ParseUint(number, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("id %s says %q of %s", what, text, name)
			}
			all = append(all, uint32(n))
		}
	}
	if len(all) < 2 {
		return nil, fmt.Errorf("id says nothing of %s", name)
	}
	return &account{name: name, home: homeOf(name), credential: &syscall.Credential{Uid: all[0], Gid: all[1], Groups: all[2:]}}, nil
}

// homeOf is a user's home; that of a user in a directory is where such homes mostly are. source: agent, for the latter
func homeOf(name string) string {
	if u, err := user.Lookup(name); err == nil && u.HomeDir != "" {
		return u.HomeDir
	}
	return "/home/" + name
}

// createUser creates the default user, who may become root. source: agent
func createUser(ctx context.Context, log *slog.Logger) error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("the user %s does not exist; create it, or name another with --session-user", DefaultUser)
	}
	if out, err := exec.CommandContext(ctx, "useradd", "-m", DefaultUser).CombinedOutput(); err != nil {
		if _, late := lookup(ctx, DefaultUser); late == nil {
			return nil // another session was faster
		}
		return fmt.Errorf("the user %s could not be created: %w: %s", DefaultUser, err, out[:min(len(out), 500)])
	}
	log.Info("user created", "user", DefaultUser)
	if _, err := os.Stat(filepath.Dir(sudoers)); errors.Is(err, fs.ErrNotExist) {
		return nil // there is no sudo
	}
	f, err := os.OpenFile(sudoers, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o440)
	if errors.Is(err, fs.ErrExist) {
		return nil // somebody has decided what it holds
	}
	if err == nil {
		_, err = fmt.Fprintf(f, "# User rules for %[1]s\n%[1]s ALL=(ALL) NOPASSWD:ALL\n", DefaultUser)
		err = errors.Join(err, f.Chmod(0o440), f.Close())
	}
	if err != nil {
		log.Warn("the user cannot use sudo", "user", DefaultUser, "error", err) // but can have a session
	}
	return nil
}

// surroundings are those of the agent that a user may see: only the agent's own user may see all, for there may be passwords of proxies and
// keys in them.
func (a *account) surroundings() []string {
	all := os.Environ()
	if a.credential == nil {
		return all
	}
	return slices.DeleteFunc(all, func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return name != "PATH" && name != "LANG" && name != "TZ" && !strings.HasPrefix(name, "LC_")
	})
}

// dress gives a command its user, and the surroundings that this user expects.
func (a *account) dress(cmd *exec.Cmd) {
	cmd.Env = append(a.surroundings(), "TERM=xterm-256color", "HOME="+a.home, "USER="+a.name, "LOGNAME="+a.name)
	if os.Getenv("LANG") == "" { //nolint:forbidigo // what the session's programs get, not our configuration
		cmd.Env = append(cmd.Env, "LANG=C.UTF-8")
	}
	cmd.Dir = "/"
	if info, err := os.Stat(a.home); err == nil && info.IsDir() {
		cmd.Dir = a.home
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Credential = a.credential
}
