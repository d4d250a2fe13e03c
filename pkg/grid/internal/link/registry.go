package link

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// Handler is one registered handler. Exactly one of Single and Stream is set.
type Handler struct {
	Name    string
	Single  func(ctx context.Context, c *Incoming, req []byte) ([]byte, error)
	Stream  func(ctx context.Context, c *Incoming, s *Stream) error
	In, Out int // of a stream: capacities

	// slow is how many quick runs are still wanted before calls run on the
	// reader again; 0: they do.
	slow atomic.Int32
	// cost is the mean time of runs on the reader in nanoseconds, by samples.
	cost atomic.Int64
}

// quick is a run that would not have been worth another goroutine: handing it
// over costs about a twentieth of that.
const quick = 20 * time.Microsecond

// sampleEvery is how many runs on the reader come to one whose time is taken.
const sampleEvery = 16

// sampled counts the time of one run on the reader into the mean. Handlers
// that never block but compute for long go to workers, too: they would run one
// after the other while other cores idle.
func (h *Handler) sampled(d time.Duration, runs int) {
	mean := h.cost.Load()
	mean += (int64(d) - mean) / 8 // a few outliers, as by preemption, don't count
	if mean < int64(quick) {
		h.cost.Store(mean)
		return
	}
	h.cost.Store(0)
	h.blocked(runs)
}

// blocked notes that a call held up the reader: the next ones go to a worker.
func (h *Handler) blocked(runs int) { h.slow.Store(int32(runs)) }

// ran notes how long a run on a worker took.
func (h *Handler) ran(d time.Duration, runs int) {
	if d >= quick {
		h.slow.Store(int32(runs))
	} else if n := h.slow.Load(); n > 0 {
		h.slow.CompareAndSwap(n, n-1)
	}
}

// Registry is the handlers of one manager, in the order of their numbers. It only grows.
type Registry struct {
	mu   sync.Mutex // held to add
	list atomic.Pointer[[]*Handler]
}

// Add adds h under the next number.
func (r *Registry) Add(h *Handler) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.All()
	for _, o := range old {
		if o.Name == h.Name {
			return fmt.Errorf("handler %q is registered already", h.Name)
		}
	}
	list := append(slices.Clip(old), h) // a new array: readers have the old one
	r.list.Store(&list)
	return nil
}

// All gives the handlers; the index is the number. It must not be changed.
func (r *Registry) All() []*Handler {
	if l := r.list.Load(); l != nil {
		return *l
	}
	return nil
}

// Announcements gives handlers from number from on as they are announced.
func (r *Registry) Announcements(from int) []wire.Handler {
	var out []wire.Handler
	all := r.All()
	for i := from; i < len(all); i++ {
		out = append(out, all[i].announcement(i))
	}
	return out
}

func (h *Handler) announcement(number int) wire.Handler {
	return wire.Handler{Name: h.Name, Number: uint64(number), Stream: h.Stream != nil, In: uint32(h.In), Out: uint32(h.Out)}
}

// find gives a handler as it is announced.
func (r *Registry) find(name string) (wire.Handler, bool) {
	for i, h := range r.All() {
		if h.Name == name {
			return h.announcement(i), true
		}
	}
	return wire.Handler{}, false
}

// announced is how far the other side knows our registry.
type announced struct {
	mu sync.Mutex // held while announcements are appended, so that they go in order; before outbound.mu
	n  int

	full bool // they let no more be announced
}

// Announce tells the other side of handlers registered since the last time.
func (l *Link) Announce() {
	l.announced.mu.Lock()
	defer l.announced.mu.Unlock()
	all := l.shared.Registry.Announcements(l.announced.n)
	if most := l.to.handlers; l.announced.n+len(all) > most { // the hello may have had more already: the first ones count
		if !l.announced.full {
			l.announced.full = true
			l.shared.Logger.Warn("the peer lets no more handlers be announced; it can't call the others", "peer", l.cfg.Remote, "limit", most)
		}
		all = all[:max(most-l.announced.n, 0)]
	}
	l.announced.n += len(all)
	for len(all) > 0 {
		// As many as fit a frame; a single handler always does.
		n, body := 0, []byte(nil)
		for n < len(all) {
			next := wire.AppendHandlers(body, all[n:n+1])
			if n > 0 && len(next) > l.to.chunk {
				break
			}
			body, n = next, n+1
		}
		all = all[n:]
		l.append(&wire.Frame{Kind: wire.Announce, Body: body})
	}
}

// onAnnounce takes the other side's announcement.
func (l *Link) onAnnounce(body []byte) error {
	old := l.their.Load()
	more := map[string]wire.Handler{}
	err := wire.ParseHandlers(body, func(h wire.Handler) error {
		_, had := old.find(h.Name)
		if _, twice := more[h.Name]; had || twice {
			return &wire.ViolationError{Kind: wire.Announce, Reason: fmt.Sprintf("handler %q twice", h.Name)}
		}
		if old.len()+len(more) >= l.limits.MaxHandlers {
			return &wire.ViolationError{Kind: wire.Announce, Reason: fmt.Sprintf("more than %d handlers", l.limits.MaxHandlers)}
		}
		more[h.Name] = h
		return nil
	})
	if err == nil && len(more) > 0 {
		l.their.Store(old.with(more))
	}
	return err
}
