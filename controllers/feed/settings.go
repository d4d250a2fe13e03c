package feed

import (
	"encoding/json"
	"fmt"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/names"
	"github.com/gridmesh/gridmesh/internal/poddir"
)

// settingsOf writes grid.json. The same Grid gives the same bytes.
func settingsOf(g *v1alpha1.Grid, service string) (string, error) {
	s := poddir.File{
		Version: poddir.Version, Grid: names.ID(g), Namespace: g.Namespace, Service: service,
		Port: int(g.Spec.Port), AdminPort: int(g.Spec.AdminPort),
		TLS: hasTLS(g), Identity: identity(g),
	}
	if g.Spec.DrainTimeout != nil {
		s.DrainTimeout = g.Spec.DrainTimeout.Duration.String()
	}
	if l := g.Spec.Limits; l != nil {
		if l.MaxMessage != nil {
			s.MaxMessage = l.MaxMessage.Value()
		}
		if l.MaxCalls != nil {
			s.MaxCalls = int(*l.MaxCalls)
		}
		if l.MaxMemory != nil {
			s.MaxMemory = l.MaxMemory.Value()
		}
	}
	text, err := json.Marshal(&s)
	if err != nil {
		return "", fmt.Errorf("write %s: %w", names.KeySettings, err)
	}
	return string(text) + "\n", nil
}

func hasTLS(g *v1alpha1.Grid) bool { return g.Spec.TLS.Mode != v1alpha1.TLSNone }

// identity is what certificates have to prove; "" where there are none.
func identity(g *v1alpha1.Grid) string {
	if !hasTLS(g) {
		return ""
	}
	if g.Spec.TLS.Identity == "" {
		return string(v1alpha1.IdentityGrid)
	}
	return string(g.Spec.TLS.Identity)
}
