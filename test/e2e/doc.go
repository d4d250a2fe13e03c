// Package e2e proves the operator, the chart, the node and the library on a
// real Kubernetes: `make e2e` starts one of its own (test/e2e/cluster), or uses
// that of KUBECONFIG. The tests stand behind the build tag e2e.
//
// On a cluster that is not of its own making it kills no part of it. Scenarios
// that need that are skipped, and stand in the file skips with the reason; on one
// of its own nothing may be skipped. It needs the right to do everything, a
// network that enforces NetworkPolicies (push blocked), no gridmesh-system and no
// e2e-… namespaces, and a way for images to get there (tools/load). It leaves the
// definition of Grid, as `helm uninstall` does, and after a failure all there is.
//
// There is one test, TestE2E, in suite_test.go: a table of scenarios in the
// order in which they run, each of which is a file. Most of them share the
// cluster at the same time, each in a namespace of its own.
//
// Load runs in pods (test/e2e/loadapp), and a ledger outside of the mesh writes
// down of each call when it was made, where it ran and how it ended. So a test
// can say that no call failed and none ran twice, whatever was done meanwhile.
package e2e
