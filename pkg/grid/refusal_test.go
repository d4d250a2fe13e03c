package grid

import (
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// A refusal is logged once for each peer and code until a link comes up, what
// the texts say and how the codes take turns aside (field D10, G15).
func TestRefusalsAreLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := &logs{}
		l := newRefusalLog(slog.New(lines))
		for i := range 100 {
			l.note("node-1:1", refusedGrid, fmt.Sprint("text ", i), true)
			l.note("node-1:1", refusedToken, "other code", true)
			l.note("node-1:1", refusedGrid, "their refusal", false)
			l.note("node-2:1", refusedGrid, "other peer", true)
			l.note("node-1:1", fmt.Sprint("unknown-", i), "codes of a later version are one", false)
			time.Sleep(time.Minute)
		}
		if got := len(lines.with()); got != 5 {
			t.Errorf("%d lines: %q", got, lines.with())
		}
		l.forget("node-1:1")
		l.note("node-1:1", refusedGrid, "after a link", true)
		l.note("node-2:1", refusedGrid, "without one", true)
		if got := lines.with(); len(got) != 6 || len(lines.with("after a link")) != 1 {
			t.Errorf("%d lines: %q", len(got), got)
		}
		if l.counts[refusedGrid] != 302 || l.counts[refusedOther] != 100 || len(l.counts) != 3 {
			t.Errorf("counted is %v", l.counts)
		}
		if len(l.last) != keptRefusals || l.last[keptRefusals-1].Message != "without one" {
			t.Errorf("kept are %+v", l.last)
		}
	})
}

// A name used twice is an alarm that goes on, once a minute (fault row 6).
func TestDuplicateNameIsLoggedEachMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := &logs{}
		l := newRefusalLog(slog.New(lines))
		for range 600 {
			l.note("node-1:1", refusedDuplicate, "again", true)
			time.Sleep(time.Second)
		}
		l.forget("node-1:1") // the first one's link is why
		l.note("node-1:1", refusedDuplicate, "again", true)
		if got := len(lines.with()); got != 11 {
			t.Errorf("%d lines in ten minutes and one", got)
		}
	})
}

// Names that a stranger invents fill neither memory nor the log: below, at and
// above the limit.
func TestInventedNamesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := &logs{}
		l := newRefusalLog(slog.New(lines))
		for i := range 10 * loggedRefusals {
			l.note(fmt.Sprint("invented-", i), refusedNotPeer, "", true)
			if want := min(i+1, loggedRefusals); i%100 == 0 || i >= loggedRefusals-2 && i <= loggedRefusals {
				if got := len(lines.with()); got != want || len(l.logged) != want {
					t.Fatalf("%d lines, %d remembered after %d", got, len(l.logged), i+1)
				}
			}
		}
		if l.counts[refusedNotPeer] != 10*loggedRefusals {
			t.Errorf("counted is %v", l.counts)
		}
		time.Sleep(time.Minute)
		l.note("another", refusedNotPeer, "", true)
		if len(lines.with("another")) != 1 {
			t.Error("after a minute nothing is logged")
		}
	})
}

// What an http.Server logs of failed TLS handshakes becomes refusals, logged
// once per remote host; its other errors are logged once a minute. A connection
// that was lost meanwhile has been refused by nobody.
func TestServersErrorsAreRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		nd := n.start(t, "node-1:1", nil)
		say := nd.srv.ErrorLog.Printf //nolint:forbidigo // what an http.Server does
		for i := range 120 {
			say("http: TLS handshake error from 10.0.0.1:%d: tls: failed to verify certificate: x509: certificate has expired", 1000+i)
			say("http: TLS handshake error from [fd00::1]:%d: remote error: tls: bad certificate", 1000+i)
			for _, lost := range []string{
				"EOF", "unexpected EOF", "read tcp 10.0.0.1:7000->10.0.0.2:4711: read: connection reset by peer",
				"write tcp 10.0.0.1:7000->10.0.0.2:4711: write: broken pipe",
				"read tcp 10.0.0.1:7000->10.0.0.2:4711: use of closed network connection", "context canceled",
			} {
				say("http: TLS handshake error from 10.0.0.2:%d: %s", 1000+i, lost)
			}
			say("http: TLS handshake error from 10.0.0.3:%d: read tcp 10.0.0.1:7000->10.0.0.3:4711: i/o timeout", 1000+i)
			say("http: TLS handshake error from 10.0.0.4:%d: tls: first record does not look like a TLS handshake", 1000+i)
			say("http: TLS handshake error from 10.0.0.4:%d: client sent an HTTP request to an HTTPS server", 1000+i)
			say("http: TLS handshake error from 10.0.0.5:%d: remote error: tls: protocol version not supported", 1000+i)
			say("http: Accept error: too many open files; retrying in %d ms", i)
			time.Sleep(time.Second)
		}
		for words, want := range map[string]int{
			"handshake refused peer=10.0.0.1 code=certificate":           1,
			"a peer refused our handshake peer=fd00::1 code=certificate": 1,
			"10.0.0.2": 0,
			"10.0.0.3": 0,
			"handshake refused peer=10.0.0.4 code=malformed":            1,
			"a peer refused our handshake peer=10.0.0.5 code=malformed": 1,
			"error of the http server":                                  2,
		} {
			if got := nd.logs.with(words); len(got) != want {
				t.Errorf("%s: logged %d times: %q", words, len(got), got)
			}
		}
		if got := nd.Stats().Refused; got[refusedCert] != 240 || got[refusedMalformed] != 360 || len(got) != 2 {
			t.Errorf("counted are %v", got)
		}
	})
}
