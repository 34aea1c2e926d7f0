package cmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/vennel/vennel/api"
	cloudtrailapi "github.com/vennel/vennel/api/cloudtrail"
	ec2api "github.com/vennel/vennel/api/ec2"
	ec2messagesapi "github.com/vennel/vennel/api/ec2messages"
	iamapi "github.com/vennel/vennel/api/iam"
	kmsapi "github.com/vennel/vennel/api/kms"
	logsapi "github.com/vennel/vennel/api/logs"
	resolverapi "github.com/vennel/vennel/api/route53resolver"
	s3api "github.com/vennel/vennel/api/s3"
	ssmapi "github.com/vennel/vennel/api/ssm"
	ssmmessagesapi "github.com/vennel/vennel/api/ssmmessages"
	stsapi "github.com/vennel/vennel/api/sts"
	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/dataplane/link"
	"github.com/vennel/vennel/internal/seal"
	"github.com/vennel/vennel/service/cloudtrail"
	"github.com/vennel/vennel/service/ec2"
	"github.com/vennel/vennel/service/ec2/endpoint"
	"github.com/vennel/vennel/service/ec2/flowlog"
	"github.com/vennel/vennel/service/ec2/instance"
	"github.com/vennel/vennel/service/ec2/metadata"
	"github.com/vennel/vennel/service/ec2/network"
	"github.com/vennel/vennel/service/ec2/networkacl"
	"github.com/vennel/vennel/service/ec2/networkinterface"
	"github.com/vennel/vennel/service/ec2/peering"
	"github.com/vennel/vennel/service/ec2/plan"
	"github.com/vennel/vennel/service/ec2/routing"
	"github.com/vennel/vennel/service/ec2/securitygroup"
	ec2tag "github.com/vennel/vennel/service/ec2/tag"
	"github.com/vennel/vennel/service/ec2/vpc"
	"github.com/vennel/vennel/service/ec2/vpn"
	"github.com/vennel/vennel/service/ec2messages"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/logs"
	"github.com/vennel/vennel/service/route53resolver"
	"github.com/vennel/vennel/service/ssm"
	"github.com/vennel/vennel/service/ssm/command"
	"github.com/vennel/vennel/service/ssm/document"
	"github.com/vennel/vennel/service/ssm/fleet"
	ssmsession "github.com/vennel/vennel/service/ssm/session"
	"github.com/vennel/vennel/service/ssm/setting"
	"github.com/vennel/vennel/service/ssm/tag"
	"github.com/vennel/vennel/service/ssmmessages"
	"github.com/vennel/vennel/service/sts"
	"github.com/vennel/vennel/store"
	"github.com/vennel/vennel/wire"
	"github.com/vennel/vennel/wire/sigv4"
)

// Config is what a server is made of.
type Config struct {
	Data      string // folder
	Database  string // URL; "" is SQLite in the folder
	Region    string
	Account   string
	Store     store.Options
	Fleet     fleet.Config
	Instances fleet.Instances // of EC2; nil for none
	Host      dataplane.Host  // carries the private network; nil for none
	Links     bool            // without Host, the one that dials is it
	Plan      plan.Options
	SSMAgent  string // folder of the official agent's programs; "" for none
	Log       *slog.Logger
}

// Server is all services, wired up. Reading OpenServer from top to bottom is reading how they hang
// together.
type Server struct {
	Mux *wire.Mux
	CA  *wire.CA
	IAM *iam.IAM

	db        *store.DB
	audit     *store.Log
	flows     *store.Log
	shown     *store.Log // transcripts of sessions
	nodes     *fleet.Fleet
	sessions  *ssmsession.Sessions
	endpoints *endpoint.Endpoints
	hub       *link.Hub // of the hosts and gateways elsewhere
	network   *network.Network
	run       []func(context.Context) error
}

// names are the files of a data folder that others read.
const (
	credentialsFile = "credentials"
	keyFile         = "key"
	caFile          = "ca.pem"
	databaseFile    = "vennel.db"
)

// OpenServer opens the database and wires the services. Streams end when ctx does.
func OpenServer(ctx context.Context, cfg Config) (s *Server, err error) {
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return nil, err
	}
	cfg.Database = databaseURL(cfg.Data, cfg.Database)
	s = new(Server)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	_, keyless := os.Stat(filepath.Join(cfg.Data, keyFile))
	master, err := seal.OpenMaster(cfg.Data)
	if err != nil {
		return s, err
	}
	if s.db, err = cfg.Store.Open(ctx, cfg.Database, cfg.Log); err != nil {
		return s, err
	}
	if s.audit, err = store.OpenLog(ctx, s.db, "audit", cfg.Log); err != nil {
		return s, err
	}
	if s.flows, err = store.OpenLog(ctx, s.db, "flow", cfg.Log); err != nil {
		return s, err
	}
	if s.shown, err = store.OpenLog(ctx, s.db, "transcript", cfg.Log); err != nil {
		return s, err
	}
	identity := iam.New(s.db, master, cfg.Log)
	s.IAM = identity
	if err := identity.CheckKey(ctx); err != nil {
		if keyless != nil {
			err = errors.Join(err, os.Remove(filepath.Join(cfg.Data, keyFile))) // it was made just now, and is not the one
		}
		return s, fmt.Errorf("%w; bring back the file %s, or restore a backup", err, filepath.Join(cfg.Data, keyFile))
	}
	if err := identity.OpenAdministrator(ctx, cfg.Account, filepath.Join(cfg.Data, credentialsFile)); err != nil {
		return s, err
	}
	if s.CA, err = wire.OpenCA(cfg.Data); err != nil {
		return s, err
	}
	s.hub = link.NewHub(cfg.Log)
	if cfg.Host == nil && cfg.Links {
		cfg.Host = s.hub
	}
	trail := cloudtrail.New(s.audit, cfg.Account, cfg.Log)
	instances := instance.New(s.db, cfg.Host, cfg.images()...)
	if cfg.Instances == nil {
		cfg.Instances = instances.Fleet()
	}
	nodes := fleet.New(s.db, identity, cfg.Instances, cfg.Fleet, cfg.Log)
	s.nodes = nodes
	commands := command.New(s.db, identity, nodes, cfg.Log)
	tags := tag.New(s.db, map[string]tag.Resource{
		document.KindDocument: {ARN: document.ARN, Exists: document.Exists},
		fleet.KindNode:        {ARN: fleet.ARN, Exists: fleet.Exists},
	})
	settings := setting.New(s.db, map[string]setting.Kind{fleet.DefaultRole: fleet.DefaultRoleSetting()})
	s.endpoints = endpoint.New(s.db)
	s.sessions = ssmsession.New(ssmsession.Config{
		DB: s.db, Fleet: nodes, Master: master, Transcripts: s.shown, Log: cfg.Log,
		Endpoint: func(ctx context.Context, vpc string) (string, error) {
			return s.endpoints.OwnName(ctx, vpc, "ssmmessages")
		},
	})
	flowLogs := flowlog.New(s.db, s.flows, cfg.Log)
	s.Mux = wire.New(ctx, wire.Config{
		Services: []api.Service{
			cloudtrailapi.Service(trail),
			ec2api.Service(&ec2.Service{
				Endpoints:         s.endpoints,
				FlowLogs:          flowLogs,
				Instances:         instances,
				NetworkAcls:       networkacl.New(s.db),
				NetworkInterfaces: networkinterface.New(s.db),
				Peerings:          peering.New(s.db),
				Routing:           routing.New(s.db),
				SecurityGroups:    securitygroup.New(s.db),
				Tags:              ec2tag.New(s.db),
				VPCs:              vpc.New(s.db),
				VPNs:              vpn.New(s.db),
			}),
			ec2messagesapi.Service(ec2messages.New(nodes, commands)),
			iamapi.Service(identity),
			kmsapi.Service(kmsapi.Unimplemented{}),
			logsapi.Service(logs.New(flowLogs, s.sessions)),
			resolverapi.Service(route53resolver.New(s.db)),
			s3api.Service(s3api.Unimplemented{}),
			ssmapi.Service(&ssm.Service{
				Commands: commands, Documents: document.New(s.db), Fleet: nodes, Sessions: s.sessions, Settings: settings, Tags: tags,
			}),
			ssmmessagesapi.Service(ssmmessages.New(nodes, commands, s.sessions, master, cfg.Log)),
			stsapi.Service(sts.New(s.db, identity)),
		},
		Credentials: credentials{identity, nodes},
		Via:         s.endpoints.Via,
		Rest:        s.sessions.Rest,
		Record:      trail.Record,
		TokenKey:    master.Derive("pagination tokens"),
		Region:      cfg.Region,
		Log:         cfg.Log,
	})
	cfg.Plan.Images = cfg.boots()
	signer, err := metadata.OpenSigner(cfg.Data)
	if err != nil {
		return s, err
	}
	told := metadata.New(metadata.Config{
		Instances: carriedInstances{instances.Metadata(), func(vpc string, a netip.Addr) string { return s.network.Holder(vpc, a) }},
		Issuer:    identity, Signer: signer, TokenKey: master.Derive("instance metadata tokens"), Log: cfg.Log,
	})
	s.network = network.New(network.Config{
		DB: s.db, Host: cfg.Host, Plan: cfg.Plan, Log: cfg.Log,
		Metadata: func(ctx context.Context, socket dataplane.Socket, l net.Listener) error {
			return told.Serve(ctx, socket.VPC, l)
		},
		Flows: flowLogs.Keep,
		Ended: func(ctx context.Context, tx *store.Tx, id string) error {
			_, err := fleet.Forget(ctx, tx, id)
			return err
		},
	})
	s.run = []func(context.Context) error{s.db.Run, identity.Run, nodes.Run, commands.Run, s.sessions.Run, trail.Run, s.network.Run, flowLogs.Run, s.keepTogether}
	return s, nil
}

// Run does the work that goes on beside requests, until ctx ends or something fails for good.
func (s *Server) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, run := range s.run {
		g.Go(func() error { return run(ctx) })
	}
	return g.Wait()
}

// Update changes what is kept, in one transaction, for neighbours of the services.
func (s *Server) Update(ctx context.Context, change func(*store.Tx) error) error {
	return s.db.Update(ctx, change)
}

// Sessions are those of Session Manager, for their neighbours.
func (s *Server) Sessions() *ssmsession.Sessions { return s.sessions }

// Network is what carries the private network, for its neighbours.
func (s *Server) Network() *network.Network { return s.network }

// Close ends what OpenServer opened, after Run has returned.
func (s *Server) Close() (err error) {
	for _, log := range []*store.Log{s.audit, s.flows, s.shown} {
		if log != nil {
			err = errors.Join(err, log.Close())
		}
	}
	if s.db != nil {
		err = errors.Join(err, s.db.Close())
	}
	return err
}

// carriedInstances knows an instance by its address when the host has it there as well: while an address moves, whoever has had it
// must not be told the credentials of whoever will have it.
type carriedInstances struct {
	metadata.Instances
	holder func(vpc string, address netip.Addr) string // the machine that has an address
}

// Find gives the instance that has a private address in a VPC.
func (c carriedInstances) Find(ctx context.Context, vpc string, address netip.Addr) (metadata.Instance, bool) {
	i, ok := c.Instances.Find(ctx, vpc, address)
	return i, ok && c.holder(vpc, address.Unmap()) == i.ID
}

// credentials finds the holder of a key: a node for its own id, otherwise a user or a session.
type credentials struct {
	iam   *iam.IAM
	nodes *fleet.Fleet
}

// Lookup is wire's.
func (c credentials) Lookup(ctx context.Context, keyID, token string) (sigv4.Key, api.Principal, error) {
	if strings.HasPrefix(keyID, "mi-") {
		key, node, err := c.nodes.Key(ctx, keyID)
		return sigv4.Key{Public: key}, node, err
	}
	secret, p, err := c.iam.Lookup(ctx, keyID, token)
	if err != nil {
		return sigv4.Key{}, nil, err
	}
	key := sigv4.Key{Secret: secret}
	if p.Temporary() {
		key.SessionToken = token // it has been opened, so it is the key's own
	}
	return key, p, nil
}
