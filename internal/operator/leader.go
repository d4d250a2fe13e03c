package operator

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// podNamespaceFile is where Kubernetes tells a pod its namespace.
const podNamespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// leaderLock is the Lease by which the one leader is found. It is made here and
// not by the manager, whose own would write events of the older API, for which
// the operator needs no permission otherwise. The log says who leads.
func leaderLock(kube *rest.Config, c Config, getenv func(string) string) (resourcelock.Interface, error) {
	namespace, err := leaderNamespace(c, getenv)
	if err != nil {
		return nil, err
	}
	name, err := leaderName(getenv)
	if err != nil {
		return nil, err
	}
	identity := resourcelock.ResourceLockConfig{Identity: name}
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, namespace, c.LeaderLease, identity, kube, c.LeaderRenewDeadline)
	if err != nil {
		return nil, fmt.Errorf("lease %s/%s: %w", namespace, c.LeaderLease, err)
	}
	return lock, nil
}

// leaderName is who holds the lease. A pod's name is that of one process at a
// time, and stays when its container starts anew: that one takes the lease up
// again, and need not wait for it to run out.
func leaderName(getenv func(string) string) (string, error) {
	if pod := getenv("POD_NAME"); pod != "" {
		return pod, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("name of this leader: %w", err)
	}
	return host + "_" + string(uuid.NewUUID()), nil
}

func leaderNamespace(c Config, getenv func(string) string) (string, error) {
	if c.LeaderNamespace != "" {
		return c.LeaderNamespace, nil
	}
	if namespace := getenv("POD_NAMESPACE"); namespace != "" {
		return namespace, nil
	}
	text, err := os.ReadFile(podNamespaceFile)
	if namespace := strings.TrimSpace(string(text)); err == nil && namespace != "" {
		return namespace, nil
	}
	return "", errors.New("where does the lease go? This is no pod: set leader-namespace, such as --leader-namespace default")
}
