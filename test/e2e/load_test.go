//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/test/e2e/ledger"
)

// load is a Grid whose nodes are test/e2e/loadapp, and its ledger: 64 callers,
// in the pods 0 and 1.
type load struct {
	s         *suite
	namespace string
	grid      *v1alpha1.Grid
}

// restricted is what the strictest standard for pods wants of one, but for what
// it wants of containers.
var (
	restrictedPod = &corev1.PodSecurityContext{
		RunAsNonRoot: new(true), RunAsUser: new(int64(65532)), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	restrictedContainer = &corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
)

// startLoad makes a ledger and a Grid, and waits until calls are answered.
func (s *suite) startLoad(t *testing.T, namespace string, replicas int32) *load {
	t.Helper()
	image := "gridmesh/loadapp:" + s.version
	meta := metav1.ObjectMeta{Namespace: namespace, Name: "ledger", Labels: map[string]string{"app": "ledger"}}
	s.create(t,
		&corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{
			SecurityContext: restrictedPod, AutomountServiceAccountToken: new(false), TerminationGracePeriodSeconds: new(int64(1)),
			Containers: []corev1.Container{{
				Name: "ledger", Image: image, Args: []string{"ledger"}, SecurityContext: restrictedContainer,
				ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{
					HTTPGet: &corev1.HTTPGetAction{Path: "/summary", Port: intOrString(8080)},
				}},
			}},
		}},
		&corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Selector: meta.Labels, Ports: []corev1.ServicePort{{Port: 8080}}}},
	)
	l := &load{s: s, namespace: namespace, grid: s.grid(namespace, "load", replicas)}
	l.grid.Spec.Image = image
	env := map[string]any{"name": "LOAD_LEDGER", "value": "http://ledger." + namespace + ".svc:8080"}
	template, err := json.Marshal(map[string]any{"containers": []any{map[string]any{"name": "node", "env": []any{env}}}})
	if err != nil {
		t.Fatal(err)
	}
	l.grid.Spec.PodTemplate = &v1alpha1.PodTemplate{Spec: &runtime.RawExtension{Raw: template}}
	s.create(t, l.grid)
	s.formed(t, namespace, l.grid.Name, replicas)
	l.progress(t, 1)
	return l
}

// progress waits until so many more calls were answered: the load goes on.
func (l *load) progress(t *testing.T, calls int) {
	t.Helper()
	var first *int
	eventually(t, fmt.Sprintf("%d more answers", calls), func(ctx context.Context) error {
		summary, err := l.summary(ctx)
		if err != nil {
			return err
		}
		answered := summary.Outcomes[ledger.Answered]
		if first == nil {
			first = new(answered)
		}
		if answered < *first+calls {
			return fmt.Errorf("%d answers, %d more than before", answered, answered-*first)
		}
		return nil
	})
}

func (l *load) summary(ctx context.Context) (ledger.Summary, error) {
	body, err := l.s.kube.CoreV1().RESTClient().Get().Namespace(l.namespace).Resource("services").
		Name("ledger:8080").SubResource("proxy").Suffix("summary").Do(ctx).Raw()
	var summary ledger.Summary
	if err == nil {
		err = json.Unmarshal(body, &summary)
	}
	return summary, err
}

// end has no more calls made, waits until those that run have ended, and returns
// what became of all. Up to lost of them may stay open: their callers are dead.
func (l *load) end(t *testing.T, lost int) ledger.Summary {
	t.Helper()
	if err := l.s.kube.CoreV1().RESTClient().Post().Namespace(l.namespace).Resource("services").
		Name("ledger:8080").SubResource("proxy").Suffix("close").Do(t.Context()).Error(); err != nil {
		t.Fatal(err)
	}
	var summary ledger.Summary
	eventually(t, "the last calls to end", func(ctx context.Context) (err error) {
		if summary, err = l.summary(ctx); err == nil && summary.Open > lost {
			err = fmt.Errorf("%d calls are open", summary.Open)
		}
		return err
	})
	t.Logf("%d calls, %d tries again, outcomes %v", summary.Started, summary.Retries, summary.Outcomes)
	if len(summary.Wrong) > 0 {
		t.Errorf("calls that ran not as often as their outcome says: %+v", summary.Wrong)
	}
	return summary
}

// endUnharmed ends a load in which every call was answered.
func (l *load) endUnharmed(t *testing.T) ledger.Summary {
	t.Helper()
	summary := l.end(t, 0)
	if answered := summary.Outcomes[ledger.Answered]; answered != summary.Started {
		t.Errorf("%d of %d calls were answered: %q", answered, summary.Started, summary.Failures)
	}
	return summary
}
