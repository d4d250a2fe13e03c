// Package operator is what the operator program is made of: its settings, the
// manager that runs the controllers, and the self-test that `helm test` runs.
// What the controllers do is theirs (controllers, controllers/feed); this package
// says how they are run, and nothing of Grids.
//
// cmd/operator calls it.
package operator
