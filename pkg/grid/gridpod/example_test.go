package gridpod_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/gridpod"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// A program that runs in a pod, but for its calls.
func Example() {
	// This example ends by itself and brings its own directory. In a pod these
	// two are pod.Serve(m), which waits for SIGTERM, and "/etc/gridmesh".
	ctx, terminate := context.WithCancel(context.Background())
	defer terminate()
	dir, remove := mounted()
	defer remove()

	pod, err := gridpod.FromDir(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := grid.NewManager(context.Background(), pod.Options())
	if err != nil {
		fmt.Println(err)
		return
	}
	err = m.RegisterSingle("greet", func(_ context.Context, req []byte) ([]byte, error) {
		terminate()
		return append([]byte("hello "), req...), nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() {
		reply, err := m.Connection(m.Local()).Request(context.Background(), "greet", []byte("pod"))
		fmt.Println(string(reply), err)
	}()
	fmt.Println(pod.ServeContext(ctx, m))
	// Unordered output:
	// hello pod <nil>
	// <nil>
}

// A program whose own log goes to the targets of its Grid, beside standard output.
func ExamplePod_LogHandler() {
	dir, remove := mounted()
	defer remove()
	pod, err := gridpod.FromDir(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = pod.Close() }() // a program that gets as far as pod.Serve needs none

	noTime := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
	log := slog.New(slog.NewMultiHandler(slog.NewTextHandler(os.Stdout, noTime), pod.LogHandler()))
	log.Info("the shop is open", "shelves", 3)
	// Output:
	// level=INFO msg="the shop is open" shelves=3
}

// mounted is a directory as the operator fills it, for a pod that is alone.
func mounted() (dir string, remove func()) {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	must(os.Setenv("POD_NAME", "web-0"))
	dir, err := os.MkdirTemp("", "gridmesh")
	must(err)
	public, private, err := ed25519.GenerateKey(nil)
	must(err)
	keys, err := peers.MarshalPublicKeys(public)
	must(err)
	list, err := peers.Sign(peers.List{
		Names: []string{"web-0.web.shop.svc:17700"}, Epoch: 1, Grid: "shop/web", MeshID: peers.NewMeshID(), Identity: peers.IdentityGrid, Topology: peers.TopologyFull,
	}, private)
	must(err)
	file, err := json.Marshal(map[string]any{
		"version": 1, "grid": "shop/web", "namespace": "shop", "service": "web", "port": 17700, "adminPort": 17701, "tls": false,
	})
	must(err)
	folder := filepath.Join(dir, "grid")
	must(errors.Join(
		os.Mkdir(folder, 0o700),
		os.WriteFile(filepath.Join(folder, "grid.json"), file, 0o600),
		os.WriteFile(filepath.Join(folder, peers.KeysFile), keys, 0o600),
		os.WriteFile(filepath.Join(folder, peers.ListFile), list, 0o600),
	))
	return dir, func() { must(errors.Join(os.RemoveAll(dir), os.Unsetenv("POD_NAME"))) }
}
