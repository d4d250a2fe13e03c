package feed

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	applymeta "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/names"
)

// commit writes the ConfigMap, in place of the one that is there or as a new one.
// It fails if another is there by now.
//
// Apply has no way to say "only if there is none", so a new one is created; from
// then on it is applied, in this place alone.
func (p *publisher) commit(ctx context.Context, g *v1alpha1.Grid, there *corev1.ConfigMap, next content, epoch uint64) error {
	want := configMap(g, next, epoch)
	if there.ResourceVersion == "" {
		if err := p.client.Create(ctx, want, client.FieldOwner(names.FieldManager)); err != nil {
			return fmt.Errorf("make ConfigMap %s: %w", want.Name, err)
		}
		return nil
	}
	apply := applycore.ConfigMap(want.Name, want.Namespace).
		WithResourceVersion(there.ResourceVersion).
		WithLabels(want.Labels).WithAnnotations(want.Annotations).WithOwnerReferences(applyOwners(want)...).
		WithData(want.Data).WithBinaryData(want.BinaryData)
	if err := p.client.Apply(ctx, apply, client.FieldOwner(names.FieldManager), client.ForceOwnership); err != nil {
		return fmt.Errorf("commit ConfigMap %s: %w", want.Name, err)
	}
	return nil
}

// configMap is the Grid's ConfigMap with that content.
func configMap(g *v1alpha1.Grid, c content, epoch uint64) *corev1.ConfigMap {
	m := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: g.Namespace, Name: names.ConfigMap(g.Name),
			Labels: names.Labels(g.Name), OwnerReferences: owners(g),
		},
		Data: map[string]string{names.KeyTrusted: c.trusted, names.KeySettings: c.settings},
	}
	if c.telemetry != "" {
		m.Data[names.KeyTelemetry] = c.telemetry
	}
	if c.document != nil {
		m.BinaryData = map[string][]byte{names.KeyDocument: c.document}
		m.Annotations = map[string]string{noteEpoch: strconv.FormatUint(epoch, 10), noteMadeAt: c.made.UTC().Format(time.RFC3339)}
	}
	return m
}

// holds reports whether the ConfigMap there has all that it should have. What
// others added to it does not count.
func holds(there *corev1.ConfigMap, g *v1alpha1.Grid, c content, epoch uint64) bool {
	if there.ResourceVersion == "" {
		return false
	}
	want := configMap(g, c, epoch)
	has := content{
		document: there.BinaryData[names.KeyDocument], trusted: there.Data[names.KeyTrusted], settings: there.Data[names.KeySettings],
		telemetry: there.Data[names.KeyTelemetry],
	}
	return has.equal(&c) && within(want.Labels, there.Labels) && within(want.Annotations, there.Annotations) &&
		ownedAs(want.OwnerReferences, there.OwnerReferences)
}

func within(want, have map[string]string) bool {
	for key, value := range want {
		if got, ok := have[key]; !ok || got != value {
			return false
		}
	}
	return true
}

// ownedAs: each owner wanted is among those there.
func ownedAs(want, have []metav1.OwnerReference) bool {
	return !slices.ContainsFunc(want, func(w metav1.OwnerReference) bool {
		return !slices.ContainsFunc(have, func(h metav1.OwnerReference) bool {
			h.BlockOwnerDeletion = nil // others may have added it
			return reflect.DeepEqual(w, h)
		})
	})
}

func applyOwners(o metav1.Object) []*applymeta.OwnerReferenceApplyConfiguration {
	var all []*applymeta.OwnerReferenceApplyConfiguration
	for _, owner := range o.GetOwnerReferences() {
		all = append(all, applymeta.OwnerReference().
			WithAPIVersion(owner.APIVersion).WithKind(owner.Kind).WithName(owner.Name).WithUID(owner.UID).
			WithController(*owner.Controller))
	}
	return all
}
