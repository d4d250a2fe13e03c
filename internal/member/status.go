package member

import (
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/pkg/grid"
)

// Status says how this member is.
func (me *Member) Status() adminapi.Status {
	now := time.Now()
	stats := me.m.Stats()
	list := me.feed.status(&stats.Summary)
	waiting := me.ready.waiting(list)
	s := adminapi.Status{
		Node: adminapi.Node{
			Name: stats.Local, Grid: stats.Grid, Instance: stats.Instance, Version: me.config.Version, Go: runtime.Version(),
			PID: os.Getpid(), Started: me.started, Now: now, Draining: stats.Draining,
		},
		Ready: len(waiting) == 0, Waiting: waiting,
		PeerList: list, Certificate: me.certificate(),
		Peers:      make([]adminapi.Peer, 0, len(stats.Links)),
		Reconnects: stats.Reconnects, Refused: stats.Refused,
	}
	if me.Telemetry != nil {
		s.Telemetry = me.Telemetry()
	}
	rate := me.rates.since(now, stats.Links)
	for i := range stats.Links {
		p := peerStatus(&stats.Links[i])
		p.Rate = rate(&stats.Links[i])
		s.Peers = append(s.Peers, p)
	}
	s.Links = countLinks(s.Peers)
	for _, r := range slices.Backward(me.m.Refusals()) {
		s.Refusals = append(s.Refusals, adminapi.Refusal{Time: r.Time, Peer: r.Peer, Code: r.Code, Message: r.Message, Ours: r.Ours})
	}
	return s
}

func countLinks(peers []adminapi.Peer) adminapi.Links {
	links := adminapi.Links{Expected: len(peers)}
	for i := range peers {
		if peers[i].Linked() {
			links.Up++
		}
		if peers[i].Congested {
			links.Congested++
		}
	}
	return links
}

func peerStatus(l *grid.LinkStats) adminapi.Peer {
	return adminapi.Peer{
		Name: l.Peer, State: l.State.String(), Since: orNil(l.Since), Dialed: l.Dialed, Identity: l.Identity,
		RTTMillis: millis(l.RTT), LastError: l.LastError, Congested: l.Congested,
		CallsOut: l.CallsOut, CallsIn: l.CallsIn, Overdue: l.HandlersOverdue,
		QueueBytes: l.QueueBytes, QueueLimit: l.QueueLimit,
		StreamsOpen: l.StreamsOpen, StreamsWaiting: l.StreamsWaiting, CreditWaitMillis: millis(l.LongestCreditWait),
		Overloads: l.Overloads,
		BytesIn:   l.BytesIn, BytesOut: l.BytesOut, MessagesIn: l.MessagesIn, MessagesOut: l.MessagesOut,
		CertificateExpires: orNil(l.CertExpiry),
	}
}

func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// certificate says who this node proves to be; nil without TLS.
func (me *Member) certificate() *adminapi.Certificate {
	if me.certs == nil {
		return nil
	}
	s := me.certs.Stats()
	c := &adminapi.Certificate{Expires: s.Leaf.NotAfter, Loaded: s.Loaded, Reloads: s.Reloads, Refused: s.Refused, LastError: s.LastError}
	for _, uri := range s.Leaf.URIs {
		c.Names = append(c.Names, uri.String())
	}
	c.Names = append(c.Names, s.Leaf.DNSNames...)
	for _, ip := range s.Leaf.IPAddresses {
		c.Names = append(c.Names, ip.String())
	}
	return c
}
