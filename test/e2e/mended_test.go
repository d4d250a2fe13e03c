//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/internal/certs"
)

// mended: what a user gets wrong is said in the Grid's status, and when it is put
// right the Grid comes up by itself.
func mended(s *suite, t *testing.T) {
	namespace := s.namespace(t, "e2e-mended")
	says := func(grid *v1alpha1.Grid, kind, words string) {
		t.Helper()
		eventually(t, grid.Name+" to say what is wrong", func(ctx context.Context) error {
			if err := s.get(ctx, grid); err != nil {
				return err
			}
			if c := meta.FindStatusCondition(grid.Status.Conditions, kind); c == nil || !strings.Contains(c.Message, words) || strings.ContainsAny(c.Reason, " -_") {
				return errors.New(kind + " is " + said(grid, kind))
			}
			return nil
		})
	}
	image := s.grid(namespace, "image", 1)
	right := image.Spec.Image
	image.Spec.Image = "gridmesh/node:mistyped"
	secret := s.grid(namespace, "secret", 1)
	secret.Spec.TLS = v1alpha1.TLS{Mode: v1alpha1.TLSSecret, Secret: &v1alpha1.SecretTLS{Name: "mine"}}
	taken := s.grid(namespace, "taken", 1)
	port := s.grid(namespace, "port", 1)
	port.Spec.PodTemplate = sidecar(t, s.version)
	theirs := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "taken"},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "theirs"}, Ports: []corev1.ServicePort{{Port: 80}}},
	}
	s.create(t, theirs, image, secret, taken, port)

	says(image, v1alpha1.ConditionReady, "gridmesh/node:mistyped")
	says(secret, v1alpha1.ConditionReady, "mine")
	says(taken, v1alpha1.ConditionAccepted, "taken")
	says(port, v1alpha1.ConditionReady, "address already in use")
	if err := s.get(t.Context(), theirs); err != nil || theirs.Spec.Selector["app"] != "theirs" || len(theirs.OwnerReferences) != 0 {
		t.Errorf("the Service of another was touched: %+v, %v", theirs.ObjectMeta, err)
	}

	change(t, s, image, func(g *v1alpha1.Grid) { g.Spec.Image = right })
	if err := s.client.Delete(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	change(t, s, port, func(g *v1alpha1.Grid) { g.Spec.PodTemplate = nil })
	s.create(t, certificateOf(t, namespace, "mine", fmt.Sprintf("secret-0.secret.%s.svc:7700", namespace)))
	for _, name := range []string{"image", "taken", "port"} {
		s.formed(t, namespace, name, 1)
	}
	s.linked(t, namespace, "secret", 1) // the operator has no authority to believe it by
}

// sidecar is a container beside the node that wants its port.
func sidecar(t *testing.T, version string) *v1alpha1.PodTemplate {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"containers": []corev1.Container{{
		Name: "beside", Image: "gridmesh/node:" + version, SecurityContext: restrictedContainer,
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		Args:                     []string{"--name=localhost:7700", "--peers=localhost:7700", "--listen=:7700", "--admin-addr=:7801", "--insecure-plain-text"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return &v1alpha1.PodTemplate{Spec: &runtime.RawExtension{Raw: raw}}
}

// certificateOf is the Secret of a user's own with a certificate for a node.
func certificateOf(t *testing.T, namespace, name, node string) *corev1.Secret {
	t.Helper()
	authority, err := certs.NewAuthority("e2e")
	if err != nil {
		t.Fatal(err)
	}
	issued, err := authority.Issue(certs.Leaf{Name: node})
	if err != nil {
		t.Fatal(err)
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{"tls.crt": issued.Cert, "tls.key": issued.Key, "ca.crt": authority.PEM},
	}
}
