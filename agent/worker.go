package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/vennel/vennel/agent/disk"
	"github.com/vennel/vennel/agent/document"
	"github.com/vennel/vennel/agent/platform"
	"github.com/vennel/vennel/agent/plugin"
	"github.com/vennel/vennel/wire/sigv4"
)

// worker is a process that runs one job, seen from the agent. It may be a child, or have been one
// of an earlier agent.
type worker struct {
	ours  bool
	news  chan struct{} // filled when the journal may have changed
	gone  chan struct{} // closed when the process has ended
	leave func()        // stops watching; the process goes on
}

// hire finds the worker of a job, or starts one. If that fails, the worker is gone at once.
func (b *inbox) hire(ctx context.Context, j *job) *worker {
	w := &worker{news: make(chan struct{}, 1), gone: make(chan struct{})}
	if disk.Locked(j.path(workerLock)) {
		b.log.Info("a worker of an earlier agent goes on", "job", j.ID)
		w.leave = func() {}
		go w.watch(ctx, j, b.cfg.pace.watch)
		return w
	}
	w.ours = true
	if err := w.start(b, j); err != nil {
		b.log.Error("no worker could be started", "job", j.ID, "error", err)
		w.leave = func() {}
		close(w.gone)
	}
	return w
}

// watch looks at a worker that is no child, until it is gone or ctx ends.
func (w *worker) watch(ctx context.Context, j *job, each time.Duration) {
	defer close(w.gone)
	for sleep(ctx, each) && disk.Locked(j.path(workerLock)) {
		w.tell()
	}
}

// tell says that there is news.
func (w *worker) tell() {
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// start starts a child. Its standard output is a pipe that wakes us when the journal has changed.
func (w *worker) start(b *inbox, j *job) error {
	folder := b.node.path(orchestrationFolder, j.Command)
	if err := disk.Folder(folder); err != nil {
		return err
	}
	logs, err := os.OpenFile(filepath.Join(folder, workerLog), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = logs.Close() }() // the worker writes to its own
	r, wake, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = wake.Close() }() // the worker holds its own
	args := append(b.cfg.Worker[1:len(b.cfg.Worker):len(b.cfg.Worker)], "--state", b.node.state, "--command", j.Command)
	cmd := exec.Command(b.cfg.Worker[0], args...) //nolint:noctx // it outlives us
	cmd.Stdout, cmd.Stderr = wake, logs
	detach(cmd)
	if err := cmd.Start(); err != nil {
		return errors.Join(err, r.Close())
	}
	w.leave = func() { _ = r.Close() } // ends the goroutine below
	go func() {
		defer close(w.gone)
		for {
			if _, err := io.ReadFull(r, make([]byte, 1)); err != nil {
				if errors.Is(err, io.EOF) {
					_ = cmd.Wait() // the journal says how it went
					_ = r.Close()
				} else {
					_ = cmd.Process.Release()
				}
				return
			}
			w.tell()
		}
	}()
	return nil
}

// The times of a worker.
const (
	cancelLook = 250 * time.Millisecond // between two looks for a cancellation
	lockWait   = 2 * time.Second        // for an agent that looks whether the lock is held
)

// Work is the worker: it runs the job of a command until it is done or waits for a reboot. wake gets
// a byte whenever the journal has changed. When ctx ends, what runs is killed and has failed. The
// error is disk.ErrLocked when another worker has the job.
func Work(ctx context.Context, state, command string, wake io.Writer, log *slog.Logger) error {
	n, err := readNode(state)
	if err != nil {
		return err
	}
	folder := n.path(jobsFolder, command)
	short, cancel := context.WithTimeout(ctx, lockWait)
	lock, err := disk.WaitLock(short, filepath.Join(folder, workerLock))
	cancel()
	if err != nil {
		return fmt.Errorf("the job cannot be taken: %w", err) // mostly because another worker has it
	}
	defer lock.Release()
	j, err := readJob(folder) // after the lock: whoever had it may have ended the job and removed it
	if err != nil {
		return err
	}
	_, source, err := j.parse()
	if err != nil {
		return err
	}
	calls, err := n.connect()
	if err != nil {
		return err
	}
	defer calls.close()
	downloads, err := n.downloads()
	if err != nil {
		return err
	}
	r := &document.Runner{
		Dir: j.folder, Work: n.path(orchestrationFolder, command), Command: command, SSM: calls.kept(n, "ssm"), HTTP: downloads, Log: log, Wake: wake,
		Node: plugin.Node{InstanceID: n.InstanceID, Region: n.Region, Platform: platform.System(ctx), Credentials: n.path(credentialsFile)},
	}
	run, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	defer context.AfterFunc(ctx, func() { stop(plugin.ErrShutdown) })()
	if disk.Exists(j.path(cancelFile)) {
		stop(plugin.ErrCancelled)
	}
	go func() {
		for sleep(run, cancelLook) {
			if disk.Exists(j.path(cancelFile)) {
				stop(plugin.ErrCancelled)
			}
		}
	}()
	_, err = r.Run(run, source)
	return err
}

// kept calls a service with the credentials that the agent keeps in the node's folder.
func (c *calls) kept(n *node, name string) *caller {
	s := c.service(name, callTime)
	s.client.Sign = func(_ context.Context, r *http.Request, body []byte) error { return n.signKept(r, body, name) }
	return s
}

// signKept signs with these credentials.
func (n *node) signKept(r *http.Request, body []byte, service string) error {
	creds, err := readCredentials(n.path(credentialsFile))
	if err != nil {
		return err
	}
	return sigv4.Sign(r, sigv4.HashPayload(body), creds.Credentials, n.Region, service, time.Now())
}

// downloads is a client for downloads, which trusts what the system and the node trust.
func (n *node) downloads() (*http.Client, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	if n.CA != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM([]byte(n.CA)) {
			return nil, errors.New("the registration's CA holds no certificate")
		}
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	}
	return &http.Client{Transport: t}, nil
}
