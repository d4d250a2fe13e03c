package grid

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// What one side counts as sent, the other counts as received, over all links
// there were (field G11); and nothing is counted below zero (G30).
func TestStatisticsOfBothSidesAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.pair(t)
		started, release := block(t, b)
		synctest.Wait()
		for range 3 {
			for range 50 {
				mustLink(t, a, b)
				mustLink(t, b, a)
			}
			time.Sleep(time.Minute)
			n.cut(b.Local())
			synctest.Wait()
			if s := a.Stats().Links[0]; s.State == StateLinked || s.BytesIn == 0 || s.RTT != 0 || s.LastError == "" {
				t.Errorf("without a link: %+v", s)
			}
			mustLink(t, a, b)
		}
		done := goRequest(a.Connection(b.Local()), "block")
		<-started
		time.Sleep(time.Minute)
		synctest.Wait()
		sa, sb := a.Stats(), b.Stats()
		if sa.Local != a.Local() || sa.Grid != "default" || len(sa.Instance) != 32 || sa.Instance == sb.Instance || !sa.Listed || sa.Draining ||
			len(sa.Links) != 1 || sa.ListAge < 4*time.Minute {
			t.Errorf("%+v", sa)
		}
		la, lb := sa.Links[0], sb.Links[0]
		if la.MessagesIn != lb.MessagesOut || la.MessagesOut != lb.MessagesIn || la.MessagesIn < 300 || lb.MessagesIn < 300 { // 150 calls each way, and their answers
			t.Errorf("messages: %d out, %d in there; %d in, %d out there", la.MessagesOut, lb.MessagesIn, la.MessagesIn, lb.MessagesOut)
		}
		if la.BytesIn != lb.BytesOut || la.BytesIn == 0 || la.BatchesIn == 0 || la.BatchesOut == 0 {
			t.Errorf("%+v\n%+v", la, lb)
		}
		if _, err := b.Connection(a.Local()).Request(t.Context(), "echo", make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if now := a.Stats().Links[0]; now.MessagesIn <= la.MessagesIn || now.BytesIn < la.BytesIn+1000 || now.BytesOut < la.BytesOut+1000 {
			t.Errorf("after another call: %+v", now)
		}
		if !la.Dialed || lb.Dialed || la.State != StateLinked || la.LastError != "" || la.CallsOut != 1 || lb.CallsIn != 1 || lb.HandlersOverdue != 0 {
			t.Errorf("%+v\n%+v", la, lb)
		}
		if got := time.Since(la.Since); got > 2*time.Minute {
			t.Errorf("linked since %v", got)
		}
		if sa.Reconnects["connection-lost"] != 3 || sb.Reconnects["connection-lost"] != 3 {
			t.Errorf("made again: %v, %v", sa.Reconnects, sb.Reconnects)
		}
		close(release)
		<-done
	})
}

// What went over links with peers that were removed stays counted, and is
// counted once: totals never fall, whatever comes and goes meanwhile.
func TestTotalsNeverFall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.pair(t)
		request := func() {
			mustLink(t, a, b)
			if _, err := a.Connection(b.Local()).Request(t.Context(), "echo", make([]byte, 10_000)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		request()
		before := a.Stats()
		if l := before.Links[0]; before.Total != (Traffic{l.BytesIn, l.BytesOut, l.MessagesIn, l.MessagesOut, l.BatchesIn, l.BatchesOut, l.Overloads}) || l.BytesIn < 10_000 {
			t.Errorf("with one peer: %+v, in all %+v", l, before.Total)
		}
		for range 3 {
			if err := a.SetPeers(nil); err != nil {
				t.Fatal(err)
			}
			gone := a.Stats()
			if len(gone.Links) != 0 || gone.Total.BytesIn < before.Total.BytesIn || gone.Total.MessagesOut != before.Total.MessagesOut {
				t.Errorf("just removed: %+v, before %+v", gone.Total, before.Total)
			}
			time.Sleep(time.Minute) // RemovalGrace is over
			if after := a.Stats(); after.Total.BytesIn < gone.Total.BytesIn || after.Total.MessagesOut != before.Total.MessagesOut {
				t.Errorf("after its link: %+v, before %+v", after.Total, before.Total)
			}
			if err := a.SetPeers([]string{b.Local()}); err != nil {
				t.Fatal(err)
			}
			request()
			now := a.Stats()
			if now.Total.BytesIn < before.Total.BytesIn+10_000 || now.Total.MessagesOut != before.Total.MessagesOut+2 || now.Links[0].MessagesOut != 2 { // mustLink calls, too
				t.Errorf("back: %+v, before %+v", now.Total, before.Total)
			}
			before = now
		}
	})
}

// A handler that runs on after its caller has gone is seen (fault row 46).
func TestOverdueHandlerIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.pair(t)
		started, release := make(chan struct{}), make(chan struct{})
		if err := b.RegisterSingle("deaf", func(context.Context, []byte) ([]byte, error) { close(started); <-release; return nil, nil }); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := a.Connection(b.Local()).Request(ctx, "deaf", nil); err == nil {
			t.Fatal("it has returned")
		}
		<-started
		time.Sleep(time.Second)
		if got := b.Stats().Links[0].HandlersOverdue; got != 1 {
			t.Errorf("%d are overdue", got)
		}
		close(release)
		synctest.Wait()
		if s := b.Stats().Links[0]; s.HandlersOverdue != 0 || s.CallsIn != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// A node that a newer list leaves out has drained when none of its links is
// left, and a link is left for as long as a call runs on it, either way.
func TestLinksOfRemovedPeersAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		all := n.mesh(t, 3, func(o *Options) { o.RemovalGrace = time.Minute })
		out := all[0]
		served, releaseServed := block(t, out)
		made, releaseMade := block(t, all[2])
		synctest.Wait()
		in := goRequest(all[1].Connection(out.Local()), "block")
		own := goRequest(out.Connection(all[2].Local()), "block")
		<-served
		<-made
		check := func(when string, want int) {
			t.Helper()
			time.Sleep(time.Second)
			synctest.Wait()
			if s := out.Stats(); s.Leaving != want || len(s.Links) != 0 && want > 0 {
				t.Errorf("%s: %d links are leaving, %d are left; want %d", when, s.Leaving, len(s.Links), want)
			}
		}
		check("before", 0)
		others := []string{all[1].Local(), all[2].Local()}
		for _, nd := range all {
			if err := nd.SetPeerList(peers.List{Names: others, Epoch: 2}); err != nil {
				t.Fatal(err)
			}
		}
		if s := out.Stats(); s.Listed || s.Leaving != 2 {
			t.Errorf("removed: %+v", s)
		}
		check("with a call each way", 2)
		close(releaseServed)
		if got := <-in; got.err != nil {
			t.Errorf("the call that ran here: %v", got.err)
		}
		check("with its own call", 1)
		close(releaseMade)
		if got := <-own; got.err != nil {
			t.Errorf("the call that ran there: %v", got.err)
		}
		check("with none", 0)

		// Listed again, it is back.
		for _, nd := range all {
			if err := nd.SetPeerList(peers.List{Names: append([]string{out.Local()}, others...), Epoch: 3}); err != nil {
				t.Fatal(err)
			}
		}
		mustLink(t, all[1], out)
		mustLink(t, out, all[2])
		if s := out.Stats(); !s.Listed || s.Leaving != 0 || len(s.Links) != 2 {
			t.Errorf("back: %+v", s)
		}
	})
}

// A Summary counts what Stats lists, without listing it.
func TestSummaryAgreesWithStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		a, b := n.pair(t)
		mustLink(t, a, b)
		for range 2 {
			all, few := a.Stats(), a.Summary()
			if few != all.Summary || few.Peers != len(all.Links) || few.Peers != 1 || few.Leaving != 0 {
				t.Errorf("%+v of %+v", few, all)
			}
			if linked := all.Links[0].State == StateLinked; linked != (few.Linked == 1) {
				t.Errorf("%d linked, %+v", few.Linked, all.Links)
			}
			n.cut(b.Local())
			synctest.Wait()
		}
		const most = 3 // the instance in hex, the lives there are
		if got := testing.AllocsPerRun(100, func() { a.Summary() }); got > most {
			t.Errorf("%v allocations, at most %d are meant", got, most)
		}
	})
}
