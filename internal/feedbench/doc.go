// Command feedbench is `make bench-feed`: how long after a pod has its address in
// the API does every node use a list that has it, and how much memory does the
// operator need.
//
// It runs three kinds of processes: a real API server (KUBEBUILDER_ASSETS), the
// operator as it is deployed, and one process with a thousand nodes, each with a
// listener of its own on loopback that speaks TLS, verifies what is brought and
// applies it through a grid.Manager. Links are not made: the managers' dials
// wait for ever. The parent makes pods as controllers and kubelets would, and
// compares the moment at which the API server has said that a pod has an address
// with those at which the nodes had applied the list, all by one clock.
//
// The figures are of one machine that does the work of a thousand, so they are
// bounds from above, and worth something only when it does nothing else; how
// busy it was is printed with them.
//
// The way through the files: main.go (flags) → plan.go (what is measured) →
// cluster.go (the API), operator.go and nodes.go (the processes) → report.go.
package main
