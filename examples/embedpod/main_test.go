package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// TestMain makes this binary the program itself where the environment says so.
func TestMain(m *testing.M) {
	if os.Getenv("EMBEDPOD") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// patience bounds every wait of these tests: nothing takes that long.
const patience = time.Minute

// pod is a process that takes itself for one.
type pod struct {
	t     *testing.T
	name  string // in the list
	port  int
	http  string // what it serves itself
	admin string // its admin port
	cmd   *exec.Cmd
	done  chan error
}

// given is how many ports tests were given.
var given = rand.IntN(lastPort - firstPort)

// Below those that the system gives to outgoing connections, and beside those
// that other tests take.
const firstPort, lastPort = 30_000, 32_700

// freePort finds a port that nobody listens at, and gives none twice.
func freePort(t *testing.T) int {
	t.Helper()
	for {
		given++
		port := firstPort + given%(lastPort-firstPort)
		if l, err := net.Listen("tcp", fmt.Sprintf(":%d", port)); err == nil {
			_ = l.Close()
			return port
		}
	}
}

// start runs pods of a Grid, with what the operator would have them mount.
func start(t *testing.T, count int) []*pod {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := peers.MarshalPublicKeys(public)
	if err != nil {
		t.Fatal(err)
	}
	list := peers.List{
		Epoch: 1, Grid: "shop/web", MeshID: peers.NewMeshID(), Identity: peers.IdentityGrid, Topology: peers.TopologyFull,
		Hints: map[string]string{}, // the names are in no DNS
	}
	var pods []*pod
	for i := range count {
		p := &pod{t: t, port: freePort(t), http: fmt.Sprintf("127.0.0.1:%d", freePort(t)), done: make(chan error, 1)}
		p.name = fmt.Sprintf("web-%d.web.shop.svc:%d", i, p.port)
		list.Names, list.Hints[p.name] = append(list.Names, p.name), "127.0.0.1"
		pods = append(pods, p)
	}
	slices.Sort(list.Names)
	document, err := peers.Sign(list, private)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range pods {
		dir, admin := t.TempDir(), freePort(t)
		p.admin = fmt.Sprintf("http://127.0.0.1:%d", admin)
		file, err := json.Marshal(map[string]any{
			"version": 1, "grid": "shop/web", "namespace": "shop", "service": "web", "port": p.port, "adminPort": admin, "tls": false, "drainTimeout": "1h",
		})
		if err != nil {
			t.Fatal(err)
		}
		folder := filepath.Join(dir, "grid")
		err = errors.Join(
			os.Mkdir(folder, 0o700), os.WriteFile(filepath.Join(folder, "grid.json"), file, 0o600),
			os.WriteFile(filepath.Join(folder, peers.KeysFile), keys, 0o600), os.WriteFile(filepath.Join(folder, peers.ListFile), document, 0o600),
		)
		if err != nil {
			t.Fatal(err)
		}
		p.cmd = exec.Command(os.Args[0], "-dir="+dir, "-http="+p.http)
		p.cmd.Env = append(os.Environ(), "EMBEDPOD=1", fmt.Sprintf("POD_NAME=web-%d", i))
		p.cmd.Stderr = t.Output()
		if err := p.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() { p.done <- p.cmd.Wait() }()
		t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	}
	return pods
}

// ask gives what the program says of a path, or another URL; "" if it does not answer.
func (p *pod) ask(ctx context.Context, path string) string {
	url := path
	if strings.HasPrefix(path, "/") {
		url = "http://" + p.http + path
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		p.t.Error(err)
		return ""
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return ""
	}
	defer func() { _ = response.Body.Close() }()
	text, _ := io.ReadAll(response.Body)
	return string(text)
}

func (p *pod) until(path string, ok func(answer string) bool) {
	p.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		got := p.ask(p.t.Context(), path)
		if ok(got) {
			return
		}
		select {
		case <-deadline.C:
			p.t.Fatalf("%s says of %s: %s", p.name, path, got)
		case <-ticker.C:
		}
	}
}

// all reports whether every pod has greeted, and none has failed.
func all(pods []*pod) func(string) bool {
	return func(answer string) bool {
		return strings.Count(answer, "\n") == len(pods) && !strings.Contains(answer, "error")
	}
}

func (p *pod) exit() error {
	p.t.Helper()
	select {
	case err := <-p.done:
		return err
	case <-time.After(patience):
		p.t.Fatalf("%s runs on", p.name)
		return nil
	}
}

func TestPodsGreetAndSum(t *testing.T) {
	pods := start(t, 3)
	for _, p := range pods {
		p.until("/greet?text=hello", all(pods))
	}
	a, b, c := pods[0], pods[1], pods[2]
	if got, want := a.ask(t.Context(), "/greet?text=hi&peer="+b.name), b.name+": hi, "+a.name+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := b.ask(t.Context(), "/sum?n=1000&peer="+c.name); got != "500500\n" {
		t.Errorf("the sum is %q", got)
	}
	for path, want := range map[string]string{
		"/sum?n=1000&peer=nobody:1":   "error: there is no such peer",
		"/greet?peer=nobody:1&text=x": "nobody:1: error: ",
	} {
		if got := a.ask(t.Context(), path); !strings.Contains(got, want) {
			t.Errorf("%s says %q, want %q", path, got, want)
		}
	}

	// Told to stop, one leaves; the others go on.
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.exit(); err != nil {
		t.Errorf("it ends with %v", err)
	}
	if got := a.ask(t.Context(), "/greet?text=hi&peer="+b.name); !strings.HasPrefix(got, b.name+": hi") {
		t.Errorf("the others: %q", got)
	}
}

// A stream that runs holds the end up for as long as the Grid allows, here an
// hour; a second signal does not wait.
func TestSecondSignal(t *testing.T) {
	pods := start(t, 2)
	a, b := pods[0], pods[1]
	a.until("/greet?text=hello", all(pods))
	endless := make(chan string, 1)
	go func() { endless <- a.ask(context.WithoutCancel(t.Context()), "/sum?n=1000000000000&peer="+b.name) }()
	b.until(b.admin+"/statusz", func(got string) bool { return strings.Contains(got, `"streams_open": 1,`) })
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	a.until("/greet?peer="+b.name, func(got string) bool { return strings.Contains(got, "error") }) // it takes no new calls
	select {
	case err := <-b.done:
		t.Fatalf("it did not wait for the stream: %v", err)
	default:
	}
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := b.exit(); err == nil || !strings.Contains(err.Error(), "signal: terminated") {
		t.Errorf("it ends with %v", err)
	}
	if got := <-endless; !strings.Contains(got, "error: ") {
		t.Errorf("the sum of a stream that was cut is %q", got)
	}
}

// TestNotInAPod: what is missing is said in a sentence.
func TestNotInAPod(t *testing.T) {
	if err := run(t.TempDir(), "127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), "mount the ConfigMap") {
		t.Errorf("got %v", err)
	}
}
