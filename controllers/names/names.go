package names

import (
	"fmt"
	"maps"
	"net"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
)

// FieldManager is who the operator is in server-side apply.
const FieldManager = "gridmesh-operator"

// Labels.
const (
	// LabelGrid carries the Grid's name: on every object of a Grid, and on every
	// pod of one, where it is the selector and, on pods of an adopted
	// StatefulSet, its owner's consent.
	LabelGrid = "gridmesh.io/grid"

	LabelName      = "app.kubernetes.io/name"
	LabelInstance  = "app.kubernetes.io/instance"
	LabelComponent = "app.kubernetes.io/component"
	LabelManagedBy = "app.kubernetes.io/managed-by"
)

// Container is the container of a pod in which the node runs.
const Container = "node"

// Names of ports, in Services and containers.
const (
	PortGrid  = "grid"
	PortAdmin = "admin"
)

// Keys in the ConfigMap of a Grid.
const (
	KeyDocument = "peers.signed"
	KeyTrusted  = "peers.pub"
	KeySettings = "grid.json"
	// KeyTelemetry is where log and audit go: a file that pods follow while they
	// run, which those of grid.json are not.
	KeyTelemetry = "telemetry.json"
)

// Keys in the Secret that nodes mount.
const (
	KeyCert = "tls.crt"
	KeyKey  = "tls.key"
	KeyCA   = "ca.crt"
)

// Keys in the Secret of a target of log or audit, besides those three.
const (
	KeyToken    = "token"
	KeyPassword = "password"
)

// Paths in the pods.
const (
	PathBase = "/etc/gridmesh"
	PathGrid = PathBase + "/grid" // the ConfigMap
	PathTLS  = PathBase + "/tls"  // the Secret
	// PathTargets has a folder for each Secret of a target of log or audit.
	PathTargets = PathBase + "/targets"
	PathState   = "/var/lib/gridmesh"
	FileSaved   = PathState + "/peers.signed"
)

// StatefulSet names the StatefulSet whose pods are the Grid's.
func StatefulSet(g *v1alpha1.Grid) string {
	if g.Spec.StatefulSetRef != nil {
		return g.Spec.StatefulSetRef.Name
	}
	return g.Name
}

// Adopted reports whether the StatefulSet is the user's.
func Adopted(g *v1alpha1.Grid) bool { return g.Spec.StatefulSetRef != nil }

// ConfigMap names the ConfigMap with the peer list.
func ConfigMap(grid string) string { return grid + "-grid" }

// TLSSecret names the Secret with the certificate that the operator sees to.
func TLSSecret(grid string) string { return grid + "-grid-tls" }

// CASecret names the Secret with the keys of the Grid's own authority.
func CASecret(grid string) string { return grid + "-grid-ca" }

// SigningSecret names the Secret with the keys that sign the peer list.
func SigningSecret(grid string) string { return grid + "-grid-signing" }

// Certificate names the Certificate that cert-manager is asked for.
func Certificate(grid string) string { return grid + "-grid" }

// TargetFolder is where pods have the Secret of a target.
func TargetFolder(secret string) string { return PathTargets + "/" + secret }

// TargetFile is where pods have a key of the Secret of a target.
func TargetFile(secret, key string) string { return TargetFolder(secret) + "/" + key }

// ID is what nodes know the Grid by.
func ID(g *v1alpha1.Grid) string { return g.Namespace + "/" + g.Name }

// Labels are those of every object of a Grid.
func Labels(grid string) map[string]string {
	all := map[string]string{
		LabelName:      "gridmesh",
		LabelInstance:  grid,
		LabelComponent: "node",
		LabelManagedBy: FieldManager,
	}
	maps.Copy(all, Selector(grid))
	return all
}

// Selector selects the pods of a Grid.
func Selector(grid string) map[string]string { return map[string]string{LabelGrid: grid} }

// SelectorText is Selector for the scale subresource.
func SelectorText(grid string) string { return labels.Set(Selector(grid)).String() }

// Ours reports whether the operator made the object for the Grid of this name.
func Ours(o metav1.Object, grid string) bool {
	have := o.GetLabels()
	return have[LabelManagedBy] == FieldManager && have[LabelGrid] == grid
}

// Mine reports whether an object is the Grid's by its owner, whatever became of
// its labels, or has our labels and no owner.
func Mine(o metav1.Object, g *v1alpha1.Grid) bool {
	if owner := metav1.GetControllerOfNoCopy(o); owner != nil {
		return owner.UID == g.UID
	}
	return Ours(o, g.Name)
}

// Host is the pod's host in its name in the mesh, and in its certificate.
func Host(pod, service, namespace string) string {
	return fmt.Sprintf("%s.%s.%s.svc", pod, service, namespace)
}

// Peer is a pod's name in the mesh.
func Peer(pod, service, namespace string, port int32) string {
	return net.JoinHostPort(Host(pod, service, namespace), strconv.Itoa(int(port)))
}

// Wildcard is the host of the one certificate that all pods of a Service share.
func Wildcard(service, namespace string) string { return Host("*", service, namespace) }

// Ordinal is the number at the end of the name of a StatefulSet's pod; false if
// the pod is called otherwise.
func Ordinal(statefulSet, pod string) (int, bool) {
	text, ok := strings.CutPrefix(pod, statefulSet+"-")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || strconv.FormatUint(n, 10) != text {
		return 0, false
	}
	return int(n), true
}

// Start is the lowest ordinal of a StatefulSet.
func Start(s *appsv1.StatefulSet) int {
	if s.Spec.Ordinals == nil {
		return 0
	}
	return int(s.Spec.Ordinals.Start)
}
