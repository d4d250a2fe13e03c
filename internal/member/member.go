package member

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/adminport"
	"github.com/gridmesh/gridmesh/internal/tlsreload"
	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/gridprom"
)

// Member is one member of a mesh. Its fields are set by New and Bind, before
// Start, and not changed after.
type Member struct {
	// Mesh gives what all members say, for the status page; nil: the page tells
	// of this one.
	Mesh func(context.Context) adminapi.Mesh
	// Telemetry says how log and audit are, for the status; nil: it does not.
	Telemetry func() *adminapi.Telemetry
	// Metrics are served besides those of the member; collectors may be added.
	Metrics *prometheus.Registry
	// Reads bounds answers of status and metrics.
	Reads adminport.Places

	config  Config
	log     *slog.Logger
	started time.Time
	certs   *tlsreload.Source // nil without TLS
	feed    *feed
	calls   *gridprom.Calls
	m       *grid.Manager // nil before Bind

	ready   readiness
	rates   rates
	acks    adminport.Places
	pushing *adminport.Crowd // signed lists being read
	pushes  adminport.Places

	gridListener, adminListener net.Listener
	gridServer, adminServer     *http.Server
	stop                        context.CancelFunc
	group                       sync.WaitGroup
}

// New makes a member. It reads the certificate, and fails if that would be of
// no use to it.
func New(config Config, log *slog.Logger) (*Member, error) {
	me := &Member{
		config: config, log: log, started: time.Now(), feed: newFeed(&config, log),
		Metrics: prometheus.NewRegistry(), calls: gridprom.NewCalls(gridprom.CallsOptions{}),
		Reads: make(adminport.Places, maxReads), acks: make(adminport.Places, maxAcks),
		pushing: adminport.NewCrowd(maxPushes), pushes: make(adminport.Places, maxPushes),
	}
	var err error
	if me.certs, err = me.openCertificates(); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return me, nil
}

// LogTo makes l the logger, in place of that of New. It must come before
// Options.
func (me *Member) LogTo(l *slog.Logger) {
	me.log, me.feed.log = l, l
	if me.certs != nil {
		me.certs.LogTo(l)
	}
}

// Options are what to make the manager of. They may be added to.
func (me *Member) Options() grid.Options {
	c := &me.config
	o := grid.Options{
		Local: c.Name, Grid: c.Grid,
		Resolve:           resolver(c.Resolve, me.feed.hints, net.DefaultResolver.LookupHost),
		InsecurePlainText: me.certs == nil,
		DefaultTimeout:    c.DefaultTimeout, RemovalGrace: c.RemovalGrace,
		Limits:       grid.Limits{MaxMessage: int(c.MaxMessage), MaxCalls: c.MaxCalls, ProcessBytes: int(c.MaxMemory)},
		Interceptors: []grid.Interceptor{me.calls.Interceptor()},
		Logger:       me.log,
	}
	message, memory := cmp.Or(c.MaxMessage, 64<<20), cmp.Or(c.MaxMemory, 1<<30) // the library's defaults
	perLink := int(min(max(message, 128<<20), memory))
	o.Limits.RequestBytes, o.Limits.ReplyBytes = perLink, perLink
	o.Limits.DataBytes = int(min(max(2*message, 256<<20), memory)) // so that unread streams leave room for any message
	if me.certs != nil {
		o.TLS = &grid.TLS{Certificate: me.certs.Certificate, Roots: me.certs.Roots, Strict: c.Strict, MaxAge: c.MaxAge}
	}
	if c.Lists.Dir != "" {
		o.VerifyList, o.OnPeerList = me.feed.verifyOfPeer, me.feed.fetched
	}
	return o
}

// Bind gives the member the manager that was made of its Options.
func (me *Member) Bind(m *grid.Manager) {
	me.m = m
	me.feed.m.Store(m)
	me.collect()
}
