package buildinfo

import (
	"runtime/debug"
	"testing"
)

func TestVersion(t *testing.T) {
	setting := func(key, value string) debug.BuildSetting { return debug.BuildSetting{Key: key, Value: value} }
	for _, tt := range []struct {
		name string
		info debug.BuildInfo
		want string
	}{
		{"a release", debug.BuildInfo{Main: debug.Module{Path: module, Version: "v0.1.0"}}, "v0.1.0"},
		{"a clone", debug.BuildInfo{Main: debug.Module{Path: module, Version: "(devel)"},
			Settings: []debug.BuildSetting{setting("vcs.revision", "0123456789abcdef"), setting("vcs.modified", "true")}}, "dev-0123456789ab+"},
		{"a copy without history", debug.BuildInfo{Main: debug.Module{Path: module, Version: "(devel)"}}, "dev"},
		{"linked into another program", debug.BuildInfo{Main: debug.Module{Path: "example.org/shop", Version: "v9.9.9"},
			Deps: []*debug.Module{{Path: "example.org/x", Version: "v1.0.0"}, {Path: module, Version: "v0.2.0"}}}, "v0.2.0"},
		{"a fork in its place", debug.BuildInfo{Main: debug.Module{Path: "example.org/shop", Version: "v9.9.9"},
			Deps: []*debug.Module{{Path: module, Version: "v0.2.0", Replace: &debug.Module{Path: "example.org/fork", Version: "v0.2.1"}}}}, "v0.2.1"},
		{"a folder in its place", debug.BuildInfo{Main: debug.Module{Path: "example.org/shop"},
			Deps: []*debug.Module{{Path: module, Version: "v0.2.0", Replace: &debug.Module{Path: "../gridmesh"}}}}, "v0.2.0"},
	} {
		if got := version(&tt.info); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	if Version() == "" {
		t.Error("this test has no version")
	}
}
