// Package node is what the node binary is made of: a member of a mesh
// (internal/member) with handlers of its own, which takes calls for the mesh on
// its admin port. cmd/node holds nothing but main.
//
// The way through the files: config.go (what a node is told) → node.go (start
// and drain, in order) → tokens.go (what is read again while it runs, besides
// what its member reads), logging.go (log and audit, and how they change) →
// admin.go (who may ask what) → mesh.go (what all nodes say) → call.go, bench.go
// (calls and measuring for whoever holds the admin port; streams are
// internal/forward's) → handlers.go (what peers may call).
//
// Goroutines, each started in node.go by run and waited for before it returns:
// two poll tokens, one the file by which log and audit change; the member and
// the targets have their own. Requests on the admin port have one each, and a
// stream two.
//
// Locks: meshView.mu (the answer of before). It is not held while anything else
// is called that could block.
package node

//go:generate sh -c "go run ../../cmd/node help settings >../../docs/configuration.md"
