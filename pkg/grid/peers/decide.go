package peers

import "fmt"

// Verdict is what a list means to a node.
type Verdict int

// What [Decide] says.
const (
	// Refused: the list in use stays; the error says why.
	Refused Verdict = iota
	// Unchanged: the list says what the one in use says. Nothing to do.
	Unchanged
	// Apply: the list is newer, and the node is in it.
	Apply
	// Removed: the list is newer, and the node is no longer in it. It takes
	// the list, says so, drains, and reports that it has drained.
	Removed
	// Outside: the list is newer, and the node is not in it, nor was it
	// before: one that has started and is not published yet. It takes the
	// list and waits for the next.
	Outside
)

// String gives the verdict as a word for logs.
func (v Verdict) String() string {
	switch v {
	case Refused:
		return "refused"
	case Unchanged:
		return "unchanged"
	case Apply:
		return "apply"
	case Removed:
		return "removed"
	case Outside:
		return "outside"
	}
	return fmt.Sprintf("Verdict(%d)", int(v))
}

// Decide says what next means to the node named self, which uses current (the
// zero List before its first). It trusts what the lists say: a signed one has
// been through [Verify]. The error is nil unless the verdict is [Refused].
//
// A list with an epoch comes from a publisher, and lacking oneself means that
// one is removed. A list without was written by a person, and lacking oneself
// means that it is wrong.
func Decide(current, next List, self string) (Verdict, error) {
	if err := refusal(current, next); err != nil {
		return Refused, err
	}
	switch {
	case next.Epoch == current.Epoch && next.same(current) && (next.Epoch > 0 || next.Contains(self)):
		return Unchanged, nil
	case next.Epoch == current.Epoch && next.Epoch > 0:
		return Refused, fmt.Errorf("%w: epoch %d", ErrEpochConflict, next.Epoch)
	case next.Contains(self):
		return Apply, nil
	case next.Epoch == 0:
		return Refused, notListed(self, len(next.Names))
	case current.Contains(self):
		return Removed, nil
	}
	return Outside, nil
}

// refusal returns why next may not follow current, whoever the node is.
func refusal(current, next List) error {
	switch {
	case current.Grid != "" && next.Grid != "" && next.Grid != current.Grid:
		return fmt.Errorf("%w: grid %s, the list in use is of %s", ErrForeign, quote(next.Grid), quote(current.Grid))
	case current.MeshID != "" && next.MeshID != "" && next.MeshID != current.MeshID:
		return fmt.Errorf("%w: meshID %s, the list in use is of %s", ErrForeign, quote(next.MeshID), quote(current.MeshID))
	case current.Signed() && !next.Signed():
		return fmt.Errorf("%w: epoch %d is in use", ErrUnsigned, current.Epoch)
	case len(next.Names) == 0 && !next.AllowEmpty:
		return fmt.Errorf("%w: the list in use, of %d names, stays", ErrEmpty, len(current.Names))
	case next.Epoch < current.Epoch:
		return fmt.Errorf("%w: epoch %d, in use is %d", ErrStale, next.Epoch, current.Epoch)
	}
	return nil
}

func notListed(self string, names int) error {
	return fmt.Errorf("%w: %s is not among its %d names; add it, or correct the node's own name", ErrNotListed, quote(self), names)
}
