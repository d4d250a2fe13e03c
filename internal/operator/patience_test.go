package operator

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/gridmesh/gridmesh/internal/envtestkit"
)

// begun is a cache that notes when it was started.
type begun struct {
	cache.Cache

	at time.Time
}

func (b *begun) Start(context.Context) error {
	b.at = time.Now()
	return nil
}

func TestCacheWaitsForTheAPIServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner, said, from := new(begun), new(envtestkit.Log), time.Now()
		c := &patientCache{
			Cache: inner, log: slog.New(slog.NewTextHandler(said, nil)),
			answers: func(context.Context) bool { return time.Since(from) >= time.Minute },
		}
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := inner.at.Sub(from); took < time.Minute || took > time.Minute+patience {
			t.Errorf("it began after %v", took)
		}
		if got := strings.Count(said.String(), "does not answer"); got != 1 {
			t.Errorf("said %d times: %s", got, said)
		}

		inner.at = time.Time{}
		c.answers = func(context.Context) bool { return false }
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := c.Start(ctx); err != nil || !inner.at.IsZero() {
			t.Errorf("told to stop meanwhile: %v, begun %v", err, inner.at)
		}
	})
}

func TestWhetherAServerAnswers(t *testing.T) {
	status := http.StatusForbidden
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	defer server.Close()
	if !answers(t.Context(), server.Client(), server.URL) {
		t.Error("one that refuses us is there")
	}
	if status = http.StatusServiceUnavailable; answers(t.Context(), server.Client(), server.URL) {
		t.Error("one that is starting is not")
	}
	server.Close()
	if answers(t.Context(), server.Client(), server.URL) {
		t.Error("nobody is there")
	}
}
