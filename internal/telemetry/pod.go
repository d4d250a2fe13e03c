package telemetry

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// podDataDir is where the volume of a Grid's storage is mounted.
const podDataDir = "/var/lib/gridmesh"

// PodDataDir is the data directory of a pod that was told of none; "" if nothing
// is mounted there. With an error there is something that cannot be written to:
// what receivers have not taken waits in memory then, and the error says what to
// do.
func PodDataDir() (string, error) { return writable(podDataDir) }

func writable(dir string) (string, error) {
	name := filepath.Join(dir, ".writable")
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("what receivers have not taken waits in memory, and ends with the process; "+
			"mount a volume at %s that the pod may write to (fsGroup): %w", dir, err)
	}
	_ = errors.Join(f.Close(), os.Remove(name)) // it is empty
	return dir, nil
}

// podTargets is where the Secrets of a Grid's targets are mounted.
const podTargets = "/etc/gridmesh/targets"

// ParsePod is Parse of what a pod of a Grid finds in PodFile, which names no files
// but those of the Secrets of targets. The operator writes no others; but that
// file is a key of a ConfigMap, which more people may write than may read what
// lies in the pod: a tokenFile is sent to the url beside it, and a file is written
// and rotated wherever it is.
func ParsePod(raw []byte) (Config, error) {
	c, err := Parse(raw)
	if err != nil {
		return c, err
	}
	var p problems
	c.each(func(t *Target, at string) {
		p.only(t.File != nil, at+".file", "pods of a Grid write no files; give a receiver")
		files := t.files()
		for _, name := range slices.Sorted(maps.Keys(files)) {
			file := files[name]
			p.only(file != "" && (filepath.Clean(file) != file || !strings.HasPrefix(file, podTargets+"/")), at+"."+name,
				"pods of a Grid take files from "+podTargets+" only, where the Secrets of targets are mounted")
		}
	})
	if err := p.err(); err != nil {
		return Config{}, err
	}
	return c, nil
}
