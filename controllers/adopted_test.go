package controllers

import (
	"bytes"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/feed"
	"github.com/gridmesh/gridmesh/controllers/names"
)

// web is a user's StatefulSet as docs/embedding.md has it, and its Service.
func web(namespace string) (*appsv1.StatefulSet, *corev1.Service) {
	labels := map[string]string{"app": "web", names.LabelGrid: "demo"}
	replicas := int32(2)
	set := &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"},
		Spec: appsv1.StatefulSetSpec{
			Replicas: &replicas, ServiceName: "web-pods", Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					Containers: []corev1.Container{{
						Name: "server", Image: "web:1",
						Ports:        []corev1.ContainerPort{{ContainerPort: 7700}, {ContainerPort: 7701}},
						VolumeMounts: []corev1.VolumeMount{{Name: "g", MountPath: "/etc/gridmesh/grid"}, {Name: "t", MountPath: "/etc/gridmesh/tls"}},
					}},
					Volumes: []corev1.Volume{
						{Name: "g", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "demo-grid"}}}},
						{Name: "t", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "demo-grid-tls"}}},
					},
				},
			},
		},
	}
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web-pods"},
		Spec: corev1.ServiceSpec{
			ClusterIP: corev1.ClusterIPNone, PublishNotReadyAddresses: true, Selector: map[string]string{"app": "web"},
			Ports: []corev1.ServicePort{{Name: "grid", Port: 7700}},
		},
	}
	return set, service
}

func (w *world) adopting() *v1alpha1.Grid {
	return &v1alpha1.Grid{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "demo"},
		Spec:       v1alpha1.GridSpec{StatefulSetRef: &v1alpha1.StatefulSetReference{Name: "web"}},
	}
}

func TestAnAdoptedStatefulSetIsNeverWritten(t *testing.T) {
	w := newWorld(t)
	g := w.adopting()
	w.create(g)
	w.waitCondition(g, v1alpha1.ConditionAccepted, metav1.ConditionFalse, reasonStatefulSetMissing)
	set, service := web(w.namespace)
	w.create(set)
	w.waitCondition(g, v1alpha1.ConditionAccepted, metav1.ConditionFalse, reasonServiceUnfit)
	w.create(service)
	w.waitCondition(g, v1alpha1.ConditionAccepted, metav1.ConditionTrue, reasonValid)

	w.runPods(set)
	generation, managers := set.Generation, len(set.ManagedFields)
	w.publish(g, set, 2)
	w.waitCondition(g, v1alpha1.ConditionReady, metav1.ConditionTrue, "AllMembersReady")
	if g.Status.Ready != "2/2" || g.Status.Links != "2/2" {
		t.Errorf("status %+v", g.Status)
	}

	// The secrets outlive the Grid: pods mount them.
	for _, name := range []string{"demo-grid-tls", "demo-grid-ca"} {
		if secret := waitFor(w, name, new(corev1.Secret), there); len(secret.OwnerReferences) != 0 {
			t.Errorf("%s belongs to %v", name, secret.OwnerReferences)
		}
	}
	leaf, _, _ := tlsIn(waitFor(w, "demo-grid-tls", new(corev1.Secret), there))
	if leaf == nil || leaf.DNSNames[0] != "*.web-pods."+w.namespace+".svc" {
		t.Errorf("certificate for %v", leaf)
	}

	update(w, set, func(s *appsv1.StatefulSet) { *s.Spec.Replicas = 1 })
	w.waitCondition(g, v1alpha1.ConditionProgressing, metav1.ConditionTrue, "ScalingDown")
	w.runPods(set)
	w.publish(g, set, 1)
	w.wait("one pod", func() (string, bool) { w.get("demo", g); return g.Status.Ready, g.Status.Ready == "1/1" })

	w.get("web", set)
	for _, m := range set.ManagedFields {
		if m.Manager == names.FieldManager {
			t.Errorf("the operator has written to it: %v", m)
		}
	}
	if set.Generation != generation+1 || managers == 0 {
		t.Errorf("generation %d, was %d", set.Generation, generation)
	}
	if w.get("demo", new(appsv1.StatefulSet)) || w.get("demo", new(corev1.Service)) || w.get("demo", new(policyv1.PodDisruptionBudget)) || w.get("demo", new(networkingv1.NetworkPolicy)) {
		t.Error("the operator has made objects that are the user's to make")
	}
}

func TestANewGridOfTheNameResumesTheKeys(t *testing.T) {
	w := newWorld(t)
	set, service := web(w.namespace)
	w.create(set)
	w.create(service)
	g := w.adopting()
	w.create(g)
	w.waitCondition(g, v1alpha1.ConditionAccepted, metav1.ConditionTrue, reasonValid)
	before := waitFor(w, "demo-grid-tls", new(corev1.Secret), there)
	if err := w.kube.Client.Delete(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	g = w.adopting()
	w.create(g)
	w.waitCondition(g, v1alpha1.ConditionAccepted, metav1.ConditionTrue, reasonValid)
	w.waitCondition(g, v1alpha1.ConditionPaused, metav1.ConditionFalse, "NotPaused")
	if after := waitFor(w, "demo-grid-tls", new(corev1.Secret), there); !bytes.Equal(after.Data["tls.crt"], before.Data["tls.crt"]) || after.UID != before.UID {
		t.Error("the nodes are given another certificate")
	}
}

// TestAnOwnGridLeavesAloneWhatAnAdoptedOneHasLeft: its pods may mount it still.
func TestAnOwnGridLeavesAloneWhatAnAdoptedOneHasLeft(t *testing.T) {
	w := newWorld(t)
	set, service := web(w.namespace)
	w.create(set)
	w.create(service)
	g := w.adopting()
	w.create(g)
	w.waitCondition(g, v1alpha1.ConditionAccepted, metav1.ConditionTrue, reasonValid)
	versions := make(map[string]string)
	for _, name := range []string{"demo-grid-tls", "demo-grid-ca"} {
		versions[name] = waitFor(w, name, new(corev1.Secret), there).ResourceVersion
	}
	if err := w.kube.Client.Delete(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	g = w.demo(1)
	w.create(g)
	said := w.waitCondition(g, v1alpha1.ConditionAccepted, metav1.ConditionFalse, reasonNameConflict)
	if !strings.Contains(said.Message, "left by a Grid of this name with statefulSetRef") {
		t.Error(said.Message)
	}
	for name, version := range versions {
		if s := waitFor(w, name, new(corev1.Secret), there); s.ResourceVersion != version {
			t.Errorf("%s was written to: %+v", name, s.ObjectMeta)
		}
	}
}

func TestWhatAnAdoptedStatefulSetLacks(t *testing.T) {
	server := func(s *appsv1.StatefulSet) *corev1.Container { return &s.Spec.Template.Spec.Containers[0] }
	for _, c := range []struct {
		name   string
		change func(*appsv1.StatefulSet)
		want   string // "" if nothing is wrong with it
	}{
		{"nothing", func(*appsv1.StatefulSet) {}, ""},
		{"consent", func(s *appsv1.StatefulSet) { delete(s.Spec.Template.Labels, names.LabelGrid) }, `needs gridmesh.io/grid: demo`},
		{"consent to another", func(s *appsv1.StatefulSet) { s.Spec.Template.Labels[names.LabelGrid] = "x" }, `(it has "x")`},
		{"a service", func(s *appsv1.StatefulSet) { s.Spec.ServiceName = "" }, "spec.serviceName must name a headless Service"},
		{"a port", func(s *appsv1.StatefulSet) { server(s).Ports = server(s).Ports[:1] }, "containerPort 7701, the Grid's adminPort"},
		{"the list", func(s *appsv1.StatefulSet) { server(s).VolumeMounts = server(s).VolumeMounts[1:] }, "no container mounts ConfigMap demo-grid as a directory"},
		{"the list as a directory", func(s *appsv1.StatefulSet) { server(s).VolumeMounts[0].SubPath = "peers.signed" }, "no container mounts ConfigMap demo-grid as a directory"},
		{"the list in its place", func(s *appsv1.StatefulSet) { server(s).VolumeMounts[0].MountPath = "/etc/gridmesh" }, "is mounted at /etc/gridmesh; mount it at /etc/gridmesh/grid"},
		{"the certificate", func(s *appsv1.StatefulSet) { s.Spec.Template.Spec.Volumes[1].Secret.SecretName = "x" }, "no container mounts Secret demo-grid-tls"},
		{"the certificate beside the list", func(s *appsv1.StatefulSet) { server(s).VolumeMounts[1].MountPath = "/elsewhere/tls" }, "is mounted at /elsewhere/tls; mount it at /etc/gridmesh/tls, beside the ConfigMap"},
		{"both in another folder", func(s *appsv1.StatefulSet) {
			server(s).VolumeMounts[0].MountPath, server(s).VolumeMounts[1].MountPath = "/mesh/grid/", "/mesh/tls"
		}, ""},
		{"volumes put together", func(s *appsv1.StatefulSet) {
			s.Spec.Template.Spec.Volumes[0].VolumeSource = corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "demo-grid"}}},
			}}}
			s.Spec.Template.Spec.Volumes[1].VolumeSource = corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "demo-grid-tls"}}},
			}}}
		}, ""},
	} {
		set, _ := web("ns")
		c.change(set)
		g := &v1alpha1.Grid{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "demo"}, Spec: v1alpha1.GridSpec{
			Port: 7700, AdminPort: 7701, TLS: v1alpha1.TLS{Mode: v1alpha1.TLSSelf}, StatefulSetRef: &v1alpha1.StatefulSetReference{Name: "web"},
		}}
		got := strings.Join(whatSetLacks(g, set), "; ")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestWhatTheServiceOfAnAdoptedStatefulSetLacks(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*corev1.Service)
		want   string
	}{
		{"nothing", func(*corev1.Service) {}, ""},
		{"no address", func(s *corev1.Service) { s.Spec.ClusterIP = "10.0.0.1" }, "must be headless"},
		{"names of pods that are not ready", func(s *corev1.Service) { s.Spec.PublishNotReadyAddresses = false }, "needs publishNotReadyAddresses: true"},
		{"these pods", func(s *corev1.Service) { s.Spec.Selector = map[string]string{"app": "x"} }, "its selector app: x does not match"},
		{"a selector", func(s *corev1.Service) { s.Spec.Selector = nil }, "has no selector"},
	} {
		set, service := web("ns")
		c.change(service)
		got := strings.Join(whatServiceLacks(set, service), "; ")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestAStatefulSetOfAnotherGridIsNotAdopted: one set of pods is in one mesh.
func TestAStatefulSetOfAnotherGridIsNotAdopted(t *testing.T) {
	w := newWorld(t)
	w.running(w.demo(1))
	g := w.adopting()
	g.Name, g.Spec.StatefulSetRef.Name = "second", "demo"
	w.create(g)
	said := w.waitCondition(g, v1alpha1.ConditionAccepted, metav1.ConditionFalse, reasonStatefulSetUnfit)
	if !strings.Contains(said.Message, "is that of Grid demo") {
		t.Error(said.Message)
	}
	w.feed.set(g, func(*feed.State) {})
}
