package gridpod

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/adminport"
	"github.com/gridmesh/gridmesh/internal/buildinfo"
	"github.com/gridmesh/gridmesh/internal/forward"
	"github.com/gridmesh/gridmesh/internal/logger"
	"github.com/gridmesh/gridmesh/internal/member"
	"github.com/gridmesh/gridmesh/internal/poddir"
	"github.com/gridmesh/gridmesh/internal/tail"
	"github.com/gridmesh/gridmesh/internal/telemetry"
	"github.com/gridmesh/gridmesh/internal/tlsreload"
	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// Pod is this pod as a member of its grid. Make one with FromDir.
type Pod struct {
	// Logger is where the pod logs, and the manager that is made of Options,
	// besides the targets of the Grid (LogHandler). nil: slog.Default(), but under
	// go test only what is at error level, or at that of the variable
	// GRIDMESH_TEST_LOG. Set it before Options.
	Logger *slog.Logger

	dir       *poddir.Dir
	member    *member.Member
	telemetry *telemetry.System
	follows   *telemetry.Followed // the file by which log and audit change
	noVolume  error               // why the volume of the pod is not in use
	tails     *tail.Server

	serves atomic.Pointer[grid.Manager] // nil before Serve or Close, then for good what the one serves, or nobody
}

// nobody stands for the manager of a pod that was closed without one.
var nobody = new(grid.Manager)

// FromDir reads what is mounted in a directory, by convention /etc/gridmesh:
// the ConfigMap of the Grid as grid/, and where it has TLS, the Secret as tls/.
// The pod's own name is the variable POD_NAME, or else the host's name.
//
// An error says what is missing and what to do. There is nothing to wait for:
// end the program, and it is started again.
//
// From here on log and audit go where the Grid says. Serve ends that; a program
// that does not get as far may call Close.
func FromDir(path string) (*Pod, error) {
	name, err := poddir.PodName(os.Environ())
	if err != nil {
		return nil, fmt.Errorf("gridpod: %w", err)
	}
	return fromDir(path, name)
}

func fromDir(path, name string) (*Pod, error) {
	dir, err := poddir.Read(path, name)
	if err != nil {
		return nil, fmt.Errorf("gridpod: %w", err)
	}
	tailsFor, err := whoSeesTails()
	if err != nil {
		return nil, fmt.Errorf("gridpod: %w", err)
	}
	config := member.Config{
		Name: dir.Name, Grid: dir.Grid, Version: buildinfo.Version(),
		Listen: address(dir.Port), AdminAddr: address(dir.AdminPort), AdminTLS: dir.TLS,
		Lists:  member.Lists{Dir: dir.Lists()},
		Strict: dir.Identity == peers.IdentityPod,
		// On a removed pod, what runs has as long as it would after SIGTERM.
		RemovalGrace: dir.Drain, DrainTimeout: dir.Drain,
		MaxMessage: dir.MaxMessage, MaxCalls: dir.MaxCalls, MaxMemory: dir.MaxMemory,
	}
	if dir.TLS {
		config.Certificate = tlsreload.InDir(dir.Certificate())
	}
	p := &Pod{dir: dir}
	if p.member, err = member.New(config, slog.Default()); errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%w: mount the Secret <grid>-grid-tls as the directory %s", err, dir.Certificate())
	}
	if err == nil {
		err = p.openTelemetry(os.Getenv("GRID_DATA_DIR"))
	}
	if err != nil {
		return nil, fmt.Errorf("gridpod: %w", err)
	}
	p.tails = tail.New(p.telemetry.Log().Ring(), p.telemetry.Audit(), tailsFor, dir.Name)
	return p, nil
}

// address is that of a port on all addresses of the pod.
func address(port int) string { return ":" + strconv.Itoa(port) }

// Options are what to make the grid.Manager of. They may be added to: error
// codes, interceptors (keep those that are there, they audit calls and count
// them for /metrics), a DefaultTimeout. Local, Grid, TLS, VerifyList and
// OnPeerList are the operator's business; leave them, and leave Peers empty.
// OnEvent is the audit's; call it from yours, if you have one.
//
// Give NewManager a context that does not end with SIGTERM, such as
// context.Background(): when it ends, the manager is closed and its calls are
// cut, where Serve would have let them end.
func (p *Pod) Options() grid.Options {
	p.member.LogTo(p.logger())
	o := p.member.Options()
	o.Interceptors = append([]grid.Interceptor{p.telemetry.Audit().Interceptor()}, o.Interceptors...)
	o.OnEvent = p.telemetry.Audit().OnEvent
	return o
}

// defaultLogger keeps users' tests quiet, as the library's does.
func defaultLogger() *slog.Logger {
	if flag.Lookup("test.v") == nil {
		return slog.Default()
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: logger.DefaultLevel()}))
}

// Serve makes the pod a member until SIGTERM or an interrupt, then drains: no
// new calls come in, and those that run have the Grid's drainTimeout. A second
// signal ends the program at once. Register handlers before it.
//
// It returns nil after a drain that cut nothing. In any case m is closed then, but
// by a second Serve of it while the first one runs.
func (p *Pod) Serve(m *grid.Manager) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // from the first signal on, one does what it does by default
	return p.ServeContext(ctx, m)
}

// ServeContext is Serve for programs that see to signals themselves: it drains
// when ctx ends.
func (p *Pod) ServeContext(ctx context.Context, m *grid.Manager) error {
	if err := p.serve(ctx, m); err != nil {
		return fmt.Errorf("gridpod: %w", err)
	}
	return nil
}

func (p *Pod) serve(ctx context.Context, m *grid.Manager) error {
	if m == nil {
		return errors.New("serve: the manager is nil; make one of pod.Options()")
	}
	if stats := m.Summary(); stats.Local != p.dir.Name || stats.Grid != p.dir.Grid {
		_ = m.Close()
		return fmt.Errorf("serve: the manager is %s of grid %s, and the pod %s of %s; make it of pod.Options()", stats.Local, stats.Grid, p.dir.Name, p.dir.Grid)
	}
	if !p.serves.CompareAndSwap(nil, m) {
		if p.serves.Load() != m {
			_ = m.Close()
		}
		return errors.New("serve: a pod serves once; make another with FromDir")
	}
	defer p.closeTelemetry()
	defer func() { _ = m.Close() }()
	if err := p.registerTails(m); err != nil {
		return err
	}
	if err := p.member.Listen(ctx); err != nil {
		return err
	}
	p.member.Bind(m)
	failed := p.member.Start(p.handler(m), member.Reads+forward.Tails)
	defer p.member.Stop()
	stopFollowing := p.followTelemetry()
	defer stopFollowing()

	gone := time.NewTicker(time.Second)
	defer gone.Stop()
	for {
		select {
		case err := <-failed:
			return err
		case <-gone.C:
			if m.Connection(m.Local()).State() != grid.StateLinked {
				return errClosed
			}
		case <-ctx.Done():
			return p.drain()
		}
	}
}

// errClosed is what the mistake looks like that is easiest to make.
var errClosed = errors.New("the manager was closed under the pod, and its calls were cut; " +
	"give grid.NewManager a context that does not end with SIGTERM, such as context.Background(), and leave the end to Serve")

func (p *Pod) drain() error {
	p.member.Leaving()
	p.tails.Leave() // else somebody who looks on would keep the pod
	ctx, cancel := context.WithTimeout(context.Background(), p.dir.Drain)
	defer cancel()
	err := p.member.Drain(ctx)
	switch {
	case errors.Is(err, grid.ErrClosed):
		return errClosed
	case err != nil:
		return fmt.Errorf("calls were cut, they ran on for longer than the drainTimeout of %v: %w", p.dir.Drain, err)
	}
	return nil
}

// handler is the admin port's.
func (p *Pod) handler(m *grid.Manager) http.Handler {
	mux := http.NewServeMux()
	for _, r := range p.member.Routes() {
		mux.Handle(r.Pattern, r.Handler)
	}
	mux.Handle("POST "+adminapi.PathStream+"/{peer}/{handler...}", p.serveTails(m))
	mux.Handle("PUT "+adminapi.PathPeers, p.member.Signed(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		adminport.Fail(w, http.StatusUnsupportedMediaType, adminapi.Error{
			Message: "Content-Type is not " + adminapi.TypeSigned, Hint: "a pod takes signed lists only",
		})
	})))
	return mux
}
