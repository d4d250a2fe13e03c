package config

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gridmesh/gridmesh/internal/envtestkit"
)

func TestMain(m *testing.M) { os.Exit(envtestkit.Run(m)) }

// build runs the pinned kustomize on a base.
func build(t *testing.T, base string) []*unstructured.Unstructured {
	t.Helper()
	tool, err := exec.CommandContext(t.Context(), "../tools/tool", "kustomize").Output()
	if err != nil {
		t.Fatalf("tools/tool kustomize: %v%s", err, stderrOf(err))
	}
	text, err := exec.CommandContext(t.Context(), strings.TrimSpace(string(tool)), "build", base).Output()
	if err != nil {
		t.Fatalf("kustomize build %s: %v%s", base, err, stderrOf(err))
	}
	return decode(t, text)
}

func stderrOf(err error) string {
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return "\n" + string(exit.Stderr)
	}
	return ""
}

func decode(t *testing.T, text []byte) []*unstructured.Unstructured {
	t.Helper()
	var all []*unstructured.Unstructured
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		object := new(unstructured.Unstructured)
		switch err := decoder.Decode(object); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		}
		all = append(all, object)
	}
}

// apply is kubectl apply --server-side, and as strict.
func apply(t *testing.T, c client.Client, object *unstructured.Unstructured) error {
	t.Helper()
	return c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("kubectl"), client.ForceOwnership)
}

// TestDefault: the API server takes all of config/default, and its pods would run
// in its namespace, which enforces the Pod Security Standard "restricted".
func TestDefault(t *testing.T) {
	kube := envtestkit.Start(t)
	kinds := make(map[string]int)
	var deployment appsv1.Deployment
	for _, object := range build(t, "default") {
		if err := apply(t, kube.Client, object); err != nil {
			t.Errorf("%s %s: %v", object.GetKind(), object.GetName(), err)
		}
		kinds[object.GetKind()]++
		if object.GetKind() == "Deployment" {
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &deployment); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := map[string]int{
		"Namespace": 1, "CustomResourceDefinition": 1, "ServiceAccount": 1, "Deployment": 1, "Service": 1,
		"Role": 1, "RoleBinding": 1, "ClusterRole": 4, "ClusterRoleBinding": 1,
	}
	if !maps.Equal(kinds, want) {
		t.Errorf("got %v, want %v", kinds, want)
	}

	template := deployment.Spec.Template
	if got := template.Spec.Containers[0].Image; !strings.HasPrefix(got, "gridmesh/operator:v") {
		t.Errorf("got the image %q, want a version of gridmesh/operator", got)
	}
	pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	pod.Namespace, pod.Name = deployment.Namespace, "operator"
	if err := kube.Client.Create(t.Context(), pod, client.DryRunAll); err != nil {
		t.Errorf("a pod of the Deployment: %v", err)
	}
	privileged := true
	pod.ResourceVersion, pod.Spec.Containers[0].SecurityContext.Privileged = "", &privileged
	if err := kube.Client.Create(t.Context(), pod, client.DryRunAll); err == nil {
		t.Error("a privileged pod is let in: the namespace enforces nothing")
	}
}

// TestSamples: each is in the base, and the API server takes it.
func TestSamples(t *testing.T) {
	kube := envtestkit.Start(t)
	namespace := kube.Namespace(t)
	built := build(t, "samples")
	for _, object := range built {
		object.SetNamespace(namespace)
		if err := kube.Client.Create(t.Context(), object, client.FieldValidation("Strict")); err != nil {
			t.Errorf("%s: %v", object.GetName(), err)
		}
	}
	files, err := filepath.Glob("samples/grid*.yaml")
	if err != nil || len(files) != len(built) {
		t.Errorf("%d files and %d Grids in the base (%v)", len(files), len(built), err)
	}
}

// TestRights: who may do what, as the API server answers it.
func TestRights(t *testing.T) {
	kube := envtestkit.Start(t)
	for _, object := range build(t, "default") {
		if err := apply(t, kube.Client, object); err != nil {
			t.Fatal(err)
		}
	}
	namespace := kube.Namespace(t)
	bind := func(role, user string) {
		t.Helper()
		binding := &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: user},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
		}
		if err := kube.Client.Create(t.Context(), binding); err != nil {
			t.Fatal(err)
		}
	}
	bind("gridmesh-operator-view", "viewer")
	bind("gridmesh-operator-edit", "editor")

	const operator = "system:serviceaccount:gridmesh-system:gridmesh-operator"
	for _, c := range []struct {
		user, verb, what, in string
		want                 bool
	}{
		{operator, "watch", "grids", namespace, true},
		{operator, "patch", "grids/status", namespace, true},
		{operator, "update", "grids", namespace, false},
		{operator, "delete", "grids", namespace, false},
		{operator, "patch", "statefulsets.apps", namespace, true},
		{operator, "delete", "statefulsets.apps", namespace, false},
		{operator, "delete", "secrets", namespace, false},
		{operator, "delete", "pods", namespace, false},
		{operator, "create", "pods/exec", namespace, false},
		{operator, "get", "nodes", "", false},
		{operator, "create", "rolebindings.rbac.authorization.k8s.io", namespace, false},
		{operator, "update", "leases.coordination.k8s.io", "gridmesh-system", true},
		{operator, "update", "leases.coordination.k8s.io", namespace, false},
		{"viewer", "get", "grids", namespace, true},
		{"viewer", "create", "grids", namespace, false},
		{"editor", "create", "grids", namespace, true},
		{"editor", "patch", "grids/scale", namespace, true},
		{"editor", "patch", "grids/status", namespace, false},
	} {
		resource, sub, _ := strings.Cut(c.what, "/")
		args := []string{"auth", "can-i", c.verb, resource, "--subresource=" + sub, "--as", c.user, "--quiet"}
		if c.in != "" {
			args = append(args, "-n", c.in)
		}
		if out, err := kube.Kubectl(t, args...); (err == nil) != c.want {
			t.Errorf("%s may %s %s in %q: %t, want %t (%s)", c.user, c.verb, c.what, c.in, err == nil, c.want, out)
		}
	}
}

// TestNoRightIsWild: what is asked for has a name.
func TestNoRightIsWild(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"rbac/role.yaml", "rbac/selftest_role.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, object := range decode(t, text) {
			var role rbacv1.ClusterRole
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role); err != nil {
				t.Fatal(err)
			}
			if len(role.Rules) == 0 {
				t.Errorf("%s: %s has no rules", file, role.Name)
			}
			for _, rule := range role.Rules {
				if slices.Contains(slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs), "*") {
					t.Errorf("%s: a rule of %s has a *: %+v", file, role.Name, rule)
				}
			}
		}
	}
}
