package controllers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/names"
)

// Names of the volumes that the operator gives each pod.
const (
	volumeGrid  = "grid"
	volumeTLS   = "tls"
	volumeState = "state"

	volumeTarget = "target-" // with a digest of a Secret's name behind it
)

// annotationSettings is on pods: a digest of what the node reads of its Grid at
// its start only, so that a change of it restarts the pods, and nothing else does.
const annotationSettings = "gridmesh.io/settings"

const (
	nodeUser = 65532 // nonroot in the usual base images

	secretMode = 0o440 // for the node's group alone: there is a key in it

	// graceBeyondDrain is what a node has to close its links and end, after the
	// calls that still ran have had drainTimeout.
	graceBeyondDrain = 5 * time.Second

	// defaultDrain is the API's default, for a Grid written before it had one.
	defaultDrain = 30 * time.Second
)

// templateOf is what the operator asks of every pod, before the user's template
// is merged in. It must depend on the Grid's spec alone: whatever else stood in
// it (peers, replicas, the operator's version) would restart pods when it changes.
func templateOf(g *v1alpha1.Grid) (*corev1ac.PodTemplateSpecApplyConfiguration, *problem) {
	settings, err := settingsDigest(g)
	if err != nil {
		return nil, refuse(reasonTemplateRefused, "spec.limits: %v", err)
	}
	node := nodeContainer(g)
	pod := corev1ac.PodTemplateSpec().
		WithLabels(names.Labels(g.Name)).
		WithAnnotations(map[string]string{
			"kubectl.kubernetes.io/default-container": names.Container,
			annotationSettings:                        settings,
		}).
		WithSpec(corev1ac.PodSpec().
			WithAutomountServiceAccountToken(false).
			WithEnableServiceLinks(false).
			WithTerminationGracePeriodSeconds(int64((drainTimeout(g) + graceBeyondDrain + time.Second - 1) / time.Second)).
			WithSecurityContext(corev1ac.PodSecurityContext().
				WithRunAsNonRoot(true).
				WithRunAsUser(nodeUser).
				WithRunAsGroup(nodeUser).
				WithFSGroup(nodeUser).
				WithSeccompProfile(corev1ac.SeccompProfile().WithType(corev1.SeccompProfileTypeRuntimeDefault))).
			WithVolumes(corev1ac.Volume().WithName(volumeGrid).WithConfigMap(corev1ac.ConfigMapVolumeSource().WithName(names.ConfigMap(g.Name)))))
	if state := stateVolume(g); state != nil {
		pod.Spec.WithVolumes(state)
	}
	if source, refused := tlsVolume(g); refused != nil {
		return nil, refused
	} else if source != nil {
		pod.Spec.WithVolumes(source)
	}
	mountTargets(g, pod.Spec, node)
	pod.Spec.WithContainers(node)
	return pod, nil
}

func nodeContainer(g *v1alpha1.Grid) *corev1ac.ContainerApplyConfiguration {
	c := corev1ac.Container().
		WithName(names.Container).
		WithImage(g.Spec.Image).
		WithCommand("/node").
		// Not by arguments, which a template of the user's would have to repeat;
		// and commands that somebody runs in the container read them as well.
		WithEnv(
			corev1ac.EnvVar().WithName("GRID_KUBERNETES_DIR").WithValue(names.PathBase),
			corev1ac.EnvVar().WithName("GRID_PEERS_SAVE").WithValue(names.FileSaved),
			// The host's name is the pod's, unless the user's template says
			// hostNetwork.
			corev1ac.EnvVar().WithName("POD_NAME").WithValueFrom(corev1ac.EnvVarSource().
				WithFieldRef(corev1ac.ObjectFieldSelector().WithAPIVersion("v1").WithFieldPath("metadata.name"))),
		).
		WithPorts(
			corev1ac.ContainerPort().WithName(names.PortGrid).WithContainerPort(g.Spec.Port).WithProtocol(corev1.ProtocolTCP),
			corev1ac.ContainerPort().WithName(names.PortAdmin).WithContainerPort(g.Spec.AdminPort).WithProtocol(corev1.ProtocolTCP),
		).
		WithLivenessProbe(probe(g, "/livez").WithPeriodSeconds(10).WithTimeoutSeconds(5).WithFailureThreshold(6)).
		WithReadinessProbe(probe(g, "/readyz").WithPeriodSeconds(2).WithTimeoutSeconds(2).WithFailureThreshold(2)).
		WithResources(corev1ac.ResourceRequirements().WithRequests(corev1.ResourceList{
			corev1.ResourceCPU:    resource.MustParse("50m"),
			corev1.ResourceMemory: resource.MustParse("64Mi"),
		})).
		WithSecurityContext(corev1ac.SecurityContext().
			WithAllowPrivilegeEscalation(false).
			WithReadOnlyRootFilesystem(true).
			WithCapabilities(corev1ac.Capabilities().WithDrop("ALL"))).
		// So that the status can say why a node does not start.
		WithTerminationMessagePolicy(corev1.TerminationMessageFallbackToLogsOnError).
		WithVolumeMounts(
			corev1ac.VolumeMount().WithName(volumeGrid).WithMountPath(names.PathGrid).WithReadOnly(true),
			corev1ac.VolumeMount().WithName(volumeState).WithMountPath(names.PathState),
		)
	if g.Spec.TLS.Mode != v1alpha1.TLSNone {
		c.WithVolumeMounts(corev1ac.VolumeMount().WithName(volumeTLS).WithMountPath(names.PathTLS).WithReadOnly(true))
	}
	return c
}

func probe(g *v1alpha1.Grid, path string) *corev1ac.ProbeApplyConfiguration {
	scheme := corev1.URISchemeHTTPS
	if g.Spec.TLS.Mode == v1alpha1.TLSNone {
		scheme = corev1.URISchemeHTTP
	}
	return corev1ac.Probe().WithHTTPGet(corev1ac.HTTPGetAction().
		WithPath(path).WithPort(intstr.FromString(names.PortAdmin)).WithScheme(scheme))
}

// tlsVolume is where the certificate comes from; nil in mode none.
func tlsVolume(g *v1alpha1.Grid) (*corev1ac.VolumeApplyConfiguration, *problem) {
	volume := corev1ac.Volume().WithName(volumeTLS)
	secret := names.TLSSecret(g.Name)
	switch g.Spec.TLS.Mode {
	case v1alpha1.TLSNone:
		return nil, nil
	case v1alpha1.TLSVolume:
		if refused := userVolume(g, volume); refused != nil {
			return nil, refused
		}
		return volume.WithName(volumeTLS), nil
	case v1alpha1.TLSSecret:
		secret = g.Spec.TLS.Secret.Name
	case v1alpha1.TLSSelf, v1alpha1.TLSCertManager:
	}
	return volume.WithSecret(corev1ac.SecretVolumeSource().WithSecretName(secret).WithDefaultMode(secretMode)), nil
}

// userVolume reads spec.tls.volume, which must be one source and nothing else.
// A field that is not known is refused: left out, it would leave an empty folder.
func userVolume(g *v1alpha1.Grid, into *corev1ac.VolumeApplyConfiguration) *problem {
	const such = ", such as csi: {driver: csi.cert-manager.io, readOnly: true, …}"
	if g.Spec.TLS.Volume == nil {
		return refuse(reasonVolumeRefused, "spec.tls.volume is empty; give the source of a volume"+such)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(g.Spec.TLS.Volume.Raw, &fields); err != nil {
		return refuse(reasonVolumeRefused, "spec.tls.volume is no object: %v", err)
	}
	if _, named := fields["name"]; named || len(fields) != 1 {
		return refuse(reasonVolumeRefused, "spec.tls.volume must be the one source of a volume and nothing else"+such)
	}
	strict := json.NewDecoder(bytes.NewReader(g.Spec.TLS.Volume.Raw))
	strict.DisallowUnknownFields()
	if err := strict.Decode(into); err != nil {
		return refuse(reasonVolumeRefused, "spec.tls.volume is no volume source: %v", err)
	}
	return nil
}

func drainTimeout(g *v1alpha1.Grid) time.Duration {
	if g.Spec.DrainTimeout == nil {
		return defaultDrain
	}
	return g.Spec.DrainTimeout.Duration
}

// settingsDigest stands for what a node reads once.
func settingsDigest(g *v1alpha1.Grid) (string, error) {
	text, err := json.Marshal(struct {
		Limits   *v1alpha1.Limits  `json:"limits,omitempty"`
		Identity v1alpha1.Identity `json:"identity,omitempty"`
	}{g.Spec.Limits, g.Spec.TLS.Identity})
	if err != nil {
		return "", fmt.Errorf("digest: %w", err)
	}
	return digest(text), nil
}
