// Package nodectl is the commands that talk to a running node over its admin
// port: node call, stream, status, peers, bench, log and audit. Standard input
// is what is sent, standard output is what came back and nothing else, and what
// went wrong goes to standard error with what to do next.
//
// The package knows a node only through internal/adminapi. It keeps nothing.
// A tail has a goroutine for each node that it reads, which all end with it; a
// stream has one that reads standard input.
package nodectl
