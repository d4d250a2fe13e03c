package nodectl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/settings"
)

// Limits of a tail.
const (
	tailNodes = 32      // at once: the node that asks them reads 64 tails in all
	tailPast  = 1000    // entries; a node keeps no more
	tailLine  = 5 << 20 // bytes; a node keeps no larger entry
)

// Ways to write a tail.
const (
	outputAuto = "auto"
	outputText = "text"
	outputJSON = "json"
)

// tailOptions are the flags of tails.
type tailOptions struct {
	past         int
	follow, mesh bool
	output       string
	log          adminapi.LogTail
	audit        adminapi.AuditTail
}

var logCommand = command{
	name: "log", args: "tail [PEER...]", least: 1, most: 1 + tailNodes,
	about: `Show what nodes have logged: the newest entries, and with --follow those that come, of
the node asked, of the PEERs, or with --mesh of all nodes. They come over the mesh, and
the nodes themselves filter. Each node keeps its newest 1,000 entries, of its own
log-level and higher. Several nodes' entries stand in the order in which they came.

Whoever is slower than the log misses entries, and reads how many; no node waits.`,
	examples: `  node log tail
  node log tail --mesh --follow --level warn
  node log tail node-1:7700 node-2:7700 -n 1000 --match certificate
  node log tail node-1:7700 --attr 'peer=node-2:*' --output json | jq .msg
`,
	settings: func(o *options) []settings.Setting {
		const group = "Which entries"
		return tailSettings(o, group,
			settings.Setting{Name: "level", Group: group, FlagOnly: true, Value: settings.Choice(&o.tail.log.Level, "debug", "info", "warn", "error"),
				Help: "This level and higher ones. What a node does not log for its log-level, it cannot show."},
			settings.Setting{Name: "match", Group: group, FlagOnly: true, Value: settings.List(&o.tail.log.Text, "TEXT", "texts, separated by commas", nil),
				Help: "With this text in the message or an attribute, in upper or lower case; of several texts, with each."},
			settings.Setting{Name: "attr", Group: group, FlagOnly: true, Value: settings.Pairs(&o.tail.log.Attrs, "KEY=PATTERN", "attributes with patterns", nil),
				Help: "With this attribute (in a group: group.key) and a value of this pattern: * stands for anything, ! in front for all else."})
	},
	run: func(ctx context.Context, v *invocation) error {
		v.tail.log.Tail = adminapi.Tail{Past: v.tail.past, Follow: v.tail.follow}
		return runTail(ctx, v, adminapi.HandlerLogTail, &v.tail.log)
	},
}

var auditCommand = command{
	name: "audit", args: "tail [PEER...]", least: 1, most: 1 + tailNodes,
	about: `Show who called what at nodes, with which result: the newest records of the audit, and
with --follow those that come, of the node asked, of the PEERs, or with --mesh of all
nodes. They come over the mesh, and the nodes themselves filter. Each node keeps its
newest 1,000 records. One whose audit has no target makes records only while somebody
follows.

A pattern is a text in which * stands for anything, with ! in front for all else; of
several, separated by commas, one has to match.`,
	examples: `  node audit tail --mesh --follow
  node audit tail node-1:7700 -n 1000 --result '!ok'
  node audit tail --follow --handler 'lock.*' --peer node-2:7700 --direction in
  node audit tail --event handshake,link_end --output json | jq .reason
`,
	settings: func(o *options) []settings.Setting {
		const group = "Which records"
		patterns := func(p *[]string) settings.Value {
			return settings.List(p, "PATTERN", "patterns, separated by commas", nil)
		}
		return tailSettings(o, group,
			settings.Setting{Name: "handler", Group: group, FlagOnly: true, Value: patterns(&o.tail.audit.Handlers), Help: "Calls and streams of these handlers."},
			settings.Setting{Name: "peer", Group: group, FlagOnly: true, Value: patterns(&o.tail.audit.Peers), Help: "With these peers at the other side."},
			settings.Setting{Name: "result", Group: group, FlagOnly: true, Value: patterns(&o.tail.audit.Results),
				Help: "With these results: ok, a handler's code such as not_found, overloaded, disconnected…"},
			settings.Setting{Name: "direction", Group: group, FlagOnly: true, Value: settings.Choice(&o.tail.audit.Direction, "in", "out"),
				Help: "in: calls that the node serves; out: those it makes, where it records them."},
			settings.Setting{Name: "event", Group: group, FlagOnly: true, Value: patterns(&o.tail.audit.Events),
				Help: "Of these kinds: call, stream, handshake, link_end, peers, drain, start, stop, gap."})
	},
	run: func(ctx context.Context, v *invocation) error {
		v.tail.audit.Tail = adminapi.Tail{Past: v.tail.past, Follow: v.tail.follow}
		return runTail(ctx, v, adminapi.HandlerAuditTail, &v.tail.audit)
	},
}

// tailSettings are the flags that both tails have, around those of one.
func tailSettings(o *options, group string, own ...settings.Setting) []settings.Setting {
	all := []settings.Setting{
		{Name: "past", Alias: "n", Group: group, FlagOnly: true, Default: "10", Value: settings.Int(&o.tail.past, 0, tailPast),
			Help: "Begin with so many of each node's newest ones that match."},
		{Name: "follow", Alias: "f", Group: group, FlagOnly: true, Value: settings.Switch(&o.tail.follow), Help: "Go on with what comes, until Ctrl-C."},
		{Name: "mesh", Group: group, FlagOnly: true, Value: settings.Switch(&o.tail.mesh),
			Help: fmt.Sprintf("Of all nodes in the peer list, if they are no more than %d.", tailNodes)},
	}
	return append(append(all, own...), settings.Setting{
		Name: "output", Alias: "o", Group: groupOutput, FlagOnly: true,
		Default: outputAuto, Value: settings.Choice(&o.tail.output, outputAuto, outputText, outputJSON),
		Help: "text, for people; json, the lines as they were logged; auto is text on a terminal and json elsewhere.",
	})
}

// runTail reads the tails of all nodes asked for at once. Where one ends the
// others go on. Of several, one that has no tails to show is told of, and no
// failure: nodes of different releases are a mesh, too.
func runTail(ctx context.Context, v *invocation, handler string, ask any) error {
	if v.args[0] != "tail" {
		return &failure{status: exitUsage, text: fmt.Sprintf("%q where \"tail\" belongs", v.args[0]), hint: "there is nothing else yet"}
	}
	nodes, err := v.tailed(ctx)
	if err != nil {
		return err
	}
	request, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	out := newTailOutput(v, nodes)
	ended := make(chan error, len(nodes))
	for _, node := range nodes {
		go func() {
			err := v.readTail(ctx, node, handler, string(request), out)
			if err != nil && ctx.Err() == nil && len(nodes) > 1 {
				_ = out.tellEnd(node, err) // it is an error all the same
			}
			ended <- err
		}()
	}
	var failures []error
	without := 0
	for range nodes {
		f := (*failure)(nil)
		switch failed := <-ended; {
		case failed == nil || ctx.Err() != nil: // Ctrl-C is how a tail ends
		case len(nodes) == 1:
			return failed
		case errors.As(failed, &f) && f.noHandler:
			without++ // which was told
		default:
			failures = append(failures, failed)
		}
	}
	switch {
	case without == len(nodes):
		return &failure{status: exitFailed, text: "none of these nodes shows a tail, see above"}
	case len(failures) == 0:
		if handler == adminapi.HandlerAuditTail && !v.tail.follow && v.tail.past > 0 && !out.wrote {
			_, _ = fmt.Fprintln(v.Stderr, "node audit: no record to show; where the audit has no target, there are some only while somebody looks on, as with --follow")
		}
		return nil
	}
	f := &failure{status: exitFailed}
	errors.As(failures[0], &f)
	return &failure{status: f.status, text: fmt.Sprintf("%d of %d nodes' tails ended with an error, see above", len(failures), len(nodes))}
}

// tailed are the names of the nodes whose tails are asked for.
func (v *invocation) tailed(ctx context.Context) ([]string, error) {
	nodes := v.args[1:]
	switch {
	case v.tail.mesh && len(nodes) > 0:
		return nil, &failure{status: exitUsage, text: "--mesh is all nodes; leave it or the names out"}
	case v.tail.mesh:
		var names adminapi.PeerNames
		if _, err := v.client.getJSON(ctx, adminapi.PathPeers, &names); err != nil {
			return nil, err
		}
		if nodes = names.Peers; len(nodes) > tailNodes {
			return nil, &failure{
				status: exitUsage, text: fmt.Sprintf("the mesh has %d nodes, more than %d", len(nodes), tailNodes),
				hint: "name some of them; node peers show lists them",
			}
		}
	case len(nodes) == 0:
		var status adminapi.Status
		if _, err := v.client.getJSON(ctx, adminapi.PathStatus, &status); err != nil {
			return nil, err
		}
		nodes = []string{status.Node.Name}
	}
	slices.Sort(nodes)
	return slices.Compact(nodes), nil
}
