package grid

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// RoutePath is where a grid is mounted unless Options.Path says otherwise.
const RoutePath = "/grid/v1"

// Options say what a Manager is. The zero value of a field is its default;
// Local, and TLS or Auth or InsecurePlainText, have none.
type Options struct {
	// Local is this node's own name, "host:port" in lower case, as it stands in
	// everybody's list. Required. It is not derived from anything.
	Local string
	// Grid is the id that both sides of a link must agree on, so that two
	// grids cannot grow into one by accident. Default "default".
	Grid string
	// Peers is the first full list of names; it may contain Local. nil: none
	// yet, SetPeers or SetPeerList follows.
	Peers []string
	// Path is the HTTP path of the grid, on this node and on all it dials.
	// Default RoutePath.
	Path string

	// Resolve gives the address to dial for a name, afresh at each dial. nil:
	// the name itself. It has Limits.ResolveTimeout. May be called concurrently.
	Resolve func(ctx context.Context, name string) (addr string, err error)
	// Dial makes the raw connection, below TLS. nil: TCP. It has
	// Limits.DialTimeout. May be called concurrently.
	Dial func(ctx context.Context, addr string) (net.Conn, error)

	// TLS makes every link mutually authenticated TLS 1.3.
	TLS *TLS
	// Auth demands a shared token, with or without TLS.
	Auth *Auth
	// InsecurePlainText allows links without TLS: whoever is on the way reads
	// and alters everything. Logged once, at warn.
	InsecurePlainText bool

	// Topology is FullMesh, the only one yet.
	Topology Topology
	// DefaultTimeout is the time of single requests whose context has no
	// deadline. 0: a minute. Negative: none.
	DefaultTimeout time.Duration
	// RemovalGrace is how long what runs with a removed peer may go on. Default 30 s.
	RemovalGrace time.Duration
	// Limits are all other numbers.
	Limits Limits
	// Congestion says when a link counts as congested.
	Congestion Congestion

	// Interceptors wrap every call, the first one outermost.
	Interceptors []Interceptor
	// ErrorCodes are codes of the program's own: a handler's error that is one
	// of these travels under its code and satisfies errors.Is on the other side.
	// A code has 1 to 128 bytes; this package's own errors are not allowed.
	ErrorCodes map[Code]error

	// Logger is where the library logs. nil: slog.Default(), but under go test
	// only what is at error level, or at that of the variable GRIDMESH_TEST_LOG.
	Logger *slog.Logger

	// VerifyList checks a signed list that a peer handed over. nil: lists from
	// peers are ignored.
	VerifyList func(raw []byte) (peers.List, error)
	// OnPeerList is told of each list that a peer handed over and that was
	// applied, so that the program can save it. It is called on a goroutine of
	// its own, one list at a time.
	OnPeerList func(peers.List)

	// OnEvent is told of links, handshakes, peer lists and the drain, by whoever
	// brings them about: it must return at once. It may be called concurrently.
	OnEvent func(Event)
}

// Topology says which links a grid keeps.
type Topology int

const (
	// FullMesh keeps a link with every peer.
	FullMesh Topology = iota
	// OnDemand makes links at first use. This version does not have it.
	OnDemand
)

// String is the name that travels in the handshake.
func (t Topology) String() string {
	switch t {
	case FullMesh:
		return "full-mesh"
	case OnDemand:
		return "on-demand"
	}
	return fmt.Sprintf("topology %d", int(t))
}

// Congestion is the one definition of a congested link: for For on end its
// outgoing queue held more than QueueShare of its bytes, or a stream on it had
// waited CreditWait for credit.
type Congestion struct {
	QueueShare float64       // above 0, at most 1. Default 0.5
	CreditWait time.Duration // default 1 s
	For        time.Duration // default 10 s
}

// TLS says how links are authenticated. Its functions are called at every
// handshake and may be called concurrently: return something new to rotate.
type TLS struct {
	// Certificate is this node's own, fit for servers and for clients.
	Certificate func() (*tls.Certificate, error)
	// Roots are the authorities that peers' certificates must lead to.
	Roots func() (*x509.CertPool, error)
	// Strict demands that a peer's certificate carries the URI
	// gridmesh://<grid>/<name>. Without it, one that is valid for the host of
	// the peer's name will do, unless several names of the list share that host.
	Strict bool
	// MaxAge is the age at which a link is remade with the certificates of the
	// day, give or take a tenth, without a failed call. Default 24 h.
	MaxAge time.Duration
}

// StaticTLS is a TLS whose certificate and roots never change.
func StaticTLS(cert tls.Certificate, roots *x509.CertPool) *TLS {
	return &TLS{
		Certificate: func() (*tls.Certificate, error) { return &cert, nil },
		Roots:       func() (*x509.CertPool, error) { return roots, nil },
	}
}

// fill replaces zeros by defaults and refuses what cannot work: the error
// names the field and says what is allowed. The TLS it leaves is a copy.
func (o *Options) fill() error {
	if o.Local == "" {
		return errors.New("options: Local is missing; give this node's own name, host:port")
	}
	if err := peers.ValidName(o.Local); err != nil {
		return fmt.Errorf("options: Local: %w", err)
	}
	if o.Grid == "" {
		o.Grid = "default"
	}
	if err := checkGrid(o.Grid); err != nil {
		return err
	}
	if o.Path == "" {
		o.Path = RoutePath
	}
	if !strings.HasPrefix(o.Path, "/") || len(o.Path) > 256 || strings.Trim(o.Path, pathBytes) != "" {
		return fmt.Errorf("options: Path %.300q: allowed are up to 256 of a-z, A-Z, 0-9, -, _, . and /, which comes first", o.Path)
	}
	if o.Topology != FullMesh {
		return fmt.Errorf("options: Topology %v is not in this version; leave it at FullMesh", o.Topology)
	}
	if o.RemovalGrace == 0 {
		o.RemovalGrace = 30 * time.Second
	}
	if o.RemovalGrace < 0 {
		return fmt.Errorf("options: RemovalGrace is %v; allowed is more than 0, or 0 for 30s", o.RemovalGrace)
	}
	if o.DefaultTimeout == 0 {
		o.DefaultTimeout = time.Minute
	}
	if o.Logger == nil {
		o.Logger = defaultLogger()
	}
	if err := checkErrorCodes(o.ErrorCodes); err != nil {
		return err
	}
	if err := o.Congestion.fill(); err != nil {
		return err
	}
	if err := o.Limits.fill(); err != nil {
		return err
	}
	return o.fillSecurity()
}

func (o *Options) fillSecurity() error {
	switch {
	case o.TLS == nil && !o.InsecurePlainText:
		return errors.New("options: TLS is missing; give certificates, or set InsecurePlainText if everybody on the network may read and alter everything")
	case o.TLS != nil && o.InsecurePlainText:
		return errors.New("options: TLS and InsecurePlainText are both set; leave one")
	case o.Auth != nil && o.Auth.Tokens == nil:
		return errors.New("options: Auth.Tokens is missing; use SharedToken for a token that never changes")
	}
	if o.Auth != nil {
		if _, err := o.Auth.tokens(); err != nil {
			return err
		}
	}
	if o.TLS == nil {
		return nil
	}
	t := *o.TLS
	o.TLS = &t
	if t.MaxAge == 0 {
		o.TLS.MaxAge = 24 * time.Hour
	}
	switch {
	case t.Certificate == nil:
		return errors.New("options: TLS.Certificate is missing; use StaticTLS for a certificate that never changes")
	case t.Roots == nil:
		return errors.New("options: TLS.Roots is missing; use StaticTLS for roots that never change")
	case o.TLS.MaxAge < time.Second:
		return fmt.Errorf("options: TLS.MaxAge is %v; allowed is a second or more, or 0 for 24h", t.MaxAge)
	}
	if _, _, err := o.TLS.current(); err != nil {
		return fmt.Errorf("options: %w", err)
	}
	return nil
}

func (c *Congestion) fill() error {
	if c.QueueShare == 0 {
		c.QueueShare = 0.5
	}
	if c.CreditWait == 0 {
		c.CreditWait = time.Second
	}
	if c.For == 0 {
		c.For = 10 * time.Second
	}
	switch {
	case !(c.QueueShare > 0 && c.QueueShare <= 1):
		return fmt.Errorf("options: Congestion.QueueShare is %v; allowed is more than 0 and at most 1, or 0 for 0.5", c.QueueShare)
	case c.CreditWait < 0:
		return fmt.Errorf("options: Congestion.CreditWait is %v; allowed is more than 0, or 0 for 1s", c.CreditWait)
	case c.For < 0:
		return fmt.Errorf("options: Congestion.For is %v; allowed is more than 0, or 0 for 10s", c.For)
	}
	return nil
}

const (
	maxGrid   = peers.MaxGridLength
	pathBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./"
)

// checkGrid keeps grid ids to what a signed list can carry.
func checkGrid(grid string) error {
	if len(grid) > maxGrid || strings.Trim(grid, pathBytes) != "" {
		return fmt.Errorf("options: Grid %.300q: allowed are up to %d of a-z, A-Z, 0-9, -, _, . and /", grid, maxGrid)
	}
	return nil
}

// defaultLogger keeps users' tests quiet, unless they ask for more by the variable
// GRIDMESH_TEST_LOG: debug, info, warn.
func defaultLogger() *slog.Logger {
	if flag.Lookup("test.v") == nil {
		return slog.Default()
	}
	level := slog.LevelError
	if asked := slog.LevelError; asked.UnmarshalText([]byte(os.Getenv("GRIDMESH_TEST_LOG"))) == nil {
		level = asked
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}
