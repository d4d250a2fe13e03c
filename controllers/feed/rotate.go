package feed

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"time"
)

// Phase is how far a rotation of the signing key is. At each step, each list
// that is about verifies on each node:
//
//	phase    | signed by | trusted | goes on when each member
//	idle     | old       | old     | (a rotation is asked for, or due)
//	announce | old       | both    | trusts the new one
//	both     | both      | both    | has the list that both signed
//	alone    | new       | both    | has the list that the new one alone signed
//	idle     | new       | new     | (the new one is the old one of the next time)
//
// It goes on as well when that has lasted rotateWait: a member that says nothing
// then has had the keys by its mounted ConfigMap many times over, or comes back
// with them.
type Phase string

// Phases.
const (
	PhaseIdle     Phase = ""
	PhaseAnnounce Phase = "announce"
	PhaseBoth     Phase = "both"
	PhaseAlone    Phase = "alone"
)

// View is what a rotation looks at besides the keys.
type View struct {
	Now   time.Time
	Want  string        // value of AnnotationRotate
	Every time.Duration // age at which a key is due; 0: never

	// Of the committed ConfigMap.
	Trusted []string // ids of the keys in it
	Signed  []string // ids of the keys that signed the list in it
	Epoch   uint64   // of that list; 0: none yet

	// Of the members whose pod has an address.
	Members []Seen
}

// Seen is what one member has said; only what was proven.
type Seen struct {
	Epoch uint64 // of the list of this mesh that it uses; 0: nothing was heard
	Keys  []string
}

// Step says what the keys should be next, and whether that is a change. It is
// called again once the change is stored, and the ConfigMap follows the stored
// keys, so that an operator that ends in between leaves nothing undone.
func Step(k Keys, v View) (next Keys, changed bool, err error) {
	next = k
	enter := func(p Phase) (Keys, bool, error) {
		next.Phase, next.Since = p, v.Now
		return next, true, nil
	}
	switch k.Phase {
	case PhaseIdle:
		asked := v.Want != "" && v.Want != k.Asked
		due := v.Every > 0 && v.Now.Sub(k.Made) >= v.Every
		if !asked && !due {
			return k, false, nil
		}
		if next.Next, err = newKey(); err != nil {
			return k, false, err
		}
		if asked {
			next.Asked = v.Want
		}
		return enter(PhaseAnnounce)
	case PhaseAnnounce:
		id := keyID(k.Next)
		if slices.Contains(v.Trusted, id) && v.all(k, func(s Seen) bool { return slices.Contains(s.Keys, id) }) {
			return enter(PhaseBoth)
		}
	case PhaseBoth, PhaseAlone:
		if !v.signedBy(k.signers()) || !v.all(k, func(s Seen) bool { return s.Epoch >= v.Epoch }) {
			break
		}
		if k.Phase == PhaseBoth {
			return enter(PhaseAlone)
		}
		next.Active, next.Next, next.Made = k.Next, nil, v.Now
		next.Phase, next.Since = PhaseIdle, time.Time{}
		return next, true, nil
	}
	return k, false, nil
}

// all reports whether each member has said it, or has had its time.
func (v *View) all(k Keys, said func(Seen) bool) bool {
	return v.Now.Sub(k.Since) >= rotateWait || !slices.ContainsFunc(v.Members, func(s Seen) bool { return !said(s) })
}

// signedBy reports whether exactly these keys signed the committed list. Where
// there is no list yet, nobody has one of the old key.
func (v *View) signedBy(signers []ed25519.PrivateKey) bool {
	if v.Epoch == 0 {
		return true
	}
	ids := make([]string, len(signers))
	for i, key := range signers {
		ids[i] = keyID(key)
	}
	slices.Sort(ids)
	return slices.Equal(ids, slices.Sorted(slices.Values(v.Signed)))
}

// describe says for people how far it is.
func (k *Keys) describe() string {
	switch k.Phase {
	case PhaseIdle:
	case PhaseAnnounce:
		return fmt.Sprintf("announcing key %s", keyID(k.Next))
	case PhaseBoth:
		return fmt.Sprintf("signing with %s and %s", keyID(k.Active), keyID(k.Next))
	case PhaseAlone:
		return fmt.Sprintf("signing with %s, dropping %s", keyID(k.Next), keyID(k.Active))
	}
	return ""
}
