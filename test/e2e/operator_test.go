//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Where the operator is installed.
const (
	system   = "gridmesh-system"
	release  = "gridmesh"
	deployed = "gridmesh-operator" // the Deployment
	chart    = "../../charts/gridmesh"
)

func intOrString(port int32) intstr.IntOrString { return intstr.FromInt32(port) }

// helm runs the Helm of a major version.
func helm(t *testing.T, major int, args ...string) string {
	t.Helper()
	name := needEnv(t, fmt.Sprintf("HELM%d", major))
	began := time.Now()
	output, err := command(t.Context(), name, append(args, "--namespace", system)...)
	t.Logf("helm %d %s: %.1f s", major, args[0], time.Since(began).Seconds())
	if err != nil {
		t.Fatal(err)
	}
	return output
}

// values are the chart's for images of a version that are on the cluster.
func (s *suite) values(version string) []string {
	return []string{"--set", "image.tag=" + version, "--set", "nodeImage.tag=" + version, "--wait", "--timeout=3m"}
}

// installOperator installs it with helm 3, to stay until the end.
func (s *suite) installOperator(t *testing.T) {
	t.Helper()
	helm(t, 3, append([]string{"install", release, chart}, s.values(s.version)...)...)
	t.Cleanup(func() {
		ctx, cancel := cleanup()
		defer cancel()
		if t.Failed() {
			output, err := command(ctx, "kubectl", "logs", "--namespace", system, "deployment/"+deployed, "--tail=200")
			t.Logf("the operator says\n%s%v", output, errors.Join(err))
			return
		}
		// What is of the whole cluster does not go with the namespace.
		if _, err := command(ctx, needEnv(t, "HELM3"), "uninstall", release, "--namespace", system, "--wait"); err != nil {
			t.Error(err)
		}
	})
}

// scaleOperator sets how many operators run, and waits until it is so.
func (s *suite) scaleOperator(t *testing.T, replicas int32) {
	t.Helper()
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: deployed}}
	change(t, s, deployment, func(d *appsv1.Deployment) { d.Spec.Replicas = new(replicas) })
	eventually(t, fmt.Sprintf("%d operators", replicas), func(ctx context.Context) error {
		if err := s.get(ctx, deployment); err != nil {
			return err
		}
		if got := &deployment.Status; got.Replicas != replicas || got.ReadyReplicas != replicas || got.ObservedGeneration != deployment.Generation {
			return fmt.Errorf("%d operators, %d ready", got.Replicas, got.ReadyReplicas)
		}
		return nil
	})
}
