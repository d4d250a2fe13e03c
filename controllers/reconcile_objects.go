package controllers

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
)

// reconcileService sees to the Service of an own StatefulSet.
func (s *scope) reconcileService(ctx context.Context) error {
	live, err := cached[corev1.Service](ctx, s, s.grid.Name)
	if err != nil {
		return err
	}
	return s.apply(ctx, serviceOf(s.grid), live)
}

// reconcileDisruptionBudget sees to the PodDisruptionBudget.
func (s *scope) reconcileDisruptionBudget(ctx context.Context) error {
	live, err := cached[policyv1.PodDisruptionBudget](ctx, s, s.grid.Name)
	if err != nil {
		return err
	}
	return s.apply(ctx, disruptionBudgetOf(s.grid), live)
}

// reconcileNetworkPolicy sees to the NetworkPolicy. It names the ports of the
// pods, so while the template is refused the one that is there stays.
func (s *scope) reconcileNetworkPolicy(ctx context.Context) error {
	if s.template == nil {
		return nil
	}
	live, err := cached[networkingv1.NetworkPolicy](ctx, s, s.grid.Name)
	if err != nil {
		return err
	}
	return s.apply(ctx, networkPolicyOf(s.grid, s.template.read), live)
}
