package feed

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/names"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// storedKeys are keys as they stand in the Secret.
type storedKeys struct {
	Keys
	version string // of the Secret
	whole   bool   // the Secret has the labels and the owner that it should have
}

// keys reads the signing keys, or makes them: those of the mesh whose list is in
// the ConfigMap, if there is one, else of a new mesh.
func (p *publisher) keys(ctx context.Context, g *v1alpha1.Grid, w *Wish, there *corev1.ConfigMap) (storedKeys, error) {
	key := client.ObjectKey{Namespace: g.Namespace, Name: names.SigningSecret(g.Name)}
	s := new(corev1.Secret)
	// The cache may lag behind, or lack what is not ours.
	for _, from := range []client.Reader{p.client, p.live} {
		err := from.Get(ctx, key, s)
		if err == nil {
			return readSecret(g, w, s)
		}
		if !apierrors.IsNotFound(err) {
			return storedKeys{}, fmt.Errorf("read Secret %s: %w", key, err)
		}
	}
	mesh := readRecord(there, names.ID(g), nil).list.MeshID
	if mesh == "" {
		mesh = peers.NewMeshID()
	}
	keys, err := newKeys(mesh, g.Annotations[AnnotationRotate], time.Now())
	if err != nil {
		return storedKeys{}, err
	}
	data, err := keys.data()
	if err != nil {
		return storedKeys{}, err
	}
	s = &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: key.Namespace, Name: key.Name,
			Labels: names.Labels(g.Name), Annotations: keys.notes(), OwnerReferences: owners(g),
		},
		Type: corev1.SecretTypeOpaque,
		Data: data,
	}
	if err := p.client.Create(ctx, s, client.FieldOwner(names.FieldManager)); err != nil {
		return storedKeys{}, fmt.Errorf("make Secret %s: %w", key, err)
	}
	return storedKeys{keys, s.ResourceVersion, true}, nil
}

func readSecret(g *v1alpha1.Grid, w *Wish, s *corev1.Secret) (storedKeys, error) {
	if problem := conflict(g, w, "Secret", s); problem != nil {
		return storedKeys{}, problem
	}
	keys, err := parseKeys(s.Data, s.Annotations)
	if err != nil {
		return storedKeys{}, &Problem{Reason: ReasonSigningKey, Message: fmt.Sprintf(
			"Secret %s: %v; put back what was there, or delete it to have a new key made, which nodes learn from the ConfigMap within minutes", s.Name, err)}
	}
	return storedKeys{keys, s.ResourceVersion, within(names.Labels(g.Name), s.Labels) && ownedAs(owners(g), s.OwnerReferences)}, nil
}

// rotate takes the next step of a rotation, if it is time for one, and puts
// labels and owner of the Secret back. The Secret is written first; the ConfigMap follows what is in it.
func (p *publisher) rotate(ctx context.Context, g *v1alpha1.Grid, keys storedKeys, v View) (Keys, error) {
	next, changed, err := Step(keys.Keys, v)
	if err != nil || !changed && keys.whole {
		return keys.Keys, err
	}
	data, err := next.data()
	if err != nil {
		return Keys{}, err
	}
	name := names.SigningSecret(g.Name)
	apply := applycore.Secret(name, g.Namespace).
		WithResourceVersion(keys.version).
		WithLabels(names.Labels(g.Name)).WithAnnotations(next.notes()).WithOwnerReferences(applyOwners(&metav1.ObjectMeta{OwnerReferences: owners(g)})...).
		WithType(corev1.SecretTypeOpaque).WithData(data)
	if err := p.client.Apply(ctx, apply, client.FieldOwner(names.FieldManager), client.ForceOwnership); err != nil {
		return Keys{}, fmt.Errorf("write Secret %s: %w", name, err)
	}
	return next, nil
}
