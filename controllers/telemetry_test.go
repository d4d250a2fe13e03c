package controllers

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/feed"
)

func webhook(name, url string) v1alpha1.LogTarget {
	return v1alpha1.LogTarget{Name: v1alpha1.TargetName(name), Webhook: &v1alpha1.Webhook{URL: v1alpha1.ReceiverURL(url)}}
}

// TestTelemetryThatPodsWouldRefuse: the Grid says so, its StatefulSet stays as it
// is meanwhile, and all goes on when it is mended.
func TestTelemetryThatPodsWouldRefuse(t *testing.T) {
	w := newWorld(t)
	g := w.demo(1)
	set := w.running(g)
	update(w, g, func(g *v1alpha1.Grid) {
		g.Spec.Logging = &v1alpha1.Logging{Targets: []v1alpha1.LogTarget{webhook("central", "https://[x")}}
		g.Spec.Logging.Targets[0].Webhook.SecretRef = &v1alpha1.TargetSecret{Name: "central"}
	})
	c := w.waitCondition(g, v1alpha1.ConditionAccepted, metav1.ConditionFalse, feed.ReasonTelemetry)
	if !strings.Contains(c.Message, "spec.logging.targets[0].webhook.url: ") {
		t.Errorf("it says %q", c.Message)
	}
	generation := set.Generation
	if w.get("demo", set); set.Generation != generation {
		t.Error("the StatefulSet was changed")
	}
	update(w, g, func(g *v1alpha1.Grid) { g.Spec.Logging.Targets[0].Webhook.URL = "https://x" })
	w.waitCondition(g, v1alpha1.ConditionAccepted, metav1.ConditionTrue, reasonValid)
	waitFor(w, "demo", set, func(s *appsv1.StatefulSet) bool {
		volumes := s.Spec.Template.Spec.Volumes
		last := volumes[len(volumes)-1].Secret
		return last.SecretName == "central" && *last.Optional
	})
}

// TestStorageThatIsTooSmall: a pod whose spools fill would be evicted.
func TestStorageThatIsTooSmall(t *testing.T) {
	for _, c := range []struct{ name, spec, want string }{
		{"nothing to keep", "storage: {emptyDir: {sizeLimit: 16Mi}}", ""},
		{"a target, and nothing said", `logging: {targets: [{name: a, webhook: {url: "http://a"}}]}`, ""},
		{"all targets there can be, and nothing said", `{logging: {targets: [` + targets(8) + `]}, audit: {targets: [` + targets(8) + `]}}`, ""},
		{"just enough", `{storage: {emptyDir: {sizeLimit: 288Mi}}, logging: {targets: [` + targets(1) + `]}}`, ""},
		{"just too little", `{storage: {emptyDir: {sizeLimit: 287Mi}}, logging: {targets: [` + targets(1) + `]}}`, "spec.storage.emptyDir.sizeLimit is 287Mi, and targets of logging and audit may have 288Mi wait there"},
		{"a spool that is too large", `audit: {targets: [{name: a, webhook: {url: "http://a"}, spool: {maxBytes: 6Gi}}]}`, "spec.storage.emptyDir.sizeLimit is 5Gi, and"},
		{"the console keeps nothing", `{storage: {emptyDir: {sizeLimit: 16Mi}}, audit: {targets: [{name: a, console: {}}]}}`, ""},
		{"a claim", `{storage: {volumeClaimTemplate: {resources: {requests: {storage: 1Gi}}}}, audit: {targets: [` + targets(4) + `]}}`, "spec.storage.volumeClaimTemplate is 1Gi, and"},
	} {
		refused := reviewStorage(gridOf(t, c.spec))
		switch {
		case c.want == "" && refused != nil:
			t.Errorf("%s: refused: %v", c.name, refused)
		case c.want != "" && (refused == nil || refused.reason != reasonStorageTooSmall || !strings.Contains(refused.message, c.want)):
			t.Errorf("%s: got %v, want %q", c.name, refused, c.want)
		}
	}
	w := newWorld(t)
	g := w.demo(1)
	g.Spec.Logging = &v1alpha1.Logging{Targets: []v1alpha1.LogTarget{webhook("central", "https://x")}}
	g.Spec.Logging.Targets[0].Spool = &v1alpha1.Spool{MaxBytes: "1Ti"}
	w.create(g)
	w.waitCondition(g, v1alpha1.ConditionAccepted, metav1.ConditionFalse, reasonStorageTooSmall)
	if w.get("demo", new(appsv1.StatefulSet)) {
		t.Error("pods were started all the same")
	}
}

// TestPodsGetNoOtherKeys: a secretRef can name any Secret, such as that with the
// keys of the Grid's own authority.
func TestPodsGetNoOtherKeys(t *testing.T) {
	merged, refused := mergeTemplate(gridOf(t, `audit: {targets: [{name: a, otlp: {url: "https://a", secretRef: {name: demo-grid-ca}}}]}`))
	if refused != nil {
		t.Fatal(refused)
	}
	found := 0
	for _, v := range merged.read.Spec.Volumes {
		if v.Secret == nil || v.Secret.SecretName != "demo-grid-ca" {
			continue
		}
		found++
		var keys []string
		for _, item := range v.Secret.Items {
			keys = append(keys, item.Key+"="+item.Path)
		}
		if got := strings.Join(keys, " "); got != "ca.crt=ca.crt tls.crt=tls.crt tls.key=tls.key token=token password=password" {
			t.Errorf("pods get %q, all if empty", got)
		}
	}
	if found != 1 {
		t.Errorf("it is mounted %d times", found)
	}
}

func targets(n int) string {
	var all []string
	for i := range n {
		all = append(all, `{name: t`+string(rune('a'+i))+`, webhook: {url: "http://a"}}`)
	}
	return strings.Join(all, ",")
}

// TestAClaimForEachPod: the StatefulSet makes it, and is not applied anew for what
// the API server fills in.
func TestAClaimForEachPod(t *testing.T) {
	w := newWorld(t)
	g := w.demo(1)
	var storage v1alpha1.Storage
	if err := yaml.UnmarshalStrict([]byte("volumeClaimTemplate: {resources: {requests: {storage: 1024Mi}}}"), &storage); err != nil {
		t.Fatal(err)
	}
	g.Spec.Storage = &storage
	set := w.running(g)
	claims := set.Spec.VolumeClaimTemplates
	if len(claims) != 1 || claims[0].Name != "state" || claims[0].Spec.AccessModes[0] != corev1.ReadWriteOnce {
		t.Fatalf("claims %+v", claims)
	}
	if got := claims[0].Spec.Resources.Requests.Storage().String(); got != "1Gi" {
		t.Errorf("a claim of %s", got)
	}
	version := set.ResourceVersion
	update(w, g, func(g *v1alpha1.Grid) { g.Spec.Logging = &v1alpha1.Logging{Level: v1alpha1.LevelDebug} })
	w.waitCondition(g, v1alpha1.ConditionReady, metav1.ConditionTrue, "AllMembersReady")
	if w.get("demo", set); set.ResourceVersion != version {
		t.Errorf("the StatefulSet was written again: %+v", set.ManagedFields)
	}
}

// TestAVolumeInPlaceOfTheClaim: the StatefulSet would put its own over it.
func TestAVolumeInPlaceOfTheClaim(t *testing.T) {
	g := withPodSpec(t, `volumes: [{name: state, emptyDir: {}}]`)
	g.Spec.Storage = &v1alpha1.Storage{VolumeClaimTemplate: new(v1alpha1.StorageClaim)}
	if _, refused := mergeTemplate(g); refused == nil || !strings.Contains(refused.message, "spec.volumes: state is the operator's") {
		t.Errorf("got %v", refused)
	}
}

// TestTargetsRestartNobody: pods follow log and audit while they run. Only another
// Secret has to be mounted.
func TestTargetsRestartNobody(t *testing.T) {
	given := func(spec string) string {
		merged, refused := mergeTemplate(gridOf(t, spec))
		if refused != nil {
			t.Fatal(refused)
		}
		text, err := yaml.Marshal(merged.given)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const secret = `logging: {targets: [{name: a, webhook: {url: "https://a", secretRef: {name: one}}}]}`
	plain := given("")
	for _, spec := range []string{
		`logging: {level: debug}`,
		`{logging: {level: debug, targets: [` + targets(3) + `]}, audit: {targets: [` + targets(8) + `]}}`,
	} {
		if given(spec) != plain {
			t.Errorf("%s changes the pods", spec)
		}
	}
	if given(secret) == plain {
		t.Error("the Secret is not mounted")
	}
	if given(`audit: {targets: [{name: b, webhook: {url: "https://b", secretRef: {name: one}}}, {name: c, otlp: {url: "https://b", secretRef: {name: one}}}]}`) != given(secret) {
		t.Error("a Secret that is mounted already changes the pods")
	}
}

// TestAnAdoptedStatefulSetMountsWhatTargetsNeed: the operator says what is missing,
// since it mounts nothing itself.
func TestAnAdoptedStatefulSetMountsWhatTargetsNeed(t *testing.T) {
	w := newWorld(t)
	set, service := web(w.namespace)
	w.create(set)
	w.create(service)
	g := w.adopting()
	g.Spec.Audit = &v1alpha1.Audit{Targets: []v1alpha1.AuditTarget{{
		Name: "trail", Policy: v1alpha1.AuditBlock,
		Webhook: &v1alpha1.Webhook{URL: "https://x", SecretRef: &v1alpha1.TargetSecret{Name: "trail"}},
	}}}
	w.create(g)
	c := w.waitCondition(g, v1alpha1.ConditionAccepted, metav1.ConditionFalse, reasonStatefulSetUnfit)
	for _, want := range []string{"no container mounts Secret trail, ", "as the directory /etc/gridmesh/targets/trail ", "no container mounts a volume at /var/lib/gridmesh, which audit target trail needs"} {
		if !strings.Contains(c.Message, want) {
			t.Errorf("it says %q, want %q in it", c.Message, want)
		}
	}
	update(w, set, func(s *appsv1.StatefulSet) {
		spec := &s.Spec.Template.Spec
		spec.Volumes = append(spec.Volumes,
			corev1.Volume{Name: "s", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "trail", Optional: new(true)}}},
			corev1.Volume{Name: "d", VolumeSource: corev1.VolumeSource{EmptyDir: new(corev1.EmptyDirVolumeSource)}})
		spec.Containers[0].VolumeMounts = append(spec.Containers[0].VolumeMounts,
			corev1.VolumeMount{Name: "s", MountPath: "/etc/gridmesh/targets/trail"}, corev1.VolumeMount{Name: "d", MountPath: "/var/lib/gridmesh"})
	})
	w.waitCondition(g, v1alpha1.ConditionAccepted, metav1.ConditionTrue, reasonValid)
}
