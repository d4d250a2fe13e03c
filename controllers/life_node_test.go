package controllers

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gridmesh/gridmesh/controllers/names"
	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// The roads by which a node gets lists.
const (
	mounted = "mounted"
	pushed  = "pushed"
)

// lifeNode is what runs in a pod: the admin port of a node, which takes lists as a
// node does, from its mounted ConfigMap and from whoever pushes them.
type lifeNode struct {
	l    *life
	grid types.NamespacedName
	name string // in the list
	ip   string

	secure bool
	server *http.Server // its TLSConfig is its own once it serves
	served chan struct{}

	mu    sync.Mutex // protects what follows
	trust peers.Trust
	list  peers.List
	cert  *tls.Certificate
	life  int // of the process: a restart forgets all but what is mounted
}

// startNode starts the node of a pod on its address.
func (l *life) startNode(p *corev1.Pod, grid types.NamespacedName, service, ip string, port int32, secure bool) *lifeNode {
	n := &lifeNode{l: l, grid: grid, ip: ip, secure: secure, name: names.Peer(p.Name, service, p.Namespace, port), served: make(chan struct{}), life: 1}
	listener, err := new(net.ListenConfig).Listen(l.Context(), "tcp", net.JoinHostPort(ip, strconv.Itoa(lifePort)))
	if err != nil {
		l.Fatal(err)
	}
	n.server = &http.Server{Handler: n, ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	serve := n.server.Serve
	if secure {
		n.server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			return n.cert, nil
		}}
		serve = func(l net.Listener) error { return n.server.ServeTLS(l, "", "") }
	}
	n.mount()
	go func() {
		defer close(n.served)
		_ = serve(listener) // until stop
	}()
	return n
}

func (n *lifeNode) stop() {
	_ = n.server.Close()
	<-n.served
}

// mount has the node see what is mounted now, as a kubelet brings it late.
func (n *lifeNode) mount() {
	var c corev1.ConfigMap
	if !n.l.get(names.ConfigMap(n.grid.Name), &c) {
		return
	}
	keys, err := peers.ParsePublicKeys([]byte(c.Data[names.KeyTrusted]))
	if err != nil {
		n.l.Errorf("%s: the keys in its ConfigMap: %v", n.name, err)
		return
	}
	n.mu.Lock()
	n.trust = peers.Trust{Grid: n.grid.String(), Keys: keys}
	n.mu.Unlock()
	if document := c.BinaryData[names.KeyDocument]; len(document) > 0 {
		_ = n.take(document, mounted)
	}
	var s corev1.Secret
	if !n.secure || !n.l.get(names.TLSSecret(n.grid.Name), &s) {
		return
	}
	pair, err := tls.X509KeyPair(s.Data[names.KeyCert], s.Data[names.KeyKey])
	if err != nil {
		n.l.Errorf("%s: its certificate: %v", n.name, err)
		return
	}
	n.mu.Lock()
	n.cert = &pair
	n.mu.Unlock()
}

// restart is that of the container: what the node had in memory is lost.
func (n *lifeNode) restart() {
	n.mu.Lock()
	n.list = peers.List{}
	n.life++
	n.mu.Unlock()
	n.mount()
}

// take takes a list as a node does. A list that is older than the one in use may
// come at any time, and into the pods of a deleted Grid kubelets bring the
// ConfigMap of the next one of its name; any other that is refused should never
// have been made, or never pushed there.
func (n *lifeNode) take(document []byte, road string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	list, err := peers.Verify(document, n.trust)
	if err == nil {
		var verdict peers.Verdict
		verdict, err = peers.Decide(n.list, list, n.name)
		if err == nil && verdict != peers.Unchanged {
			n.list = list
		}
	}
	n.l.mu.Lock()
	forgotten := n.l.forgotten[n.grid.Name]
	n.l.mu.Unlock()
	if err != nil && !forgotten && !errors.Is(err, peers.ErrStale) && (road != mounted || !errors.Is(err, peers.ErrForeign)) {
		n.l.Errorf("%s refuses a list that was %s: %v (epoch %d, in use %d)", n.name, road, err, list.Epoch, n.list.Epoch)
	}
	return err
}

func (n *lifeNode) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if err := n.take(raw, pushed); err != nil {
			n.mu.Lock()
			e := adminapi.Error{Message: err.Error(), List: n.list.Raw()}
			n.mu.Unlock()
			w.WriteHeader(http.StatusConflict)
			_ = json.NewEncoder(w).Encode(e) //nolint:errchkjson // the other side has gone
			return
		}
	}
	_ = json.NewEncoder(w).Encode(n.ack()) //nolint:errchkjson // the same
}

func (n *lifeNode) ack() adminapi.Ack {
	n.mu.Lock()
	defer n.mu.Unlock()
	a := adminapi.Ack{
		Name: n.name, Instance: fmt.Sprint(n.ip, n.life), Version: "v1", Grid: n.grid.String(), Ready: true,
		MeshID: n.list.MeshID, Epoch: n.list.Epoch, Contains: n.list.Contains(n.name),
	}
	for _, key := range n.trust.Keys {
		a.Keys = append(a.Keys, peers.KeyID(key))
	}
	a.Removed = n.list.Signed() && !a.Contains
	a.Drained = a.Removed
	if a.Contains {
		a.Links = adminapi.Links{Up: len(n.list.Names) - 1, Expected: len(n.list.Names) - 1}
	}
	if n.cert != nil && n.cert.Leaf != nil {
		a.CertificateExpires = &n.cert.Leaf.NotAfter
	}
	return a
}
