package controllers

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
)

// reviewSecret looks whether the user's Secret is there, in mode secret, as
// long as not all pods are ready: they wait for it. It asks for the Secret's
// metadata only. Once it is there the pods come up by themselves, which the
// cache tells of.
func (s *scope) reviewSecret(ctx context.Context) error {
	if s.grid.Spec.TLS.Mode != v1alpha1.TLSSecret || s.set != nil && int32(s.readyPods()) >= s.wish() {
		return nil
	}
	name := s.grid.Spec.TLS.Secret.Name
	found, err := s.metadataOf(ctx, corev1.SchemeGroupVersion.WithKind("Secret"), name)
	if err != nil || found != nil {
		return err
	}
	p := refuse(reasonSecretMissing, "there is no Secret %s, which spec.tls.secret names; pods wait for it. It holds tls.crt, tls.key and ca.crt", name)
	p.unseen = true
	return p
}
