package feed

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
)

// Options say what a Feed works with.
type Options struct {
	// Client reads from the manager's cache, and writes. Required.
	Client client.Client
	// Reader reads past the cache: what a list replaces is read from the API
	// server itself. Required.
	Reader client.Reader
	// Log is where the feed says what it does. Required.
	Log *slog.Logger
	// Registerer takes the feed's metrics. nil: nobody does.
	Registerer prometheus.Registerer
	// RotateEvery is the age at which signing keys are replaced. 0: never, but by
	// AnnotationRotate.
	RotateEvery time.Duration
}

// Feed publishes the peer lists of all Grids. State and Changes may be called
// concurrently with everything.
type Feed struct {
	client    client.Client
	log       *slog.Logger
	metrics   *metrics
	publisher *publisher
	pool      *Pool
	notifier  *notifier // of what others are to look at
	looks     *notifier // of what the feed itself is to look at

	mu    sync.Mutex // protects what follows
	grids map[types.NamespacedName]known
}

// known is what the last look at a Grid gave.
type known struct {
	uid     types.UID
	state   State     // without Acks, which the pool has
	failing time.Time // since when each look has failed; zero: the last one has not
}

// New makes a Feed. SetupWithManager sets it going.
func New(o Options) (*Feed, error) {
	if o.Client == nil || o.Reader == nil || o.Log == nil {
		return nil, errors.New("feed: Client, Reader and Log are required")
	}
	f := &Feed{
		client: o.Client, log: o.Log, metrics: newMetrics(), notifier: newNotifier(), looks: newNotifier(),
		publisher: &publisher{client: o.Client, live: o.Reader, every: o.RotateEvery, signed: make(map[types.UID]uint64)},
		grids:     make(map[types.NamespacedName]known),
	}
	f.pool = newPool(o.Log, f.metrics, f.notifier.changed, f.looks.changed)
	if err := f.metrics.register(o.Registerer); err != nil {
		return nil, err
	}
	return f, nil
}

// State is what is known of a Grid; the zero State of one that has not been
// looked at.
func (f *Feed) State(grid types.NamespacedName) State {
	f.mu.Lock()
	s := f.grids[grid].state
	f.mu.Unlock()
	s.Acks = f.pool.Acks(grid)
	return s
}

// Changes tells of each Grid whose State has changed in a way that shows in a
// status. It has one reader.
func (f *Feed) Changes() <-chan event.GenericEvent { return f.notifier.changes }

// set keeps a State, and tells if it is another one.
func (f *Feed) set(grid types.NamespacedName, next known) {
	f.mu.Lock()
	before := f.grids[grid]
	f.grids[grid] = next
	f.mu.Unlock()
	if !before.state.sameAs(&next.state) {
		f.notifier.changed(grid)
	}
}

// failed notes that a look at a Grid has failed. What the one before gave stays;
// others are told once it has lasted.
func (f *Feed) failed(grid types.NamespacedName, err error) {
	f.mu.Lock()
	now := f.grids[grid]
	if now.failing.IsZero() {
		now.failing = time.Now()
	}
	tell := time.Since(now.failing) >= failureShown && now.state.Failure != err.Error()
	if tell {
		now.state.Failure = err.Error()
	}
	f.grids[grid] = now
	f.mu.Unlock()
	if tell {
		f.notifier.changed(grid)
	}
}

// forget lets go of a Grid that is gone, or on its way.
func (f *Feed) forget(grid types.NamespacedName) {
	f.mu.Lock()
	before := f.grids[grid]
	delete(f.grids, grid)
	f.mu.Unlock()
	f.publisher.forget(before.uid)
	f.pool.Forget(grid)
}

// sameAs: as far as a status shows it, Acks aside.
func (s *State) sameAs(other *State) bool {
	problem := func(p *Problem) Problem {
		if p == nil {
			return Problem{}
		}
		return *p
	}
	return s.Committed == other.Committed && s.Epoch == other.Epoch && s.MeshID == other.MeshID && len(s.Names) == len(other.Names) &&
		problem(s.Problem) == problem(other.Problem) && s.Failure == other.Failure && s.Rotation == other.Rotation
}
