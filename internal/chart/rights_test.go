//go:build chart

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/gridmesh/gridmesh/internal/envtestkit"
)

// TestChartGivesTheOperatorWhatItNeeds runs the operator with the rights of the
// chart's account and no others: it makes all objects of a Grid, says so in its
// status, leads and stops leading, and is refused nothing.
func TestChartGivesTheOperatorWhatItNeeds(t *testing.T) {
	kube := envtestkit.Start(t)
	program := filepath.Join(t.TempDir(), "operator")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/operator").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, c := range []struct {
		name, watched string
		set           []string
		args          []string
	}{
		{"in all namespaces", "rights-anywhere", nil, nil},
		{"in one namespace", "rights-there", []string{"--set", "watchNamespaces={rights-there}"}, []string{"--watch-namespaces=rights-there"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			const system = "rights-system"
			namespaces(t, kube, system, c.watched)
			h := helm{path: os.Getenv("HELM4"), kubeconfig: kube.Kubeconfig, namespace: system}
			h.run(t, append([]string{"install", "gridmesh", chartDir, "--set", "crds.enabled=false"}, c.set...)...)

			var log bytes.Buffer
			cmd := exec.CommandContext(t.Context(), program, append([]string{
				"--kubeconfig=" + accountOf(t, kube, system), "--leader-namespace=" + system, "--leader-lease=gridmesh-operator",
				"--health-addr=127.0.0.1:0", "--metrics-addr=off", "--log-format=text", "--log-level=debug",
			}, c.args...)...)
			cmd.Stderr = &log
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			kubectl(t, kube, "apply", "--server-side", "-n", c.watched, "-f", write(t, grid))
			_, missing := kube.Kubectl(t, "wait", "--for=condition=Accepted", "--timeout=60s", "grid/kept", "-n", c.watched)
			for _, object := range []string{
				"statefulset/kept", "service/kept", "configmap/kept-grid", "secret/kept-grid-tls", "secret/kept-grid-ca", "secret/kept-grid-signing",
				"poddisruptionbudget/kept", "networkpolicy/kept",
			} {
				out, err := kube.Kubectl(t, "wait", "--for=create", "--timeout=60s", object, "-n", c.watched)
				if err != nil {
					t.Errorf("%s: %v: %s", object, err, out)
					break // the others would be waited for, too
				}
			}
			lease := kubectl(t, kube, "get", "lease", "gridmesh-operator", "-n", system, "-o", "jsonpath={.spec.holderIdentity}")
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			ended := cmd.Wait()
			released := kubectl(t, kube, "get", "lease", "gridmesh-operator", "-n", system, "-o", "jsonpath={.spec.holderIdentity}")
			if missing != nil || ended != nil || lease == "" || released != "" || strings.Contains(log.String(), "forbidden") {
				t.Errorf("accepted: %v; ended: %v; led by %q, then by %q; its log:\n%s", missing, ended, lease, released, log.String())
			}
			kubectl(t, kube, "delete", "grid", "kept", "-n", c.watched)
			h.run(t, "uninstall", "gridmesh")
		})
	}
}

// accountOf is a kubeconfig that acts as the chart's account.
func accountOf(t *testing.T, kube *envtestkit.Kube, namespace string) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(kube.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range config.AuthInfos {
		user.Impersonate = "system:serviceaccount:" + namespace + ":gridmesh-operator"
		user.ImpersonateGroups = []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"}
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}
