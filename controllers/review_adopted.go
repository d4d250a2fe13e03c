package controllers

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/names"
)

// reviewAdopted looks whether the user's StatefulSet is made so that its pods
// can be a mesh. The operator never writes to it, so it says what to do.
func (s *scope) reviewAdopted(ctx context.Context) error {
	name := names.StatefulSet(s.grid)
	if s.set == nil {
		return refuse(reasonStatefulSetMissing, "there is no StatefulSet %s, which spec.statefulSetRef names", name)
	}
	if s.set.Labels[names.LabelManagedBy] == names.FieldManager {
		return refuse(reasonStatefulSetUnfit, "StatefulSet %s is that of Grid %s; its pods cannot be in a second mesh", name, s.set.Labels[names.LabelGrid])
	}
	if lacks := whatSetLacks(s.grid, s.set); len(lacks) > 0 {
		return refuse(reasonStatefulSetUnfit, "StatefulSet %s: %s", name, strings.Join(lacks, "; "))
	}
	service, err := cached[corev1.Service](ctx, s, s.set.Spec.ServiceName)
	if err != nil {
		return err
	}
	if service == nil {
		return refuse(reasonServiceUnfit, "there is no Service %s, which StatefulSet %s names in spec.serviceName: pods have no names without it",
			s.set.Spec.ServiceName, name)
	}
	if lacks := whatServiceLacks(s.set, service); len(lacks) > 0 {
		return refuse(reasonServiceUnfit, "Service %s: %s", service.Name, strings.Join(lacks, "; "))
	}
	return nil
}

// whatSetLacks says what an adopted StatefulSet needs to have changed.
func whatSetLacks(g *v1alpha1.Grid, set *appsv1.StatefulSet) []string {
	var lacks []string
	lack := func(format string, args ...any) { lacks = append(lacks, fmt.Sprintf(format, args...)) }
	template := &set.Spec.Template
	if got := template.Labels[names.LabelGrid]; got != g.Name {
		lack("spec.template.metadata.labels needs %s: %s, by which you agree that its pods join (it has %q)", names.LabelGrid, g.Name, got)
	}
	if set.Spec.ServiceName == "" {
		lack("spec.serviceName must name a headless Service")
	}
	base := ""
	if at := mountOf(&template.Spec, func(v *corev1.Volume) bool { return hasConfigMap(v, names.ConfigMap(g.Name)) }); at == "" {
		lack("no container mounts ConfigMap %s as a directory (not with subPath); mount it at %s", names.ConfigMap(g.Name), names.PathGrid)
	} else if base = path.Dir(at); path.Base(at) != path.Base(names.PathGrid) {
		lack("ConfigMap %s is mounted at %s; mount it at %s", names.ConfigMap(g.Name), at, names.PathGrid)
	}
	if secret := mountedSecret(g); secret != "" {
		at := mountOf(&template.Spec, func(v *corev1.Volume) bool { return hasSecret(v, secret) })
		switch {
		case at == "":
			lack("no container mounts Secret %s as a directory (not with subPath); mount it at %s", secret, names.PathTLS)
		case path.Base(at) != path.Base(names.PathTLS) || base != "" && path.Dir(at) != base:
			lack("Secret %s is mounted at %s; mount it at %s, beside the ConfigMap", secret, at, names.PathTLS)
		}
	}
	for _, secret := range targetSecrets(g) {
		at := mountOf(&template.Spec, func(v *corev1.Volume) bool { return hasSecret(v, secret) })
		if at != names.TargetFolder(secret) && at != names.PathTargets { // there by a projected volume
			lack("no container mounts Secret %s, which a target of logging or audit names, as the directory %s "+
				"(not with subPath; optional: true lets pods start without it)", secret, names.TargetFolder(secret))
		}
	}
	if target := blocking(g); target != "" && !mountsState(&template.Spec) {
		lack("no container mounts a volume at %s, which audit target %s needs for its policy block: that is where its records are safe", names.PathState, target)
	}
	for _, port := range []struct {
		name   string
		number int32
	}{{"port", g.Spec.Port}, {"adminPort", g.Spec.AdminPort}} {
		if !slices.ContainsFunc(template.Spec.Containers, func(c corev1.Container) bool {
			return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.ContainerPort == port.number })
		}) {
			lack("no container declares containerPort %d, the Grid's %s", port.number, port.name)
		}
	}
	return lacks
}

// mountedSecret is the Secret that pods are to mount; "" if that is theirs to
// know.
func mountedSecret(g *v1alpha1.Grid) string {
	switch g.Spec.TLS.Mode {
	case v1alpha1.TLSSelf, v1alpha1.TLSCertManager:
		return names.TLSSecret(g.Name)
	case v1alpha1.TLSSecret:
		return g.Spec.TLS.Secret.Name
	case v1alpha1.TLSVolume, v1alpha1.TLSNone:
	}
	return ""
}

// blocking names the first audit target for whose records calls wait; "" if none.
func blocking(g *v1alpha1.Grid) string {
	if g.Spec.Audit == nil {
		return ""
	}
	for i := range g.Spec.Audit.Targets {
		if t := &g.Spec.Audit.Targets[i]; t.Policy == v1alpha1.AuditBlock {
			return string(t.Name)
		}
	}
	return ""
}

// mountsState: a container has a disk of its own where entries wait.
func mountsState(pod *corev1.PodSpec) bool {
	return slices.ContainsFunc(pod.Containers, func(c corev1.Container) bool {
		return slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return path.Clean(m.MountPath) == names.PathState && !m.ReadOnly })
	})
}

// mountOf is where a container has the volume; "" if none has it whole. A mount
// with subPath never changes again, so it does not count.
func mountOf(pod *corev1.PodSpec, is func(*corev1.Volume) bool) string {
	for i := range pod.Volumes {
		if !is(&pod.Volumes[i]) {
			continue
		}
		for j := range pod.Containers {
			for _, m := range pod.Containers[j].VolumeMounts {
				if m.Name == pod.Volumes[i].Name && m.SubPath == "" && m.SubPathExpr == "" {
					return path.Clean(m.MountPath)
				}
			}
		}
	}
	return ""
}

func hasConfigMap(v *corev1.Volume, name string) bool {
	return v.ConfigMap != nil && v.ConfigMap.Name == name ||
		v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(p corev1.VolumeProjection) bool {
			return p.ConfigMap != nil && p.ConfigMap.Name == name
		})
}

func hasSecret(v *corev1.Volume, name string) bool {
	return v.Secret != nil && v.Secret.SecretName == name ||
		v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(p corev1.VolumeProjection) bool {
			return p.Secret != nil && p.Secret.Name == name
		})
}

// whatServiceLacks says what the Service of an adopted StatefulSet needs to
// have changed.
func whatServiceLacks(set *appsv1.StatefulSet, service *corev1.Service) []string {
	var lacks []string
	if service.Spec.ClusterIP != corev1.ClusterIPNone {
		lacks = append(lacks, "it must be headless (clusterIP: None), so that every pod has a name of its own")
	}
	if !service.Spec.PublishNotReadyAddresses {
		lacks = append(lacks, "it needs publishNotReadyAddresses: true, since pods link with each other before they are ready")
	}
	for key, value := range service.Spec.Selector {
		if set.Spec.Template.Labels[key] != value {
			lacks = append(lacks, fmt.Sprintf("its selector %s: %s does not match the pods of StatefulSet %s", key, value, set.Name))
		}
	}
	if len(service.Spec.Selector) == 0 {
		lacks = append(lacks, "it has no selector")
	}
	slices.Sort(lacks)
	return lacks
}
