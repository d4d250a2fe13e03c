package gridpod

import (
	"fmt"
	"os"

	"github.com/gridmesh/gridmesh/internal/tail"
	"github.com/gridmesh/gridmesh/pkg/grid"
)

// tailsVariable says who may see what the pod logs and who calls it, as it does
// for a node.
const tailsVariable = "GRID_TAILS"

// localTails reads whether only the pod itself may see them.
func localTails() (bool, error) {
	switch word := os.Getenv(tailsVariable); word {
	case "", tail.Mesh:
		return false, nil
	case tail.Local:
		return true, nil
	default:
		return false, fmt.Errorf("%s is %q: say %s or %s, or nothing, which is %s", tailsVariable, word, tail.Mesh, tail.Local, tail.Mesh)
	}
}

// openTails makes what serves the newest entries of log and audit.
func (p *Pod) openTails(local bool) {
	p.tails = tail.New(p.telemetry.Log().Ring(), p.telemetry.Audit())
	if local {
		p.tails.Only = p.dir.Name
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
