// Package posting is what sinks that post to an HTTP server have in common: the
// transport, which redirects are followed, and what an answer means for a
// batch (answer.go). When a batch is sent again, internal/target decides.
//
// What may be told of a failure is the receiver's status and the kind of
// failure: never an entry, a token, the URL, or what the receiver wrote, each of
// which may hold a secret.
package posting
