package feed

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/gridmesh/gridmesh/controllers/names"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// Annotations on the ConfigMap.
const (
	// noteEpoch is the epoch of the list: for people, and for the case that the
	// list itself is lost.
	noteEpoch = "gridmesh.io/epoch"
	// noteMadeAt is when the list was made.
	noteMadeAt = "gridmesh.io/committed"
)

// record is what a Grid's ConfigMap holds.
type record struct {
	version string     // resourceVersion; "" if there is no ConfigMap
	list    peers.List // zero if there is none, or none to believe
	signed  []string   // ids of the keys that signed it
	trusted []string   // ids of the keys that nodes are told to trust
	broken  error      // why what is there is no list of this mesh
	noted   uint64     // epoch in the annotation: of the list that should be there
	content content
}

// content is what the feed writes into the ConfigMap.
type content struct {
	document  []byte    // nil: nobody is in the mesh yet
	made      time.Time // the document; zero: long ago
	trusted   string    // PEM
	settings  string    // grid.json
	telemetry string    // telemetry.json; "": there is none
}

// equal: the same bytes.
func (c *content) equal(other *content) bool {
	return bytes.Equal(c.document, other.document) && c.trusted == other.trusted && c.settings == other.settings && c.telemetry == other.telemetry
}

// errForeignMesh: somebody put the ConfigMap of another mesh here.
var errForeignMesh = errors.New("the list is of another mesh than the one whose keys are in the Secret")

// readRecord reads a ConfigMap. A list is believed that one of keys signed; where
// there is no Secret with keys (keys is nil), one that the ConfigMap's own keys
// signed: who may write there says whom nodes believe.
func readRecord(c *corev1.ConfigMap, grid string, keys *Keys) record {
	noted, _ := strconv.ParseUint(c.Annotations[noteEpoch], 10, 64) // none: no help
	made, _ := time.Parse(time.RFC3339, c.Annotations[noteMadeAt])  // the same
	r := record{version: c.ResourceVersion, noted: min(noted, peers.MaxEpoch), content: content{
		made:     made,
		document: c.BinaryData[names.KeyDocument], trusted: c.Data[names.KeyTrusted], settings: c.Data[names.KeySettings],
		telemetry: c.Data[names.KeyTelemetry],
	}}
	public, err := peers.ParsePublicKeys([]byte(r.content.trusted))
	for _, key := range public {
		r.trusted = append(r.trusted, peers.KeyID(key))
	}
	if len(r.content.document) == 0 {
		return r
	}
	trust := peers.Trust{Grid: grid, Keys: public}
	if keys != nil {
		trust.Keys, err = keys.trusted(), nil
	}
	if err != nil {
		r.broken = err
		return r
	}
	list, err := peers.Verify(r.content.document, trust)
	if errors.Is(err, peers.ErrSignature) && len(public) > 0 {
		// The Secret was made anew, or a rotation was cut short by hand.
		trust.Keys = public
		list, err = peers.Verify(r.content.document, trust)
	}
	switch {
	case err != nil:
		r.broken = err
	case keys != nil && list.MeshID != keys.MeshID:
		r.broken = errForeignMesh
	default:
		r.list, r.signed = list, signers(r.content.document)
	}
	return r
}

// signers reads off a good document whose signatures it has.
func signers(document []byte) (ids []string) {
	for line := range bytes.Lines(document) {
		kind, rest, _ := strings.Cut(string(line[:min(len(line), 64)]), " ")
		switch kind {
		case "signature":
			id, _, _ := strings.Cut(rest, " ")
			ids = append(ids, id)
		case "payload":
			return ids
		}
	}
	return ids
}

// trustedText is the PEM of the keys that nodes are to trust.
func trustedText(keys []ed25519.PublicKey) (string, error) {
	text, err := peers.MarshalPublicKeys(keys...)
	return string(text), err
}
