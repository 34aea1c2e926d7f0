package cmd

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/dataplane/link"
	"github.com/vennel/vennel/dataplane/linux"
	"github.com/vennel/vennel/dataplane/linux/machine"
)

// Host is the daemon that carries VPCs on this machine: the only part that may do something in the kernel.
type Host struct {
	Dir         string `type:"path" placeholder:"DIR" help:"The folder of machines and of what else is kept (default: ~/.local/share/vennel-host)."`
	Prefix      string `default:"vennel-" help:"How the names of network namespaces begin; another one for each host on a machine."`
	Listen      string `type:"path" placeholder:"FILE" help:"The unix socket for a control plane on this machine (default: host.sock in the folder)."`
	Connect     string `placeholder:"HOST:PORT" help:"The links address of a control plane elsewhere, instead."`
	Certificate string `type:"existingfile" placeholder:"FILE" help:"What vennel certificate host has written, for --connect."`
	CA          string `name:"ca" type:"existingfile" help:"A certificate authority that machines trust, too."`
	Leave       bool   `default:"true" negatable:"" help:"Leave everything in place when it stops, for the next start; --no-leave removes all."`
	LogLevel
}

// hostFolder is the name of the default folder.
const hostFolder = "vennel-host"

// hostSocket is the name of the socket in the folder.
const hostSocket = "host.sock"

// Run carries what the control plane says until it is told to stop.
func (h *Host) Run(ctx context.Context, s Streams) (err error) {
	if h.Dir == "" {
		if h.Dir, err = defaultFolder(hostFolder); err != nil {
			return err
		}
	}
	if h.Listen == "" {
		h.Listen = filepath.Join(h.Dir, hostSocket)
	}
	if err := os.MkdirAll(h.Dir, 0o700); err != nil {
		return err
	}
	log := h.logger(s.Err)
	options := linux.Options{Dir: h.Dir, Prefix: h.Prefix, Log: log}
	if h.CA != "" {
		if options.CA, err = os.ReadFile(h.CA); err != nil {
			return err
		}
	}
	if options.Self, err = os.Executable(); err != nil {
		return err
	}
	host, err := linux.New(options)
	if err != nil {
		return err
	}
	defer func() {
		if h.Leave {
			err = errors.Join(err, host.Close())
		} else {
			err = errors.Join(err, host.Remove(context.WithoutCancel(ctx)))
		}
	}()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return host.Run(ctx) })
	if h.Connect == "" {
		g.Go(func() error { return link.ServeLocal(ctx, h.Listen, host) })
		return g.Wait()
	}
	config, err := linkConfig(h.Certificate, h.Connect)
	if err != nil {
		return err
	}
	g.Go(func() error { return link.Dialled(ctx, h.Connect, config, log, link.ServeHost(host)) })
	return g.Wait()
}

// First does what this program does when it is the first process of a machine, and then never returns.
func First() { machine.Init() }

// localHost is the host whose daemon listens on a unix socket.
func localHost(path string) (dataplane.Host, error) { return link.Local(path), nil }
