package nodectl

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/settings"
)

var peersCommand = command{
	name: "peers", args: "show | set FILE", least: 1, most: 2,
	about: `Show the peer list that a running node uses, or give it a new one: a signed document,
or, where the configuration names the peers itself, a file with all names, one a line,
until the node restarts. FILE may be - for standard input.`,
	examples: `  node peers show
  node peers set peers.signed
  printf '%s\n' node-0:7700 node-1:7700 | node peers set -
`,
	settings: func(o *options) []settings.Setting { return []settings.Setting{jsonSetting(o)} },
	run:      runPeers,
}

func runPeers(ctx context.Context, v *invocation) error {
	switch {
	case v.args[0] == "show" && len(v.args) == 1:
		var names adminapi.PeerNames
		raw, err := v.client.getJSON(ctx, adminapi.PathPeers, &names)
		if err != nil {
			return err
		}
		return v.writePeers(raw, &names)
	case v.args[0] == "set" && len(v.args) == 2:
		return setPeers(ctx, v)
	}
	return &failure{status: exitUsage, text: fmt.Sprintf("%q where \"show\" or \"set FILE\" belongs", v.args), hint: "node help peers says more"}
}

func setPeers(ctx context.Context, v *invocation) error {
	text, err := readInput(v)
	if err != nil {
		return &failure{status: exitUsage, text: err.Error()}
	}
	var names adminapi.PeerNames
	put := func(kind string, into any) ([]byte, error) {
		return v.client.json(ctx, http.MethodPut, adminapi.PathPeers, http.Header{"Content-Type": {kind}}, bytes.NewReader(text), into)
	}
	if !bytes.HasPrefix(text, []byte(adminapi.SignedBegins)) {
		raw, err := put(adminapi.TypeNames, &names)
		if err != nil {
			return err
		}
		return v.writePeers(raw, &names)
	}
	// A signed list is acknowledged with all but the names.
	if _, err := put(adminapi.TypeSigned, &adminapi.Ack{}); err != nil {
		return err
	}
	raw, err := v.client.getJSON(ctx, adminapi.PathPeers, &names)
	if err != nil {
		return err
	}
	return v.writePeers(raw, &names)
}

func readInput(v *invocation) ([]byte, error) {
	if v.args[1] == "-" {
		v.sayIfTerminal("the list")
		return io.ReadAll(v.Stdin)
	}
	return os.ReadFile(v.args[1])
}

// writePeers writes names that peers set takes back, with what there is to say
// of the list as comments.
func (v *invocation) writePeers(raw []byte, names *adminapi.PeerNames) error {
	if v.asJSON {
		_, err := v.Stdout.Write(raw)
		return err
	}
	fmt.Fprintf(v.Stdout, "# peer list %s\n", list(&names.PeerList))
	if names.LastError != "" {
		fmt.Fprintf(v.Stdout, "# a newer one was refused: %s\n", names.LastError)
	}
	for _, name := range names.Peers {
		fmt.Fprintln(v.Stdout, name)
	}
	return nil
}
