package operator

import "github.com/gridmesh/gridmesh/internal/buildinfo"

// version is set by the linker in releases: -ldflags "-X …/internal/operator.version=v0.1.0".
var version string

// Version says which build this is: a release, the version that Go has
// recorded, or the revision that it was built from.
func Version() string {
	if version != "" {
		return version
	}
	return buildinfo.Version()
}
