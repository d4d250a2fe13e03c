package node

import (
	"path/filepath"
	"strconv"

	"github.com/gridmesh/gridmesh/internal/poddir"
	"github.com/gridmesh/gridmesh/internal/settings"
	"github.com/gridmesh/gridmesh/internal/telemetry"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// fromKubernetes takes what the operator says in the folder that is mounted.
// What is also set elsewhere is refused, the same value or not: the next
// change of the Grid would make the two differ.
func (c *Config) fromKubernetes(loaded *settings.Loaded, environ []string) error {
	const itself = "kubernetes-dir"
	host, err := poddir.PodName(environ)
	if err != nil {
		return settings.Conflict(loaded.Source(itself), itself, "%v", err)
	}
	dir, err := poddir.Read(c.KubernetesDir, host)
	if err != nil {
		return settings.Conflict(loaded.Source(itself), itself, "%v", err)
	}
	given := []string{
		"name", "grid", "topology", "listen", "admin-addr", "admin-tls", "peers", "peers-file", "peers-dir",
		"tls-dir", "tls-cert", "tls-key", "tls-ca", "tls-strict", "insecure-plain-text", "removal-grace", "drain-timeout",
		"logging", "audit",
	}
	for name, set := range map[string]bool{"max-message": dir.MaxMessage > 0, "max-calls": dir.MaxCalls > 0, "max-memory": dir.MaxMemory > 0} {
		if set {
			given = append(given, name)
		}
	}
	for _, name := range given {
		if loaded.IsSet(name) {
			return settings.Conflict(loaded.Source(name), name, "comes from %s (%s); leave one", itself, loaded.Source(itself))
		}
	}
	c.Name, c.Grid, c.PeersDir = dir.Name, dir.Grid, dir.Lists()
	c.Listen, c.AdminAddr = ":"+strconv.Itoa(dir.Port), ":"+strconv.Itoa(dir.AdminPort)
	c.AdminTLS, c.InsecurePlainText, c.TLSStrict = dir.TLS, !dir.TLS, dir.Identity == peers.IdentityPod
	if dir.TLS {
		c.TLSDir = dir.Certificate()
	}
	if c.DataDir == "" {
		c.DataDir, c.noDataDir = telemetry.PodDataDir()
	}
	c.podTelemetry = filepath.Join(dir.Lists(), telemetry.PodFile)
	c.RemovalGrace, c.DrainTimeout = dir.Drain, dir.Drain // on a removed node, what runs has as long as after SIGTERM
	if dir.MaxMessage > 0 {
		c.MaxMessage = dir.MaxMessage
	}
	if dir.MaxCalls > 0 {
		c.MaxCalls = dir.MaxCalls
	}
	if dir.MaxMemory > 0 {
		c.MaxMemory = dir.MaxMemory
	}
	return nil
}
