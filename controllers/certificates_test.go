package controllers

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/feed"
	"github.com/gridmesh/gridmesh/controllers/names"
	"github.com/gridmesh/gridmesh/controllers/pki"
)

func (w *world) annotate(g *v1alpha1.Grid, key, value string) {
	w.Helper()
	update(w, g, func(g *v1alpha1.Grid) {
		if g.Annotations == nil {
			g.Annotations = make(map[string]string)
		}
		g.Annotations[key] = value
	})
}

// authority is how far a change of authority is, and the bundle that nodes get.
func (w *world) authority(g *v1alpha1.Grid) (stage pki.Stage, trusted int) {
	w.Helper()
	var kept, given corev1.Secret
	w.get(names.CASecret(g.Name), &kept)
	w.get(names.TLSSecret(g.Name), &given)
	state, err := authorityIn(&kept)
	if err != nil {
		return "", 0
	}
	_, _, bundle := tlsIn(&given)
	return state.Stage, len(bundle)
}

func TestAuthorityIsRotatedAsNodesFollow(t *testing.T) {
	w := newWorld(t)
	g := w.demo(2)
	set := w.running(g)
	first := waitFor(w, "demo-grid-tls", new(corev1.Secret), there)
	w.annotate(g, AnnotationRotateAuthority, "1")
	// The authority's Secret is written first, then that of the nodes.
	step := func(want pki.Stage, trusted int, before *corev1.Secret) *corev1.Secret {
		t.Helper()
		w.wait(string(want), func() (string, bool) {
			stage, n := w.authority(g)
			return fmt.Sprint(stage, n), stage == want && n == trusted
		})
		return waitFor(w, "demo-grid-tls", new(corev1.Secret), func(s *corev1.Secret) bool { return s.ResourceVersion != before.ResourceVersion })
	}
	second := step(pki.Announcing, 2, first)
	w.waitCondition(g, v1alpha1.ConditionProgressing, metav1.ConditionTrue, "RotatingAuthority")
	w.waitEvent(g, "AuthorityAnnounced")
	w.publish(g, set, 2) // the nodes say that they use the newest certificate
	third := step(pki.Retiring, 2, second)
	w.publish(g, set, 2)
	step(pki.Steady, 1, third)
	w.waitCondition(g, v1alpha1.ConditionProgressing, metav1.ConditionFalse, "Complete")
	if bytes.Equal(first.Data["tls.crt"], second.Data["tls.crt"]) || bytes.Equal(second.Data["tls.crt"], third.Data["tls.crt"]) {
		t.Error("a step without a certificate of its own: nobody could tell who has read it")
	}
	if old := first.Data["ca.crt"]; bytes.Contains(waitFor(w, "demo-grid-tls", new(corev1.Secret), there).Data["ca.crt"], old) {
		t.Error("the old authority is trusted still")
	}
}

func TestUnprovenWordsDoNotRotate(t *testing.T) {
	w := newWorld(t)
	g := w.demo(1)
	set := w.running(g)
	w.annotate(g, AnnotationRotateAuthority, "1")
	w.wait("announcing", func() (string, bool) {
		stage, n := w.authority(g)
		return string(stage), stage == pki.Announcing && n == 2
	})
	believe := func(yes bool) {
		w.publish(g, set, 1)
		w.feed.set(g, func(s *feed.State) {
			a := s.Acks["demo-0"]
			a.Verified = yes
			s.Acks["demo-0"] = a
		})
	}
	w.stop() // so that it sees no more than the last word
	believe(false)
	before := w.feed.reconciled(g)
	w.start()
	w.wait("a look at it", func() (string, bool) { return "", w.feed.reconciled(g) > before })
	w.stop()
	if stage, _ := w.authority(g); stage != pki.Announcing {
		t.Errorf("%s, on the word of anybody", stage)
	}
	believe(true)
	w.start()
	w.wait("the next stage", func() (string, bool) { stage, _ := w.authority(g); return string(stage), stage == pki.Retiring })
}

func TestACertificateIsRenewedOnDemandAndWhenItIsLost(t *testing.T) {
	w := newWorld(t)
	g := w.demo(1)
	w.running(g)
	first := waitFor(w, "demo-grid-tls", new(corev1.Secret), there)
	other := func(than *corev1.Secret) func(*corev1.Secret) bool {
		return func(s *corev1.Secret) bool { return !bytes.Equal(s.Data["tls.crt"], than.Data["tls.crt"]) }
	}
	w.annotate(g, AnnotationRenewCertificate, "1")
	second := waitFor(w, "demo-grid-tls", new(corev1.Secret), other(first))
	if !bytes.Equal(first.Data["ca.crt"], second.Data["ca.crt"]) {
		t.Error("a new certificate is no new authority")
	}
	// Somebody breaks it.
	update(w, second.DeepCopy(), func(s *corev1.Secret) { s.Data["tls.key"] = []byte("x") })
	third := waitFor(w, "demo-grid-tls", new(corev1.Secret), func(s *corev1.Secret) bool { return other(second)(s) && string(s.Data["tls.key"]) != "x" })
	if !bytes.Equal(first.Data["ca.crt"], third.Data["ca.crt"]) {
		t.Error("a broken certificate is no reason for a new authority")
	}
	// Somebody deletes it.
	if err := w.kube.Client.Delete(t.Context(), third); err != nil {
		t.Fatal(err)
	}
	waitFor(w, "demo-grid-tls", new(corev1.Secret), func(s *corev1.Secret) bool { return s.UID != third.UID })
}

func TestALostAuthorityIsFollowedUpInSteps(t *testing.T) {
	w := newWorld(t)
	g := w.demo(1)
	w.running(g)
	given := waitFor(w, "demo-grid-tls", new(corev1.Secret), there)
	kept := waitFor(w, "demo-grid-ca", new(corev1.Secret), there)
	update(w, kept, func(s *corev1.Secret) { s.Data["current.key"] = []byte("nonsense") })
	w.wait("announcing", func() (string, bool) {
		stage, n := w.authority(g)
		return fmt.Sprint(stage, n), stage == pki.Announcing && n == 2
	})
	w.waitEvent(g, "AuthorityLost")
	if now := waitFor(w, "demo-grid-tls", new(corev1.Secret), there); !bytes.Equal(now.Data["tls.crt"], given.Data["tls.crt"]) {
		t.Error("nodes are given a certificate of an authority that they do not trust yet")
	}
}

// TestCertManager: with the definition of Certificate alone, since cert-manager
// itself is not here. What it would write is written by the test.
func TestCertManager(t *testing.T) {
	w := newWorld(t)
	install := envtest.CRDInstallOptions{CRDs: []*apiextensionsv1.CustomResourceDefinition{certificateDefinition()}}
	if _, err := envtest.InstallCRDs(w.kube.Config, install); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := envtest.UninstallCRDs(w.kube.Config, install); err != nil {
			t.Error(err)
		}
	})
	g := w.demo(1)
	g.Spec.TLS = v1alpha1.TLS{Mode: v1alpha1.TLSCertManager, CertManager: &v1alpha1.CertManager{IssuerRef: v1alpha1.IssuerRef{Name: "mesh", Kind: "ClusterIssuer"}}}
	w.create(g)
	certificate := new(unstructured.Unstructured)
	certificate.SetGroupVersionKind(certificateKind)
	w.wait("a Certificate", func() (string, bool) {
		w.feed.set(g, func(*feed.State) {}) // the kind was not known a moment ago
		err := w.kube.Client.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "demo-grid"}, certificate)
		return fmt.Sprint(err), err == nil
	})
	hosts, _, _ := unstructured.NestedStringSlice(certificate.Object, "spec", "dnsNames")
	issuer, _, _ := unstructured.NestedString(certificate.Object, "spec", "issuerRef", "name")
	if len(hosts) != 1 || hosts[0] != "*.demo."+w.namespace+".svc" || issuer != "mesh" {
		t.Errorf("Certificate %v", certificate.Object)
	}
	if w.get("demo-grid-ca", new(corev1.Secret)) {
		t.Error("there is an authority that nobody asked for")
	}
	version := certificate.GetResourceVersion()
	w.feed.set(g, func(s *feed.State) { s.Epoch++ })
	w.waitCondition(g, v1alpha1.ConditionAccepted, metav1.ConditionTrue, reasonValid)
	if err := w.kube.Client.Get(t.Context(), client.ObjectKeyFromObject(certificate), certificate); err != nil || certificate.GetResourceVersion() != version {
		t.Errorf("written for nothing, or %v", err)
	}

	// Somebody's own Certificate of that name, which writes a Secret of that name,
	// is left alone.
	theirs := certificate.DeepCopy()
	theirs.SetNamespace(w.kube.Namespace(t))
	theirs.SetResourceVersion("")
	theirs.SetLabels(nil)
	theirs.SetOwnerReferences(nil)
	w.create(theirs)
	s := &scope{GridReconciler: w.grids, grid: w.demo(1)}
	s.grid.Namespace = theirs.GetNamespace()
	written := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{annotationIssuedFor: "demo-grid"}}}
	if p := (*problem)(nil); !errors.As(s.dismissCertManager(t.Context(), written), &p) || p.reason != reasonNameConflict {
		t.Errorf("a Certificate of another's: got %v, want a conflict", p)
	}
	if err := w.kube.Client.Get(t.Context(), client.ObjectKeyFromObject(theirs), theirs); err != nil {
		t.Errorf("a Certificate of another's is gone: %v", err)
	}

	// Back to an authority of its own: two must not write one Secret.
	a, err := pki.NewAuthority("x", metav1.Now().Time)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := a.Issue(hosts[0], metav1.Now().Time)
	if err != nil {
		t.Fatal(err)
	}
	w.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "demo-grid-tls", Labels: names.Labels("demo"), Annotations: map[string]string{annotationIssuedFor: "demo-grid"}},
		Type:       corev1.SecretTypeTLS,
		Data:       map[string][]byte{"tls.crt": pair.Cert, "tls.key": pair.Key, "ca.crt": pair.Cert},
	})
	update(w, g, func(g *v1alpha1.Grid) { g.Spec.TLS = v1alpha1.TLS{Mode: v1alpha1.TLSSelf} })
	waitFor(w, "demo-grid-tls", new(corev1.Secret), func(s *corev1.Secret) bool { return !bytes.Equal(s.Data["tls.crt"], pair.Cert) })
	w.wait("no Certificate", func() (string, bool) {
		err := w.kube.Client.Get(t.Context(), client.ObjectKeyFromObject(certificate), certificate)
		return fmt.Sprint(err), client.IgnoreNotFound(err) == nil && err != nil
	})
}

// certificateDefinition is as much of cert-manager's as a test needs.
func certificateDefinition() *apiextensionsv1.CustomResourceDefinition {
	keep := true
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "certificates.cert-manager.io"},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "cert-manager.io", Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "certificates", Singular: "certificate", Kind: "Certificate", ListKind: "CertificateList"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1", Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: &keep}},
			}},
		},
	}
}
