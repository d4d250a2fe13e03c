// Command netpol enforces NetworkPolicies on the one-node cluster of the
// end-to-end tests, whose pods are routed: it writes all policies as one
// nftables table, anew whenever pods, namespaces or policies change.
//
// It knows IPv4, selectors of pods and namespaces, address blocks, and ports by
// number, range and name. The node itself reaches its pods, as everywhere, for
// probes. test/e2e/cluster starts it.
package main
