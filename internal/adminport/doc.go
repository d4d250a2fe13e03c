// Package adminport is what every admin port has, whatever is served on it: a
// server that strangers cannot exhaust, places that bound what runs at once,
// a guard that knows who may ask what, and answers in one form. internal/member
// says on it how a node is, internal/node takes calls for the mesh on it, and
// internal/forward carries streams between it and the mesh.
//
// The package starts no goroutine. Locks: connLimit.mu (the connections of a
// server), under which nothing is called, and Crowd.mu (who reads a body), under
// which a read deadline is set.
package adminport
