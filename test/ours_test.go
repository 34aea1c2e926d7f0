package test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// ours is a node that runs our agent.
type ours struct {
	w        *world
	state    string
	code, id string
	cmd      *exec.Cmd
	log      *os.File
}

// newOurs prepares a node.
func newOurs(w *world, name, code, id string) (node, error) {
	n := &ours{w: w, state: filepath.Join(w.folder, ".node-"+name), code: code, id: id}
	log, err := os.OpenFile(n.state+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	n.log = log
	return n, err
}

// start registers the node the first time, and runs it.
func (n *ours) start() error {
	if n.code != "" {
		register := exec.Command(program, "agent", "register", "--state", n.state, "--endpoint", n.w.HTTPS, "--ca", n.w.CA, "--id", n.id, "--region", n.w.Region)
		register.Env = append(os.Environ(), "VENNEL_ACTIVATION_CODE="+n.code)
		if out, err := register.CombinedOutput(); err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		n.code = ""
	}
	n.cmd = exec.Command(program, "agent", "run", "--state", n.state, "--reboot-command", "true")
	n.cmd.Stdout, n.cmd.Stderr = n.log, n.log
	return n.cmd.Start()
}

// stop tells the node to stop.
func (n *ours) stop() error {
	if n.cmd == nil {
		return nil
	}
	err := n.cmd.Process.Signal(syscall.SIGTERM)
	_ = n.cmd.Wait() // it was told to end; how it did is in its log
	n.cmd = nil
	return err
}

// kill ends the agent without warning.
func (n *ours) kill() error {
	if n.cmd == nil {
		return errors.New("it does not run")
	}
	err := n.cmd.Process.Kill()
	_ = n.cmd.Wait()
	n.cmd = nil
	return err
}

// clear stops the node.
func (n *ours) clear() {
	_ = n.stop()
	_ = n.log.Close()
}
