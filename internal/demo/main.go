package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// result is the last line.
type result struct {
	Nodes            int     `json:"nodes"`
	LinksUp          int     `json:"links_up"`       // as the nodes themselves say at the end
	LinksExpected    int     `json:"links_expected"` // n(n-1): each is counted at both ends
	Calls            uint64  `json:"calls"`          // answered, and answered right
	ErrorsUnexpected uint64  `json:"errors_unexpected"`
	StreamBytes      int64   `json:"stream_bytes"`
	DigestOK         bool    `json:"digest_ok"`
	ReconnectMillis  float64 `json:"reconnect_ms"`  // from the killed node's new start to all links
	AddedNodeMillis  float64 `json:"added_node_ms"` // from the new peers file to all links
	AuditRecords     uint64  `json:"audit_records"` // made by the processes that run at the end, a call each and more
	AuditDropped     uint64  `json:"audit_dropped"` // of them, or refused calls
}

// well reports whether everything went as it should.
func (r *result) well() bool {
	return r.LinksUp == r.LinksExpected && r.LinksExpected == r.Nodes*(r.Nodes-1) && r.Calls > 0 && r.ErrorsUnexpected == 0 &&
		r.StreamBytes > 0 && r.DigestOK && r.ReconnectMillis > 0 && r.AddedNodeMillis > 0 && r.AuditRecords > 0 && r.AuditDropped == 0
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	length := flags.Duration("for", 0, "how long; 0 until Ctrl-C. It ends when everything was shown, if that is later")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() > 0 || *length < 0 {
		fmt.Fprintln(stderr, "demo: the only flag is -for, with a duration of 0 or more")
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	ctx, orphaned := untilOrphaned(ctx)
	defer orphaned()

	out := newScreen(stdout)
	final, err := demonstrate(ctx, *length, out)
	switch {
	case err == nil:
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "demo: interrupted; all nodes are stopped")
		return 130
	default:
		fmt.Fprintf(stderr, "demo: %v\n", err)
	}
	if final == nil {
		return 1
	}
	line, jsonErr := json.Marshal(final)
	if jsonErr != nil {
		fmt.Fprintf(stderr, "demo: %v\n", jsonErr)
		return 1
	}
	fmt.Fprintf(stdout, "%s\n", line)
	if err != nil || !final.well() {
		return 1
	}
	return 0
}

// untilOrphaned ends the context when the process that started this one is
// gone: `go run` does not hand every signal on.
func untilOrphaned(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	parent := os.Getppid()
	go func() {
		ticker := time.NewTicker(500 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				if os.Getppid() != parent {
					cancel()
					return
				}
			}
		}
	}()
	return ctx, cancel
}
