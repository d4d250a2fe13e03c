package controllers

import (
	"cmp"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/feed"
	"github.com/gridmesh/gridmesh/controllers/names"
)

// claimOf is what the StatefulSet makes a claim of for each pod; nil if their
// storage ends with them.
func claimOf(g *v1alpha1.Grid) *corev1ac.PersistentVolumeClaimApplyConfiguration {
	if g.Spec.Storage == nil || g.Spec.Storage.VolumeClaimTemplate == nil {
		return nil
	}
	c := g.Spec.Storage.VolumeClaimTemplate
	spec := corev1ac.PersistentVolumeClaimSpec().
		WithResources(corev1ac.VolumeResourceRequirements().WithRequests(corev1.ResourceList{corev1.ResourceStorage: c.Resources.Requests.Storage}))
	if c.StorageClassName != nil {
		spec.WithStorageClassName(*c.StorageClassName)
	}
	for _, mode := range c.AccessModes {
		spec.WithAccessModes(corev1.PersistentVolumeAccessMode(mode))
	}
	claim := new(corev1ac.PersistentVolumeClaimApplyConfiguration)
	return claim.WithName(volumeState).WithSpec(spec)
}

// stateVolume is the storage of a pod; nil if it is a claim, which the StatefulSet
// adds itself.
func stateVolume(g *v1alpha1.Grid) *corev1ac.VolumeApplyConfiguration {
	if claimOf(g) != nil {
		return nil
	}
	limit, _ := feed.Storage(g)
	return corev1ac.Volume().WithName(volumeState).WithEmptyDir(corev1ac.EmptyDirVolumeSource().WithSizeLimit(limit))
}

// reviewStorage looks whether all that may wait on a pod's disk has room there.
// Where it has not, the feed leaves what pods were told before.
func reviewStorage(g *v1alpha1.Grid) *problem {
	have, need := feed.Storage(g)
	if have.Value() >= need {
		return nil
	}
	field := "spec.storage.emptyDir.sizeLimit"
	if claimOf(g) != nil {
		field = "spec.storage.volumeClaimTemplate"
	}
	return refuse(reasonStorageTooSmall, "%s is %s, and targets of logging and audit may have %s wait there, 16Mi of peer lists among it: "+
		"raise it, or lower spool.maxBytes of targets (%s unless it is set, and 16Mi beside each)",
		field, have.String(), resource.NewQuantity(need, resource.BinarySI), resource.NewQuantity(feed.SpoolSize, resource.BinarySI))
}

// targetSecrets are the Secrets that targets of log and audit name, each once.
func targetSecrets(g *v1alpha1.Grid) []string {
	found := make(map[string]bool)
	each := func(refs ...*v1alpha1.TargetSecret) {
		for _, ref := range refs {
			if ref != nil {
				found[ref.Name] = true
			}
		}
	}
	receivers := func(w *v1alpha1.Webhook, o *v1alpha1.OTLP, k *v1alpha1.Kafka) {
		each(cmp.Or(w, new(v1alpha1.Webhook)).SecretRef, cmp.Or(o, new(v1alpha1.OTLP)).SecretRef, cmp.Or(k, new(v1alpha1.Kafka)).SecretRef)
	}
	if l := g.Spec.Logging; l != nil {
		for i := range l.Targets {
			receivers(l.Targets[i].Webhook, l.Targets[i].OTLP, nil)
		}
	}
	if a := g.Spec.Audit; a != nil {
		for i := range a.Targets {
			receivers(a.Targets[i].Webhook, a.Targets[i].OTLP, a.Targets[i].Kafka)
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// targetVolume is one of them as a volume. A name of a Secret may be longer than
// that of a volume.
func targetVolume(secret string) string { return volumeTarget + digest([]byte(secret)) }

// targetKeys are the keys of such a Secret that pods have a use for.
var targetKeys = []string{names.KeyCA, names.KeyCert, names.KeyKey, names.KeyToken, names.KeyPassword}

// mountTargets mounts them, whether they are there or not: a pod starts without,
// and takes one that comes. A name may be that of any Secret, such as one of the
// operator's own with keys that no pod may have, so pods get of it no more than
// they have a use for.
func mountTargets(g *v1alpha1.Grid, pod *corev1ac.PodSpecApplyConfiguration, node *corev1ac.ContainerApplyConfiguration) {
	for _, secret := range targetSecrets(g) {
		name := targetVolume(secret)
		var items []*corev1ac.KeyToPathApplyConfiguration
		for _, key := range targetKeys {
			items = append(items, corev1ac.KeyToPath().WithKey(key).WithPath(key))
		}
		pod.WithVolumes(corev1ac.Volume().WithName(name).WithSecret(corev1ac.SecretVolumeSource().
			WithSecretName(secret).WithOptional(true).WithDefaultMode(secretMode).WithItems(items...)))
		node.WithVolumeMounts(corev1ac.VolumeMount().WithName(name).WithMountPath(names.TargetFolder(secret)).WithReadOnly(true))
	}
}
