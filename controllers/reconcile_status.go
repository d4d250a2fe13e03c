package controllers

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/names"
)

const (
	// statusEvery is the least time between two writes of one Grid's status,
	// unless a condition flips: numbers of a busy mesh change all the time.
	statusEvery = 5 * time.Second

	// settleTime is how long after its start this process prefers the last
	// status to what it has not asked for yet.
	settleTime = 10 * time.Second
)

// reconcileStatus writes down what was observed, in the one place where a Grid's
// status is applied.
func (s *scope) reconcileStatus(ctx context.Context) error {
	status := s.statusOf()
	flips := flipped(s.grid.Status.Conditions, status.Conditions)
	if equality.Semantic.DeepEqual(status, &s.grid.Status) {
		return nil
	}
	key := client.ObjectKeyFromObject(s.grid)
	if next := s.writes.of(key).Add(statusEvery); len(flips) == 0 && s.now.Before(next) {
		s.wakeAt(next)
		return nil
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(status)
	if err != nil {
		return fmt.Errorf("status: %w", err)
	}
	u := &unstructured.Unstructured{Object: map[string]any{
		// Of the Grid as it was read: one that was made since under its name has
		// another status, and what flipped is told once.
		"metadata": map[string]any{"name": s.grid.Name, "namespace": s.grid.Namespace, "resourceVersion": s.grid.ResourceVersion},
		"status":   fields,
	}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Grid"))
	err = s.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(names.FieldManager), client.ForceOwnership)
	switch {
	case apierrors.IsNotFound(err):
		return nil // deleted meanwhile
	case apierrors.IsConflict(err):
		s.wakeAt(s.now.Add(cacheLag)) // it, or the cache, is behind
		return nil
	}
	s.Metrics.statusWritten(err)
	if err != nil {
		return fmt.Errorf("write status: %w", err)
	}
	s.writes.set(key, s.now)
	for _, c := range flips {
		s.tellFlip(c)
	}
	return nil
}

// flipped returns the conditions of now that say something else than before,
// in whatever words.
func flipped(before, now []metav1.Condition) []metav1.Condition {
	var flips []metav1.Condition
	for _, c := range now {
		was := meta.FindStatusCondition(before, c.Type)
		if was == nil || was.Status != c.Status || was.Reason != c.Reason || was.ObservedGeneration != c.ObservedGeneration {
			flips = append(flips, c)
		}
	}
	return flips
}

// tellFlip says as an event what a person may want to know of.
func (s *scope) tellFlip(c metav1.Condition) {
	was := meta.FindStatusCondition(s.grid.Status.Conditions, c.Type)
	if was != nil && was.Status == c.Status && was.Reason == c.Reason {
		return // of another generation, no news
	}
	good := c.Status == metav1.ConditionTrue
	switch c.Type {
	case v1alpha1.ConditionAccepted:
		switch {
		case !good:
			s.eventf("Warning", c.Reason, "Accept", "%s", c.Message)
		case was != nil:
			s.eventf("Normal", "Accepted", "Accept", "%s", c.Message)
		}
	case v1alpha1.ConditionReady:
		if good {
			s.eventf("Normal", c.Reason, "Observe", "%s", c.Message)
		}
	case v1alpha1.ConditionDegraded:
		if good {
			s.eventf("Warning", c.Reason, "Observe", "%s", c.Message)
		}
	case v1alpha1.ConditionPeersSynced:
		if c.Status == metav1.ConditionFalse && c.Reason != "WaitingForAcks" {
			s.eventf("Warning", c.Reason, "Publish", "%s", c.Message)
		}
	case v1alpha1.ConditionPaused:
		if good || was != nil {
			s.eventf("Normal", c.Reason, "Pause", "%s", c.Message)
		}
	}
}
