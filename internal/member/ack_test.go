package member

import (
	"log/slog"
	"slices"
	"testing"

	"github.com/gridmesh/gridmesh/internal/adminapi"
)

// TestTargetsThatFail: a receiver that restarts is no news.
func TestTargetsThatFail(t *testing.T) {
	got := failing([]adminapi.Target{
		{System: "log", Name: "fine", OldestSeconds: 90},
		{System: "log", Name: "restarts", Failing: true, OldestSeconds: 59},
		{System: "audit", Name: "trail", Failing: true, OldestSeconds: 60},
	})
	if !slices.Equal(got, []string{"audit/trail"}) {
		t.Errorf("got %q", got)
	}
}

// TestSourceIsThatOfTheNewestList: a list from the folder and a newer one from a
// peer come at once, and the older is heard of last.
func TestSourceIsThatOfTheNewestList(t *testing.T) {
	f := newFeed(&Config{}, slog.New(slog.DiscardHandler))
	f.taken(adminapi.SourcePeer, 2)
	f.taken(adminapi.SourceSigned, 1)
	if f.source != adminapi.SourcePeer {
		t.Errorf("the source is %s", f.source)
	}
	if f.taken(adminapi.SourceSigned, 3); f.source != adminapi.SourceSigned {
		t.Errorf("then it is %s", f.source)
	}
}
