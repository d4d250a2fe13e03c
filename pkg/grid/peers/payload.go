package peers

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// payloadVersion is the version of the JSON that this build writes, and the
// only one that it reads.
const payloadVersion = 1

// maxFields bounds what is skipped.
const maxFields = 64

// payload is what [Sign] writes, field by field; reading goes another way,
// since encoding/json takes "Peers" for "peers" and the last of two.
type payload struct {
	Version    int               `json:"version"`
	Grid       string            `json:"grid"`
	MeshID     string            `json:"meshID"`
	Epoch      uint64            `json:"epoch"`
	Identity   string            `json:"identity,omitempty"`
	Topology   string            `json:"topology,omitempty"`
	Peers      []string          `json:"peers"`
	Hints      map[string]string `json:"hints,omitempty"`
	AllowEmpty bool              `json:"allowEmpty,omitempty"`
}

// appendJSON appends the list as the JSON of a payload.
func (l List) appendJSON(dst []byte) ([]byte, error) {
	names := l.Names
	if names == nil {
		names = []string{} // [], not null
	}
	text, err := json.Marshal(payload{
		Version: payloadVersion, Grid: l.Grid, MeshID: l.MeshID, Epoch: l.Epoch,
		Identity: l.Identity, Topology: l.Topology, Peers: names, Hints: l.Hints, AllowEmpty: l.AllowEmpty,
	})
	return append(dst, text...), err
}

// parseJSON reads the JSON of a payload. Fields that it does not know are
// skipped: they are advice of a later release. Whatever a reader must not miss
// raises the version.
func parseJSON(text []byte) (List, error) {
	if !json.Valid(text) {
		return List{}, fmt.Errorf("%w: the payload is not one JSON value", ErrMalformed)
	}
	fields := make(map[string]json.RawMessage)
	if err := eachMember(text, '{', func(name string, value []byte) error {
		if len(fields) == maxFields {
			return fmt.Errorf("more than %d fields", maxFields)
		}
		if fields[name] != nil {
			return errTwice
		}
		fields[name] = value
		return nil
	}); err != nil {
		return List{}, fmt.Errorf("%w: payload: %w", ErrMalformed, err)
	}

	// Before all others: in another version they may mean anything.
	r := fieldReader{fields: fields}
	if version := r.number("version"); r.err == nil && version != payloadVersion {
		return List{}, fmt.Errorf("%w: payload version %d, this build reads %d; update this program", ErrVersion, version, payloadVersion)
	}
	l := List{
		Grid:       r.text("grid", true),
		MeshID:     r.text("meshID", true),
		Epoch:      r.number("epoch"),
		Identity:   r.text("identity", false),
		Topology:   r.text("topology", false),
		Names:      r.names("peers"),
		Hints:      r.hints("hints"),
		AllowEmpty: r.flag("allowEmpty"),
	}
	if r.err != nil {
		return List{}, fmt.Errorf("%w: payload: %w", ErrMalformed, r.err)
	}
	return l, l.check()
}

// check returns what breaks the rules of a signed list, for its writer and its
// reader alike.
func (l List) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
	}
	switch {
	case l.Grid == "" || len(l.Grid) > MaxGridLength || strings.ContainsFunc(l.Grid, notGridByte):
		return bad("grid %s, allowed are 1 to %d letters, digits, '.', '_', '-' and '/'", quote(l.Grid), MaxGridLength)
	case !isHex(l.MeshID, meshIDLength):
		return bad("meshID %s, allowed are %d lower-case hex digits (peers.NewMeshID makes one)", quote(l.MeshID), meshIDLength)
	case l.Epoch == 0 || l.Epoch > MaxEpoch:
		return bad("epoch %d, allowed are 1 to %d", l.Epoch, uint64(MaxEpoch))
	case l.Identity != "" && l.Identity != IdentityGrid && l.Identity != IdentityPod:
		return bad("identity %s, allowed are %q and %q", quote(l.Identity), IdentityGrid, IdentityPod)
	case l.Topology != "" && l.Topology != TopologyFull && l.Topology != TopologyOnDemand:
		return bad("topology %s, allowed are %q and %q", quote(l.Topology), TopologyFull, TopologyOnDemand)
	case len(l.Names) == 0 && !l.AllowEmpty:
		return fmt.Errorf("%w: a list of nobody needs allowEmpty", ErrEmpty)
	}
	if err := checkNames(l.Names); err != nil {
		return err
	}
	var text [64]byte
	for name, hint := range l.Hints {
		_, known := slices.BinarySearch(l.Names, name) // they are sorted, as was just checked
		addr, err := netip.ParseAddr(hint)
		switch {
		case !known:
			return bad("hints: %s is not among the peers", quote(name))
		case err != nil || addr.Zone() != "" || string(addr.AppendTo(text[:0])) != hint:
			return bad("hints: %s of %s is no IP address in its shortest form", quote(hint), quote(name))
		}
	}
	return nil
}

func notGridByte(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-/", r)
}
