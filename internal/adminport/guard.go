package adminport

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/gridmesh/gridmesh/internal/adminapi"
)

// Tokens are those whose holders may use an admin port from anywhere. The methods
// may be called concurrently.
type Tokens interface {
	Accepts(token string) bool // in a time that tells nothing about them
	Any() bool                 // there are some now
}

// Guard decides who may use an admin port.
type Guard struct {
	Tokens       Tokens // nil: none
	ProtectReads bool   // Read is for those whom Admin is for, and for browsers of this machine
}

// Wrap lets through only who may.
func (g *Guard) Wrap(need Access, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if need == Open || need == Read && !g.ProtectReads {
			next.ServeHTTP(w, r)
			return
		}
		if need == Admin && FromBrowser(r) {
			// Any page that a browser of this machine shows may send requests to
			// loopback, and by rebinding its own name even read the answers.
			Fail(w, http.StatusForbidden, adminapi.Error{Message: "requests from web pages are refused", Hint: "use the node command, or curl"})
			return
		}
		if given, ok := bearer(r); ok {
			// A wrong token is an answer even on loopback: who shows one means it.
			if g.Tokens != nil && g.Tokens.Accepts(given) {
				next.ServeHTTP(w, r)
				return
			}
			w.Header().Set("WWW-Authenticate", `Bearer realm="gridmesh admin", error="invalid_token"`)
			Fail(w, http.StatusUnauthorized, adminapi.Error{Message: "the admin token is not the one of this node", Hint: "see its setting admin-token-file"})
			return
		}
		if why := notLocal(r); why != "" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="gridmesh admin"`)
			hint := "show the admin token (--admin-token-file), or ask from the node's own machine"
			switch {
			case g.Tokens == nil:
				hint = "ask from its own machine, as through a port-forward"
			case !g.Tokens.Any():
				hint = "this node has no admin-token-file, so ask from its own machine, as through a port-forward"
			}
			Fail(w, http.StatusUnauthorized, adminapi.Error{Message: "not allowed: " + why, Hint: hint})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// bearer gives the token of the request.
func bearer(r *http.Request) (token string, ok bool) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return "", false
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return "", true // some other credentials: no token is the empty one
	}
	return strings.TrimSpace(token), true
}

// notLocal says why a request does not count as one from this machine.
func notLocal(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return "its origin is unknown"
	}
	if ip, err := netip.ParseAddr(host); err != nil || !ip.Unmap().IsLoopback() {
		return "it is not from loopback"
	}
	// A proxy on this machine makes everybody look local.
	for _, name := range []string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip"} {
		if len(r.Header.Values(name)) > 0 {
			return "it came through a proxy (" + name + ")"
		}
	}
	if !localHost(r.Host) {
		return "its Host is not a name of loopback"
	}
	return ""
}

// localHost reports whether a Host header names loopback: one that a page's
// rebound name cannot be.
func localHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return err == nil && ip.Unmap().IsLoopback()
}
