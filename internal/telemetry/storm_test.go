package telemetry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// ledger checks what comes for one target: order, gaps, duplicates.
type ledger struct {
	name string
	keys map[string]bool // of the batches that this process has sent under this configuration
	life int             // that sent the newest batch
	conf int             // under which it was sent

	next    uint64 // id of what comes next, if nothing comes twice
	from    uint64 // where the newest batch began: from there entries may come twice
	seen    []int  // by id: the number of a call, or one of those below
	batches int
	again   int // of them began with what had come
	twice   int // entries
	missing map[string]int
	wrong   []string
}

// What an id stands for besides a call.
const (
	idUnseen  = -iota
	idMissing // a gap was told of
	idOther   // the beginning of the audit, its end
)

// item is a line: an entry, or a gap from first to last.
type item struct {
	first, last uint64
	what        int
	reason      string
}

// after gives what stands between a mark and the next of the ends.
func after(line []byte, mark, ends string) string {
	_, rest, _ := bytes.Cut(line, []byte(mark))
	if i := bytes.IndexAny(rest, ends); i >= 0 {
		return string(rest[:i])
	}
	return ""
}

func idOf(text string) uint64 {
	_, digits, _ := strings.Cut(text, "-")
	id, _ := strconv.ParseUint(digits, 10, 64) // 0 is no id, and is seen
	return id
}

func parseItem(line []byte) item {
	it := item{last: idOf(after(line, `{"id":"`, `"`)), what: idOther}
	it.first = it.last
	if first := after(line, `"first_id":"`, `"`); first != "" {
		it.first, it.what, it.reason = idOf(first), idMissing, after(line, `"reason":"`, `"`)
		if count := after(line, `"count":`, ",}"); count != strconv.FormatUint(it.last-it.first+1, 10) || idOf(after(line, `"last_id":"`, `"`)) != it.last {
			it.last = 0 // it contradicts itself
		}
	} else if n, err := strconv.Atoi(after(line, `"n-`, `"`)); err == nil {
		it.what = n
	}
	return it
}

func (l *ledger) failf(format string, args ...any) {
	if len(l.wrong) < 10 {
		l.wrong = append(l.wrong, l.name+": "+fmt.Sprintf(format, args...))
	}
}

// take notes a batch. What has come is what it was when it came first, and only
// comes at the head of the first batch after a crash or a change of the
// configuration, if it was in the batch before.
func (l *ledger) take(body []byte, life, conf int) {
	l.batches++
	first := true
	for line := range bytes.Lines(body) {
		it := parseItem(line)
		switch {
		case it.first == 0 || it.last < it.first:
			l.failf("a line is %s", line)
			return
		case it.first == l.next:
		case first && it.first < l.next && it.first >= l.from && (life != l.life || conf != l.conf):
			l.again++
			l.twice += int(l.next - it.first)
		default:
			l.failf("%d comes where %d should; the batch before began at %d, life %d after %d, configuration %d after %d",
				it.first, l.next, l.from, life, l.life, conf, l.conf)
		}
		if first {
			l.from, l.life, l.conf, first = it.first, life, conf, false
		}
		l.next = it.last + 1
		for id := it.first; id <= it.last; id++ {
			l.see(id, it)
		}
	}
}

func (l *ledger) see(id uint64, it item) {
	for uint64(len(l.seen)) <= id {
		l.seen = append(l.seen, idUnseen)
	}
	switch l.seen[id] {
	case idUnseen:
		l.seen[id] = it.what
		if it.what == idMissing {
			l.missing[it.reason]++
		}
	case it.what:
	default:
		l.failf("id %d is %d, and was %d", id, it.what, l.seen[id])
	}
}

// stormReceiver is a webhook for the targets of a victim. It outlives it.
type stormReceiver struct {
	mu      sync.Mutex // protects all below
	random  *rand.Rand
	life    int // of the process that sends; what comes from one before comes too late
	ledgers map[string]*ledger
	hangs   int       // that are left
	outage  [2]uint64 // ids of "block" between which "drop" takes nothing
	killIn  int       // moments until the process is killed; 0: it is not
	kill    func()
}

// moment may be the last one of the process, or one of the last.
func (r *stormReceiver) moment() {
	if r.killIn--; r.killIn == 0 {
		time.AfterFunc(time.Duration(r.random.IntN(3000))*time.Microsecond, r.kill)
	}
}

func (r *stormReceiver) serve(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return // the process was killed meanwhile
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var life, conf int
	path := strings.Split(q.URL.Path, "/")
	_, err = fmt.Sscan(path[2]+" "+path[3], &life, &conf)
	l := r.ledgers[path[1]]
	if err != nil || life != r.life || life == l.life && conf < l.conf {
		w.WriteHeader(http.StatusConflict) // who sent it is not there any more
		return
	}
	if life != l.life || conf != l.conf {
		clear(l.keys)
	}
	r.moment()
	key := q.Header.Get("Idempotency-Key")
	block := r.ledgers["block"].next
	luck := r.random.Float64()
	switch {
	case l.keys[key]: // it was sent again, and is known by its key
		return
	case luck < 0.01, l.name == "drop" && block >= r.outage[0] && block < r.outage[1]:
		w.WriteHeader(http.StatusInternalServerError)
		return
	case luck < 0.02 && r.hangs > 0:
		r.hangs--
		r.mu.Unlock()
		<-q.Context().Done()
		r.mu.Lock()
		return
	}
	l.keys[key] = true
	l.take(body, life, conf)
	r.moment()
	if luck > 0.99 {
		w.WriteHeader(http.StatusServiceUnavailable) // and has it all the same
	}
}

// TestSoakKilled: a million calls, each recorded for a target that blocks and for
// one that drops, and some of them logged, by processes that are killed: 20 with
// SIGKILL, most of them in the middle of what they do with their queues, the
// others from outside, and 20 changes of the configuration in between. What was
// answered is recorded; what is missing is told of, id by id, and did not come;
// order is kept; a batch comes twice after a crash, and not two (faults.md 79).
func TestSoakKilled(t *testing.T) {
	calls, callers, batch := 1_000_000, 512, 1000
	if raceDetector || testing.Short() {
		calls, callers, batch = 40_000, 128, 160
	}
	const kills = 20
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	r := &stormReceiver{random: rand.New(rand.NewPCG(seed, 1)), ledgers: make(map[string]*ledger), hangs: 4}
	r.outage = [2]uint64{uint64(calls / 3), uint64(calls/3 + 12_000)}
	for _, name := range []string{"block", "drop", "said"} {
		r.ledgers[name] = &ledger{name: name, keys: make(map[string]bool), life: -1, next: 1, missing: make(map[string]int)}
	}
	server := httptest.NewServer(http.HandlerFunc(r.serve))
	defer server.Close()
	dir := t.TempDir()
	v := victim{Dir: filepath.Join(dir, "data"), State: filepath.Join(dir, "state"), URL: server.URL, Calls: calls, Callers: callers, Batch: batch}
	if err := os.WriteFile(v.State, make([]byte, calls+1), 0o600); err != nil {
		t.Fatal(err)
	}
	ways := []string{endsBefore, endsWithin, endsAfter}
	killed := 0
	for ended := false; !ended; v.Life++ {
		v.From, v.Steps, v.How = 0, 0, ways[random.IntN(len(ways))]
		outside := false
		switch {
		case killed >= kills:
		case killed%4 == 2: // while it begins
			v.Steps = 1 + random.Int64N(60)
		case killed%4 == 3:
			outside = true
		default: // while entries flow
			v.From, v.Steps = (killed+1)*calls/(kills+1), 1+random.Int64N(24)
		}
		ended = r.live(t, v, outside)
		if !ended {
			killed++
		}
	}
	state, err := os.ReadFile(v.State)
	if err != nil {
		t.Fatal(err)
	}
	r.judge(t, state, v.Life)
	if killed != kills {
		t.Errorf("%d were killed, %d should", killed, kills)
	}
}

// live has a process live, and reports whether it came to its own end.
func (r *stormReceiver) live(t *testing.T, v victim, outside bool) (ended bool) {
	t.Helper()
	spec, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), victimVariable+"="+string(spec))
	var console bytes.Buffer
	cmd.Stderr = &console
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.life, r.killIn = v.Life, 0
	r.kill = func() { _ = cmd.Process.Kill() }
	if outside {
		r.killIn = 1 + r.random.IntN(20)
	}
	err = cmd.Start()
	r.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	if status := cmd.ProcessState; err != nil && status.ExitCode() >= 0 {
		t.Fatalf("life %d ended with %v and says %.5000s", v.Life, err, &console)
	}
	return err == nil
}

// judge compares what has come with what the victim knows of itself.
func (r *stormReceiver) judge(t *testing.T, state []byte, lives int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	block, drop, said := r.ledgers["block"], r.ledgers["drop"], r.ledgers["said"]
	for _, l := range r.ledgers {
		for _, words := range l.wrong {
			t.Error(words)
		}
		t.Logf("%s: %d ids in %d batches, %d of them began with what had come, %d entries; missing %v", l.name, l.next-1, l.batches, l.again, l.twice, l.missing)
	}
	came := make([]bool, len(state))
	for _, n := range block.seen[1:] {
		if n > 0 {
			came[n] = true
		}
	}
	count := make(map[byte]int)
	logged := 0
	for n, became := range state[1:] {
		n++
		count[became]++
		if n%loggedEvery == 0 && became != 0 {
			logged++
		}
		if became == callAnswered && !came[n] {
			t.Errorf("call %d was answered, and its record has not come", n)
		}
	}
	t.Logf("calls: %d answered, %d refused, %d cut off", count[callAnswered], count[callRefused], count[callBegun])
	if len(block.seen) != len(drop.seen) {
		t.Fatalf("one target ends at %d, the other at %d", block.next-1, drop.next-1)
	}
	others := 0 // ids of the audit that are no calls
	for id := range block.seen {
		a, b := block.seen[id], drop.seen[id]
		if a == idOther || b == idOther {
			others++
		}
		if a != idMissing && b != idMissing && a != b {
			t.Errorf("id %d is %d for one target, and %d for the other", id, a, b)
		}
	}
	// What was made has an id, and an id is of what was made.
	if made := int(block.next) - 1; made < count[callAnswered]+1 || made > count[callAnswered]+count[callRefused]+count[callBegun]+lives+1 || others > lives+1 {
		t.Errorf("%d ids of the audit, %d of them of no call, in %d lives", made, others, lives)
	}
	if made := int(said.next) - 1; made > logged || made < logged-count[callBegun] {
		t.Errorf("%d ids of the log, %d entries", made, logged)
	}
	if count[callAnswered] < len(state)*8/10 || len(drop.missing) == 0 || len(state) > 500_000 && drop.missing["queue full"] == 0 {
		t.Error("that shows nothing")
	}
}
