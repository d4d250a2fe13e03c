package telemetry

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

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
