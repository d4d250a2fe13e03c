package operator

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
)

// patience is how long there is between two looks whether the API server answers.
const patience = time.Second

// patientCache begins to fill when the API server answers. An operator loses its
// lease while there is none, ends, and is started again; what it then asks for in
// vain is asked for again after up to a minute, however long the API server has
// been back.
type patientCache struct {
	cache.Cache

	answers func(context.Context) bool
	log     *slog.Logger
}

// newCache makes one, as controller-runtime's manager wants it made.
func newCache(logger *slog.Logger) cache.NewCacheFunc {
	return func(kube *rest.Config, o cache.Options) (cache.Cache, error) {
		inner, err := cache.New(kube, o)
		if err != nil {
			return nil, err
		}
		client, err := rest.HTTPClientFor(kube)
		if err != nil {
			return nil, err
		}
		return &patientCache{Cache: inner, log: logger, answers: func(ctx context.Context) bool { return answers(ctx, client, kube.Host) }}, nil
	}
}

// Start fills the cache until ctx ends.
func (c *patientCache) Start(ctx context.Context) error {
	for waits := false; !c.answers(ctx); waits = true {
		if !waits {
			c.log.Warn("the API server does not answer; waiting for it")
		}
		select {
		case <-time.After(patience):
		case <-ctx.Done():
			return nil
		}
	}
	return c.Cache.Start(ctx)
}

// answers reports whether an API server says anything at all.
func answers(ctx context.Context, client *http.Client, host string) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, host+"/version", http.NoBody)
	if err != nil {
		return true // a mistake that others tell more about
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode < http.StatusInternalServerError
}
