//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
)

// exampleImage is what the example's manifest leaves to the user.
var exampleImage = regexp.MustCompile(`image: example\.com/\S+`)

// startExample applies examples/embedpod/grid.yaml as it is, but for the image: a
// Grid "web" that adopts a StatefulSet of three.
func (s *suite) startExample(t *testing.T, namespace string) {
	t.Helper()
	text, err := os.ReadFile("../../examples/embedpod/grid.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !exampleImage.Match(text) {
		t.Fatal("the example's manifest has no image to replace")
	}
	file := filepath.Join(t.TempDir(), "grid.yaml")
	text = exampleImage.ReplaceAll(text, []byte("image: gridmesh/embedpod:"+s.version))
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s.kubectl(t, "apply", "--namespace", namespace, "--filename", file)
}

// web is the example's StatefulSet.
func web(namespace string) *appsv1.StatefulSet {
	return &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"}}
}

// adopted: pods of the user's own StatefulSet, whose program embeds the library,
// answer typed calls and streams from pod to pod, and follow its size.
func adopted(s *suite, t *testing.T) {
	namespace := s.namespace(t, "e2e-adopted")
	s.startExample(t, namespace)
	s.formed(t, namespace, "web", 3)
	show := func(pod int, path string, query map[string]string) string {
		t.Helper()
		request := s.kube.CoreV1().RESTClient().Get().Namespace(namespace).Resource("pods").
			Name(fmt.Sprintf("web-%d:8080", pod)).SubResource("proxy").Suffix(path)
		for key, value := range query {
			request.Param(key, value)
		}
		body, err := request.Do(t.Context()).Raw()
		if err != nil {
			t.Errorf("web-%d %s %v: %v", pod, path, query, err)
		}
		return string(body)
	}
	for from := range 3 {
		all := show(from, "greet", map[string]string{"text": "hello"})
		for to := range 3 {
			peer := peerName(namespace, "web", to)
			if want := fmt.Sprintf("%s: hello, %s\n", peer, peerName(namespace, "web", from)); !strings.Contains(all, want) {
				t.Errorf("greet from web-%d: got %q, want %q in it", from, all, want)
			}
			if got := show(from, "sum", map[string]string{"peer": peer, "n": "1000"}); got != "500500\n" {
				t.Errorf("sum from web-%d to web-%d: got %q", from, to, got)
			}
		}
	}
	change(t, s, web(namespace), func(set *appsv1.StatefulSet) { set.Spec.Replicas = new(int32(2)) })
	s.formed(t, namespace, "web", 2)
}

// deleted: with a Grid that has its own StatefulSet goes all that was made for
// it, and nothing else.
func deleted(s *suite, t *testing.T) {
	namespace := s.namespace(t, "e2e-deleted")
	grid := s.grid(namespace, "demo", 2)
	kept := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "of-the-user", Labels: map[string]string{labelGrid: "demo"}}}
	s.create(t, grid, kept)
	s.formed(t, namespace, "demo", 2)
	const kinds = "statefulsets,pods,services,configmaps,secrets,poddisruptionbudgets,networkpolicies,controllerrevisions,persistentvolumeclaims"
	list := func() string {
		return s.kubectl(t, "get", kinds, "--namespace", namespace, "--selector", labelGrid+"=demo", "--output", "name")
	}
	for _, want := range []string{"statefulset.apps/demo", "service/demo", "configmap/demo-grid", "secret/demo-grid-tls", "secret/demo-grid-ca", "secret/demo-grid-signing", "poddisruptionbudget.policy/demo", "networkpolicy.networking.k8s.io/demo", "pod/demo-0"} {
		if there := list(); !strings.Contains(there, want+"\n") {
			t.Errorf("there is no %s: %q", want, there)
		}
	}
	if err := s.client.Delete(t.Context(), grid); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all to be gone", func(context.Context) error {
		if left := list(); left != "configmap/of-the-user\n" {
			return fmt.Errorf("there is %q", left)
		}
		return nil
	})
}

// deletedAndMadeAgain: the pods of an adopted StatefulSet stay a mesh without
// their Grid, can restart, and a Grid of that name takes up where the last ended.
func deletedAndMadeAgain(s *suite, t *testing.T) {
	namespace := s.namespace(t, "e2e-again")
	s.startExample(t, namespace)
	s.formed(t, namespace, "web", 3)
	before, err := s.ack(t.Context(), namespace, "web-0")
	if err != nil {
		t.Fatal(err)
	}
	grid := &v1alpha1.Grid{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"}}
	again := func(nodes int32) {
		t.Helper()
		s.create(t, &v1alpha1.Grid{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"},
			Spec:       v1alpha1.GridSpec{StatefulSetRef: &v1alpha1.StatefulSetReference{Name: "web"}},
		})
		s.formed(t, namespace, "web", nodes)
		change(t, s, web(namespace), func(set *appsv1.StatefulSet) { set.Spec.Replicas = new(nodes + 1) })
		s.formed(t, namespace, "web", nodes+1)
		after, err := s.ack(t.Context(), namespace, "web-0")
		if err != nil || after.MeshID != before.MeshID || after.Epoch <= before.Epoch || fmt.Sprint(after.Keys) != fmt.Sprint(before.Keys) {
			t.Errorf("mesh %s, epoch %d, keys %v before, and %s, %d, %v after: %v", before.MeshID, before.Epoch, before.Keys, after.MeshID, after.Epoch, after.Keys, err)
		}
		before = after
	}
	gone := func(object client.Object) {
		t.Helper()
		if err := s.client.Delete(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it to be gone", func(ctx context.Context) error {
			if err := s.get(ctx, object); err == nil {
				return errors.New("it is there")
			}
			return nil
		})
	}
	gone(grid)
	s.kubectl(t, "rollout", "restart", "statefulset/web", "--namespace", namespace)
	s.kubectl(t, "rollout", "status", "statefulset/web", "--namespace", namespace, "--timeout", hang.String())
	s.linked(t, namespace, "web", 3)
	again(3)

	// Without its ConfigMap, too, nobody but the pods knows their last list.
	gone(&v1alpha1.Grid{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"}})
	gone(published(namespace, "web"))
	again(4)
}

// autoscaler is one for a Grid.
func autoscaler(namespace, grid string, least, most int32) *autoscalingv2.HorizontalPodAutoscaler {
	return &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: grid},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Grid", Name: grid},
			MinReplicas:    new(least), MaxReplicas: most,
		},
	}
}
