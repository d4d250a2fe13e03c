package gridpod

import (
	"fmt"
	"net/http"
	"os"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/adminport"
	"github.com/gridmesh/gridmesh/internal/forward"
	"github.com/gridmesh/gridmesh/internal/tail"
	"github.com/gridmesh/gridmesh/pkg/grid"
)

// tailsVariable says who may see what the pod logs and who calls it, as it does
// for a node.
const tailsVariable = "GRID_TAILS"

// whoSeesTails reads it.
func whoSeesTails() (string, error) {
	switch word := os.Getenv(tailsVariable); word {
	case "":
		return tail.Mesh, nil
	case tail.Mesh, tail.Local:
		return word, nil
	default:
		return "", fmt.Errorf("%s is %q: say %s or %s, or nothing, which is %s", tailsVariable, word, tail.Mesh, tail.Local, tail.Mesh)
	}
}

// registerTails has the members of the mesh see the tails. A handler of that name
// that the program has is the program's.
func (p *Pod) registerTails(m *grid.Manager) error {
	for id, handler := range p.tails.Handlers() {
		if m.Connection(m.Local()).Supports(id) {
			p.logger().Warn("a tail is not served: the program has a handler of its name", "handler", string(id))
			continue
		}
		if err := m.RegisterStream(id, handler); err != nil {
			return err
		}
	}
	return nil
}

// tailLine is how many bytes whoever reads a tail by the admin port may say in a
// line: what has been read, a number.
const tailLine = 64

// serveTails reads the tails of members for who is on the pod's own machine: a
// pod has no admin token.
func (p *Pod) serveTails(m *grid.Manager) http.Handler {
	tails := make(adminport.Places, forward.Tails).Wrap("tails", &forward.Streams{Manager: m, Tails: p.tails, MaxMessage: tailLine})
	guard := &adminport.Guard{}
	return guard.Wrap(adminport.Admin, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !tail.IsTail(grid.HandlerID(r.PathValue("handler"))) {
			adminport.Fail(w, http.StatusNotFound, adminapi.Error{
				Message: "a pod opens no streams but tails", Outcome: adminapi.OutcomeNotSent,
				Hint: "ask for " + adminapi.HandlerLogTail + " or " + adminapi.HandlerAuditTail + "; other calls are the program's to make",
			})
			return
		}
		tails.ServeHTTP(w, r)
	}))
}
