package poddir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// Version is that of the File that this build reads and writes. A field that a
// reader must not miss comes with a higher one; other fields may come any time.
const Version = 1

// maxFile bounds grid.json. Against a mount that is something else.
const maxFile = 64 << 10

// File is grid.json. What has no "omitempty" is always there.
type File struct {
	Version   int    `json:"version"`
	Grid      string `json:"grid"` // id of the grid, namespace/name
	Namespace string `json:"namespace"`
	Service   string `json:"service"` // the headless one that gives pods their names
	Port      int    `json:"port"`
	AdminPort int    `json:"adminPort"`

	TLS          bool   `json:"tls"`
	Identity     string `json:"identity,omitempty"`     // peers.IdentityGrid, the default, or peers.IdentityPod
	DrainTimeout string `json:"drainTimeout,omitempty"` // as time.ParseDuration reads it. Default 30s

	MaxMessage int64 `json:"maxMessage,omitempty"` // bytes; 0: the library's default, as for the next two
	MaxCalls   int   `json:"maxCalls,omitempty"`
	MaxMemory  int64 `json:"maxMemory,omitempty"` // bytes
}

// defaultDrain is DrainTimeout where the file has none.
const defaultDrain = 30 * time.Second

// Dir is what a pod learns from its directory.
type Dir struct {
	File
	Name  string        // of this pod in everybody's list, host:port
	Drain time.Duration // DrainTimeout

	path string
}

// Lists is the folder of the peer list.
func (d *Dir) Lists() string { return filepath.Join(d.path, "grid") }

// Certificate is the folder of the certificate, where there is TLS.
func (d *Dir) Certificate() string { return filepath.Join(d.path, "tls") }

// Read reads the directory for the pod of that host name.
func Read(path, host string) (*Dir, error) {
	file := filepath.Join(path, "grid", "grid.json")
	raw, err := read(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: mount the ConfigMap <grid>-grid as the directory %s; it is there once the Grid is (kubectl get grids)", err, filepath.Dir(file))
	}
	if err != nil {
		return nil, err
	}
	d := &Dir{path: path}
	if err := json.Unmarshal(raw, &d.File); err != nil {
		return nil, fmt.Errorf("%s: not what the operator writes: %w", file, err)
	}
	if err := d.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	d.Name = fmt.Sprintf("%s.%s.%s.svc:%d", host, d.Service, d.Namespace, d.Port)
	if err := peers.ValidName(d.Name); err != nil {
		return nil, fmt.Errorf("%w; is %q the name of the pod? Give it in the variable POD_NAME, from the field metadata.name", err, host)
	}
	return d, nil
}

func read(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(raw) > maxFile {
		err = fmt.Errorf("%s: larger than %d bytes", name, maxFile)
	}
	return raw, err
}

// check refuses what nothing could be made of, and fills what may be left out.
func (d *Dir) check() error {
	switch {
	case d.Version == 0:
		return errors.New("version is missing: not what the operator writes")
	case d.Version != Version:
		return fmt.Errorf("version is %d, this build reads %d; build the program with a newer release of the library", d.Version, Version)
	case d.Grid == "" || d.Namespace == "" || d.Service == "":
		return errors.New("grid, namespace or service is missing: not what the operator writes")
	case !port(d.Port) || !port(d.AdminPort) || d.Port == d.AdminPort:
		return fmt.Errorf("port is %d and adminPort %d; allowed are two different ones of 1 to 65535", d.Port, d.AdminPort)
	case d.MaxMessage < 0 || d.MaxCalls < 0 || d.MaxMemory < 0:
		return errors.New("maxMessage, maxCalls or maxMemory is negative")
	}
	switch d.Identity {
	case "":
		d.Identity = peers.IdentityGrid
	case peers.IdentityGrid, peers.IdentityPod:
	default:
		return fmt.Errorf("identity is %.80q; allowed are %q and %q", d.Identity, peers.IdentityGrid, peers.IdentityPod)
	}
	if d.DrainTimeout == "" {
		d.DrainTimeout = defaultDrain.String()
	}
	var err error
	if d.Drain, err = time.ParseDuration(d.DrainTimeout); err != nil || d.Drain < 0 {
		return fmt.Errorf("drainTimeout is %.80q; allowed is a duration such as 30s", d.DrainTimeout)
	}
	return nil
}

func port(n int) bool { return n >= 1 && n <= 65535 }

// PodName is the pod's own name: the variable POD_NAME, else the host's name,
// which is that of the pod unless its template says otherwise. environ is as
// os.Environ gives it.
func PodName(environ []string) (string, error) {
	for _, entry := range environ {
		if name, ok := strings.CutPrefix(entry, "POD_NAME="); ok && name != "" {
			return name, nil
		}
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("the pod's name: %w; give it in the variable POD_NAME, from the field metadata.name", err)
	}
	name, _, _ = strings.Cut(name, ".") // with setHostnameAsFQDN the domain follows
	return name, nil
}
