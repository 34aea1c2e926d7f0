package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Boot is what the first process of a lab's machine starts, in the place of cloud-init and systemd: it runs the instance's
// user data at the first boot, and keeps an agent running.
type Boot struct {
	Agent  string `enum:"vennel,official,none" default:"vennel" help:"Which agent."`
	Folder string `default:"/opt/amazon/ssm" help:"The folder of the official agent's programs."`
	State  string `default:"/var/lib/vennel" help:"The folder that keeps what has been done."`
	ID     string `name:"id" env:"VENNEL_ACTIVATION_ID" help:"A hybrid activation, for a machine that is no instance."`
	Code   string `env:"VENNEL_ACTIVATION_CODE" help:"Its code."`
	Region string `env:"VENNEL_REGION" help:"Its Region."`
}

// agentState is the name of the folder of our agent's state, in the folder of what has been done.
const agentState = "agent"

// bootPatience is how long the machine's metadata may take to answer.
const bootPatience = 30 * time.Second

// Run boots. It ends when the machine does.
func (b *Boot) Run(ctx context.Context, s Streams) error {
	if err := os.MkdirAll(filepath.Join(b.State, agentState), 0o700); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	if b.ID == "" {
		g.Go(func() error {
			if err := b.userData(ctx, s); err != nil && ctx.Err() == nil {
				fmt.Fprintln(s.Err, "boot: user data:", err) // as on a real machine, the rest goes on
			}
			return nil
		})
	}
	if b.Agent != "none" {
		g.Go(func() error { return b.keepAgent(ctx, s) })
	}
	g.Go(func() error { <-ctx.Done(); return nil })
	return g.Wait()
}

// userData runs the instance's user data, once in its life, as a script. source: userguide, "Run commands at launch"
func (b *Boot) userData(ctx context.Context, s Streams) error {
	id, _, err := ask(ctx, "meta-data/instance-id")
	if err != nil {
		return err
	}
	done := filepath.Join(b.State, "user-data-"+filepath.Base(id))
	if _, err := os.Stat(done); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text, found, err := ask(ctx, "user-data")
	if err != nil || !found {
		return err
	}
	if err := runnable(text); err != nil {
		return err
	}
	file := filepath.Join(b.State, "user-data")
	if err := os.WriteFile(file, []byte(text), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(done, nil, 0o600); err != nil {
		return err
	}
	run := exec.CommandContext(ctx, file)
	run.Dir, run.Env, run.Stdout, run.Stderr, run.WaitDelay = "/", append(os.Environ(), "HOME=/root"), s.Out, s.Err, stopTime
	return run.Run()
}

// formats are what cloud-init understands beside scripts, by how it begins. source: cloud-init, "User data formats"
var formats = map[string]string{
	"#cloud-config": "cloud-config", "#include": "a list of URLs", "#cloud-boothook": "a boothook", "#part-handler": "a part handler", "## template:": "a template",
	"Content-Type:": "a MIME archive", "MIME-Version:": "a MIME archive", "\x1f\x8b": "compressed", "<powershell>": "for Windows", "<script>": "for Windows",
}

// runnable refuses user data that is no script.
func runnable(text string) error {
	if strings.HasPrefix(text, "#!") {
		return nil
	}
	what := "no script"
	for prefix, format := range formats {
		if strings.HasPrefix(text, prefix) {
			what = format
		}
	}
	return fmt.Errorf("it is %s; here is no cloud-init, and only a script that begins with #! is run", what)
}

// ask reads a path of the instance's metadata, when it is there, once the service answers.
func ask(ctx context.Context, path string) (text string, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, bootPatience)
	defer cancel()
	const base = "http://169.254.169.254/latest/"
	request := func(method, path string, header ...string) (string, int, error) {
		r, err := http.NewRequestWithContext(ctx, method, base+path, nil)
		if err != nil {
			return "", 0, err
		}
		r.Header.Set(header[0], header[1])
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			return "", 0, err
		}
		defer func() { _ = answer.Body.Close() }() // it has been read
		body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
		return string(body), answer.StatusCode, err
	}
	for {
		token, status, err := request(http.MethodPut, "api/token", "X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
		if err == nil && status == http.StatusOK {
			text, status, err = request(http.MethodGet, path, "X-Aws-Ec2-Metadata-Token", token)
		}
		switch {
		case err == nil && status == http.StatusOK:
			return text, true, nil
		case err == nil && status == http.StatusNotFound:
			return "", false, nil
		case err == nil && status == http.StatusForbidden:
			return "", false, errors.New("the instance's metadata are turned off")
		}
		select {
		case <-ctx.Done():
			return "", false, errors.Join(fmt.Errorf("the metadata service does not answer (status %d)", status), err)
		case <-time.After(time.Second):
		}
	}
}

// The waits before an agent that has ended is started again.
const (
	firstRestart = time.Second
	lastRestart  = 30 * time.Second
)

// keepAgent registers the machine when it is no instance, and keeps its agent running.
func (b *Boot) keepAgent(ctx context.Context, s Streams) error {
	register, run, err := b.commands()
	if err != nil {
		return err
	}
	if b.ID != "" {
		run = b.once(register, run)
	}
	for wait := firstRestart; ctx.Err() == nil; {
		began := time.Now()
		err := run(ctx, s)
		if ctx.Err() != nil {
			break
		}
		if time.Since(began) > lastRestart {
			wait = firstRestart
		}
		fmt.Fprintf(s.Err, "boot: the agent has ended (%v); it starts again in %s\n", err, wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, lastRestart)
	}
	return nil
}

// step is something that is started, and how it ended.
type step func(context.Context, Streams) error

// once does something before something else, until it has been done once in the machine's life.
func (b *Boot) once(first, then step) step {
	done := filepath.Join(b.State, "registered")
	return func(ctx context.Context, s Streams) error {
		if _, err := os.Stat(done); err != nil {
			if err := first(ctx, s); err != nil {
				return err
			}
			if err := os.WriteFile(done, nil, 0o600); err != nil {
				return err
			}
		}
		return then(ctx, s)
	}
}

// activationCode is the variable with the code of an activation, which only what registers has a use for.
const activationCode = "VENNEL_ACTIVATION_CODE"

// program starts a program, with more in its environment, and waits for its end. It is asked to end when the machine does.
func program(more []string, argv ...string) step {
	return func(ctx context.Context, s Streams) error {
		c := exec.CommandContext(ctx, argv[0], argv[1:]...)
		c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
		c.WaitDelay = stopTime
		c.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, activationCode+"=") })
		c.Env = append(append(c.Env, "HOME=/root"), more...)
		c.Stdout, c.Stderr = s.Out, s.Err
		return c.Run()
	}
}

// commands are what registers and what runs the agent.
func (b *Boot) commands() (register, run step, err error) {
	if b.Agent == "official" {
		agent := filepath.Join(b.Folder, "amazon-ssm-agent")
		// It reads the code from its arguments only; here they are seen by this machine alone.
		return program(nil, agent, "-register", "-code", b.Code, "-id", b.ID, "-region", b.Region, "-y"), program(nil, agent), nil
	}
	self, err := os.Executable()
	state := filepath.Join(b.State, agentState)
	return program([]string{activationCode + "=" + b.Code}, self, "agent", "register", "--state", state, "--id", b.ID, "--region", b.Region, "--force"),
		program(nil, self, "agent", "run", "--state", state, "--reboot-command", "/sbin/reboot"), err
}
