package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
)

const (
	frameEvery = 500 * time.Millisecond // of the table on a terminal
	lineEvery  = 2 * time.Second        // without one
)

// screen prints what happens: lines that stay, and below them, on a terminal,
// a table that is drawn again and again. Elsewhere it prints a line now and then.
type screen struct {
	w     io.Writer
	live  bool
	begin time.Time

	mu    sync.Mutex // protects drawn, the nodes of the show, and the order of what is printed
	drawn int        // lines of the table that stand on the screen
}

func newScreen(w io.Writer) *screen {
	f, ok := w.(*os.File)
	live := false
	if ok {
		info, err := f.Stat()
		live = err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
	}
	return &screen{w: w, live: live, begin: time.Now()}
}

// sayf prints a line that stays.
func (s *screen) sayf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipeLocked()
	fmt.Fprintf(s.w, "%6.1fs  %s\n", time.Since(s.begin).Seconds(), fmt.Sprintf(format, args...))
}

// change changes what is being followed.
func (s *screen) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// wipeLocked takes the table off the screen.
func (s *screen) wipeLocked() {
	if s.drawn > 0 {
		fmt.Fprintf(s.w, "\x1b[%dA\x1b[J", s.drawn)
		s.drawn = 0
	}
}

// follow draws how the show goes, until the function that it returns is called.
func (s *screen) follow(of *show) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	every := lineEvery
	if s.live {
		every = frameEvery
	}
	go func() {
		defer close(done)
		last := time.Now()
		for pause(ctx, every) {
			now := time.Now()
			s.draw(s.look(ctx, of, now.Sub(last)))
			last = now
		}
	}()
	return func() {
		cancel()
		<-done
		s.mu.Lock()
		defer s.mu.Unlock()
		s.wipeLocked()
	}
}

// line is one node in the table.
type line struct {
	name      string
	pid       int
	state     string
	links     adminapi.Links
	perSecond float64
	p50, p99  time.Duration
	queue     int // bytes
	queueOf   int
	streams   int
	waiting   int
	wait      time.Duration
}

// look asks the nodes, and takes the driver's own times of the last while.
func (s *screen) look(ctx context.Context, of *show, over time.Duration) []line {
	s.mu.Lock()
	nodes := of.nodes
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, frameEvery)
	defer cancel()
	var lines []line
	for _, n := range nodes {
		times := of.traffic.times(n)
		l := line{
			name: n.name, state: "dead", links: adminapi.Links{Expected: len(nodes) - 1},
			perSecond: float64(times.Count()) / over.Seconds(), p50: times.Quantile(0.5), p99: times.Quantile(0.99),
		}
		times.Reset()
		if status, err := of.admin.status(ctx, n.admin); err == nil {
			l.add(status)
		}
		lines = append(lines, l)
	}
	return lines
}

func (l *line) add(status *adminapi.Status) {
	l.pid, l.links.Up, l.state = status.Node.PID, status.Links.Up, "ready"
	if !status.Ready {
		l.state = "starting"
	}
	for i := range status.Peers {
		p := &status.Peers[i]
		l.queue += p.QueueBytes
		l.queueOf += p.QueueLimit
		l.streams += p.StreamsOpen
		l.waiting += p.StreamsWaiting
		l.wait = max(l.wait, time.Duration(p.CreditWaitMillis*float64(time.Millisecond)))
	}
}

// credit says which streams have none, and for how long.
func (l *line) credit() string {
	if l.waiting == 0 {
		return fmt.Sprintf("%d streams", l.streams)
	}
	return fmt.Sprintf("%d of %d streams wait, %v", l.waiting, l.streams, l.wait.Round(time.Millisecond))
}

func (s *screen) draw(lines []line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipeLocked()
	if !s.live {
		fmt.Fprintf(s.w, "%6.1fs  %s\n", time.Since(s.begin).Seconds(), summary(lines))
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n  %-18s %-9s %7s  %-6s %8s %9s %9s  %-16s %s\n", "node", "state", "pid", "links", "calls/s", "p50", "p99", "queue", "credit")
	for i := range lines {
		l := &lines[i]
		fmt.Fprintf(&b, "  %-18s %-9s %7d  %-6s %8.0f %9v %9v  %-16s %s\n", l.name, l.state, l.pid, fmt.Sprintf("%d/%d", l.links.Up, l.links.Expected),
			l.perSecond, short(l.p50), short(l.p99), fmt.Sprintf("%s of %s", size(l.queue), size(l.queueOf)), l.credit())
	}
	s.drawn = strings.Count(b.String(), "\n")
	fmt.Fprint(s.w, "\x1b[?7l", b.String(), "\x1b[?7h") // wrapped on a narrow terminal, it would have more lines than counted
}

// summary is all nodes on one line.
func summary(lines []line) string {
	var all line
	for i := range lines {
		l := &lines[i]
		all.links.Up += l.links.Up
		all.links.Expected += l.links.Expected
		all.perSecond += l.perSecond
		all.p50, all.p99 = max(all.p50, l.p50), max(all.p99, l.p99)
		all.queue += l.queue
		all.queueOf += l.queueOf
		all.streams += l.streams
		all.waiting += l.waiting
		all.wait = max(all.wait, l.wait)
	}
	return fmt.Sprintf("links %d/%d, %.0f calls/s, p50 %v, p99 %v, queue %s of %s, credit: %s", all.links.Up, all.links.Expected,
		all.perSecond, short(all.p50), short(all.p99), size(all.queue), size(all.queueOf), all.credit())
}

func short(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

func size(n int) string {
	const mib, kib = 1 << 20, 1 << 10
	switch {
	case n >= mib:
		return fmt.Sprintf("%dMiB", n/mib)
	case n >= kib:
		return fmt.Sprintf("%dKiB", n/kib)
	}
	return fmt.Sprintf("%dB", n)
}
