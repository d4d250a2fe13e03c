//go:build e2e

package e2e

import (
	"context"
	"os"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
)

// suite is what scenarios share: the cluster, and what runs in it. Its methods
// may be called concurrently.
type suite struct {
	client  client.WithWatch
	kube    kubernetes.Interface
	config  *rest.Config
	control *control // nil: somebody else's cluster, which we may not hurt
	version string   // of the images
	next    string   // of the same images, stamped as a newer build
}

// TestE2E runs all scenarios, in the order in which they stand here.
func TestE2E(t *testing.T) {
	s := newSuite(t)
	s.namespace(t, system)
	t.Run("quick start", func(t *testing.T) { quickStart(s, t) })
	s.installOperator(t)
	// Grids that those at the end need are whole by then.
	unlooked, upgraded := s.early(t, "e2e-operator-away"), s.early(t, "e2e-upgraded")
	t.Run("together", func(t *testing.T) { // each in a namespace of its own
		for _, scenario := range []struct {
			name string
			run  func(*suite, *testing.T)
		}{
			{"scale under load", scaleUnderLoad},
			{"restart under load", restartUnderLoad},
			{"certificates under load", certificatesUnderLoad},
			{"calls between all pairs", callsBetweenAllPairs},
			{"adopted", adopted},
			{"node killed", nodeKilled},
			{"autoscaled", autoscaled},
			{"deleted", deleted},
			{"deleted and made again", deletedAndMadeAgain},
			{"refused", refused},
			{"false lists", falseLists},
			{"push blocked", pushBlocked},
			{"mended", mended},
			{"recorded", recorded},
			{"recorded by adopted pods", recordedAdopted},
			{"recorded on claims", recordedOnClaims},
		} {
			t.Run(scenario.name, func(t *testing.T) {
				t.Parallel()
				scenario.run(s, t)
			})
		}
	})
	// From here on they do something to all Grids there are.
	t.Run("operator away", func(t *testing.T) { operatorAway(s, t, unlooked) })
	t.Run("operator upgraded", func(t *testing.T) { operatorUpgraded(s, t, upgraded) })
	t.Run("api server away", func(t *testing.T) { apiServerAway(s, t) })
}

// early makes a Grid of three in a namespace of its own, and does not wait for it.
func (s *suite) early(t *testing.T, namespace string) string {
	t.Helper()
	s.namespace(t, namespace)
	s.create(t, s.grid(namespace, "demo", 3))
	return namespace
}

// newSuite connects to the cluster that KUBECONFIG names.
func newSuite(t *testing.T) *suite {
	t.Helper()
	s := &suite{version: needEnv(t, "E2E_VERSION"), next: needEnv(t, "E2E_NEXT_VERSION")}
	var err error
	if s.config, err = clientcmd.BuildConfigFromFlags("", needEnv(t, "KUBECONFIG")); err != nil {
		t.Fatal(err)
	}
	s.config.QPS, s.config.Burst = -1, -1 // scenarios must not wait for each other
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	if s.client, err = client.NewWithWatch(s.config, client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	if s.kube, err = kubernetes.NewForConfig(s.config); err != nil {
		t.Fatal(err)
	}
	if socket := os.Getenv("GRIDMESH_E2E_CONTROL"); socket != "" {
		s.control = &control{socket: socket}
	}
	return s
}

// cleanup is the context of what is done after a test, when its own has ended.
func cleanup() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), hang)
}

func needEnv(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: run this as `make e2e`", name)
	}
	return value
}
