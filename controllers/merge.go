package controllers

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/names"
)

// Limits of spec.podTemplate.spec. The merge takes time by the square of a list's
// length, and all Grids share the operator's workers.
const (
	maxTemplate = 128 << 10 // bytes
	maxEntries  = 256       // of any list in it
)

// mergeTemplate lays the user's template over ours, as kubectl patch does, and
// refuses what would take from a node what it needs to be one.
func mergeTemplate(g *v1alpha1.Grid) (*podTemplate, *problem) {
	ours, refused := templateOf(g)
	if refused != nil {
		return nil, refused
	}
	if why := tooLarge(g.Spec.PodTemplate); why != "" {
		return nil, refuse(reasonTemplateRefused, "spec.podTemplate.spec %s", why)
	}
	base, err := json.Marshal(ours)
	if err != nil {
		return nil, refuse(reasonTemplateRefused, "spec.podTemplate: %v", err)
	}
	patch, err := userTemplate(g.Spec.PodTemplate)
	if err != nil {
		return nil, refuse(reasonTemplateRefused, "spec.podTemplate: %v", err)
	}
	merged, err := mergePatch(base, patch)
	if err != nil {
		return nil, refuse(reasonTemplateRefused, "spec.podTemplate cannot be merged: %v", err)
	}
	want, err := readTemplate(base)
	if err != nil {
		return nil, refuse(reasonTemplateRefused, "spec.podTemplate: %v", err)
	}
	got, err := readTemplate(merged)
	if err != nil {
		return nil, refuse(reasonTemplateRefused, "spec.podTemplate: %v", err)
	}
	if why := whatIsTaken(want.read, got.read); why != "" {
		return nil, refuse(reasonTemplateRefused, "spec.podTemplate: %s", why)
	}
	return got, nil
}

// tooLarge says what of the user's part is larger than allowed; "" if nothing.
func tooLarge(t *v1alpha1.PodTemplate) string {
	if t == nil || t.Spec == nil {
		return ""
	}
	if n := len(t.Spec.Raw); n > maxTemplate {
		return fmt.Sprintf("has %d bytes, allowed are %d; move what is long into a ConfigMap", n, maxTemplate)
	}
	var spec any
	if json.Unmarshal(t.Spec.Raw, &spec) != nil {
		return "" // the merge says so
	}
	if n := longest(spec); n > maxEntries {
		return fmt.Sprintf("has a list of %d entries, allowed are %d; variables may come by envFrom, files by one volume", n, maxEntries)
	}
	return ""
}

// longest is how many entries the longest list in v has.
func longest(v any) (most int) {
	switch v := v.(type) {
	case map[string]any:
		for _, each := range v {
			most = max(most, longest(each))
		}
	case []any:
		most = len(v)
		for _, each := range v {
			most = max(most, longest(each))
		}
	}
	return most
}

// mergePatch merges as kubectl patch does. The API server has not looked at the
// user's part, and the merge panics at values that no part of a pod can have,
// such as a list for a name.
func mergePatch(base, patch []byte) (merged []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it has a value of a wrong type: %v", p)
		}
	}()
	return strategicpatch.StrategicMergePatch(base, patch, corev1.PodTemplateSpec{})
}

// userTemplate is the user's part as a strategic merge patch.
func userTemplate(t *v1alpha1.PodTemplate) ([]byte, error) {
	patch := make(map[string]any)
	if t != nil && t.Metadata != nil {
		patch["metadata"] = t.Metadata
	}
	if t != nil && t.Spec != nil && len(t.Spec.Raw) > 0 {
		patch["spec"] = json.RawMessage(t.Spec.Raw)
	}
	return json.Marshal(patch)
}

// readTemplate reads names of fields as the API server does, by case.
func readTemplate(text []byte) (*podTemplate, error) {
	t := &podTemplate{read: new(corev1.PodTemplateSpec)}
	if err := json.Unmarshal(text, &t.given); err != nil {
		return nil, err
	}
	// It says which field it is; the one below does not.
	if err := json.Unmarshal(text, new(corev1.PodTemplateSpec)); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(t.given, t.read); err != nil {
		return nil, err
	}
	return t, nil
}

// whatIsTaken says what of ours the merged template lacks; "" if nothing.
func whatIsTaken(ours, merged *corev1.PodTemplateSpec) string {
	for key, value := range ours.Labels {
		if merged.Labels[key] != value {
			return fmt.Sprintf("metadata.labels: %s is the operator's", key)
		}
	}
	if merged.Annotations[annotationSettings] != ours.Annotations[annotationSettings] {
		return fmt.Sprintf("metadata.annotations: %s is the operator's", annotationSettings)
	}
	spec := &merged.Spec
	switch {
	case spec.Hostname != "" || spec.Subdomain != "" || spec.SetHostnameAsFQDN != nil || spec.HostnameOverride != nil:
		return "spec.hostname, subdomain, setHostnameAsFQDN and hostnameOverride are the operator's: a node is known by its pod's name"
	case spec.RestartPolicy != "" && spec.RestartPolicy != corev1.RestartPolicyAlways:
		return "spec.restartPolicy can only be Always"
	case spec.TerminationGracePeriodSeconds == nil || *spec.TerminationGracePeriodSeconds < *ours.Spec.TerminationGracePeriodSeconds:
		return fmt.Sprintf("spec.terminationGracePeriodSeconds must be at least %d, drainTimeout and %s: calls would be cut",
			*ours.Spec.TerminationGracePeriodSeconds, graceBeyondDrain)
	}
	for i := range ours.Spec.Volumes {
		want := &ours.Spec.Volumes[i]
		at := slices.IndexFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == want.Name })
		if at < 0 || !equality.Semantic.DeepEqual(spec.Volumes[at], *want) {
			return fmt.Sprintf("spec.volumes: %s is the operator's; give yours another name", want.Name)
		}
	}
	// The StatefulSet puts its claim over a volume of that name.
	if !slices.ContainsFunc(ours.Spec.Volumes, isState) && slices.ContainsFunc(spec.Volumes, isState) {
		return fmt.Sprintf("spec.volumes: %s is the operator's; give yours another name", volumeState)
	}
	if slices.ContainsFunc(spec.InitContainers, isNode) || !slices.ContainsFunc(spec.Containers, isNode) {
		return fmt.Sprintf("spec.containers: the container %s must stay", names.Container)
	}
	node := &spec.Containers[slices.IndexFunc(spec.Containers, isNode)]
	if why := whatNodeLacks(&ours.Spec.Containers[0], node); why != "" {
		return fmt.Sprintf("spec.containers[%s].%s", names.Container, why)
	}
	return portInUse(spec, &ours.Spec.Containers[0])
}

func isState(v corev1.Volume) bool { return v.Name == volumeState }

func isNode(c corev1.Container) bool { return c.Name == names.Container }

// whatNodeLacks says what of ours the node's container lacks.
func whatNodeLacks(ours, node *corev1.Container) string {
	switch {
	case node.Image != ours.Image:
		return "image: say it in spec.image"
	case !slices.Equal(node.Command, ours.Command):
		return "command is the operator's"
	}
	for _, arg := range node.Args {
		name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if variable := "GRID_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")); strings.HasPrefix(arg, "-") &&
			slices.ContainsFunc(ours.Env, func(e corev1.EnvVar) bool { return e.Name == variable }) {
			return fmt.Sprintf("args: --%s is the operator's", name)
		}
	}
	for i := range ours.Env {
		want := &ours.Env[i]
		if !slices.ContainsFunc(node.Env, func(e corev1.EnvVar) bool { return equality.Semantic.DeepEqual(e, *want) }) {
			return fmt.Sprintf("env: %s is the operator's", want.Name)
		}
	}
	for i := range ours.Ports {
		want := &ours.Ports[i]
		if !slices.ContainsFunc(node.Ports, func(p corev1.ContainerPort) bool {
			return p.Name == want.Name && p.ContainerPort == want.ContainerPort && p.Protocol == want.Protocol
		}) {
			return fmt.Sprintf("ports: %s (%d) is the operator's; spec.port and spec.adminPort say which it is", want.Name, want.ContainerPort)
		}
	}
	for i := range ours.VolumeMounts {
		want := &ours.VolumeMounts[i]
		if !slices.ContainsFunc(node.VolumeMounts, func(m corev1.VolumeMount) bool { return equality.Semantic.DeepEqual(m, *want) }) {
			return fmt.Sprintf("volumeMounts: %s is the operator's", want.MountPath)
		}
	}
	for i := range node.VolumeMounts {
		mount := &node.VolumeMounts[i]
		under := mount.MountPath == names.PathBase || strings.HasPrefix(mount.MountPath, names.PathBase+"/") ||
			strings.HasPrefix(mount.MountPath, names.PathState+"/")
		if under && !slices.ContainsFunc(ours.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == mount.MountPath }) {
			return fmt.Sprintf("volumeMounts: %s lies in a folder of the operator's", mount.MountPath)
		}
	}
	return ""
}

// portInUse says which other container listens on a port of the node: they
// share one network, and whoever comes second does not start.
func portInUse(spec *corev1.PodSpec, node *corev1.Container) string {
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			for _, p := range containers[i].Ports {
				if p.Protocol != "" && p.Protocol != corev1.ProtocolTCP {
					continue
				}
				for _, ours := range node.Ports {
					same := containers[i].Name == names.Container && p.Name == ours.Name
					if p.ContainerPort == ours.ContainerPort && !same {
						return fmt.Sprintf("spec.containers[%s].ports: %d is the node's port %s; take another, or set spec.port or spec.adminPort",
							containers[i].Name, p.ContainerPort, ours.Name)
					}
				}
			}
		}
	}
	return ""
}
