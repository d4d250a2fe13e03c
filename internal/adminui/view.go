package adminui

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/settings"
)

const (
	// maxMatrix is how many nodes the matrix shows: more do not fit a screen.
	maxMatrix = 64
	// maxRows is how many rows a table shows, the worst first.
	maxRows = 50
)

// View is what the page is made of: the node that serves it, and what it heard
// from all others; without members, the page tells of the one node.
type View struct {
	Self adminapi.Status
	Mesh adminapi.Mesh
}

// Now is the time of the page: of the node, not of the browser.
func (v View) Now() time.Time { return v.Self.Node.Now }

// Cell is one directed link in the matrix.
type Cell struct {
	Kind string // a class of the style sheet
	Mark string // the same for eyes that do not see the colour
	Text string // all of it
}

// Row is what one node says of all.
type Row struct {
	Number int
	Name   string
	Kind   string
	Cells  []Cell
}

// Matrix is every node's view of every other; nil if there are too many.
func (v View) Matrix() []Row {
	members := v.Mesh.Members
	if len(members) > maxMatrix {
		return nil
	}
	rows := make([]Row, 0, len(members))
	for i, from := range members {
		r := Row{Number: i + 1, Name: from.Name, Kind: memberKind(from)}
		for _, to := range members {
			r.Cells = append(r.Cells, link(from, to.Name))
		}
		rows = append(rows, r)
	}
	return rows
}

func link(from adminapi.Member, to string) Cell {
	what := from.Name + " to " + to + ": "
	if from.Name == to {
		return Cell{Kind: "self", Mark: "·", Text: from.Name}
	}
	if from.Status == nil {
		return Cell{Kind: "unknown", Mark: "?", Text: what + "no answer from " + from.Name}
	}
	i := slices.IndexFunc(from.Status.Peers, func(p adminapi.Peer) bool { return p.Name == to })
	if i < 0 {
		return Cell{Kind: "unknown", Mark: "–", Text: what + "not in its peer list"}
	}
	p := &from.Status.Peers[i]
	kind := peerKind(p)
	return Cell{Kind: kind, Mark: marks[kind], Text: what + describe(p)}
}

var marks = map[string]string{"up": "●", "slow": "◐", "down": "✕", "busy": "○"}

// peerKind is the class of a link: up, slow (congested), busy (neither up nor
// down) or down.
func peerKind(p *adminapi.Peer) string {
	switch {
	case p.Congested:
		return "slow"
	case p.Linked():
		return "up"
	case p.State == "draining":
		return "busy"
	}
	return "down"
}

func memberKind(m adminapi.Member) string {
	switch {
	case m.Status == nil:
		return "down"
	case m.Status.Links.Congested > 0:
		return "slow"
	case !m.Status.Ready || m.Status.Links.Up < m.Status.Links.Expected:
		return "busy"
	}
	return "up"
}

func describe(p *adminapi.Peer) string {
	text := p.State
	if p.Congested {
		text += ", congested"
	}
	if p.Linked() {
		text += fmt.Sprintf(", %s there and back, queue %s", millis(p.RTTMillis), bytesText(float64(p.QueueBytes)))
	}
	if p.LastError != "" && !p.Linked() {
		text += ": " + p.LastError
	}
	return text
}

// Links are this node's links, the worst first.
func (v View) Links() []adminapi.Peer {
	links := slices.Clone(v.Self.Peers)
	order := map[string]int{"down": 0, "busy": 1, "slow": 2, "up": 3}
	slices.SortStableFunc(links, func(a, b adminapi.Peer) int {
		return cmp.Or(order[peerKind(&a)]-order[peerKind(&b)], cmp.Compare(a.Name, b.Name))
	})
	return links[:min(len(links), maxRows)]
}

// Hidden is how many links the table leaves out.
func (v View) Hidden() int { return max(0, len(v.Self.Peers)-maxRows) }

// Members are all nodes of the mesh, the worst first.
func (v View) Members() []adminapi.Member {
	members := slices.Clone(v.Mesh.Members)
	order := map[string]int{"down": 0, "busy": 1, "slow": 2, "up": 3}
	slices.SortStableFunc(members, func(a, b adminapi.Member) int { return order[memberKind(a)] - order[memberKind(b)] })
	return members[:min(len(members), maxRows)]
}

// HiddenMembers is how many nodes the table leaves out.
func (v View) HiddenMembers() int { return max(0, len(v.Mesh.Members)-maxRows) }

// Behind reports whether a member uses an older list than the newest one seen.
func (v View) Behind(epoch uint64) bool {
	for _, m := range v.Mesh.Members {
		if m.Status != nil && m.Status.PeerList.Epoch > epoch {
			return true
		}
	}
	return false
}

// Sums are the running calls and open streams of this node.
type Sums struct{ CallsIn, CallsOut, Streams, Waiting int }

// Totals adds up this node's links.
func (v View) Totals() (t Sums) {
	for i := range v.Self.Peers {
		p := &v.Self.Peers[i]
		t.CallsIn += p.CallsIn
		t.CallsOut += p.CallsOut
		t.Streams += p.StreamsOpen
		t.Waiting += p.StreamsWaiting
	}
	return t
}

// since writes how long ago t was, as far as a person wants to know.
func since(now, t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return span(now.Sub(t))
}

func until(now, t time.Time) string {
	if !t.After(now) {
		return "expired " + span(now.Sub(t)) + " ago"
	}
	return "in " + span(t.Sub(now))
}

func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Second:
		return "0s"
	case d < time.Minute:
		d = d.Truncate(time.Second)
	case d < time.Hour:
		d = d.Truncate(time.Second)
	case d < 2*day:
		d = d.Truncate(time.Minute)
	default:
		return fmt.Sprintf("%d days", d/day)
	}
	return settings.Short(d)
}

func millis(ms float64) string {
	switch {
	case ms <= 0:
		return "–"
	case ms < 1:
		return fmt.Sprintf("%.0f µs", ms*1000)
	case ms < 10:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f s", ms/1000)
}

func bytesText(n float64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%.0f B", n)
	}
	names := "KMGTP"
	i := -1
	for n >= unit && i < len(names)-1 {
		n /= unit
		i++
	}
	if n < 10 {
		return fmt.Sprintf("%.1f %ciB", n, names[i])
	}
	return fmt.Sprintf("%.0f %ciB", n, names[i])
}

// count writes a rate or a number with thin spaces between thousands.
func count(n float64) string {
	text := fmt.Sprintf("%.0f", n)
	var b strings.Builder
	for i, digit := range text {
		if i > 0 && (len(text)-i)%3 == 0 {
			b.WriteRune('\u202f')
		}
		b.WriteRune(digit)
	}
	return b.String()
}

func percent(part, whole int) int {
	if whole <= 0 {
		return 0
	}
	return min(100, part*100/whole)
}
