package member

import (
	"errors"
	"net/http"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/adminport"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// lastGood is what happens whenever a list is refused.
const lastGood = "the last good list stays in use"

// Signed leads signed lists to where everybody may bring them: the signature is
// what counts, and needs no token. What is no signed list goes on.
func (me *Member) Signed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Type") == adminapi.TypeSigned {
			me.readSigned(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// readSigned reads a signed list, which may take its time.
func (me *Member) readSigned(w http.ResponseWriter, r *http.Request) {
	if adminport.FromBrowser(r) {
		adminport.Fail(w, http.StatusForbidden, adminapi.Error{Message: "requests from web pages are refused"})
		return
	}
	if me.config.Lists.Dir == "" {
		adminport.Fail(w, http.StatusConflict, adminapi.Error{
			Message: "this node trusts nobody's signature", Hint: "give it the public keys with peers-dir",
		})
		return
	}
	raw, ok := me.pushing.Body(w, r, peers.MaxDocument)
	if !ok {
		return
	}
	me.pushes.Wrap("pushed lists", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { me.takeSigned(w, r, raw) })).ServeHTTP(w, r)
}

// takeSigned takes a signed list, and acknowledges it.
func (me *Member) takeSigned(w http.ResponseWriter, r *http.Request, raw []byte) {
	list, err := me.feed.verify(raw)
	status := http.StatusForbidden
	if err == nil {
		status = http.StatusConflict
		err = me.feed.apply(list, adminapi.SourceAdmin)
	}
	if err != nil {
		me.feed.refusePushed(err, r.RemoteAddr)
		e := adminapi.Error{Message: err.Error(), Hint: lastGood}
		if errors.Is(err, peers.ErrStale) || errors.Is(err, peers.ErrEpochConflict) {
			e.List = me.m.PeerList().Raw()
		}
		adminport.Fail(w, status, e)
		return
	}
	adminport.Answer(w, http.StatusOK, me.ack())
}

// TakeNames takes an unsigned list: names one a line, as in a file.
func (me *Member) TakeNames(w http.ResponseWriter, r *http.Request) {
	raw, ok := adminport.Body(w, r, peers.MaxText)
	if !ok {
		return
	}
	list, err := peers.ParseFile(raw, me.config.Name)
	if err != nil {
		me.feed.refuse(err)
		adminport.Fail(w, http.StatusUnprocessableEntity, adminapi.Error{Message: err.Error(), Hint: lastGood})
		return
	}
	if err := me.feed.apply(list, adminapi.SourceAdmin); err != nil {
		adminport.Fail(w, http.StatusConflict, adminapi.Error{Message: err.Error(), Hint: lastGood})
		return
	}
	adminport.Answer(w, http.StatusOK, me.peerNames())
}
