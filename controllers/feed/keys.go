package feed

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// Keys in the Secret with the signing keys.
const (
	keyActive = "signing.key" // PEM: what signs
	keyNext   = "next.key"    // PEM: what will; only while the key is rotated
	keyMesh   = "mesh-id"     // of the mesh: a ConfigMap that was lost comes back as the same mesh
)

// Annotations on that Secret.
const (
	noteMade  = "gridmesh.io/key-made"       // when the key that signs was made
	notePhase = "gridmesh.io/rotation-phase" // how far a rotation is
	noteSince = "gridmesh.io/rotation-since" // when that phase began
	noteAsked = "gridmesh.io/rotated-for"    // the value of AnnotationRotate that has been served
)

// AnnotationRotate on a Grid asks for another signing key. Each new value asks
// once.
const AnnotationRotate = "gridmesh.io/rotate-signing-key"

// Keys is the content of the Secret with the signing keys.
type Keys struct {
	Active ed25519.PrivateKey
	Next   ed25519.PrivateKey // nil but while the key is rotated
	MeshID string

	Phase Phase
	Since time.Time // of the phase
	Made  time.Time // of Active
	Asked string    // the request that was served last
}

// newKeys makes the keys of a mesh.
func newKeys(meshID, asked string, now time.Time) (Keys, error) {
	active, err := newKey()
	return Keys{Active: active, MeshID: meshID, Made: now, Asked: asked}, err
}

func newKey() (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a signing key: %w", err)
	}
	return key, nil
}

// signers are the keys that sign in the phase, trusted those that nodes are to
// trust.
func (k *Keys) signers() []ed25519.PrivateKey {
	switch k.Phase {
	case PhaseIdle, PhaseAnnounce:
		return []ed25519.PrivateKey{k.Active}
	case PhaseBoth:
		return []ed25519.PrivateKey{k.Active, k.Next}
	case PhaseAlone:
		return []ed25519.PrivateKey{k.Next}
	}
	return nil
}

func (k *Keys) trusted() []ed25519.PublicKey {
	keys := []ed25519.PublicKey{public(k.Active)}
	if k.Next != nil {
		keys = append(keys, public(k.Next))
	}
	return keys
}

func public(key ed25519.PrivateKey) ed25519.PublicKey {
	return ed25519.PublicKey(key[ed25519.PrivateKeySize-ed25519.PublicKeySize:])
}

// keyID names a key as nodes report it.
func keyID(key ed25519.PrivateKey) string { return peers.KeyID(public(key)) }

// parseKeys reads the Secret. Its errors tell nothing of the keys.
func parseKeys(data map[string][]byte, notes map[string]string) (Keys, error) {
	k := Keys{MeshID: string(data[keyMesh]), Phase: Phase(notes[notePhase]), Asked: notes[noteAsked]}
	var err error
	if k.Active, err = peers.ParsePrivateKey(data[keyActive]); err != nil {
		return Keys{}, fmt.Errorf("%s: %w", keyActive, err)
	}
	if len(k.MeshID) != len(peers.NewMeshID()) {
		return Keys{}, fmt.Errorf("%s is no mesh id", keyMesh)
	}
	if len(data[keyNext]) > 0 {
		if k.Next, err = peers.ParsePrivateKey(data[keyNext]); err != nil {
			return Keys{}, fmt.Errorf("%s: %w", keyNext, err)
		}
	}
	if k.Next != nil && k.Next.Equal(k.Active) {
		return Keys{}, errors.New(keyNext + " is the same key as " + keyActive)
	}
	switch k.Phase {
	case PhaseIdle:
		k.Next = nil // of a rotation that somebody broke off by hand
	case PhaseAnnounce, PhaseBoth, PhaseAlone:
		if k.Next == nil {
			return Keys{}, fmt.Errorf("%s is missing, and the annotation %s says %s", keyNext, notePhase, k.Phase)
		}
	default:
		return Keys{}, fmt.Errorf("annotation %s is %.80q; allowed are %s, %s, %s, or none", notePhase, k.Phase, PhaseAnnounce, PhaseBoth, PhaseAlone)
	}
	// A time that cannot be read is long ago: the key is due, the wait is over.
	k.Since, _ = time.Parse(time.RFC3339, notes[noteSince])
	k.Made, _ = time.Parse(time.RFC3339, notes[noteMade])
	return k, nil
}

// data and notes are what parseKeys reads.
func (k *Keys) data() (map[string][]byte, error) {
	active, err := peers.MarshalPrivateKey(k.Active)
	if err != nil {
		return nil, err
	}
	data := map[string][]byte{keyActive: active, keyMesh: []byte(k.MeshID)}
	if k.Next != nil {
		if data[keyNext], err = peers.MarshalPrivateKey(k.Next); err != nil {
			return nil, err
		}
	}
	return data, nil
}

func (k *Keys) notes() map[string]string {
	notes := map[string]string{noteMade: k.Made.UTC().Format(time.RFC3339)}
	if k.Phase != PhaseIdle {
		notes[notePhase] = string(k.Phase)
		notes[noteSince] = k.Since.UTC().Format(time.RFC3339)
	}
	if k.Asked != "" {
		notes[noteAsked] = k.Asked
	}
	return notes
}
