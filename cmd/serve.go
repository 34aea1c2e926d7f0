package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/internal/coalesce"
	"github.com/vennel/vennel/internal/durable"
	"github.com/vennel/vennel/service/ssm/fleet"
	"github.com/vennel/vennel/store"
)

// Serve is the control plane.
type Serve struct {
	DataFlag
	HTTP     string `default:"127.0.0.1:4566" env:"VENNEL_HTTP" placeholder:"ADDR" help:"Address for plain HTTP; empty for none."`
	HTTPS    string `default:"127.0.0.1:4443" env:"VENNEL_HTTPS" placeholder:"ADDR" help:"Address for HTTPS and agents; empty for none."`
	Region   string `default:"us-east-1" env:"AWS_REGION" help:"Region of requests that name none."`
	Account  string `default:"000000000000" help:"Account of the administrator."`
	Metrics  string `placeholder:"ADDR" help:"Address for /metrics, /healthz and /debug/pprof/, which ask for no signature (default: none)."`
	Database string `placeholder:"URL" env:"VENNEL_DATABASE" help:"postgres://… instead of SQLite in the data folder."`
	Host     string `type:"path" placeholder:"FILE" env:"VENNEL_HOST" help:"The unix socket of a vennel host on this machine, which carries the private networks."`
	Links    string `placeholder:"ADDR" help:"Address for hosts and gateways elsewhere, which prove themselves with certificates (default: none)."`
	Sites    []Site `name:"site" placeholder:"NAME=CIDR@ADDR" help:"A network on-premises of the host: its range, and its public address, which a customer gateway names."`

	SSMAgent string `name:"ssm-agent" type:"existingdir" placeholder:"DIR" env:"VENNEL_SSM_AGENT" help:"The folder of the official SSM Agent's programs, for instances with it."`

	LostAfter  time.Duration `default:"11m" help:"How long a node may be silent before it counts as lost."`
	RotateKeys time.Duration `default:"0" help:"Age at which nodes are told to change their keys; 0 never tells them."`
	LogLevel
}

// DataFlag is the folder that commands share.
type DataFlag struct {
	Data string `env:"VENNEL_DATA" placeholder:"DIR" help:"Data folder (default: $XDG_DATA_HOME/vennel)."`
}

// folder is the data folder as an absolute path.
func (d DataFlag) folder() (string, error) {
	if d.Data != "" {
		return filepath.Abs(d.Data)
	}
	return defaultFolder("vennel")
}

// defaultFolder is a folder for data of this user, by its name.
func defaultFolder(name string) (string, error) {
	if base := os.Getenv("XDG_DATA_HOME"); base != "" {
		return filepath.Join(base, name), nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".local", "share", name), err
}

// Ready is what a server says on one line when it serves.
type Ready struct {
	Ready       bool     `json:"ready"`
	HTTP        string   `json:"http"`
	HTTPS       string   `json:"https"`
	CA          string   `json:"ca"`
	Credentials string   `json:"credentials"`
	Region      string   `json:"region"`
	Account     string   `json:"account"`
	Metrics     string   `json:"metrics,omitempty"`
	Links       string   `json:"links,omitempty"`
	Nodes       []string `json:"nodes,omitempty"`
}

// readyFile is where other commands find a running server. It goes when the server stops.
const readyFile = "server.json"

// The limits of a connection. A request must have come in whole within readTime.
const (
	headerTime = 10 * time.Second
	readTime   = 30 * time.Second
	idleTime   = 2 * time.Minute
	mostHeader = 64 << 10
	stopTime   = 3 * time.Second
)

// goodAccount is what an account's number looks like.
var goodAccount = regexp.MustCompile(`^\d{12}$`)

// Run serves until it is told to stop.
func (s *Serve) Run(ctx context.Context, streams Streams) error {
	folder, err := s.folder()
	switch {
	case err != nil:
		return err
	case !goodAccount.MatchString(s.Account):
		return fmt.Errorf("--account has twelve digits, such as 000000000000, unlike %q", s.Account)
	case !api.IsRegion(s.Region):
		return fmt.Errorf("--region is a name such as us-east-1, unlike %q", s.Region)
	}
	log := s.logger(streams.Err)
	listeners, err := s.listen(ctx)
	if err != nil {
		return err
	}
	spare := make([]byte, spareHeap)
	defer runtime.KeepAlive(spare)
	cfg := Config{
		Data: folder, Database: s.Database, Region: s.Region, Account: s.Account, Log: log,
		Fleet: fleet.Config{LostAfter: s.LostAfter, RotateKeysAfter: s.RotateKeys}, Plan: s.plan(), Links: s.Links != "", SSMAgent: s.SSMAgent,
	}
	if s.Host != "" {
		if cfg.Host, err = localHost(s.Host); err != nil {
			return errors.Join(err, listeners.close())
		}
	}
	ready := listeners.ready(folder, s)
	say := func(*Server) error { return sayReady(streams.Out, folder, ready) }
	for {
		err := serve(ctx, cfg, listeners, say)
		if !errors.Is(err, store.ErrRestored) {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		log.Info("a backup was restored; starting again on what it holds")
		if listeners, err = s.listenAgain(ctx, ready); err != nil {
			return err
		}
		say = func(*Server) error { return sayReady(io.Discard, folder, ready) }
	}
}

// listeners are the sockets of a server.
type listeners struct{ http, https, metrics, links net.Listener }

// listen opens the sockets, before anything else is done: an address in use is the most frequent
// mistake.
func (s *Serve) listen(ctx context.Context) (l listeners, err error) {
	var config net.ListenConfig
	if s.HTTP != "" {
		if l.http, err = config.Listen(ctx, "tcp", s.HTTP); err != nil {
			return l, fmt.Errorf("%w; choose another address with --http", err)
		}
	}
	if s.HTTPS != "" {
		if l.https, err = config.Listen(ctx, "tcp", s.HTTPS); err != nil {
			return l, fmt.Errorf("%w; choose another address with --https", err)
		}
	}
	if s.Metrics != "" {
		if host, _, err := net.SplitHostPort(s.Metrics); err != nil || !loopback(host) {
			return l, fmt.Errorf("--metrics asks for no signature, so it must be a loopback address with a port, such as 127.0.0.1:9090, not %s", s.Metrics)
		}
		if l.metrics, err = config.Listen(ctx, "tcp", s.Metrics); err != nil {
			return l, fmt.Errorf("%w; choose another address with --metrics", err)
		}
	}
	if s.Links != "" {
		if l.links, err = config.Listen(ctx, "tcp", s.Links); err != nil {
			return l, fmt.Errorf("%w; choose another address with --links", err)
		}
	}
	if l.http == nil && l.https == nil {
		return l, errors.New("there is nothing to serve on: --http and --https are both empty")
	}
	return l, nil
}

// loopback says whether a host is this machine and reachable from it only.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// listenAgain opens the same sockets once more.
func (s *Serve) listenAgain(ctx context.Context, r Ready) (listeners, error) {
	again := *s
	if r.HTTP != "" {
		again.HTTP = r.HTTP[len("http://"):]
	}
	if r.HTTPS != "" {
		again.HTTPS = r.HTTPS[len("https://"):]
	}
	if r.Metrics != "" {
		again.Metrics = r.Metrics[len("http://"):]
	}
	if r.Links != "" {
		again.Links = r.Links
	}
	return again.listen(ctx)
}

// ready describes a server on these sockets.
func (l listeners) ready(folder string, s *Serve) Ready {
	r := Ready{
		Ready: true, CA: filepath.Join(folder, caFile), Credentials: filepath.Join(folder, credentialsFile), Region: s.Region, Account: s.Account,
	}
	if l.http != nil {
		r.HTTP = "http://" + l.http.Addr().String()
	}
	if l.https != nil {
		r.HTTPS = "https://" + l.https.Addr().String()
	}
	if l.metrics != nil {
		r.Metrics = "http://" + l.metrics.Addr().String()
	}
	if l.links != nil {
		r.Links = l.links.Addr().String()
	}
	return r
}

// sayReady prints the line that scripts wait for, and keeps it for other commands.
func sayReady(out io.Writer, folder string, r Ready) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(folder, readyFile), append(line, '\n'), 0o600); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", line)
	return err
}

// serve runs a server on open sockets until ctx ends.
func serve(ctx context.Context, cfg Config, l listeners, ready func(*Server) error) (err error) {
	g, ctx := errgroup.WithContext(ctx)
	server, err := OpenServer(ctx, cfg)
	if err != nil {
		if ctx.Err() != nil {
			err = nil // it was told to stop before it had begun
		}
		return errors.Join(err, l.close())
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	web := &http.Server{
		Handler: server.Mux, ReadHeaderTimeout: headerTime, ReadTimeout: readTime, IdleTimeout: idleTime, MaxHeaderBytes: mostHeader,
		TLSConfig: server.Mux.TLS(server.CA), BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug), ConnContext: remember,
	}
	server.network.Front = server.front(web)
	g.Go(func() error { return server.Run(ctx) })
	if l.links != nil {
		g.Go(func() error { return server.serveLinks(ctx, l.links, web) })
	}
	if l.metrics != nil {
		introspection := server.introspection()
		g.Go(func() error { return serveMetrics(ctx, introspection, l.metrics) })
	}
	if l.http != nil {
		g.Go(func() error { return ended(web.Serve(l.http)) })
	}
	if l.https != nil {
		g.Go(func() error { return ended(web.ServeTLS(coalesce.Listener{Listener: l.https}, "", "")) })
	}
	g.Go(func() error {
		<-ctx.Done()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		if web.Shutdown(last) != nil {
			return ended(web.Close())
		}
		return nil
	})
	if err := ready(server); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(filepath.Join(cfg.Data, readyFile))) }()
	err = g.Wait()
	server.Mux.Wait()
	return err
}

// close closes sockets that no server has taken.
func (l listeners) close() (err error) {
	for _, one := range []net.Listener{l.http, l.https, l.metrics, l.links} {
		if one != nil {
			err = errors.Join(err, one.Close())
		}
	}
	return err
}

// ended passes over the way in which a server that was told to stop ends.
func ended(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
