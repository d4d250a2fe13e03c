//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/internal/certs"
	"github.com/gridmesh/gridmesh/test/e2e/ledger"
)

// receiver takes log and audit of a namespace: test/e2e/loadapp, over mutual TLS
// and with a token.
type receiver struct {
	s         *suite
	namespace string
}

// senderSecret is what pods show to the receiver, and know it by.
const senderSecret = "receiver.client"

// startReceiver starts one, and makes the Secrets that it takes.
func (s *suite) startReceiver(t *testing.T, namespace string) *receiver {
	t.Helper()
	authority, err := certs.NewAuthority("receiver")
	if err != nil {
		t.Fatal(err)
	}
	meta := metav1.ObjectMeta{Namespace: namespace, Name: "receiver", Labels: map[string]string{"app": "receiver"}}
	for name, host := range map[string]string{meta.Name: "receiver." + namespace + ".svc:8443", senderSecret: "sender:0"} {
		issued, err := authority.Issue(certs.Leaf{Name: host})
		if err != nil {
			t.Fatal(err)
		}
		s.create(t, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			Data:       map[string][]byte{"tls.crt": issued.Cert, "tls.key": issued.Key, "ca.crt": authority.PEM, "token": []byte("open sesame")},
		})
	}
	pod := *restrictedPod.DeepCopy()
	pod.FSGroup = new(int64(65532))
	s.create(t,
		&corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{
			SecurityContext: &pod, AutomountServiceAccountToken: new(false), TerminationGracePeriodSeconds: new(int64(1)),
			Containers: []corev1.Container{{
				Name: "receiver", Image: "gridmesh/loadapp:" + s.version, Args: []string{"receiver"}, SecurityContext: restrictedContainer,
				VolumeMounts: []corev1.VolumeMount{{Name: "secret", MountPath: "/etc/receiver", ReadOnly: true}, {Name: "data", MountPath: "/data"}},
			}},
			Volumes: []corev1.Volume{
				{Name: "secret", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: meta.Name}}},
				{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: new(corev1.EmptyDirVolumeSource)}},
			},
		}},
		&corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
			Selector: meta.Labels, Ports: []corev1.ServicePort{{Name: "https", Port: 8443}, {Name: "http", Port: 8080}},
		}},
	)
	return &receiver{s, namespace}
}

// webhook is the receiver as a target, for entries of one kind.
func (r *receiver) webhook(path string) *v1alpha1.Webhook {
	return &v1alpha1.Webhook{
		URL: v1alpha1.ReceiverURL("https://receiver." + r.namespace + ".svc:8443/" + path), Gzip: true,
		SecretRef: &v1alpha1.TargetSecret{Name: senderSecret},
	}
}

// logging and audit are what a Grid says to have all sent there.
func (r *receiver) logging() *v1alpha1.Logging {
	return &v1alpha1.Logging{Targets: []v1alpha1.LogTarget{{Name: "central", Webhook: r.webhook("log")}}}
}

func (r *receiver) audit() *v1alpha1.Audit {
	return &v1alpha1.Audit{Targets: []v1alpha1.AuditTarget{{Name: "trail", Policy: v1alpha1.AuditBlock, Webhook: r.webhook("audit")}}}
}

func (r *receiver) receipts(ctx context.Context) (ledger.Receipts, error) {
	body, err := r.s.kube.CoreV1().RESTClient().Get().Namespace(r.namespace).Resource("services").
		Name("receiver:8080").SubResource("proxy").Suffix("summary").Do(ctx).Raw()
	var receipts ledger.Receipts
	if err == nil {
		err = json.Unmarshal(body, &receipts)
	}
	return receipts, err
}

// crash ends the receiver's process at once. Its next one waits before it listens.
func (r *receiver) crash(t *testing.T, away string) {
	t.Helper()
	// It never answers.
	_ = r.s.kube.CoreV1().RESTClient().Post().Namespace(r.namespace).Resource("services").
		Name("receiver:8080").SubResource("proxy").Suffix("crash").Param("away", away).Do(t.Context()).Error()
	eventually(t, "the receiver to be gone", func(ctx context.Context) error {
		if receipts, err := r.receipts(ctx); err == nil {
			return fmt.Errorf("it says %v", receipts)
		}
		return nil
	})
}

// whole waits until the receiver has so many calls of a handler from a node, and
// all else that the node has recorded.
func (r *receiver) whole(t *testing.T, node, handler string, calls int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d records of %s by %s", calls, handler, node), func(ctx context.Context) error {
		receipts, err := r.receipts(ctx)
		if err != nil {
			return err
		}
		got := 0
		for run, received := range receipts["audit"] {
			if received.Node != node {
				continue
			}
			if got += received.Calls[handler+" ok"]; received.First != 1 || len(received.Missing) > 0 || len(received.Gaps) > 0 {
				return fmt.Errorf("of run %s it has %+v", run, received)
			}
		}
		if got != calls {
			return fmt.Errorf("there are %d", got)
		}
		return nil
	})
}

// recorded: log and audit of nodes go to a receiver that dies and comes back, and
// a node dies meanwhile. Nothing is missing.
func recorded(s *suite, t *testing.T) {
	namespace := s.namespace(t, "e2e-recorded")
	r := s.startReceiver(t, namespace)
	grid := s.grid(namespace, "demo", 2)
	grid.Spec.Logging, grid.Spec.Audit = r.logging(), r.audit()
	s.create(t, grid)
	s.formed(t, namespace, "demo", 2)
	called := peerName(namespace, "demo", 1)
	call := func(times int) {
		t.Helper()
		for range times {
			if _, err := s.exec(t.Context(), namespace, "demo-0", "/node", "call", called, "echo", "--data", "x"); err != nil {
				t.Fatal(err)
			}
		}
	}
	call(5)
	r.whole(t, called, "echo", 5)
	r.crash(t, "10s")
	call(10)
	if s.control != nil { // its queue outlives its process
		pod := s.pods(t, namespace, "demo")[1]
		s.control.kill(t, &pod)
		s.linked(t, namespace, "demo", 2)
	} else {
		t.Log("no node dies meanwhile: this cluster is not of our own making")
	}
	call(5)
	r.whole(t, called, "echo", 20)
	r.wholeLog(t, 2)
}

// recordedAdopted: the same of pods whose program embeds the library, and whose
// Grid says so while they run.
func recordedAdopted(s *suite, t *testing.T) {
	namespace := s.namespace(t, "e2e-recorded-adopted")
	r := s.startReceiver(t, namespace)
	s.startExample(t, namespace)
	change(t, s, web(namespace), func(set *appsv1.StatefulSet) { mountSender(&set.Spec.Template.Spec) })
	s.kubectl(t, "rollout", "status", "statefulset/web", "--namespace", namespace, "--timeout", hang.String())
	s.formed(t, namespace, "web", 3)
	change(t, s, &v1alpha1.Grid{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"}}, func(g *v1alpha1.Grid) {
		g.Spec.Logging, g.Spec.Audit = r.logging(), r.audit()
	})
	eventually(t, "all pods to have said something", func(ctx context.Context) error {
		receipts, err := r.receipts(ctx)
		if err == nil && len(receipts["audit"]) < 3 {
			err = fmt.Errorf("%d have", len(receipts["audit"]))
		}
		return err
	})
	call := func(times int) {
		t.Helper()
		for range times {
			all, err := s.kube.CoreV1().RESTClient().Get().Namespace(namespace).Resource("pods").Name("web-0:8080").SubResource("proxy").
				Suffix("greet").Param("text", "hello").Do(t.Context()).Raw()
			if err != nil || strings.Count(string(all), "hello, ") != 3 {
				t.Fatalf("greet: %q, %v", all, err)
			}
		}
	}
	call(5)
	r.crash(t, "10s")
	call(10)
	for _, pod := range []int{1, 2} {
		r.whole(t, peerName(namespace, "web", pod), "greet", 15)
	}
	r.wholeLog(t, 3)
}

// recordedOnClaims: what waits on a claim outlives its pod.
func recordedOnClaims(s *suite, t *testing.T) {
	control := s.needControl(t)
	namespace := s.namespace(t, "e2e-recorded-claims")
	r := s.startReceiver(t, namespace)
	grid := s.grid(namespace, "demo", 2)
	grid.Spec.Audit = r.audit()
	grid.Spec.Storage = &v1alpha1.Storage{VolumeClaimTemplate: &v1alpha1.StorageClaim{
		StorageClassName: new(namespace),
		Resources:        v1alpha1.ClaimResources{Requests: v1alpha1.ClaimRequests{Storage: resource.MustParse("1Gi")}},
	}}
	for i := range 2 {
		name := fmt.Sprintf("%s-%d", namespace, i)
		volume := s.volume(name, namespace, control.do(t, "folder", name))
		s.create(t, volume)
		t.Cleanup(func() {
			ctx, cancel := cleanup()
			defer cancel()
			if err := s.client.Delete(ctx, volume); err != nil {
				t.Error(err)
			}
		})
	}
	s.create(t, grid)
	s.formed(t, namespace, "demo", 2)
	called := peerName(namespace, "demo", 1)
	call := func() {
		t.Helper()
		if _, err := s.exec(t.Context(), namespace, "demo-0", "/node", "call", called, "echo", "--data", "x"); err != nil {
			t.Fatal(err)
		}
	}
	call()
	r.whole(t, called, "echo", 1)
	r.crash(t, "20s")
	call()
	s.kubectl(t, "delete", "pod", "demo-1", "--namespace", namespace) // waits until it has gone
	if _, err := r.receipts(t.Context()); err == nil {
		t.Error("the receiver came back before the pod had gone: nothing had to wait on the claim")
	}
	s.formed(t, namespace, "demo", 2)
	call()
	r.whole(t, called, "echo", 3)
}

// volume is a folder of the node as a volume of a class.
func (s *suite) volume(name, class, folder string) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:               corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
			AccessModes:            []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			StorageClassName:       class,
			PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: folder}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpExists}},
			}}}},
		},
	}
}

// wholeLog looks whether the log has come from so many pods, whole.
func (r *receiver) wholeLog(t *testing.T, pods int) {
	t.Helper()
	eventually(t, "the whole log", func(ctx context.Context) error {
		receipts, err := r.receipts(ctx)
		if err != nil {
			return err
		}
		if len(receipts["log"]) != pods {
			return fmt.Errorf("it has come from %d pods, want %d", len(receipts["log"]), pods)
		}
		for run, received := range receipts["log"] {
			if received.First != 1 || len(received.Missing) > 0 || len(received.Gaps) > 0 {
				return fmt.Errorf("of run %s there is %+v", run, received)
			}
		}
		return nil
	})
}

// mountSender mounts what pods show to the receiver, as docs/embedding.md has it.
func mountSender(pod *corev1.PodSpec) {
	pod.Volumes = append(pod.Volumes, corev1.Volume{Name: "sender", VolumeSource: corev1.VolumeSource{
		Secret: &corev1.SecretVolumeSource{SecretName: senderSecret, Optional: new(true), DefaultMode: new(int32(0o440))},
	}})
	pod.Containers[0].VolumeMounts = append(pod.Containers[0].VolumeMounts,
		corev1.VolumeMount{Name: "sender", MountPath: "/etc/gridmesh/targets/" + senderSecret, ReadOnly: true})
}
