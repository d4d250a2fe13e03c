package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/gridmesh/gridmesh/internal/logger"
	"github.com/gridmesh/gridmesh/internal/spool"
	"github.com/gridmesh/gridmesh/internal/target"
	"github.com/gridmesh/gridmesh/internal/target/webhook"
	"github.com/gridmesh/gridmesh/pkg/grid"
)

const (
	loggedCallers = 16
	loggedPause   = 4 * time.Millisecond // with it the machine has time left: what is measured is waiting, not work
	loggedLonger  = 30                   // times as long as others: each turn's p99 takes many calls
	loggedTurns   = 30                   // long enough for several batches, or others would bear what is done with them
	slowAnswer    = 5 * time.Second
)

// noWebhook is a state in which there is none: what its figures are off is noise.
const noWebhook = "none"

// receivers are what may be at the other end of a webhook. nil: nobody is.
var receivers = map[string]http.HandlerFunc{
	"works":   func(http.ResponseWriter, *http.Request) {},
	"dead":    nil,
	"hanging": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	"slow": func(_ http.ResponseWriter, r *http.Request) {
		_ = pause(r.Context(), slowAnswer) // it ends with whoever waits
	},
	"500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
}

// webhookCases are what a webhook in each of its states does to calls whose
// handler logs an entry.
func webhookCases() []Case {
	var list []Case
	for _, state := range []string{noWebhook, "works", "dead", "hanging", "slow", "500"} {
		list = append(list, Case{
			Group: "webhook", Variant: state, Needs: CanLog,
			Metrics: []Metric{
				{Name: "p99_rise", Head: "p99 ÷ of calls not touched"},
				{Name: "p99_ratio", Head: "p99 ÷ without"},
				{Name: "all_ratio", Head: "of all calls"},
				{Name: "p50_ratio", Head: "p50 ÷ without"},
				{Name: "cpu_ratio", Head: "cpu ÷ without"},
				{Name: "p99_us", Head: "p99 µs"},
				{Name: "p50_us", Head: "p50 µs"},
				{Name: "dropped", Head: "entries dropped"},
			},
			Run: func(ctx context.Context, _ System, w stopwatch) (values Values, err error) {
				dir, err := os.MkdirTemp("", "bench-webhook-")
				if err != nil {
					return nil, err
				}
				defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
				return beside(ctx, w, dir, state)
			},
		})
	}
	return list
}

// beside measures calls whose handler logs to the console and a webhook, and calls
// whose handler logs to the console, in turns, over one link: of two, one is always
// a little faster.
func beside(ctx context.Context, w stopwatch, dir, state string) (values Values, err error) {
	url, closed, err := receive(ctx, receivers[state])
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closed()) }()
	log := newLog(slog.LevelInfo)
	stop, cancel := context.WithCancel(ctx)
	cancel() // what the webhook has not taken is not waited for
	defer log.Close(stop)
	w.measure *= loggedLonger
	most := int(w.measure/loggedPause) * loggedCallers
	seen, unused := newWitness(most), newWitness(most)
	hook := target.New(target.Options{
		Name: "webhook", Kind: "webhook", Sequence: target.NewSequence(), WithIDs: true, Origin: gridName(1) + "/log/webhook",
		Sink: func() (target.Sink, error) {
			sink, err := webhook.Open(webhook.Options{URL: url})
			if err != nil {
				return nil, err
			}
			return seen.sink(sink), nil
		},
		Spool: spool.Options{Dir: filepath.Join(dir, "spool"), FS: seen.disk()}, Gap: logger.Gap(false, false), Report: log.Console(),
	})
	never := slog.Level(math.MaxInt)
	swap := func(level *slog.Level) func() {
		return func() {
			if state != noWebhook {
				log.Swap([]*logger.Output{{Target: hook, Level: level}})
			}
		}
	}
	return onPair(ctx, gridmeshSystem{}, logs(log), func(pair Pair) (Values, error) {
		with := crowd{callers: loggedCallers, size: smallSize, pause: loggedPause}.of(pair, Echo)
		without := with
		with.turn, with.saw = swap(nil), seen.call
		without.turn, without.saw = swap(&never), unused.call // to be seen costs both the same
		begin := w.begin
		w.begin = func() error {
			seen.reset() // the calls that warmed up do not count
			unused.reset()
			if begin == nil {
				return nil
			}
			return begin()
		}
		r, err := w.inTurns(ctx, loggedTurns, with, without)
		if err != nil {
			return nil, err
		}
		s := hook.Stats()
		if work := seen.pieces(); state != noWebhook && (float64(s.In) < r[0].calls() || work == 0) {
			return nil, fmt.Errorf("%d entries of %g calls, %d pieces of work", s.In, r[0].calls(), work)
		}
		rise, err := seen.rise()
		if err != nil {
			return nil, err
		}
		return Values{
			"p99_rise": rise, "p99_ratio": r[0].p99Ratio(r[1]), "all_ratio": r[0].quantile(0.99) / r[1].quantile(0.99),
			"p50_ratio": r[0].quantile(0.5) / r[1].quantile(0.5), "cpu_ratio": r[0].cpuMicros() / r[1].cpuMicros(),
			"p99_us": r[0].quantile(0.99), "p50_us": r[0].quantile(0.5), "dropped": float64(s.Dropped),
		}, nil
	})
}

// receive serves what a webhook posts, until it is closed. With no handler nobody
// is there.
func receive(ctx context.Context, handler http.HandlerFunc) (url string, closed func() error, err error) {
	listener, err := listen(ctx)
	if err != nil {
		return "", nil, err
	}
	url = "http://" + listener.Addr().String()
	if handler == nil {
		return url, func() error { return nil }, listener.Close()
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		_ = server.Serve(listener) // until it is closed
		close(done)
	}()
	return url, func() error {
		err := server.Close()
		<-done
		return err
	}, nil
}

// logs has the serving end log an entry for each call.
func logs(l *logger.Log) Settings {
	log := l.Logger().With("node", gridName(1))
	entry := func(next grid.SingleFunc) grid.SingleFunc {
		return func(ctx context.Context, call *grid.Call, req []byte) ([]byte, error) {
			log.LogAttrs(ctx, slog.LevelInfo, "call", slog.String("peer", call.Peer), slog.String("handler", string(call.Handler)), slog.Int("bytes", len(req)))
			return next(ctx, call, req)
		}
	}
	return Settings{Grid: func(o *grid.Options) {
		if o.Local == gridName(1) {
			o.Interceptors = []grid.Interceptor{{HandleSingle: entry}}
		}
	}}
}
