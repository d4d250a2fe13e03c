package nodectl

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/settings"
)

var statusCommand = command{
	name: "status", args: "",
	about: `Say how a running node is and how its links are, or with --mesh how all nodes are:
the node asks them over the mesh. The exit status is 0 only if all links are up and
the node is ready.`,
	examples: `  node status
  node status --mesh
  node status --json | jq .peers
`,
	settings: func(o *options) []settings.Setting {
		return []settings.Setting{
			{Name: "mesh", Group: groupOutput, FlagOnly: true, Value: settings.Switch(&o.mesh), Help: "All nodes, not just this one's links."},
			jsonSetting(o),
		}
	},
	run: runStatus,
}

func runStatus(ctx context.Context, v *invocation) error {
	if v.mesh {
		var mesh adminapi.Mesh
		raw, err := v.client.getJSON(ctx, adminapi.PathMesh, &mesh)
		if err != nil {
			return err
		}
		if v.asJSON {
			_, err := v.Stdout.Write(raw)
			return err
		}
		writeMesh(v.Stdout, &mesh)
		if mesh.Links.Up < mesh.Links.Expected {
			return &failure{status: exitFailed, text: fmt.Sprintf("%d of %d links are up", mesh.Links.Up, mesh.Links.Expected)}
		}
		return nil
	}
	var status adminapi.Status
	raw, err := v.client.getJSON(ctx, adminapi.PathStatus, &status)
	if err != nil {
		return err
	}
	if v.asJSON {
		_, err := v.Stdout.Write(raw)
		return err
	}
	writeStatus(v.Stdout, &status)
	switch {
	case !status.Ready:
		return &failure{status: exitFailed, text: "the node is not ready: " + strings.Join(status.Waiting, ", ")}
	case status.Links.Up < status.Links.Expected:
		return &failure{status: exitFailed, text: fmt.Sprintf("%d of %d links are up", status.Links.Up, status.Links.Expected)}
	}
	return nil
}

func writeStatus(w io.Writer, s *adminapi.Status) {
	fmt.Fprintf(w, "%s, grid %s, %s, up %s, version %s\n", s.Node.Name, s.Node.Grid, state(s), span(s.Node.Now.Sub(s.Node.Started)), s.Node.Version)
	fmt.Fprintf(w, "links %d/%d, congested %d; peer list %s, applied %s ago\n",
		s.Links.Up, s.Links.Expected, s.Links.Congested, list(&s.PeerList), span(s.Node.Now.Sub(s.PeerList.Applied)))
	if s.PeerList.LastError != "" {
		fmt.Fprintf(w, "a peer list was refused: %s\n", s.PeerList.LastError)
	}
	if c := s.Certificate; c != nil {
		fmt.Fprintf(w, "certificate expires in %s\n", span(c.Expires.Sub(s.Node.Now)))
		if c.LastError != "" {
			fmt.Fprintf(w, "the certificate files are not in use: %s\n", c.LastError)
		}
	}
	writeTelemetry(w, s.Telemetry)
	if len(s.Peers) == 0 {
		fmt.Fprintln(w, "no other node is in the peer list")
		return
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "PEER\tSTATE\tFOR\tRTT\tIN/S\tOUT/S\tCALLS IN/OUT\tQUEUE\tSTREAMS\tCREDIT WAIT\t")
	for i := range s.Peers {
		p := &s.Peers[i]
		since := "-"
		if p.Since != nil {
			since = span(s.Node.Now.Sub(*p.Since))
		}
		mark := ""
		if p.Congested {
			mark = ", congested"
		}
		fmt.Fprintf(table, "%s\t%s%s\t%s\t%s\t%.0f\t%.0f\t%d/%d\t%s\t%d\t%s\t%s\n",
			p.Name, p.State, mark, since, millis(p.RTTMillis), p.Rate.MessagesIn, p.Rate.MessagesOut,
			p.CallsIn, p.CallsOut, queue(p), p.StreamsOpen, credit(p), why(p))
	}
	_ = table.Flush() // to a terminal or a pipe that has gone
}

// writeTelemetry tells of targets of log and audit: all but the console, as long
// as that is well.
func writeTelemetry(w io.Writer, t *adminapi.Telemetry) {
	if t == nil {
		return
	}
	if t.LastError != "" {
		fmt.Fprintf(w, "a configuration of log and audit was refused: %s\n", t.LastError)
	}
	if t.RefusedCalls > 0 {
		fmt.Fprintf(w, "%d calls were refused or failed, since their records could not be made safe\n", t.RefusedCalls)
	}
	for i := range t.Targets {
		target := &t.Targets[i]
		lost := target.Dropped + target.Rejected
		if target.Kind == "console" && target.System == "log" && !target.Failing && lost == 0 {
			continue
		}
		fmt.Fprintf(w, "%s to %s (%s): %d entries, %d delivered, %d wait (%s), %d lost",
			target.System, target.Name, target.Kind, target.In, target.Out, target.QueueEntries, settings.Size(target.QueueBytes), lost)
		if target.Failing {
			fmt.Fprintf(w, "; failing: %s", target.LastError)
		}
		fmt.Fprintln(w)
	}
	for _, q := range t.LeftQueues {
		fmt.Fprintf(w, "%s to %s: a queue on disk without a target, %s (%s)\n", q.System, q.Name, q.Folder, settings.Size(q.Bytes))
	}
}

func queue(p *adminapi.Peer) string {
	if p.QueueLimit == 0 {
		return "-"
	}
	return fmt.Sprintf("%d%% of %s", p.QueueBytes*100/p.QueueLimit, settings.Size(int64(p.QueueLimit)))
}

func credit(p *adminapi.Peer) string {
	if p.StreamsWaiting == 0 {
		return "-"
	}
	return fmt.Sprintf("%d streams, %s", p.StreamsWaiting, millis(p.CreditWaitMillis))
}

// why is what there is to say of a link that is not up.
func why(p *adminapi.Peer) string {
	if p.Linked() {
		return ""
	}
	return p.LastError
}

func writeMesh(w io.Writer, m *adminapi.Mesh) {
	fmt.Fprintf(w, "%d nodes, links %d/%d, congested %d, asked by %s\n\n", len(m.Members), m.Links.Up, m.Links.Expected, m.Links.Congested, m.By)
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "NODE\tSTATE\tLINKS\tPEER LIST\tUP\tVERSION\t")
	for i := range m.Members {
		member := &m.Members[i]
		s := member.Status
		if s == nil {
			fmt.Fprintf(table, "%s\tno answer\t-\t-\t-\t-\t%s\n", member.Name, member.Error)
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%d/%d\t%s\t%s\t%s\t%s\n", member.Name, state(s), s.Links.Up, s.Links.Expected,
			list(&s.PeerList), span(s.Node.Now.Sub(s.Node.Started)), s.Node.Version, strings.Join(s.Waiting, ", "))
	}
	_ = table.Flush() // to a terminal or a pipe that has gone
}

func state(s *adminapi.Status) string {
	switch {
	case s.Node.Draining:
		return "draining"
	case s.Ready:
		return "ready"
	}
	return "not ready"
}

func list(l *adminapi.PeerList) string {
	text := fmt.Sprintf("of %d names (%s)", l.Names, l.Source)
	if l.Epoch > 0 {
		text = fmt.Sprintf("epoch %d %s", l.Epoch, text)
	}
	return text
}

func span(d time.Duration) string {
	unit := time.Second
	if d >= time.Hour {
		unit = time.Minute
	}
	return settings.Short(d.Truncate(unit))
}

func millis(ms float64) string {
	if ms <= 0 {
		return "-"
	}
	return (time.Duration(ms * float64(time.Millisecond))).Round(10 * time.Microsecond).String()
}
