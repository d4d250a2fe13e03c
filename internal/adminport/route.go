package adminport

import (
	"net/http"
	"strings"

	"github.com/gridmesh/gridmesh/internal/adminapi"
)

// Access says whom a route of the admin port is for.
type Access int

// Whom a route may be for.
const (
	Open  Access = iota // everybody: probes and acknowledgements
	Read                // everybody, unless reads are protected: metrics and status
	Admin               // loopback or the holder of the admin token, and no browser: what changes something, costs or shows traffic
)

// Route is one thing that is served.
type Route struct {
	Pattern string // of http.ServeMux
	Need    Access
	Handler http.Handler
}

// Places bounds what runs at once: each has one while it does.
type Places chan struct{}

// Wrap refuses what finds no place.
func (p Places) Wrap(what string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case p <- struct{}{}:
			defer func() { <-p }()
			next.ServeHTTP(w, r)
		default:
			w.Header().Set("Retry-After", "1")
			Fail(w, http.StatusTooManyRequests, adminapi.Error{
				Message: "this node's admin port has too many " + what + " running", Outcome: adminapi.OutcomeNotSent, Hint: "try again when some have ended",
			})
		}
	})
}

// FromBrowser reports whether a web page may have sent the request. Browsers
// put Origin on everything that is not a plain GET of a page, and Sec-Fetch-…
// on everything where they trust the transport; our own commands send neither.
func FromBrowser(r *http.Request) bool {
	_, origin := r.Header["Origin"] // present counts, even if empty
	if origin {
		return true
	}
	for name := range r.Header {
		if strings.HasPrefix(name, "Sec-Fetch-") {
			return true
		}
	}
	return false
}
