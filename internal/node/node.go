package node

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminport"
	"github.com/gridmesh/gridmesh/internal/forward"
	"github.com/gridmesh/gridmesh/internal/member"
	"github.com/gridmesh/gridmesh/internal/settings"
	"github.com/gridmesh/gridmesh/internal/tail"
	"github.com/gridmesh/gridmesh/internal/telemetry"
	"github.com/gridmesh/gridmesh/pkg/grid"
)

// Node is a running node. Its fields are set by open and not changed after.
type Node struct {
	config    *Config
	telemetry *telemetry.System
	follows   *telemetry.Followed // the file by which it changes; nil: none
	log       *slog.Logger        // of telemetry
	started   time.Time
	reread    func() (Config, error) // the configuration as it is now

	member     *member.Member
	m          *grid.Manager
	gridTokens *tokenFile
	tokens     *tokenFile // of the admin port
	guard      *adminport.Guard
	mesh       *meshView
	bench      *bencher
	tails      *tail.Server
	running    adminport.Places // calls that the admin port makes
	tailing    adminport.Places // tails that it reads
	held       byteBudget       // bodies of these calls
}

// Run runs a node until a signal or ctx ends it, and returns the exit status:
// 0 after a drain, 1 after a failure, 128 and the signal's number when a second
// signal cut the drain short. reread gives the configuration anew, for SIGHUP.
func Run(ctx context.Context, config Config, reread func() (Config, error), signals <-chan os.Signal, stderr io.Writer) int {
	n := &Node{config: &config, started: time.Now(), reread: reread}
	status := n.runWhole(ctx, signals, stderr)
	n.closeTelemetry(status)
	return status
}

func (n *Node) runWhole(ctx context.Context, signals <-chan os.Signal, stderr io.Writer) int {
	err := n.openTelemetry(stderr)
	if err == nil {
		err = n.open(ctx)
	}
	if err != nil {
		for _, problem := range settings.Problems(err) {
			n.log.Error("node not started", "error", problem)
		}
		return 1
	}
	return n.run(ctx, signals)
}

// open makes everything that can fail, in the order in which things need each
// other. Nothing of it runs yet but the manager, which has no peers.
func (n *Node) open(ctx context.Context) (err error) {
	if err := n.startTelemetry(); err != nil {
		return err
	}
	if n.gridTokens, err = openTokens(n.config.TokenFile, n.log); err != nil {
		return fmt.Errorf("token-file: %w", err)
	}
	if n.tokens, err = openTokens(n.config.AdminTokenFile, n.log); err != nil {
		return fmt.Errorf("admin-token-file: %w", err)
	}
	n.guard = &adminport.Guard{Tokens: n.tokens, ProtectReads: n.config.AdminProtectReads}
	if n.member, err = member.New(n.config.member(), n.log); err != nil {
		return err
	}
	if err := n.member.Listen(ctx); err != nil {
		return err
	}
	if n.m, err = grid.NewManager(context.WithoutCancel(ctx), n.options()); err != nil {
		n.member.Unlisten()
		return err
	}
	n.member.Bind(n.m)
	n.mesh = &meshView{m: n.m}
	n.member.Mesh, n.member.Telemetry = n.mesh.get, n.telemetry.Status
	n.member.Metrics.MustRegister(
		n.telemetry.Collector(),
		member.Counter("gridmesh_node_token_files_refused_total", "New contents of token files that were refused; the old tokens stayed in force.", func() uint64 {
			return n.gridTokens.refused.Load() + n.tokens.refused.Load()
		}))
	n.bench, n.tails = &bencher{m: n.m}, tail.New(n.telemetry.Log().Ring(), n.telemetry.Audit(), n.config.Tails, n.config.Name)
	n.running, n.tailing, n.held.most = make(adminport.Places, adminCalls), make(adminport.Places, forward.Tails), n.config.MaxMemory
	if err := n.register(); err != nil {
		_ = n.m.Close()
		n.member.Unlisten()
		return err
	}
	return nil
}

// options are the manager's: the member's, and what only a node can be told.
func (n *Node) options() grid.Options {
	o := n.member.Options()
	if n.config.Topology == grid.OnDemand.String() {
		o.Topology = grid.OnDemand
	}
	if n.config.TokenFile != "" {
		o.Auth = &grid.Auth{Tokens: n.gridTokens.tokens}
	}
	// The audit is outermost: it records what callers see, the count of calls included.
	o.Interceptors = append([]grid.Interceptor{n.telemetry.Audit().Interceptor()}, o.Interceptors...)
	o.OnEvent = n.telemetry.Audit().OnEvent
	return o
}

// run serves until it is told to stop, then drains, in the opposite order.
func (n *Node) run(ctx context.Context, signals <-chan os.Signal) int {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	group.Go(func() { n.gridTokens.run(background) })
	group.Go(func() { n.tokens.run(background) })
	group.Go(func() { n.followTelemetry(background) })
	failed := n.member.Start(n.adminHandler(), adminStreams)

	status := n.wait(ctx, signals, failed)
	n.member.Leaving()
	n.tails.Leave() // else somebody who looks on would keep the node
	if status == 0 {
		status = n.drain(signals)
	}
	n.member.Stop()
	n.log.Info("node stopped", "exit_status", status)
	return status
}

// wait returns when the node is to stop: 0 to drain, else the exit status.
func (n *Node) wait(ctx context.Context, signals <-chan os.Signal, failed <-chan error) int {
	for {
		select {
		case <-ctx.Done():
			return 0
		case err := <-failed:
			n.log.Error("node failed", "error", err)
			return 1
		case s := <-signals:
			if s == syscall.SIGHUP {
				n.reload()
				continue
			}
			n.log.Info("stopping: a second signal does not wait for calls", "signal", s.String(), "drain_timeout", n.config.DrainTimeout.String())
			return 0
		}
	}
}

// drain leaves the mesh: no new calls come, and those that run have
// drain-timeout. A second signal cuts it short.
func (n *Node) drain(signals <-chan os.Signal) int {
	ctx, cancel := context.WithTimeout(context.Background(), n.config.DrainTimeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- n.member.Drain(ctx) }()
	for {
		select {
		case err := <-done:
			n.log.Debug("left the mesh", "error", err) // the member has said how that went
			return 0
		case s := <-signals:
			if s == syscall.SIGHUP {
				continue
			}
			_ = n.m.Close()
			n.log.Warn("second signal: calls are cut", "signal", s.String(), "error", <-done)
			if number, ok := s.(syscall.Signal); ok {
				return 128 + int(number)
			}
			return 1
		}
	}
}

// reload reads again what can change while the node runs.
func (n *Node) reload() {
	n.log.Info("reloading: peers, certificates, tokens, log-level, and the targets of log and audit")
	n.gridTokens.reload()
	n.tokens.reload()
	n.member.Reload()
	fresh, err := n.reread()
	if err != nil {
		n.refuse(err)
		return
	}
	n.reloadTelemetry(&fresh)
	n.member.SetNames(fresh.Peers)
	if changed := n.config.table().Fixed(fresh.table()); len(changed) > 0 {
		n.log.Warn("these settings have changed and need a restart", "settings", changed)
	}
}
