package member

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/adminport"
	"github.com/gridmesh/gridmesh/internal/adminui"
)

// Limits of what is asked on the admin port.
const (
	maxReads  = 64 // answers at once of status and metrics. Against strangers who ask and do not read
	maxAcks   = 16 // acknowledgements. Against the same, apart, so that nobody keeps a publisher from reading them
	maxPushes = 16 // signed lists being read at once, of which the oldest makes room, and being checked. Against strangers who send them slowly, and all at once
)

// Reads is how many answers of status and metrics run at once.
const Reads = maxReads

// Routes are what every member serves on its admin port, but for lists that are
// brought: see Signed and TakeNames.
func (me *Member) Routes() []adminport.Route {
	var routes []adminport.Route
	open := func(pattern string, serve http.Handler) {
		routes = append(routes, adminport.Route{Pattern: pattern, Need: adminport.Open, Handler: serve})
	}
	read := func(pattern string, serve http.Handler) {
		routes = append(routes, adminport.Route{Pattern: pattern, Need: adminport.Read, Handler: me.Reads.Wrap("questions", serve)})
	}
	open("GET "+adminapi.PathLive, http.HandlerFunc(serveLive)) // the probes are small, and never to be kept waiting
	open("GET "+adminapi.PathReady, http.HandlerFunc(me.serveReady))
	open("GET "+adminapi.PathAck, me.acks.Wrap("acknowledgements", http.HandlerFunc(me.serveAck)))
	read("GET "+adminapi.PathMetrics, me.serveMetrics())
	read("GET "+adminapi.PathStatus, http.HandlerFunc(me.serveStatus))
	read("GET "+adminui.AssetPath, adminui.Assets())
	read("GET /{$}", http.RedirectHandler(adminapi.PathStatus, http.StatusFound))
	read("GET "+adminapi.PathPeers, http.HandlerFunc(me.servePeers))
	return routes
}

func serveLive(w http.ResponseWriter, _ *http.Request) { adminport.Text(w, http.StatusOK, "ok\n") }

func (me *Member) serveReady(w http.ResponseWriter, _ *http.Request) {
	if why := me.waiting(); len(why) > 0 {
		adminport.Text(w, http.StatusServiceUnavailable, "not ready\n"+strings.Join(why, "\n")+"\n")
		return
	}
	adminport.Text(w, http.StatusOK, "ok\n")
}

// waiting says why the member is not ready; nothing if it is.
func (me *Member) waiting() []string {
	stats := me.m.Summary()
	return me.ready.waiting(me.feed.status(&stats))
}

func (me *Member) serveAck(w http.ResponseWriter, _ *http.Request) {
	adminport.Answer(w, http.StatusOK, me.ack())
}

// serveStatus answers a browser with the page and everybody else with JSON.
func (me *Member) serveStatus(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept")
	if !wantsPage(r) {
		adminport.Answer(w, http.StatusOK, me.Status())
		return
	}
	view := adminui.View{Self: me.Status()}
	if me.Mesh != nil {
		view.Mesh = me.Mesh(r.Context())
	}
	if err := adminui.Write(w, view); err != nil {
		me.log.Error("status page not written", "error", err)
	}
}

func wantsPage(r *http.Request) bool {
	switch r.URL.Query().Get("format") {
	case "json":
		return false
	case "html":
		return true
	}
	return slices.ContainsFunc(strings.Split(r.Header.Get("Accept"), ","), func(kind string) bool {
		kind, _, _ = strings.Cut(kind, ";")
		return strings.TrimSpace(kind) == "text/html"
	})
}

func (me *Member) servePeers(w http.ResponseWriter, _ *http.Request) {
	adminport.Answer(w, http.StatusOK, me.peerNames())
}

func (me *Member) peerNames() adminapi.PeerNames {
	stats := me.m.Summary()
	return adminapi.PeerNames{PeerList: me.feed.status(&stats), Peers: me.m.PeerList().Names}
}
