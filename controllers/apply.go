package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/gridmesh/gridmesh/controllers/names"
)

// annotationApplied is on every object: a digest of what was applied last. It
// tells a change of ours, which has to be applied, from an object that merely
// says more than was asked for.
const annotationApplied = "gridmesh.io/applied"

// cacheLag is how long the cache may be behind the API server.
const cacheLag = time.Second

// errBehind: the cache does not have what the API server has; it will in a moment.
var errBehind = errors.New("the cache is behind the API server")

// apply brings an object to what is wished for, by server-side apply: what
// others have added to it stays, what others have changed of ours is put back.
// Every object has one place that applies it, since an apply drops whatever the
// one before said and it does not.
//
// live is what the cache has, nil if nothing. An object of that name that is not
// ours is left alone, and a problem is returned. Nothing is written if nothing
// would change.
func (s *scope) apply(ctx context.Context, wished any, live client.Object) error {
	return s.applyObject(ctx, wished, live, false)
}

// applyOver is apply for what was made from what live says, such as keys: if the
// API server has another one by now, nothing is written.
func (s *scope) applyOver(ctx context.Context, wished any, live client.Object) error {
	return s.applyObject(ctx, wished, live, true)
}

func (s *scope) applyObject(ctx context.Context, wished any, live client.Object, over bool) error {
	desired, ok := wished.(*unstructured.Unstructured)
	if !ok {
		var err error
		if desired, err = toUnstructured(wished); err != nil {
			return err
		}
	}
	if isNil(live) {
		found, err := s.metadataOf(ctx, desired.GroupVersionKind(), desired.GetName())
		if err != nil {
			return err
		}
		if found != nil && !s.mine(found) {
			return s.conflict(desired, found)
		}
		if found != nil && over {
			s.wakeAt(s.now.Add(cacheLag))
			return s.relabel(ctx, desired.GetKind(), found)
		}
	} else if !s.mine(live) {
		return s.conflict(desired, live)
	}

	text, err := json.Marshal(desired.Object)
	if err != nil {
		return fmt.Errorf("%s %s: %w", desired.GetKind(), desired.GetName(), err)
	}
	want := digest(text)
	annotations := desired.GetAnnotations()
	if annotations == nil {
		annotations = make(map[string]string, 1)
	}
	annotations[annotationApplied] = want
	desired.SetAnnotations(annotations)

	drifted := false
	if !isNil(live) && live.GetAnnotations()[annotationApplied] == want {
		if s.asWished(desired, live) {
			return nil
		}
		drifted = true
	}
	if over && !isNil(live) {
		desired.SetResourceVersion(live.GetResourceVersion())
	}
	kind, name := desired.GetKind(), desired.GetName()
	if err := s.Apply(ctx, client.ApplyConfigurationFromUnstructured(desired), client.FieldOwner(names.FieldManager), client.ForceOwnership); err != nil {
		if over && apierrors.IsConflict(err) {
			s.wakeAt(s.now.Add(cacheLag))
			return errBehind
		}
		if untakable(err) {
			return refuse(reasonObjectRefused, "the API server refuses %s %s: %v", kind, name, err)
		}
		return fmt.Errorf("apply %s %s: %w", kind, name, err)
	}
	if drifted && desired.GetResourceVersion() != live.GetResourceVersion() {
		s.Metrics.drift(kind)
		log.FromContext(ctx).Info("put back what somebody had changed", "kind", kind, "name", name)
		s.eventf("Warning", "DriftRepaired", "Repair", "somebody had changed %s %s; it is as the Grid says again", kind, name)
	}
	return nil
}

// relabel gives an object its labels back, if it has lost the one by which the
// cache knows it. What stands in it is seen to once it is there again.
func (s *scope) relabel(ctx context.Context, kind string, found *metav1.PartialObjectMetadata) error {
	if found.Labels[names.LabelGrid] == s.grid.Name {
		return errBehind // too new
	}
	before := found.DeepCopy()
	if found.Labels == nil {
		found.Labels = make(map[string]string)
	}
	maps.Copy(found.Labels, names.Labels(s.grid.Name))
	if err := s.Patch(ctx, found, client.MergeFrom(before), client.FieldOwner(names.FieldManager)); err != nil {
		return fmt.Errorf("label %s %s: %w", kind, found.Name, err)
	}
	s.Metrics.drift(kind)
	s.eventf("Warning", "DriftRepaired", "Repair", "somebody had taken the labels off %s %s; it has them again", kind, found.Name)
	return errBehind
}

// untakable reports whether the API server will never take what it was given.
// What has a field that it does not know it calls an error of its own.
func untakable(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || strings.Contains(err.Error(), "failed to create typed patch object")
}

// metadataOf asks the API server for an object that the cache does not have:
// it may be somebody else's, or too new. Only metadata travels, so a Secret that
// is not ours is not read.
func (s *scope) metadataOf(ctx context.Context, kind schema.GroupVersionKind, name string) (*metav1.PartialObjectMetadata, error) {
	found := new(metav1.PartialObjectMetadata)
	found.SetGroupVersionKind(kind)
	err := s.Reader.Get(ctx, client.ObjectKey{Namespace: s.grid.Namespace, Name: name}, found)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look for %s %s: %w", kind.Kind, name, err)
	}
	return found, nil
}

func (s *scope) conflict(desired *unstructured.Unstructured, found metav1.Object) error {
	kind, name := desired.GetKind(), desired.GetName()
	p := refuse(reasonNameConflict, "there is a %s %s that this Grid has not made; it is left alone. Remove it, or give the Grid another name", kind, name)
	switch ours := names.Ours(found, s.grid.Name); {
	case ours && metav1.GetControllerOfNoCopy(found) == nil:
		p = refuse(reasonNameConflict, "%s %s was left by a Grid of this name with statefulSetRef, whose pods may use it; delete it to begin anew", kind, name)
	case ours:
		p = refuse(reasonNameConflict, "the %s %s is that of an earlier Grid of this name and is still being removed", kind, name)
	}
	p.unseen = true
	return p
}

// asWished reports whether live says all that desired says. Both are compared
// as this build reads them, so that two spellings of one quantity are the same.
func (s *scope) asWished(desired *unstructured.Unstructured, live client.Object) bool {
	typed, err := s.Scheme().New(desired.GroupVersionKind())
	if err != nil {
		return covers(asMap(live), desired.Object)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(desired.Object, typed); err != nil {
		return false
	}
	wanted := asMap(typed)
	delete(wanted, "status")
	return covers(asMap(live), wanted)
}

func asMap(o any) map[string]any {
	if u, ok := o.(*unstructured.Unstructured); ok {
		return u.Object
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil
	}
	// The cache gives typed objects without their kind.
	delete(fields, "kind")
	delete(fields, "apiVersion")
	return fields
}

// covers reports whether have says all that want says. Empty says nothing.
// Lists must agree one by one: an entry too many is a change, too.
func covers(have, want any) bool {
	switch want := want.(type) {
	case nil:
		return true
	case map[string]any:
		have, _ := have.(map[string]any)
		for key, value := range want {
			if !covers(have[key], value) {
				return false
			}
		}
		return true
	case []any:
		have, _ := have.([]any)
		if len(have) != len(want) {
			return false
		}
		for i := range want {
			if !covers(have[i], want[i]) {
				return false
			}
		}
		return true
	case string:
		have, _ := have.(string)
		return have == want
	}
	return reflect.DeepEqual(have, want) || isZero(want) && have == nil
}

func isZero(v any) bool { return reflect.ValueOf(v).IsZero() }

func isNil(o client.Object) bool { return o == nil || reflect.ValueOf(o).IsNil() }

// cached reads an object of this Grid's namespace from the cache; nil if there
// is none.
func cached[T any, P interface {
	*T
	client.Object
}](ctx context.Context, s *scope, name string) (P, error) {
	o := P(new(T))
	err := s.Get(ctx, client.ObjectKey{Namespace: s.grid.Namespace, Name: name}, o)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		kind, kindErr := apiutil.GVKForObject(o, s.Scheme())
		if kindErr != nil {
			kind.Kind = fmt.Sprintf("%T", o)
		}
		return nil, fmt.Errorf("read %s %s: %w", kind.Kind, name, err)
	}
	return o, nil
}

// isNoKind reports whether the cluster does not know the kind at all.
func isNoKind(err error) bool { return meta.IsNoMatchError(err) }
