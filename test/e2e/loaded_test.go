//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/test/e2e/ledger"
)

// scaleUnderLoad: 3, 6 and 2 nodes while calls run. Every call is answered and
// ran once; nodes that go have been taken off the list and have nothing left to
// do before they are told to stop.
func scaleUnderLoad(s *suite, t *testing.T) {
	namespace := s.namespace(t, "e2e-scale")
	l := s.startLoad(t, namespace, 3)
	for _, replicas := range []int32{6, 2} {
		change(t, s, l.grid, func(g *v1alpha1.Grid) { g.Spec.Replicas = new(replicas) })
		s.formed(t, namespace, "load", replicas)
		eventually(t, "pods that go to be gone", func(ctx context.Context) error {
			pods, err := s.podsOf(ctx, namespace, "load")
			if err == nil && len(pods) != int(replicas) {
				err = fmt.Errorf("%d pods", len(pods))
			}
			return err
		})
		l.progress(t, 100)
	}
	summary := l.endUnharmed(t)
	var stopped []string
	for _, stop := range summary.Stops {
		stopped = append(stopped, stop.Pod)
		if stop.Running != 0 {
			t.Errorf("%s was told to stop while %d handlers ran on it", stop.Pod, stop.Running)
		}
	}
	slices.Sort(stopped)
	if want := []string{"load-2", "load-3", "load-4", "load-5"}; !slices.Equal(stopped, want) {
		t.Errorf("%q were told to stop, want %q, each once", stopped, want)
	}
}

// restartUnderLoad: `kubectl rollout restart` while calls run.
func restartUnderLoad(s *suite, t *testing.T) {
	namespace := s.namespace(t, "e2e-restart")
	l := s.startLoad(t, namespace, 3)
	before := s.pods(t, namespace, "load")
	s.kubectl(t, "rollout", "restart", "statefulset/load", "--namespace", namespace)
	s.kubectl(t, "rollout", "status", "statefulset/load", "--namespace", namespace, "--timeout", hang.String())
	s.formed(t, namespace, "load", 3)
	for i, pod := range s.pods(t, namespace, "load") {
		if pod.UID == before[i].UID {
			t.Errorf("%s was not restarted", pod.Name)
		}
	}
	l.progress(t, 100)
	l.endUnharmed(t)
}

// certificatesUnderLoad: first the certificate is renewed, then its authority is
// replaced, while calls run. Nodes take the new ones without a restart.
func certificatesUnderLoad(s *suite, t *testing.T) {
	namespace := s.namespace(t, "e2e-certificates")
	l := s.startLoad(t, namespace, 3)
	pods := s.pods(t, namespace, "load")
	wish := func(annotation string) {
		change(t, s, l.grid, func(g *v1alpha1.Grid) { metav1.SetMetaDataAnnotation(&g.ObjectMeta, annotation, "now") })
	}
	before := s.loadedCertificates(t, namespace)
	wish("gridmesh.io/renew-certificate")
	eventually(t, "the renewed certificate on all nodes", func(ctx context.Context) error {
		for pod, loaded := range before {
			var status adminapi.Status
			if err := s.ask(ctx, namespace, pod, adminapi.PathStatus, &status); err != nil {
				return err
			}
			if status.Certificate == nil || !status.Certificate.Loaded.After(loaded) {
				return fmt.Errorf("%s uses the certificate that it had", pod)
			}
		}
		return nil
	})
	authority := s.authority(t.Context(), t, namespace)
	wish("gridmesh.io/rotate-authority")
	eventually(t, "another authority alone", func(ctx context.Context) error {
		if now := s.authority(ctx, t, namespace); bytes.Contains(now, authority) || bytes.Count(now, []byte("BEGIN")) != 1 {
			return fmt.Errorf("%d authorities are trusted, the old one is still there: %t", bytes.Count(now, []byte("BEGIN")), bytes.Contains(now, authority))
		}
		return nil
	})
	s.linked(t, namespace, "load", 3)
	l.progress(t, 100)
	l.endUnharmed(t)
	for i, pod := range s.pods(t, namespace, "load") {
		if pod.UID != pods[i].UID || pod.Status.ContainerStatuses[0].RestartCount != 0 {
			t.Errorf("%s was restarted", pod.Name)
		}
	}
}

// authority is what nodes verify each other by.
func (s *suite) authority(ctx context.Context, t *testing.T, namespace string) []byte {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "load-grid-tls"}}
	if err := s.get(ctx, secret); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(secret.Data["ca.crt"])
}

// loadedCertificates is when each node has read the certificate that it uses.
func (s *suite) loadedCertificates(t *testing.T, namespace string) map[string]time.Time {
	t.Helper()
	loaded := make(map[string]time.Time)
	for _, pod := range s.pods(t, namespace, "load") {
		var status adminapi.Status
		if err := s.ask(t.Context(), namespace, pod.Name, adminapi.PathStatus, &status); err != nil || status.Certificate == nil {
			t.Fatalf("certificate of %s: %v", pod.Name, err)
		}
		loaded[pod.Name] = status.Certificate.Loaded
	}
	return loaded
}

// nodeKilled: a node dies without a word. Only calls to it suffer, the others'
// go on, and it is back by itself.
func nodeKilled(s *suite, t *testing.T) {
	control := s.needControl(t)
	namespace := s.namespace(t, "e2e-killed")
	l := s.startLoad(t, namespace, 3)
	const victim = 2 // which has no callers
	pod := s.pods(t, namespace, "load")[victim]
	control.kill(t, &pod)
	eventually(t, "another process", func(ctx context.Context) error {
		now := pod.DeepCopy()
		if err := s.get(ctx, now); err != nil {
			return err
		}
		if now.Status.ContainerStatuses[0].RestartCount != 1 {
			return fmt.Errorf("%d restarts", now.Status.ContainerStatuses[0].RestartCount)
		}
		return nil
	})
	s.formed(t, namespace, "load", 3)
	for other := range victim { // the others have seen it go, and not just come
		eventually(t, "the lost link to be counted", func(ctx context.Context) error {
			var status adminapi.Status
			if err := s.ask(ctx, namespace, fmt.Sprintf("load-%d", other), adminapi.PathStatus, &status); err != nil {
				return err
			}
			if status.Reconnects["connection-lost"] != 1 {
				return fmt.Errorf("links made again: %v", status.Reconnects)
			}
			return nil
		})
	}
	l.progress(t, 100)
	summary := l.end(t, 0)
	for _, failure := range summary.Failures {
		if !strings.Contains(failure, peerName(namespace, "load", victim)) {
			t.Errorf("a call failed that was not to the node killed: %s", failure)
		}
	}
	if len(summary.Failures) == 0 {
		t.Error("no call failed: was the node killed at all?")
	}
	if failed := summary.Started - summary.Outcomes[ledger.Answered]; failed > len(summary.Failures) { // one may be told of twice
		t.Errorf("%d calls failed, and only %d were looked at", failed, len(summary.Failures))
	}
}
