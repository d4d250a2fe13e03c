// Package controllers reconciles Grids: it makes the objects of a Grid that has
// its own StatefulSet, looks whether one that adopts a StatefulSet can, sees to
// certificates, and writes down what the nodes say. Peer lists are controllers/feed's,
// from which it reads what was published and who has it. It never dials a node,
// never writes to a StatefulSet that is not its own, to a pod or to the spec of a
// Grid, and never reads a Secret of the user's. internal/operator runs it.
//
// One reconciliation is the list of phases in grid_controller.go, on one scope
// (scope.go): what there is, read from the cache. Each phase (reconcile_*.go,
// review_*.go) has one concern; each object has one pure function that says what
// it should be (resource_*.go), and one place that applies it (apply.go). What a
// user has to mend is a problem (problem.go) and goes into a condition; any other
// error is tried again. Nothing is remembered between reconciliations but when a
// status was written (writetimes.go): a shrink under way stands on the StatefulSet
// (scale.go), a change of authority on its Secret (package pki).
//
// It starts no goroutines: all of it runs on the manager's workers. Its one lock
// is that of writetimes.go.
package controllers

//go:generate go tool -modfile=../tools/go.mod controller-gen rbac:roleName=gridmesh-operator paths=./... paths=../internal/operator output:rbac:dir=../config/rbac
