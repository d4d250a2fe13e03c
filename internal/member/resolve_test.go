package member

import (
	"context"
	"errors"
	"testing"
)

func TestResolve(t *testing.T) {
	known := errors.New("no such host")
	lookup := func(_ context.Context, host string) ([]string, error) {
		if host == "known" {
			return []string{"10.0.0.1"}, nil
		}
		return nil, known
	}
	hints := func() map[string]string {
		return map[string]string{"known:1": "10.9.9.9", "new:1": "10.0.0.2", "new6:1": "fd00::2", "fixed:1": "10.0.0.4"}
	}
	resolve := resolver(map[string]string{"fixed:1": "10.0.0.3:7"}, hints, lookup)
	for name, want := range map[string]string{
		"fixed:1": "10.0.0.3:7", "known:1": "known:1", "new:1": "10.0.0.2:1", "new6:1": "[fd00::2]:1", "unknown:1": "unknown:1",
	} {
		if got, err := resolve(t.Context(), name); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", name, got, err, want)
		}
	}
}
