package nodectl

import (
	"strings"
	"testing"

	"github.com/gridmesh/gridmesh/internal/adminapi"
)

func TestStatusTellsOfTargets(t *testing.T) {
	var text strings.Builder
	writeStatus(&text, &adminapi.Status{Telemetry: &adminapi.Telemetry{
		RefusedCalls: 17, LastError: "logging.level: it is loud",
		Targets: []adminapi.Target{
			{System: "log", Name: "console", Kind: "console", In: 30, Out: 30},
			{System: "audit", Name: "trail", Kind: "webhook", In: 100, Out: 40, Dropped: 6, Rejected: 4, QueueEntries: 50, QueueBytes: 2 << 20, Failing: true, LastError: "503"},
		},
		LeftQueues: []adminapi.LeftQueue{{System: "audit", Name: "old", Folder: "/data/audit/old", Bytes: 3 << 20}},
	}})
	for _, want := range []string{
		"a configuration of log and audit was refused: logging.level: it is loud\n",
		"17 calls were refused or failed, since their records could not be made safe\n",
		"audit to trail (webhook): 100 entries, 40 delivered, 50 wait (2MiB), 10 lost; failing: 503\n",
		"audit to old: a queue on disk without a target, /data/audit/old (3MiB)\n",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in\n%s", want, text.String())
		}
	}
	if strings.Contains(text.String(), "console") {
		t.Errorf("a console that is well is no news:\n%s", text.String())
	}
}
