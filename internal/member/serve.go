package member

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminport"
)

// leave is how long requests on the admin port get to end after the mesh was left.
const leave = time.Second

// Listen opens both ports. Nothing is answered yet. After an error neither is
// open.
func (me *Member) Listen(ctx context.Context) (err error) {
	var listen net.ListenConfig
	if me.adminListener, err = listen.Listen(ctx, "tcp", me.config.AdminAddr); err != nil {
		return fmt.Errorf("admin-addr: %w", err)
	}
	if me.gridListener, err = listen.Listen(ctx, "tcp", me.config.Listen); err != nil {
		me.Unlisten()
		return fmt.Errorf("listen: %w", err)
	}
	return nil
}

// Unlisten closes the ports of a member that is not going to Start.
func (me *Member) Unlisten() {
	for _, l := range []net.Listener{me.adminListener, me.gridListener} {
		if l != nil {
			_ = l.Close()
		}
	}
}

// AdminAddr is the address of the admin port that Listen has opened.
func (me *Member) AdminAddr() net.Addr { return me.adminListener.Addr() }

// Start serves both ports and runs what a member does in the background, until
// Stop. admin is served on the admin port, on whose connections up to streams
// requests run at once. What fails afterwards comes by the channel.
func (me *Member) Start(admin http.Handler, streams int) <-chan error {
	background, stop := context.WithCancel(context.Background())
	me.stop = stop
	me.gridServer, me.adminServer = me.m.NewServer(), me.newAdminServer(admin, streams)
	failed := make(chan error, 2)
	serve := func(what string, s *http.Server, l net.Listener) {
		me.group.Go(func() {
			serve := s.Serve
			if s.TLSConfig != nil {
				serve = func(l net.Listener) error { return s.ServeTLS(l, "", "") }
			}
			if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("%s: %w", what, err)
			}
		})
	}
	serve("admin port", me.adminServer, me.adminListener)
	serve("grid port", me.gridServer, me.gridListener)
	me.ready.listening.Store(true)
	me.group.Go(func() { me.feed.run(background) })
	me.group.Go(func() { me.ready.settle(background, me.m) })
	if me.certs != nil {
		me.group.Go(func() { me.certs.Run(background) })
	}
	me.log.Info("node started", "version", me.config.Version, "grid", me.config.Grid, "grid_addr", me.gridListener.Addr().String(),
		"admin_addr", me.AdminAddr().String(), "status_page", me.statusPage(), "pid", os.Getpid())
	return failed
}

func (me *Member) newAdminServer(handler http.Handler, streams int) *http.Server {
	if !me.adminTLS() {
		return adminport.NewServer(handler, streams, nil, me.log)
	}
	return adminport.NewServer(handler, streams, me.certs.Certificate, me.log)
}

func (me *Member) adminTLS() bool { return me.certs != nil && me.config.AdminTLS }

// statusPage is where a person on this machine finds the page.
func (me *Member) statusPage() string {
	host, port, err := net.SplitHostPort(me.AdminAddr().String())
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http"
	if me.adminTLS() {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port) + "/statusz"
}

// Leaving makes the probes say that the member is on its way out.
func (me *Member) Leaving() { me.ready.draining.Store(true) }

// Drain leaves the mesh: no new calls come, and those that run have until ctx
// ends. The error is that of grid.Manager.Shutdown.
func (me *Member) Drain(ctx context.Context) error {
	me.Leaving()
	err := me.m.Shutdown(ctx)
	me.ready.drained.Store(true)
	switch {
	case err == nil:
		me.log.Info("drained")
	case errors.Is(err, context.DeadlineExceeded):
		me.log.Warn("calls were cut: they ran on for longer than drain-timeout", "drain_timeout", me.config.DrainTimeout.String())
	}
	return err
}

// Stop ends everything and waits for it. What still runs is cut.
func (me *Member) Stop() {
	me.Leaving()
	_ = me.m.Close()
	_ = me.gridServer.Close()
	adminport.Shut(me.adminServer, leave) // last: probes and metrics are to be seen while the rest drains
	me.stop()
	me.group.Wait()
}

// Reload reads again at once what is otherwise polled.
func (me *Member) Reload() {
	if me.certs != nil {
		_ = me.certs.Reload() // it logs what it finds
	}
	me.feed.reload()
}

// SetNames gives the list of the configuration anew. Where lists come from
// elsewhere, or it has not changed, nothing happens.
func (me *Member) SetNames(names []string) { me.feed.setStatic(names) }
