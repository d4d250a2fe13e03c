package operator

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers"
	"github.com/gridmesh/gridmesh/internal/envtestkit"
	"github.com/gridmesh/gridmesh/internal/freeport"
	"github.com/gridmesh/gridmesh/internal/settings"
)

// roles are those that the operator is installed with.
func roles(t *testing.T) (cluster rbacv1.ClusterRole, own rbacv1.Role) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "config", "rbac", "role.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	if err := documents.Decode(&cluster); err != nil {
		t.Fatal(err)
	}
	if err := documents.Decode(&own); err != nil {
		t.Fatal(err)
	}
	return cluster, own
}

// account makes a user with the operator's rights in one namespace, as with
// --watch-namespaces: Roles, nothing of the cluster.
func account(t *testing.T, kube *envtestkit.Kube, namespace string) *rest.Config {
	t.Helper()
	cluster, own := roles(t)
	user := "operator-" + namespace
	for name, rules := range map[string][]rbacv1.PolicyRule{"watched": cluster.Rules, "own": own.Rules} {
		role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Rules: rules}
		binding := &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
		}
		for _, o := range []client.Object{role, binding} {
			if err := kube.Client.Create(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
	}
	return kube.User(t, user)
}

// kubeconfig writes a file that connects as config does.
func kubeconfig(t *testing.T, config *rest.Config) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "kubeconfig")
	err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"x": {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"x": {ClientCertificateData: config.CertData, ClientKeyData: config.KeyData}},
		Contexts:       map[string]*clientcmdapi.Context{"x": {Cluster: "x", AuthInfo: "x"}},
		CurrentContext: "x",
	}, name)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// TestRun: the operator as it is installed into one namespace, with no more
// rights than config/rbac gives it, makes what a Grid needs.
func TestRun(t *testing.T) {
	kube := envtestkit.Start(t)
	namespace := kube.Namespace(t)
	addrs, err := freeport.Addrs(2)
	if err != nil {
		t.Fatal(err)
	}
	health, open := addrs[0], addrs[1]
	c, _, err := LoadConfig(settings.Input{Args: []string{
		"--kubeconfig", kubeconfig(t, account(t, kube, namespace)), "--watch-namespaces", namespace, "--leader-namespace", namespace,
		"--health-addr", health, "--metrics-addr", open, "--metrics-access", "open",
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	said, ended := envtestkit.Listen(t), make(chan error, 1)
	logger := slog.New(slog.NewTextHandler(said, nil))
	go func() { ended <- Run(ctx, c, logger) }()
	end := sync.OnceFunc(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(end)

	replicas := int32(2)
	g := &v1alpha1.Grid{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "demo"},
		Spec:       v1alpha1.GridSpec{Image: "gridmesh/node:v1", Replicas: &replicas},
	}
	if err := kube.Client.Create(ctx, g); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]client.Object{
		"demo": new(appsv1.StatefulSet), "demo-grid": new(corev1.ConfigMap), "demo-grid-tls": new(corev1.Secret),
		"demo-grid-ca": new(corev1.Secret), "demo-grid-signing": new(corev1.Secret), "gridmesh-operator": new(coordinationv1.Lease),
	} {
		envtestkit.Wait(t, fmt.Sprintf("%T %s", o, name), func() (string, bool) {
			err := kube.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, o)
			return fmt.Sprint(err), err == nil
		})
	}
	envtestkit.Wait(t, "a status", func() (string, bool) {
		err := kube.Client.Get(ctx, client.ObjectKeyFromObject(g), g)
		return fmt.Sprint(err, g.Status), g.Status.Ready == "0/2"
	})
	envtestkit.Wait(t, "an event", func() (string, bool) {
		var events eventsv1.EventList
		err := kube.Client.List(ctx, &events, client.InNamespace(namespace))
		return fmt.Sprint(err, len(events.Items)), len(events.Items) > 0
	})
	for addr, want := range map[string]string{
		health + "/livez": "ok", health + "/readyz": "ok", open + "/metrics": "gridmesh_operator_status_writes_total",
	} {
		if got := fetch(t, "http://"+addr); !strings.Contains(got, want) {
			t.Errorf("%s says %q, want %q", addr, got, want)
		}
	}
	before := said.String() // what it was about to do when it ended, fails
	end()
	for line := range strings.Lines(before) {
		if strings.Contains(line, "forbidden") || strings.Contains(line, "level=ERROR") {
			t.Error(line)
		}
	}
	// Who comes next need not wait for the lease to run out.
	var lease coordinationv1.Lease
	if err := kube.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "gridmesh-operator"}, &lease); err != nil || *lease.Spec.HolderIdentity != "" {
		t.Errorf("the lease is %v, %v", lease.Spec, err)
	}
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	asker := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := asker.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestTheOperatorReadsNoMore: what it is not given, it does not need.
func TestTheOperatorReadsNoMore(t *testing.T) {
	kube := envtestkit.Start(t)
	namespace := kube.Namespace(t)
	api, err := client.New(account(t, kube, namespace), client.Options{Scheme: kube.Client.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what string
		do   func() error
	}{
		{"delete a StatefulSet", func() error {
			return api.Delete(t.Context(), &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "x"}})
		}},
		{"change a Grid", func() error {
			return api.Update(t.Context(), &v1alpha1.Grid{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "x"}})
		}},
		{"change a pod", func() error {
			return api.Update(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "x"}})
		}},
		{"delete a Secret", func() error {
			return api.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "x"}})
		}},
		{"read Secrets elsewhere", func() error { return api.List(t.Context(), new(corev1.SecretList), client.InNamespace("default")) }},
		{"list Grids everywhere", func() error { return api.List(t.Context(), new(v1alpha1.GridList)) }},
	} {
		if err := c.do(); !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v, want forbidden", c.what, err)
		}
	}
}

// TestNobodyIsAskedBeforeTheStart: an operator that comes up while the API server
// is away waits for it, and does not end.
func TestNobodyIsAskedBeforeTheStart(t *testing.T) {
	asked := make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		http.Error(w, "away", http.StatusServiceUnavailable)
	}))
	defer server.Close()
	c, _, err := LoadConfig(settings.Input{Args: []string{"--leader-namespace=x", "--metrics-addr=off", "--health-addr=127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	kube := &rest.Config{Host: server.URL}
	lock, err := leaderLock(kube, c, os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	mapper, err := newMapper(kube, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []client.Object{
		new(v1alpha1.Grid), new(appsv1.StatefulSet), new(corev1.Service), new(corev1.Secret), new(corev1.ConfigMap), new(corev1.Pod),
		new(policyv1.PodDisruptionBudget), new(networkingv1.NetworkPolicy),
	} {
		if namespaced, err := apiutil.IsObjectNamespaced(o, controllers.Scheme(), mapper); err != nil || !namespaced {
			t.Errorf("%T: %v %v", o, namespaced, err)
		}
	}
	if _, err := ctrl.NewManager(kube, options(c, lock)); err != nil {
		t.Error(err)
	}
	select {
	case path := <-asked:
		t.Error("asked for", path)
	default:
	}
}
