package controllers

import (
	"fmt"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/names"
)

// podTemplate is what an own StatefulSet makes pods of: as the API server is
// given it, with fields that this build does not know, and as this build reads it.
type podTemplate struct {
	given map[string]any
	read  *corev1.PodTemplateSpec
}

// statefulSetOf is the Grid's own StatefulSet. Replicas and annotations are
// those of scale: they stand outside of the template, so they restart nothing.
func statefulSetOf(g *v1alpha1.Grid, pod *podTemplate, s scale) (*unstructured.Unstructured, error) {
	set := appsv1ac.StatefulSet(g.Name, g.Namespace).
		WithLabels(names.Labels(g.Name)).
		WithOwnerReferences(ownedBy(g)).
		WithSpec(appsv1ac.StatefulSetSpec().
			WithReplicas(s.replicas).
			WithServiceName(g.Name).
			// Nodes need not start one after the other: they wait for no one.
			WithPodManagementPolicy(appsv1.ParallelPodManagement).
			WithUpdateStrategy(appsv1ac.StatefulSetUpdateStrategy().WithType(appsv1.RollingUpdateStatefulSetStrategyType)).
			WithSelector(metav1ac.LabelSelector().WithMatchLabels(names.Selector(g.Name))))
	if claim := claimOf(g); claim != nil {
		set.Spec.WithVolumeClaimTemplates(claim)
	}
	if s.shrink != nil {
		set.WithAnnotations(map[string]string{
			names.AnnotationShrinkTo:    strconv.Itoa(int(s.shrink.To)),
			names.AnnotationShrinkSince: s.shrink.Since.UTC().Format(time.RFC3339),
		})
	}
	u, err := toUnstructured(set)
	if err != nil {
		return nil, err
	}
	if err := unstructured.SetNestedMap(u.Object, runtime.DeepCopyJSON(pod.given), "spec", "template"); err != nil {
		return nil, fmt.Errorf("template of StatefulSet %s: %w", g.Name, err)
	}
	return u, nil
}

// toUnstructured writes an apply configuration as the API server reads it.
func toUnstructured(configuration any) (*unstructured.Unstructured, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(configuration)
	if err != nil {
		return nil, fmt.Errorf("apply configuration: %w", err)
	}
	return &unstructured.Unstructured{Object: fields}, nil
}
