package feed

import (
	"fmt"
	"slices"
	"time"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// planned is what the ConfigMap should hold next.
type planned struct {
	content content
	list    peers.List // the one in content.document
	signed  []string
	fresh   bool // the list is a new one
}

// planner is what a plan is made from, besides the record.
type planner struct {
	grid     string // its id
	identity string
	settings string
	// telemetry is telemetry.json; nil: it stays what it is.
	telemetry *string
	keys      Keys
	wish      Wish
	pods      []Pod
	// known is the highest epoch known to have been used, of the Grid's status, or
	// that a pod has shown: higher than the record's where that is lost or an
	// older one was put back.
	known uint64
	now   time.Time
	// signed is the highest epoch of a list that this process has signed,
	// committed or not.
	signed uint64
}

// settled reports whether the ConfigMap says already what it should.
func (p *planner) settled(r *record) bool {
	_, publish := p.next(r)
	trusted, err := trustedText(p.keys.trusted())
	return !publish && err == nil && r.content.equal(&content{document: r.list.Raw(), trusted: trusted, settings: p.settings, telemetry: p.telemetryOver(r)})
}

// telemetryOver is telemetry.json in place of what the record has.
func (p *planner) telemetryOver(r *record) string {
	if p.telemetry == nil {
		return r.content.telemetry
	}
	return *p.telemetry
}

// make says what the ConfigMap should hold instead of r. A list is signed only if
// it says something else than the one there, and each has an epoch of its own.
func (p *planner) make(r *record) (planned, error) {
	trusted, err := trustedText(p.keys.trusted())
	if err != nil {
		return planned{}, err
	}
	next := planned{list: r.list, signed: r.signed, content: content{
		document: r.list.Raw(), made: r.content.made, trusted: trusted, settings: p.settings, telemetry: p.telemetryOver(r),
	}}
	list, publish := p.next(r)
	if !publish {
		return next, nil
	}
	if list.Epoch > peers.MaxEpoch {
		return planned{}, &Problem{Reason: ReasonList, Message: fmt.Sprintf(
			"the peer list has epoch %d, the last there is; delete the ConfigMap and the Secret with the signing key, and restart the pods", r.list.Epoch)}
	}
	document, err := peers.Sign(list, p.keys.signers()...)
	if err != nil {
		return planned{}, &Problem{Reason: ReasonList, Message: err.Error()}
	}
	next.content.document, next.content.made, next.fresh, next.signed = document, p.now, true, signers(document)
	// Read back as a node reads it: what no node takes is not committed.
	if next.list, err = peers.Verify(document, peers.Trust{Grid: p.grid, MeshID: p.keys.MeshID, Keys: p.keys.trusted()}); err != nil {
		return planned{}, &Problem{Reason: ReasonList, Message: err.Error()}
	}
	return next, nil
}

// next is the list that should be, and whether it is another than the one there.
func (p *planner) next(r *record) (peers.List, bool) {
	hints := r.list.Hints
	if p.now.Sub(r.content.made) > hintLife {
		hints = nil
	}
	names, hints := Members(r.list.Names, hints, p.pods, p.wish)
	some := r.list.Signed()
	list := peers.List{
		Names: names, Hints: hints, Grid: p.grid, MeshID: p.keys.MeshID, Identity: p.identity,
		Epoch: p.epoch(r), AllowEmpty: len(names) == 0,
	}
	signed := make([]string, 0, 2)
	for _, key := range p.keys.signers() {
		signed = append(signed, keyID(key))
	}
	switch {
	case len(names) == 0 && p.wish.Count > 0:
		// Nobody has an address yet, or the ordinals wished for have all changed
		// and none of the new pods is there. An empty list would end a mesh that
		// is wished for, so what is there stays.
		return list, false
	case !some, r.list.Epoch < p.used(r):
		return list, true
	}
	same := slices.Equal(names, r.list.Names) && list.Identity == r.list.Identity && slices.Equal(signed, r.signed)
	return list, !same
}

// epoch is the next one. Where the record is lost, or an older one was put back,
// lists may be out of which nobody here knows.
func (p *planner) epoch(r *record) uint64 {
	if used := p.used(r); used > r.list.Epoch {
		return max(used+epochSkip, p.signed+1)
	}
	return max(r.list.Epoch, p.signed) + 1
}

func (p *planner) used(r *record) uint64 { return max(p.known, r.noted) }

// view is what a rotation of the signing key looks at.
func (p *planner) view(g *v1alpha1.Grid, r *record, acks map[string]Ack, every time.Duration) View {
	v := View{
		Now: p.now, Want: g.Annotations[AnnotationRotate], Every: every,
		Trusted: r.trusted, Signed: r.signed, Epoch: r.list.Epoch,
	}
	listed := make(map[string]bool, len(r.list.Names))
	for _, name := range r.list.Names {
		listed[name] = true
	}
	for i := range p.pods {
		pod := &p.pods[i]
		if !p.wish.owns(pod) || pod.IP == "" || !listed[p.wish.peer(pod.Name)] {
			continue // nobody who could have the list, or who reads it at its start
		}
		var seen Seen
		if ack := acks[pod.Name]; ack.Verified && ack.MeshID == p.keys.MeshID {
			seen = Seen{Epoch: ack.Epoch, Keys: ack.Keys}
		}
		v.Members = append(v.Members, seen)
	}
	return v
}
