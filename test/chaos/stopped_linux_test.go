package chaos

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// rss is the memory of a process, in bytes.
func (p *process) rss() int64 {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return kib << 10
}

func (p *process) report() (r report) {
	p.t.Helper()
	if err := json.Unmarshal([]byte(p.do("report")), &r); err != nil {
		p.t.Fatal(err)
	}
	return r
}

// watch looks at a process until ok says so and gives the most memory it had.
func (p *process) watch(what string, ok func(r report) bool) (most int64) {
	p.t.Helper()
	looks := 0
	until(p.t, what, func() bool {
		most = max(most, p.rss())
		looks++
		return looks%10 == 0 && ok(p.report())
	})
	return most
}

// A peer whose process is stopped: its connections stay open and nobody reads.
// What the other side keeps for it is bounded, who waits for it is released
// while it stands still, and when it goes on it is linked again (fault row 29). How long it is
// stopped is set by GRIDMESH_STOPPED, as in 60s.
func TestSoakBesideAStoppedProcess(t *testing.T) {
	const growth, least = 16 << 20, 20 * time.Second
	stopped := least
	if text := os.Getenv("GRIDMESH_STOPPED"); text != "" {
		var err error
		if stopped, err = time.ParseDuration(text); err != nil || stopped < least || stopped > patience {
			t.Fatalf("GRIDMESH_STOPPED is %q, expected is a time from %v to %v: %v", text, least, patience, err)
		}
	}
	la, nameA := port(t)
	lb, nameB := port(t)
	a, b := spawn(t, la, nameA, nameB), spawn(t, lb, nameB, nameA)
	a.want("linked", "wait", nameB)
	a.want("loading", "load", nameB)

	// The memory of a process under load goes up until its pools are full.
	step, before := 5_000, int64(0)
	if raceDetector {
		step = 500
	}
	for calm := false; !calm; {
		target := a.report().Done + step
		most := a.watch("load", func(r report) bool { return r.Done >= target })
		calm = most < before+(1<<20)
		before = max(before, most)
	}

	if err := b.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	most := a.watch("the calls to end", func(r report) bool { return r.Running == 0 })
	took := time.Since(began) // on a machine that is as slow as it is: how soon is for bubbles to say
	most = max(most, a.watch("the end of the time", func(report) bool { return time.Since(began) >= stopped }))
	r := a.report()
	if r.Running > 0 || r.Failed < 64 || r.Unexpected != "" {
		t.Errorf("callers beside a stopped process: %+v", r)
	}
	t.Logf("%d MiB before, at most %d MiB beside a stopped process; all callers were released after %v", before>>20, most>>20, took)
	if most > before+growth && !raceDetector {
		t.Errorf("memory grew from %d to %d KiB", before>>10, most>>10)
	}

	if err := b.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	a.watch("calls again", func(now report) bool { return now.Done > r.Done+1000 })
}
