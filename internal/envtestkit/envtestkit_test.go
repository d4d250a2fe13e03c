package envtestkit

import (
	"os"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
)

func TestMain(m *testing.M) { os.Exit(Run(m)) }

// TestKube: the server knows Grids, an administrator and others, and kubectl.
func TestKube(t *testing.T) {
	kube := Start(t)
	if Start(t) != kube {
		t.Error("a second server was started")
	}
	namespace := kube.Namespace(t)
	if other := kube.Namespace(t); other == namespace {
		t.Errorf("two tests share the namespace %s", other)
	}
	replicas := int32(1)
	grid := &v1alpha1.Grid{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "demo"},
		Spec:       v1alpha1.GridSpec{Image: "node:1", Replicas: &replicas},
	}
	if err := kube.Client.Create(t.Context(), grid); err != nil {
		t.Fatal(err)
	}
	if out, err := kube.Kubectl(t, "get", "grd", "-n", namespace, "-o", "name"); err != nil || out != "grid.gridmesh.io/demo\n" {
		t.Errorf("kubectl: got %q and %v", out, err)
	}
	nobody, err := client.New(kube.User(t, "nobody"), client.Options{Scheme: kube.Client.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	if err := nobody.Get(t.Context(), client.ObjectKeyFromObject(grid), grid); !apierrors.IsForbidden(err) {
		t.Errorf("a user without a role reads: got %v, want forbidden", err)
	}
}

// TestNamespaceIsEmptied: what a test leaves is gone for the next.
func TestNamespaceIsEmptied(t *testing.T) {
	kube := Start(t)
	var namespace string
	t.Run("before", func(t *testing.T) {
		namespace = kube.Namespace(t)
		replicas := int32(1)
		if err := kube.Client.Create(t.Context(), &v1alpha1.Grid{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "demo"},
			Spec:       v1alpha1.GridSpec{Image: "node:1", Replicas: &replicas},
		}); err != nil {
			t.Fatal(err)
		}
	})
	var grids v1alpha1.GridList
	if err := kube.Client.List(t.Context(), &grids, client.InNamespace(namespace)); err != nil || len(grids.Items) != 0 {
		t.Errorf("got %d Grids and %v, want none", len(grids.Items), err)
	}
}

// TestStartWithoutAssets says what to do.
func TestStartWithoutAssets(t *testing.T) {
	t.Setenv(assets, "")
	if _, err := start(); err == nil || !strings.Contains(err.Error(), "tools/envtest-assets") {
		t.Errorf("got %v, want an error that names tools/envtest-assets", err)
	}
}
