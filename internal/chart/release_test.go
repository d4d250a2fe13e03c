//go:build chart

package main

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"k8s.io/client-go/rest"

	"github.com/gridmesh/gridmesh/internal/envtestkit"
	"github.com/gridmesh/gridmesh/internal/operator"
	"github.com/gridmesh/gridmesh/internal/settings"
)

const grid = `{"apiVersion":"gridmesh.io/v1alpha1","kind":"Grid","metadata":{"name":"kept"},"spec":{"image":"gridmesh/node:v1","replicas":3}}`

// TestChartIsAccepted has a real API server judge each object that the chart
// makes with the values in ci/: fields, formats, and the Pod Security Standard
// for its pods.
func TestChartIsAccepted(t *testing.T) {
	kube := envtestkit.Start(t)
	namespaces(t, kube, "accepted", "team-a", "team-b")
	files, err := filepath.Glob(filepath.Join(root, chartDir, "ci", "*-values.yaml"))
	if err != nil || len(files) < 3 {
		t.Fatalf("values in ci/: %v, %v", files, err)
	}
	forEachHelm(t, func(t *testing.T, path string) {
		for _, file := range files {
			t.Run(filepath.Base(file), func(t *testing.T) {
				values, err := filepath.Abs(file)
				if err != nil {
					t.Fatal(err)
				}
				h := helm{path: path, kubeconfig: kube.Kubeconfig, namespace: "accepted"}
				out := h.run(t, "template", "judged", chartDir, "--values", values, "--kube-version", "1.37.0")
				operatorTakes(t, out)
				// Strict: an unknown or doubled field is an error.
				kubectl(t, kube, "apply", "--server-side", "--dry-run=server", "--validate=strict", "--force-conflicts", "-f", write(t, withoutMonitoring(out)))
			})
		}
	})
}

// operatorTakes has the operator read the flags and the file that the chart gives it.
func operatorTakes(t *testing.T, manifests string) {
	t.Helper()
	var config struct {
		Data map[string]string `yaml:"data"`
	}
	for doc := range strings.SplitSeq(manifests, "\n---\n") {
		if strings.Contains(doc, "\n  operator.yaml: |") {
			if err := yaml.Unmarshal([]byte(doc), &config); err != nil {
				t.Fatal(err)
			}
		}
	}
	read := func(name string) ([]byte, error) {
		text, ok := config.Data[filepath.Base(name)]
		if !ok {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return []byte(text), nil
	}
	for doc := range strings.SplitSeq(manifests, "\n---\n") {
		if !strings.Contains(doc, "\nkind: Deployment\n") {
			continue
		}
		var deployment struct {
			Spec struct {
				Template struct {
					Spec struct {
						Containers []struct {
							Args []string `yaml:"args"`
						} `yaml:"containers"`
					} `yaml:"spec"`
				} `yaml:"template"`
			} `yaml:"spec"`
		}
		if err := yaml.Unmarshal([]byte(doc), &deployment); err != nil {
			t.Fatal(err)
		}
		args := deployment.Spec.Template.Spec.Containers[0].Args
		if _, left, err := operator.LoadConfig(settings.Input{Args: args, ReadFile: read}); err != nil || len(left) > 0 {
			t.Errorf("the operator does not take %q: %v, left over %q", args, err, left)
		}
		return
	}
	t.Error("no Deployment")
}

// TestChartLives: install, two upgrades, uninstall, install again. Grids outlive
// the release, since their definition is kept.
func TestChartLives(t *testing.T) {
	kube := envtestkit.Start(t)
	// It comes with the chart here, and goes back to how the other tests have it.
	kubectl(t, kube, "delete", "crd", "grids.gridmesh.io")
	defer func() { // not Cleanup: kubectl needs the test's context
		kubectl(t, kube, "apply", "--server-side", "--force-conflicts", "-f", filepath.Join(root, crdSource))
		kubectl(t, kube, "wait", "--for=condition=Established", "--timeout=60s", "crd/grids.gridmesh.io")
	}()
	forEachHelm(t, func(t *testing.T, path string) {
		namespace := "lives-" + strings.ToLower(filepath.Base(t.Name()))
		namespaces(t, kube, namespace)
		h := helm{path: path, kubeconfig: kube.Kubeconfig, namespace: namespace}
		replicas := func(want string) {
			t.Helper()
			got := kubectl(t, kube, "get", "deployment", "gridmesh-operator", "-n", namespace, "-o", "jsonpath={.spec.replicas}")
			if got != want {
				t.Errorf("%s replicas, want %s", got, want)
			}
		}

		h.run(t, "install", "gridmesh", chartDir)
		replicas("1")
		kubectl(t, kube, "wait", "--for=condition=Established", "--timeout=60s", "crd/grids.gridmesh.io")
		kubectl(t, kube, "apply", "--server-side", "-n", namespace, "-f", write(t, grid))
		uid := kubectl(t, kube, "get", "grid", "kept", "-n", namespace, "-o", "jsonpath={.metadata.uid}")
		wouldRun(t, kube, namespace)

		h.run(t, "upgrade", "gridmesh", chartDir, "--set", "replicas=2", "--set", "networkPolicy.enabled=true")
		replicas("2")
		kubectl(t, kube, "get", "poddisruptionbudget", "gridmesh-operator", "-n", namespace)
		h.run(t, "upgrade", "gridmesh", chartDir, "--reset-values")
		replicas("1")
		if out, err := kube.Kubectl(t, "get", "poddisruptionbudget,networkpolicy", "gridmesh-operator", "-n", namespace); err == nil {
			t.Errorf("switched off, and still there:\n%s", out)
		}

		h.run(t, "uninstall", "gridmesh")
		if out, err := kube.Kubectl(t, "get", "deployment", "gridmesh-operator", "-n", namespace); err == nil {
			t.Errorf("uninstalled, and still there:\n%s", out)
		}
		h.run(t, "install", "gridmesh", chartDir)
		if got := kubectl(t, kube, "get", "grid", "kept", "-n", namespace, "-o", "jsonpath={.metadata.uid}"); got != uid {
			t.Errorf("the Grid has the uid %q, it had %q", got, uid)
		}

		// Told not to keep it, the definition goes, and with it the Grid.
		h.run(t, "upgrade", "gridmesh", chartDir, "--set", "crds.keep=false")
		h.run(t, "uninstall", "gridmesh", "--wait")
		kubectl(t, kube, "wait", "--for=delete", "--timeout=60s", "crd/grids.gridmesh.io")
		left := kubectl(t, kube, "get", "clusterroles,clusterrolebindings", "-l", "app.kubernetes.io/part-of=gridmesh", "-o", "name")
		if left != "" {
			t.Errorf("uninstalled, and still there:\n%s", left)
		}
	})
}

// TestChartChangesHelms: who moves on to Helm 4 keeps the release that Helm 3 made.
func TestChartChangesHelms(t *testing.T) {
	kube := envtestkit.Start(t)
	namespaces(t, kube, "changes")
	var all []helm
	forEachHelm(t, func(_ *testing.T, path string) {
		all = append(all, helm{path: path, kubeconfig: kube.Kubeconfig, namespace: "changes"})
	})
	all[0].run(t, "install", "gridmesh", chartDir, "--set", "crds.enabled=false")
	for i, replicas := range []string{"2", "3"} { // twice: the second finds what the first one owns
		all[1].run(t, "upgrade", "gridmesh", chartDir, "--reuse-values", "--set", "replicas="+replicas)
		if got := kubectl(t, kube, "get", "deployment", "gridmesh-operator", "-n", "changes", "-o", "jsonpath={.spec.replicas}"); got != replicas {
			t.Errorf("upgrade %d: %s replicas, want %s", i+1, got, replicas)
		}
	}
	all[1].run(t, "uninstall", "gridmesh")
}

// wouldRun makes the operator's pod as the Deployment's controller would, which
// is not there: a namespace that enforces restricted must let it in.
func wouldRun(t *testing.T, kube *envtestkit.Kube, namespace string) {
	t.Helper()
	spec := kubectl(t, kube, "get", "deployment", "gridmesh-operator", "-n", namespace, "-o", "jsonpath={.spec.template.spec}")
	pod := `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"would-run"},"spec":` + spec + `}`
	kubectl(t, kube, "create", "--dry-run=server", "-n", namespace, "-f", write(t, pod))
}

// TestChartNeedsNoRightsOnTheCluster: who owns two namespaces installs an
// operator for them, and it may do its work there and nowhere else.
func TestChartNeedsNoRightsOnTheCluster(t *testing.T) {
	kube := envtestkit.Start(t)
	forEachHelm(t, func(t *testing.T, path string) {
		name := strings.ToLower(filepath.Base(t.Name()))
		system, watched := "system-"+name, "watched-"+name
		namespaces(t, kube, system, watched, "foreign")
		user := kube.User(t, "owner-"+name)
		for _, namespace := range []string{system, watched} {
			kubectl(t, kube, "create", "rolebinding", "owner", "-n", namespace, "--clusterrole=cluster-admin", "--user=owner-"+name)
		}
		h := helm{path: path, kubeconfig: kube.Kubeconfig, namespace: system}.as(t, rest.CopyConfig(user))

		if out, err := h.try(t, "install", "gridmesh", chartDir, "--set", "watchNamespaces={"+watched+"}"); err == nil {
			t.Fatalf("a definition was installed without a right to:\n%s", out)
		}
		h.run(t, "upgrade", "--install", "gridmesh", chartDir, "--set", "watchNamespaces={"+watched+"}", "--set", "crds.enabled=false")

		for _, c := range []struct{ want, verb, resource, namespace string }{
			{"yes", "list", "pods", watched},
			{"yes", "patch", "statefulsets.apps", watched},
			{"yes", "patch", "grids.gridmesh.io --subresource=status", watched},
			{"yes", "update", "leases.coordination.k8s.io", system},
			{"no", "list", "pods", system},
			{"no", "list", "secrets", "foreign"},
			{"no", "list", "grids.gridmesh.io", "foreign"},
			{"no", "update", "grids.gridmesh.io", watched},
			{"no", "update", "leases.coordination.k8s.io", watched},
			{"no", "create", "pods", watched},
		} {
			// can-i answers no with an exit status of 1.
			args := []string{"auth", "can-i", "-n", c.namespace, "--as=system:serviceaccount:" + system + ":gridmesh-operator", c.verb}
			out, _ := kube.Kubectl(t, append(args, strings.Fields(c.resource)...)...)
			if got := strings.TrimSpace(out); got != c.want {
				t.Errorf("may it %s %s in %s? %s, want %s", c.verb, c.resource, c.namespace, got, c.want)
			}
		}
		h.run(t, "uninstall", "gridmesh")
	})
}
