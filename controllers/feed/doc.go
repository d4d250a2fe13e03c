// Package feed tells the pods of each Grid who their peers are. It computes the
// list from the pods there are, signs it, commits it to the ConfigMap that the
// pods mount, pushes it to their admin ports, and keeps what they answer. It
// owns the ConfigMap <grid>-grid and the Secret <grid>-grid-signing, and writes
// nothing else; it never touches a pod, a StatefulSet or a Grid.
//
// The way of a list through the files: reconcile.go (something changed: what is
// there?) → membership.go (who is in it; pure) → rotate.go, keys.go (who signs)
// → plan.go (what the ConfigMap should hold; pure) → publish.go (the commit) →
// pool.go (who gets it) → member.go (one pod: its attempts) → lane.go (whose
// turn it is) → dial.go (HTTP, TLS) → answer.go (what was answered, and whether
// to believe it) → state.go (what others read).
//
// controllers reads State and Changes, and asks Drained before it shrinks a
// StatefulSet; internal/operator makes a Feed and adds it to its manager.
//
// # Goroutines
//
//	a worker of the controller   reconcilers (4)   reconcile.go; the manager's
//	an attempt                   1 a pod, at most  member.go run; ends by itself, or with the pod, the Grid or the pool
//	two of net/http              1 a connection    of a member's attempts; end with the connection
//	a notifier                   2                 notify.go; end with the manager
//
// The pool and the notifiers are Runnables of the manager that need the lead:
// they begin when this process leads, and have ended when Start returns.
//
// # Locks
//
// Feed.mu protects what is known of each Grid, Pool.mu who the members are,
// member.mu what is known of one; the last is taken within the second. None is
// held while anything is asked of the network.
package feed
