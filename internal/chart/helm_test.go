//go:build chart

package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/gridmesh/gridmesh/internal/envtestkit"
)

const chartDir = "charts/gridmesh"

// helm is one of the two Helms, as whoever a kubeconfig says.
type helm struct {
	path       string
	kubeconfig string
	namespace  string
}

// forEachHelm runs a test with both. They are one after the other, because there
// is one definition of Grid in a cluster.
func forEachHelm(t *testing.T, test func(t *testing.T, path string)) {
	t.Helper()
	for _, variable := range []string{"HELM3", "HELM4"} {
		path := os.Getenv(variable)
		if path == "" {
			t.Fatalf("%s is not set: make chart-test sets it", variable)
		}
		t.Run(variable, func(t *testing.T) { test(t, path) })
	}
}

// as runs this one as somebody else.
func (h helm) as(t *testing.T, user *rest.Config) helm {
	t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: user.Host, CertificateAuthorityData: user.CAData}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{ClientCertificateData: user.CertData, ClientKeyData: user.KeyData}
	config.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	config.CurrentContext = "x"
	h.kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, h.kubeconfig); err != nil {
		t.Fatal(err)
	}
	return h
}

// try runs a command of Helm on the chart's release.
func (h helm) try(t *testing.T, args ...string) (string, error) {
	t.Helper()
	// A test's context ends before its cleanups run, which uninstall.
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), h.path, append(args, "--namespace", h.namespace)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "KUBECONFIG="+h.kubeconfig, "HELM_CACHE_HOME="+t.TempDir(), "HELM_CONFIG_HOME="+t.TempDir(), "HELM_DATA_HOME="+t.TempDir())
	var out, bad bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &bad
	if err := cmd.Run(); err != nil {
		return out.String() + bad.String(), err
	}
	return out.String(), nil
}

func (h helm) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := h.try(t, args...)
	if err != nil {
		t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// kubectl must succeed.
func kubectl(t *testing.T, kube *envtestkit.Kube, args ...string) string {
	t.Helper()
	out, err := kube.Kubectl(t, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// namespaces makes namespaces that enforce the Pod Security Standard restricted,
// if they are not there.
func namespaces(t *testing.T, kube *envtestkit.Kube, names ...string) {
	t.Helper()
	for _, name := range names {
		manifest := `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"` + name + `","labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`
		kubectl(t, kube, "apply", "--server-side", "-f", write(t, manifest))
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// withoutMonitoring leaves out the kinds of the Prometheus operator, which this
// API server does not know; test/alerts judges them.
func withoutMonitoring(manifests string) string {
	var kept []string
	for doc := range strings.SplitSeq(manifests, "\n---\n") {
		if !strings.Contains(doc, "\napiVersion: monitoring.coreos.com/") {
			kept = append(kept, doc)
		}
	}
	return strings.Join(kept, "\n---\n")
}
