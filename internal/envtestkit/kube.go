package envtestkit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
)

const (
	assets = "KUBEBUILDER_ASSETS"
	// hang ends what will not come; a slow machine is not judged by it.
	hang = 3 * time.Minute
)

// Kube is an API server. Its fields and methods may be used concurrently.
type Kube struct {
	// Config connects as an administrator.
	Config *rest.Config
	// Client has no cache: it sees what the server has.
	Client client.WithWatch
	// Kubeconfig is a file that connects as an administrator.
	Kubeconfig string

	env        *envtest.Environment
	http       *http.Client
	namespaces atomic.Int64
}

// Scheme knows the types of Kubernetes and Grid.
func Scheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	return s, errors.Join(clientgoscheme.AddToScheme(s), v1alpha1.AddToScheme(s))
}

// start starts etcd and the API server.
func start() (*Kube, error) {
	if os.Getenv(assets) == "" {
		return nil, fmt.Errorf("no API server to test with: run the test by make test, or first export %s=$(tools/envtest-assets)", assets)
	}
	scheme, err := Scheme()
	if err != nil {
		return nil, fmt.Errorf("make the scheme: %w", err)
	}
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	k := &Kube{env: &envtest.Environment{
		Scheme:                   scheme,
		CRDDirectoryPaths:        []string{filepath.Join(root, "config", "crd")},
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: hang,
		ControlPlaneStopTimeout:  hang,
	}}
	// As some distributions have it: who makes an object that keeps its owner
	// from being deleted needs a right to the owner's finalizers.
	k.env.ControlPlane.GetAPIServer().Configure().Append("enable-admission-plugins", "OwnerReferencesPermissionEnforcement")
	if err := k.connect(scheme); err != nil {
		return nil, errors.Join(fmt.Errorf("start an API server from %s: %w", os.Getenv(assets), err), k.stop())
	}
	return k, nil
}

func (k *Kube) connect(scheme *runtime.Scheme) (err error) {
	if k.Config, err = k.env.Start(); err != nil {
		return err
	}
	if k.http, err = rest.HTTPClientFor(k.Config); err != nil {
		return err
	}
	if k.Client, err = client.NewWithWatch(k.Config, client.Options{Scheme: scheme, HTTPClient: k.http}); err != nil {
		return err
	}
	k.Kubeconfig = filepath.Join(k.env.ControlPlane.APIServer.CertDir, "admin.kubeconfig")
	return os.WriteFile(k.Kubeconfig, k.env.KubeConfig, 0o600)
}

func (k *Kube) stop() error {
	if k.http != nil {
		k.http.CloseIdleConnections()
	}
	return k.env.Stop()
}

// Namespace makes a namespace for a test; when that is over, its Grids and pods
// are deleted, so that the next test's watches do not see them.
func (k *Kube) Namespace(tb testing.TB) string {
	tb.Helper()
	name := "test-" + strconv.FormatInt(k.namespaces.Add(1), 10)
	if err := k.Client.Create(tb.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
		tb.Fatal(err)
	}
	ctx := tb.Context()
	tb.Cleanup(func() {
		for _, kind := range []client.Object{&v1alpha1.Grid{}, &corev1.Pod{}} {
			if err := k.Client.DeleteAllOf(context.WithoutCancel(ctx), kind, client.InNamespace(name), client.GracePeriodSeconds(0)); err != nil {
				tb.Errorf("empty namespace %s: %v", name, err)
			}
		}
	})
	return name
}

// User makes a user and returns the connection that is theirs. They may do what
// the test's own roles and bindings say.
func (k *Kube) User(tb testing.TB, name string, groups ...string) *rest.Config {
	tb.Helper()
	user, err := k.env.AddUser(envtest.User{Name: name, Groups: groups}, &rest.Config{QPS: -1})
	if err != nil {
		tb.Fatal(err)
	}
	return user.Config()
}

// Kubectl runs kubectl as an administrator and returns what it printed.
func (k *Kube) Kubectl(tb testing.TB, args ...string) (string, error) {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), k.env.ControlPlane.KubectlPath, append([]string{"--kubeconfig", k.Kubeconfig}, args...)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// moduleRoot is the nearest folder above with a go.mod: tests run in that of
// their package.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("where am I: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if filepath.Dir(dir) == dir {
			return "", errors.New("no go.mod in the folders above: tests run in the tree")
		}
		dir = filepath.Dir(dir)
	}
}
