// Package buildinfo says which build of Gridmesh runs: as a program of its own,
// or linked into somebody else's. It reads what Go has recorded, and nothing
// else.
package buildinfo

import "runtime/debug"

// module is the path under which others depend on this.
const module = "github.com/gridmesh/gridmesh"

// Version is a release, the version that Go has recorded, or the revision that
// it was built from.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return version(info)
}

func version(info *debug.BuildInfo) string {
	for _, dep := range info.Deps { // somebody else's program: its own version says nothing of ours
		if dep.Path == module {
			if dep.Replace != nil && dep.Replace.Version != "" {
				return dep.Replace.Version
			}
			return dep.Version
		}
	}
	revision, modified := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "+"
		}
	}
	switch {
	case info.Main.Version != "" && info.Main.Version != "(devel)":
		return info.Main.Version
	case revision != "":
		return "dev-" + revision + modified
	}
	return "dev"
}
