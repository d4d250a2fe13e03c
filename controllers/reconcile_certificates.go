package controllers

import (
	"context"
	"crypto/x509"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/feed"
	"github.com/gridmesh/gridmesh/controllers/names"
	"github.com/gridmesh/gridmesh/controllers/pki"
)

// annotationIssuedFor is cert-manager's, on Secrets that it writes.
const annotationIssuedFor = "cert-manager.io/certificate-name"

// reconcileCertificates sees to the certificate of the nodes, in the modes in
// which the operator has a part in it.
func (s *scope) reconcileCertificates(ctx context.Context) error {
	if s.service() == "" {
		return nil // names of pods are not known yet
	}
	switch s.grid.Spec.TLS.Mode {
	case v1alpha1.TLSSelf:
		return s.reconcileAuthority(ctx)
	case v1alpha1.TLSCertManager:
		return s.reconcileCertManager(ctx)
	case v1alpha1.TLSSecret, v1alpha1.TLSVolume, v1alpha1.TLSNone:
	}
	return nil
}

// reconcileAuthority sees to the Grid's own authority and the certificate that
// it issues. The authority's Secret is written first: a certificate that nodes
// have, of an authority that nobody kept, could not be followed up.
func (s *scope) reconcileAuthority(ctx context.Context) error {
	kept, err := cached[corev1.Secret](ctx, s, names.CASecret(s.grid.Name))
	if err != nil {
		return err
	}
	given, err := cached[corev1.Secret](ctx, s, names.TLSSecret(s.grid.Name))
	if err != nil {
		return err
	}
	state, unreadable := authorityIn(kept)
	if unreadable != nil {
		log.FromContext(ctx).Error(unreadable, "the authority of a grid is lost; making another")
		s.eventf("Warning", "AuthorityLost", "Issue", "%v; making another authority", unreadable)
	}
	leaf, pair, trusted := tlsIn(given)
	seen := pki.Seen{
		Grid: names.ID(s.grid), Now: s.now, Leaf: leaf, Trusted: trusted,
		Everywhere: leaf != nil && s.everywhere(leaf),
		Rotate:     s.grid.Annotations[AnnotationRotateAuthority],
		Renew:      s.grid.Annotations[AnnotationRenewCertificate],
	}
	if given != nil {
		seen.Renewed = given.Annotations[annotationRenewed]
	}
	state, changed, err := state.Step(seen)
	if err != nil {
		return err
	}
	authority, err := authoritySecretOf(s.grid, state)
	if err != nil {
		return err
	}
	if err := s.applyOver(ctx, authority, kept); err != nil {
		return err
	}
	if changed {
		s.tellStage(state)
	}
	if state.Stage != pki.Steady {
		s.rotating = string(state.Stage)
	}

	host := names.Wildcard(s.service(), s.grid.Namespace)
	why := state.NeedsLeaf(host, seen)
	if why != "" {
		if err := s.dismissCertManager(ctx, given); err != nil {
			return err
		}
		if pair, err = state.Current.Issue(host, s.now); err != nil {
			return err
		}
		certs, err := pki.ParseCerts(pair.Cert)
		if err != nil {
			return err
		}
		leaf, seen.Renewed = certs[0], seen.Renew
	}
	if err := s.applyOver(ctx, tlsSecretOf(s.grid, pair, state.Bundle(), seen.Renewed), given); err != nil {
		return err
	}
	if why != "" {
		s.eventf("Normal", "CertificateIssued", "Issue", "issued a certificate for %s, valid until %s: %s",
			host, leaf.NotAfter.UTC().Format("2006-01-02 15:04"), why)
	}
	s.wakeAt(state.Wake(leaf))
	return nil
}

// everywhere reports whether every pod with an address has proved that it uses
// this certificate, and so has read the authorities that came with it.
func (s *scope) everywhere(leaf *x509.Certificate) bool {
	for _, p := range s.pods {
		ack, heard := s.feed.Acks[p.Name]
		switch {
		case feed.Address(p) == "":
		case !heard || !ack.Verified || ack.CertificateExpires == nil || !ack.CertificateExpires.Equal(leaf.NotAfter):
			return false
		}
	}
	return true
}

func (s *scope) tellStage(state pki.State) {
	id := pki.ID(state.Current.Cert)
	switch state.Stage {
	case pki.Announcing:
		s.eventf("Normal", "AuthorityAnnounced", "Rotate", "authority %s will follow %s; nodes are told to trust it", pki.ID(state.Next.Cert), id)
	case pki.Retiring:
		s.eventf("Normal", "AuthorityReplaced", "Rotate", "authority %s issues from now on; the old one is trusted until no node needs it", id)
	case pki.Steady:
		s.eventf("Normal", "AuthorityCurrent", "Rotate", "authority %s is the only one that nodes trust", id)
	}
}

// reconcileCertManager asks cert-manager for the certificate. Certificates are
// not cached, since the cluster may not know the kind: they are asked for here.
func (s *scope) reconcileCertManager(ctx context.Context) error {
	live := new(unstructured.Unstructured)
	live.SetGroupVersionKind(certificateKind)
	err := s.Reader.Get(ctx, client.ObjectKey{Namespace: s.grid.Namespace, Name: names.Certificate(s.grid.Name)}, live)
	switch {
	case isNoKind(err):
		p := refuse(reasonNoCertManager, "spec.tls.mode is certManager, and this cluster has no cert-manager: install it, or choose another mode")
		p.unseen = true
		return p
	case client.IgnoreNotFound(err) != nil:
		return fmt.Errorf("read Certificate %s: %w", names.Certificate(s.grid.Name), err)
	case err != nil:
		live = nil
	}
	return s.apply(ctx, certificateOf(s.grid, s.service()), live)
}

// dismissCertManager takes the certificate out of cert-manager's hands, after
// the mode was changed to self: two would write the same Secret.
func (s *scope) dismissCertManager(ctx context.Context, given *corev1.Secret) error {
	if given == nil || given.Annotations[annotationIssuedFor] != names.Certificate(s.grid.Name) {
		return nil
	}
	certificate := new(unstructured.Unstructured)
	certificate.SetGroupVersionKind(certificateKind)
	name := names.Certificate(s.grid.Name)
	switch err := s.Reader.Get(ctx, client.ObjectKey{Namespace: s.grid.Namespace, Name: name}, certificate); {
	case apierrors.IsNotFound(err), isNoKind(err):
		return nil
	case err != nil:
		return fmt.Errorf("read Certificate %s: %w", name, err)
	case !s.mine(certificate):
		return s.conflict(certificate, certificate)
	}
	uid := certificate.GetUID()
	if err := client.IgnoreNotFound(s.Delete(ctx, certificate, client.Preconditions{UID: &uid})); err != nil {
		return fmt.Errorf("delete Certificate %s: %w", name, err)
	}
	return nil
}
