package peers_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// A publisher signs, a node verifies and decides.
func Example() {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		fmt.Println(err)
		return
	}

	// The publisher: one list, one epoch, one document for everybody.
	list, err := peers.NewList([]string{"node-1:9000", "node-0:9000"})
	if err != nil {
		fmt.Println(err)
		return
	}
	list.Grid, list.MeshID, list.Epoch = "default/demo", peers.NewMeshID(), 1
	document, err := peers.Sign(list, private)
	if err != nil {
		fmt.Println(err)
		return
	}

	// A node, by whichever road the document came.
	var current peers.List
	trust := peers.Trust{Keys: []ed25519.PublicKey{public}, Grid: "default/demo"}
	next, err := peers.Verify(document, trust)
	if err != nil {
		fmt.Println(err)
		return
	}
	verdict, err := peers.Decide(current, next, "node-0:9000")
	fmt.Println(verdict, next.Names, err)

	// Output:
	// apply [node-0:9000 node-1:9000] <nil>
}

func ExampleDecide() {
	current := peers.List{Names: []string{"node-0:9000", "node-1:9000"}, Epoch: 7}
	for _, next := range []peers.List{
		{Names: []string{"node-0:9000", "node-1:9000", "node-2:9000"}, Epoch: 8},
		{Names: []string{"node-1:9000", "node-2:9000"}, Epoch: 8},
		{Names: []string{"node-0:9000"}, Epoch: 6},
	} {
		fmt.Println(peers.Decide(current, next, "node-0:9000"))
	}
	// Output:
	// apply <nil>
	// removed <nil>
	// refused stale peer list: epoch 6, in use is 7
}

func ExampleWatchFile() {
	dir, err := os.MkdirTemp("", "peers")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "peers")
	if err := os.WriteFile(path, []byte("node-0:9000 # this one\nnode-1:9000\n"), 0o600); err != nil {
		fmt.Println(err)
		return
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for list, err := range peers.WatchFile(path, "node-0:9000").Lists(ctx) {
		if err != nil {
			fmt.Println("the last good list stays:", err)
			continue
		}
		fmt.Println(list.Names)
		cancel() // a node would go on until it ends
	}
	// Output:
	// [node-0:9000 node-1:9000]
}

func ExampleParseFile() {
	_, err := peers.ParseFile([]byte("node-0:9000\nnode-1\n"), "node-0:9000")
	fmt.Println(errors.Is(err, peers.ErrMalformed), err)

	_, err = peers.ParseFile([]byte("node-1:9000\nnode-2:9000\n"), "node-0:9000")
	fmt.Println(errors.Is(err, peers.ErrNotListed), err)
	// Output:
	// true malformed peer list: line 2: peer name "node-1" has no port; write host:port
	// true this node is not in the peer list: "node-0:9000" is not among its 2 names; add it, or correct the node's own name
}
