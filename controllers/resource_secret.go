package controllers

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/names"
	"github.com/gridmesh/gridmesh/controllers/pki"
)

// Keys in the Secret of the Grid's own authority.
const (
	keyCurrentCert = "current.crt"
	keyCurrentKey  = "current.key"
	keyNextCert    = "next.crt"
	keyNextKey     = "next.key"
	keyOldCerts    = "old.crt"
)

// Annotations on the two Secrets.
const (
	annotationStage   = "gridmesh.io/stage"
	annotationSince   = "gridmesh.io/stage-since"
	annotationBefore  = "gridmesh.io/stage-after-certificate"
	annotationRotated = "gridmesh.io/rotated"
	annotationRenewed = "gridmesh.io/renewed"
)

// Annotations on a Grid with which a user asks for something once: any value
// that differs from the last one is a new wish.
const (
	AnnotationRotateAuthority  = "gridmesh.io/rotate-authority"
	AnnotationRenewCertificate = "gridmesh.io/renew-certificate"
)

// secretFor is a Secret of the Grid. Those of an adopted Grid outlive it: its
// pods go on, and mount them.
func secretFor(g *v1alpha1.Grid, name string, kind corev1.SecretType) *corev1ac.SecretApplyConfiguration {
	s := corev1ac.Secret(name, g.Namespace).WithLabels(names.Labels(g.Name)).WithType(kind)
	if !names.Adopted(g) {
		s.WithOwnerReferences(ownedBy(g))
	}
	return s
}

// authoritySecretOf keeps the authority's keys. No pod mounts it.
func authoritySecretOf(g *v1alpha1.Grid, s pki.State) (*corev1ac.SecretApplyConfiguration, error) {
	// All keys, always: one that is left out would stay as somebody has set it.
	data := map[string][]byte{keyCurrentCert: {}, keyCurrentKey: {}, keyNextCert: {}, keyNextKey: {}, keyOldCerts: {}}
	for _, a := range []struct {
		authority *pki.Authority
		cert, key string
	}{{s.Current, keyCurrentCert, keyCurrentKey}, {s.Next, keyNextCert, keyNextKey}} {
		if a.authority == nil {
			continue
		}
		pair, err := a.authority.PEM()
		if err != nil {
			return nil, err
		}
		data[a.cert] = pair.Cert
		data[a.key] = append(data[a.key], pair.Key...)
	}
	if len(s.Old) > 0 {
		var old bytes.Buffer
		for _, c := range s.Old {
			if err := pem.Encode(&old, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}); err != nil {
				return nil, err
			}
		}
		data[keyOldCerts] = old.Bytes()
	}
	return secretFor(g, names.CASecret(g.Name), corev1.SecretTypeOpaque).
		WithAnnotations(map[string]string{
			annotationStage:   string(s.Stage),
			annotationSince:   s.Since.UTC().Format(time.RFC3339),
			annotationBefore:  s.Before,
			annotationRotated: s.Rotated,
		}).
		WithData(data), nil
}

// authorityIn reads what authoritySecretOf wrote. What cannot be read counts as
// lost, and the error says so.
func authorityIn(s *corev1.Secret) (pki.State, error) {
	if s == nil {
		return pki.State{}, nil
	}
	current, err := pki.ParseAuthority(pki.Pair{Cert: s.Data[keyCurrentCert], Key: s.Data[keyCurrentKey]})
	if err != nil {
		return pki.State{}, fmt.Errorf("%s of Secret %s: %w", keyCurrentCert, s.Name, err)
	}
	state := pki.State{
		Current: current,
		Stage:   pki.Stage(s.Annotations[annotationStage]),
		Before:  s.Annotations[annotationBefore],
		Rotated: s.Annotations[annotationRotated],
	}
	// A time that cannot be read is long past: no stage may last for ever.
	state.Since, _ = time.Parse(time.RFC3339, s.Annotations[annotationSince])
	if state.Stage != pki.Announcing && state.Stage != pki.Retiring {
		state.Stage = pki.Steady
	}
	if state.Next, err = pki.ParseAuthority(pki.Pair{Cert: s.Data[keyNextCert], Key: s.Data[keyNextKey]}); err != nil {
		return state, fmt.Errorf("%s of Secret %s: %w", keyNextCert, s.Name, err)
	}
	if old := s.Data[keyOldCerts]; len(old) > 0 {
		if state.Old, err = pki.ParseCerts(old); err != nil {
			return state, fmt.Errorf("%s of Secret %s: %w", keyOldCerts, s.Name, err)
		}
	}
	return state, nil
}

// tlsSecretOf is what nodes mount.
func tlsSecretOf(g *v1alpha1.Grid, leaf pki.Pair, trusted []byte, renewed string) *corev1ac.SecretApplyConfiguration {
	return secretFor(g, names.TLSSecret(g.Name), corev1.SecretTypeTLS).
		WithAnnotations(map[string]string{annotationRenewed: renewed}).
		WithData(map[string][]byte{
			names.KeyCert: leaf.Cert,
			names.KeyKey:  leaf.Key,
			names.KeyCA:   trusted,
		})
}

// tlsIn reads what nodes mount: nil where it is missing or of no use.
func tlsIn(s *corev1.Secret) (leaf *x509.Certificate, pair pki.Pair, trusted []*x509.Certificate) {
	if s == nil {
		return nil, pki.Pair{}, nil
	}
	trusted, err := pki.ParseCerts(s.Data[names.KeyCA])
	if err != nil {
		trusted = nil
	}
	pair = pki.Pair{Cert: s.Data[names.KeyCert], Key: s.Data[names.KeyKey]}
	parsed, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		return nil, pki.Pair{}, trusted
	}
	return parsed.Leaf, pair, trusted
}
