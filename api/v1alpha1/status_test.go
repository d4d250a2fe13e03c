package v1alpha1_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	gridac "github.com/gridmesh/gridmesh/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/gridmesh/gridmesh/internal/envtestkit"
)

func own(namespace string) *v1alpha1.Grid {
	replicas := int32(3)
	return &v1alpha1.Grid{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "demo"},
		Spec:       v1alpha1.GridSpec{Image: "node:1", Replicas: &replicas},
	}
}

func adopted(namespace string) *v1alpha1.Grid {
	return &v1alpha1.Grid{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "adopted"},
		Spec:       v1alpha1.GridSpec{StatefulSetRef: &v1alpha1.StatefulSetReference{Name: "mine"}},
	}
}

func create(t *testing.T, kube *envtestkit.Kube, grid *v1alpha1.Grid) *v1alpha1.Grid {
	t.Helper()
	if err := kube.Client.Create(t.Context(), grid); err != nil {
		t.Fatal(err)
	}
	return grid
}

// TestDefaults: what the API server fills in.
func TestDefaults(t *testing.T) {
	kube := envtestkit.Start(t)
	namespace := kube.Namespace(t)
	for _, grid := range []*v1alpha1.Grid{own(namespace), adopted(namespace)} {
		spec := create(t, kube, grid).Spec
		if spec.Port != 7700 || spec.AdminPort != 7701 {
			t.Errorf("%s: got the ports %d and %d, want 7700 and 7701", grid.Name, spec.Port, spec.AdminPort)
		}
		if want := (v1alpha1.TLS{Mode: v1alpha1.TLSSelf, Identity: v1alpha1.IdentityGrid}); spec.TLS != want {
			t.Errorf("%s: got tls %+v, want %+v", grid.Name, spec.TLS, want)
		}
		if spec.DrainTimeout == nil || spec.DrainTimeout.Duration != 30*time.Second {
			t.Errorf("%s: got drainTimeout %v, want 30s", grid.Name, spec.DrainTimeout)
		}
	}
	issuer := own(namespace)
	issuer.Name = "issuer"
	issuer.Spec.TLS = v1alpha1.TLS{Mode: v1alpha1.TLSCertManager, CertManager: &v1alpha1.CertManager{IssuerRef: v1alpha1.IssuerRef{Name: "ca"}}}
	want := v1alpha1.IssuerRef{Name: "ca", Kind: "Issuer", Group: "cert-manager.io"}
	if got := create(t, kube, issuer).Spec.TLS.CertManager.IssuerRef; got != want {
		t.Errorf("got issuer %+v, want %+v", got, want)
	}
	none := issuer.DeepCopy()
	none.Spec.TLS = v1alpha1.TLS{}
	if err := kube.Client.Update(t.Context(), none); err != nil || none.Spec.TLS.Mode != v1alpha1.TLSSelf {
		t.Errorf("tls taken away: got %+v and %v, want mode self", none.Spec.TLS, err)
	}
}

// TestPodTemplateIsKept: what has no schema is not pruned.
func TestPodTemplateIsKept(t *testing.T) {
	kube := envtestkit.Start(t)
	grid := own(kube.Namespace(t))
	const spec = `{"containers":[{"name":"node","someday":{"a":[1]}}]}`
	grid.Spec.PodTemplate = &v1alpha1.PodTemplate{Spec: &runtime.RawExtension{Raw: []byte(spec)}}
	create(t, kube, grid)
	if err := kube.Client.Get(t.Context(), client.ObjectKeyFromObject(grid), grid); err != nil || string(grid.Spec.PodTemplate.Spec.Raw) != spec {
		t.Errorf("got %s and %v, want %s", grid.Spec.PodTemplate.Spec.Raw, err, spec)
	}
}

func condition(kind string, status metav1.ConditionStatus) *metav1ac.ConditionApplyConfiguration {
	return metav1ac.Condition().WithType(kind).WithStatus(status).WithReason("Test").WithMessage("").WithLastTransitionTime(metav1.Now())
}

// applyStatus applies a status as its field manager, and reads it back.
func applyStatus(t *testing.T, kube *envtestkit.Kube, namespace, manager string, status *gridac.GridStatusApplyConfiguration) *v1alpha1.GridStatus {
	t.Helper()
	err := kube.Client.SubResource("status").Apply(t.Context(), gridac.Grid("demo", namespace).WithStatus(status), client.FieldOwner(manager), client.ForceOwnership)
	if err != nil {
		t.Fatal(err)
	}
	grid := new(v1alpha1.Grid)
	if err := kube.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "demo"}, grid); err != nil {
		t.Fatal(err)
	}
	return &grid.Status
}

// TestStatusIsAppliedByKey: conditions by type, members by name; what an owner
// leaves out is gone, what another owns stays.
func TestStatusIsAppliedByKey(t *testing.T) {
	kube := envtestkit.Start(t)
	namespace := kube.Namespace(t)
	generation := create(t, kube, own(namespace)).Generation

	types := func(status *v1alpha1.GridStatus) string {
		var all []string
		for _, c := range status.Conditions {
			all = append(all, c.Type+"="+string(c.Status))
		}
		slices.Sort(all)
		return strings.Join(all, " ")
	}
	members := func(status *v1alpha1.GridStatus) string {
		var all []string
		for _, m := range status.Members {
			all = append(all, m.Name)
		}
		return strings.Join(all, " ")
	}
	with := func(names ...string) *gridac.GridStatusApplyConfiguration {
		status := gridac.GridStatus().WithConditions(condition("Ready", metav1.ConditionTrue), condition("Paused", metav1.ConditionFalse))
		for _, name := range names {
			status.WithMembers(gridac.Member().WithName(name).WithReady(true))
		}
		return status
	}
	const us, they = "gridmesh-operator", "somebody"
	applyStatus(t, kube, namespace, us, with("demo-0", "demo-1", "demo-2"))
	if got := applyStatus(t, kube, namespace, they, gridac.GridStatus().WithConditions(condition("Billed", metav1.ConditionTrue))); types(got) != "Billed=True Paused=False Ready=True" || members(got) != "demo-0 demo-1 demo-2" {
		t.Errorf("another's condition: got %q and %q", types(got), members(got))
	}
	// The worst come first, so the order is a part of what is said.
	if got := applyStatus(t, kube, namespace, us, with("demo-2", "demo-3", "demo-0")); members(got) != "demo-2 demo-3 demo-0" {
		t.Errorf("members in another order: got %q, want demo-2 demo-3 demo-0", members(got))
	}
	got := applyStatus(t, kube, namespace, us, gridac.GridStatus().WithConditions(condition("Ready", metav1.ConditionFalse)))
	if types(got) != "Billed=True Ready=False" || members(got) != "" {
		t.Errorf("conditions and members left out: got %q and %q", types(got), members(got))
	}

	grid := new(v1alpha1.Grid)
	if err := kube.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "demo"}, grid); err != nil || grid.Generation != generation {
		t.Errorf("got generation %d and %v: a status has changed it", grid.Generation, err)
	}
	err := kube.Client.SubResource("status").Apply(t.Context(), gridac.Grid("demo", namespace).WithStatus(with("demo-0", "demo-0")), client.FieldOwner(us))
	if err == nil {
		t.Error("two members of one name were accepted")
	}
}

// TestScale: kubectl scale, and what an autoscaler reads.
func TestScale(t *testing.T) {
	kube := envtestkit.Start(t)
	namespace := kube.Namespace(t)
	grid := create(t, kube, own(namespace))
	applyStatus(t, kube, namespace, "gridmesh-operator", gridac.GridStatus().WithReplicas(2).WithSelector("gridmesh.io/grid=demo"))

	if out, err := kube.Kubectl(t, "scale", "grid/demo", "-n", namespace, "--replicas=5"); err != nil {
		t.Errorf("kubectl scale: %v: %s", err, out)
	}
	scale := new(autoscalingv1.Scale)
	if err := kube.Client.SubResource("scale").Get(t.Context(), grid, scale); err != nil {
		t.Fatal(err)
	}
	want := autoscalingv1.ScaleStatus{Replicas: 2, Selector: "gridmesh.io/grid=demo"}
	if scale.Spec.Replicas != 5 || scale.Status != want {
		t.Errorf("got %d wished for and %+v, want 5 and %+v", scale.Spec.Replicas, scale.Status, want)
	}

	create(t, kube, adopted(namespace))
	out, err := kube.Kubectl(t, "scale", "grid/adopted", "-n", namespace, "--replicas=5")
	if err == nil || !strings.Contains(out, "scale your own StatefulSet") {
		t.Errorf("kubectl scale of an adopted one: got %q and %v, want a refusal that says what to scale", out, err)
	}
}

// TestColumns: kubectl get grid.
func TestColumns(t *testing.T) {
	kube := envtestkit.Start(t)
	namespace := kube.Namespace(t)
	create(t, kube, own(namespace))
	applyStatus(t, kube, namespace, "gridmesh-operator", gridac.GridStatus().
		WithReady("3/3").WithPeers(3).WithLinks("6/6").WithCongested(0).WithVersion("v0.1.0").WithPeerListEpoch(17).
		WithConditions(condition(v1alpha1.ConditionPeersSynced, metav1.ConditionTrue), condition(v1alpha1.ConditionReady, metav1.ConditionTrue).WithMessage("3 of 3 pods are ready")))

	spaces, age := regexp.MustCompile(` +`), regexp.MustCompile(`\b\d+[smh]\b`)
	for args, want := range map[string]string{
		"":     "NAME READY PEERS LINKS SYNCED CONGESTED VERSION AGE\ndemo 3/3 3 6/6 True 0 v0.1.0 AGE\n",
		"wide": "NAME READY PEERS LINKS SYNCED CONGESTED VERSION AGE EPOCH STATUS\ndemo 3/3 3 6/6 True 0 v0.1.0 AGE 17 3 of 3 pods are ready\n",
	} {
		out, err := kube.Kubectl(t, "get", "grid", "-n", namespace, "-o", args)
		if got := age.ReplaceAllString(spaces.ReplaceAllString(out, " "), "AGE"); err != nil || got != want {
			t.Errorf("kubectl get grid -o %s: %v\n%swant\n%s", args, err, got, want)
		}
	}
}

// TestStatusIsASubresource: a spec's writer cannot claim what was observed.
func TestStatusIsASubresource(t *testing.T) {
	kube := envtestkit.Start(t)
	grid := own(kube.Namespace(t))
	grid.Status.Peers = 7
	if create(t, kube, grid).Status.Peers != 0 {
		t.Error("a status was written with the spec")
	}
	grid.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "Perhaps", Reason: "not camel"}}
	if err := kube.Client.Status().Update(t.Context(), grid); !apierrors.IsInvalid(err) {
		t.Errorf("a condition that is none: got %v, want invalid", err)
	}
}

// TestReplicasMayBeLeftToAnAutoscaler: who applies a Grid again without replicas
// leaves them as somebody else has scaled them.
func TestReplicasMayBeLeftToAnAutoscaler(t *testing.T) {
	kube := envtestkit.Start(t)
	namespace := kube.Namespace(t)
	apply := func(spec *gridac.GridSpecApplyConfiguration) error {
		return kube.Client.Apply(t.Context(), gridac.Grid("demo", namespace).WithSpec(spec), client.FieldOwner("git"))
	}
	if err := apply(gridac.GridSpec().WithImage("node:1").WithReplicas(3)); err != nil {
		t.Fatal(err)
	}
	if out, err := kube.Kubectl(t, "scale", "grid/demo", "-n", namespace, "--replicas=5"); err != nil {
		t.Fatalf("kubectl scale: %v: %s", err, out)
	}
	if err := apply(gridac.GridSpec().WithImage("node:2").WithReplicas(3)); !apierrors.IsConflict(err) {
		t.Errorf("applied with other replicas: got %v, want a conflict", err)
	}
	if err := apply(gridac.GridSpec().WithImage("node:2")); err != nil {
		t.Errorf("applied without replicas: %v", err)
	}
	grid := new(v1alpha1.Grid)
	if err := kube.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "demo"}, grid); err != nil {
		t.Fatal(err)
	}
	if *grid.Spec.Replicas != 5 || grid.Spec.Image != "node:2" {
		t.Errorf("got %d replicas of %s, want 5 of node:2", *grid.Spec.Replicas, grid.Spec.Image)
	}
}
