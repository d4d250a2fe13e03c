//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// What is waited for takes seconds; hang is for what never comes, on a machine
// that is busy.
const (
	hang  = 3 * time.Minute
	pause = 200 * time.Millisecond
	long  = 10 * time.Second // worth a line in the log
)

// eventually waits until look has nothing to say. If that never is, it fails the
// test with what was said last.
func eventually(t *testing.T, what string, look func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hang)
	defer cancel()
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for began := time.Now(); ; {
		err := look(ctx)
		if err == nil {
			if took := time.Since(began); took > long {
				t.Logf("waited %.1f s for %s", took.Seconds(), what)
			}
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("waited %v for %s: %v", hang, what, err)
		}
	}
}

// passes waits for a time to pass in which something else is to hold.
func passes(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}

// namespace makes a namespace that takes only pods that pass the strictest
// standard, and deletes it after the test, unless that has failed.
func (s *suite) namespace(t *testing.T, name string) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
	s.create(t, namespace)
	t.Cleanup(func() {
		ctx, cancel := cleanup()
		defer cancel()
		if t.Failed() {
			s.describe(ctx, t, name)
			return
		}
		if err := s.client.Delete(ctx, namespace); err != nil {
			t.Errorf("delete namespace: %v", err)
		}
	})
	return name
}

// describe logs what there is in a namespace, for whoever looks at a failure.
func (s *suite) describe(ctx context.Context, t *testing.T, namespace string) {
	t.Helper()
	for _, args := range [][]string{
		{"get", "grids,statefulsets,pods", "-o", "wide"},
		{"get", "grids", "-o", "jsonpath={range .items[*]}{.metadata.name}{\"\\n\"}{range .status.conditions[*]}  {.type}={.status} {.reason}: {.message}{\"\\n\"}{end}{end}"},
		{"get", "events", "--sort-by=.lastTimestamp"},
	} {
		output, err := command(ctx, "kubectl", append(args, "--namespace", namespace)...)
		t.Logf("kubectl %s\n%s%v", strings.Join(args, " "), output, errors.Join(err))
	}
}

func (s *suite) create(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		if err := s.client.Create(t.Context(), object); err != nil {
			t.Fatalf("create %T %s: %v", object, object.GetName(), err)
		}
	}
}

// get reads an object anew.
func (s *suite) get(ctx context.Context, object client.Object) error {
	return s.client.Get(ctx, client.ObjectKeyFromObject(object), object)
}

// change reads an object, changes it and writes it as a patch of what has changed.
func change[T client.Object](t *testing.T, s *suite, object T, how func(T)) {
	t.Helper()
	if err := s.get(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	before, ok := object.DeepCopyObject().(T)
	if !ok {
		t.Fatalf("%T does not copy to its own kind", object)
	}
	how(object)
	if err := s.client.Patch(t.Context(), object, client.MergeFrom(before)); err != nil {
		t.Fatalf("change %T %s: %v", object, object.GetName(), err)
	}
}

// exec runs a command in the container node of a pod.
func (s *suite) exec(ctx context.Context, namespace, pod string, words ...string) (string, error) {
	request := s.kube.CoreV1().RESTClient().Post().Namespace(namespace).Resource("pods").Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: "node", Command: words, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	executor, err := remotecommand.NewWebSocketExecutor(s.config, "GET", request.URL().String())
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	if err := executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &stdout, Stderr: &stderr}); err != nil {
		return stdout.String(), fmt.Errorf("%s: %s: %w: %s", pod, strings.Join(words, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

// kubectl runs kubectl, as users do, and returns what it says.
func (s *suite) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	output, err := command(t.Context(), "kubectl", args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v", strings.Join(args, " "), err)
	}
	return output
}

// command runs a program, preferably that of the cluster's own version.
func command(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program(name), args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

// program finds a program among those built for the cluster, else in PATH.
func program(name string) string {
	if built := filepath.Join(os.Getenv("GRIDMESH_KUBE"), name); filepath.IsAbs(built) {
		if _, err := os.Stat(built); err == nil {
			return built
		}
	}
	return name
}
