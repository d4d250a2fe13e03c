package spool

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// childVariable holds the folder in a process that is to be killed.
const childVariable = "GRIDMESH_TEST_SPOOL"

// child appends, takes out and acknowledges until it is killed. It says what
// has returned: "+7" for an entry appended, "-7" for one acknowledged, "=7" for
// one that came out.
func child(dir string) {
	q, err := Open(Options{Dir: dir, MaxBytes: 1 << 20, Damaged: func(string, int64, string) {}})
	if err != nil {
		fmt.Fprintln(os.Stdout, "!", err)
		return
	}
	out := func(format string, a ...any) { fmt.Fprintf(os.Stdout, format, a...) }
	go func() { // the two sides of a spool
		var b Batch
		for {
			if err := q.Next(&b, 7, 4096); err != nil {
				out("! %v\n", err)
			}
			for _, e := range b.Entries {
				if !bytes.Equal(e.Data, payload(e.ID)) {
					out("! entry %d is changed\n", e.ID)
				}
				out("=%d\n", e.ID)
			}
			if n := len(b.Entries); n > 0 {
				if err := q.Ack(&b, b.Entries[n-1].ID); err != nil {
					out("! %v\n", err)
				}
				out("-%d\n", b.Entries[n-1].ID)
			}
		}
	}()
	for id := q.Stats().Last + 1; ; id++ {
		if err := q.Append([]Entry{{ID: id, Data: payload(id)}}, id%64 == 0); err == nil {
			out("+%d\n", id)
		} else {
			id--
		}
	}
}

// TestKill ends a process with SIGKILL at random moments: what it had appended
// comes out, in order, and at most one batch comes twice (faults.md 79).
func TestKill(t *testing.T) {
	dir := t.TempDir()
	appended, acked, seen := 0, 0, 0
	for round := range 25 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childVariable+"="+dir)
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines, most, first := 0, 1+rand.IntN(200), true // a random time would be none at all on a slow machine
		for in := bufio.NewScanner(stdout); in.Scan(); {
			line, id := in.Text(), 0
			if strings.HasPrefix(line, "!") {
				t.Fatalf("round %d: %s", round, line)
			}
			if _, err := fmt.Sscan(line[1:], &id); err != nil {
				continue // cut by the end
			}
			if lines++; lines == most {
				_ = cmd.Process.Kill()
			}
			switch line[0] {
			case '+':
				appended = max(appended, id)
			case '-':
				acked = id
			case '=':
				if first && id <= acked || !first && id != seen+1 || first && id > seen+1 {
					t.Fatalf("round %d: entry %d came after %d, acknowledged were %d", round, id, seen, acked)
				}
				if first && seen-id >= 7 {
					t.Fatalf("round %d: entries %d to %d come twice, a batch has 7", round, id, seen)
				}
				first, seen = false, id
			}
		}
		_ = cmd.Wait() // killed
	}
	if appended < 100 || acked < 50 {
		t.Fatalf("only %d entries appended and %d acknowledged: that shows nothing", appended, acked)
	}
	q := open(t, Options{Dir: dir, MaxBytes: 1 << 20, Damaged: func(string, int64, string) {}})
	rest := take(t, q)
	if len(rest) > 0 && rest[0] <= uint64(acked) || len(rest) > 0 && rest[0] > uint64(seen)+1 {
		t.Errorf("the rest begins at %d, acknowledged were %d, seen %d", rest[0], acked, seen)
	}
	if last := max(q.Stats().Told, uint64(seen)); last < uint64(appended) {
		t.Errorf("entry %d was appended, the last one is %d", appended, last)
	}
	t.Logf("%d entries through 25 kills", appended)
}
