//go:build root

package netns

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// host is one network namespace.
type host struct {
	t       *testing.T
	ns      string
	address string
}

// run runs a command in the namespace.
func (h host) run(args ...string) {
	h.t.Helper()
	ip(h.t, append([]string{"netns", "exec", h.ns}, args...)...)
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// hosts makes two namespaces joined by a cable.
func hosts(t *testing.T) (a, b host) {
	t.Helper()
	id := strconv.Itoa(os.Getpid())
	a, b = host{t, "gmA" + id, "10.77.0.1"}, host{t, "gmB" + id, "10.77.0.2"}
	for _, h := range []host{a, b} {
		ip(t, "netns", "add", h.ns)
		t.Cleanup(func() { ip(t, "netns", "delete", h.ns) })
	}
	ip(t, "link", "add", "cable", "netns", a.ns, "type", "veth", "peer", "name", "cable", "netns", b.ns)
	for _, h := range []host{a, b} {
		h.run("ip", "address", "add", h.address+"/24", "dev", "cable")
		h.run("ip", "link", "set", "cable", "up")
		h.run("ip", "link", "set", "lo", "up")
	}
	return a, b
}

// node is a running node.
type node struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
}

// names are such that the first one dials.
var names = [2]string{"node-0.test:7946", "node-1.test:7946"}

// start starts the node with that number on h; the other one is on peer.
func start(t *testing.T, h, peer host, number int) *node {
	t.Helper()
	n := &node{t: t, lines: make(chan string, 16)}
	n.cmd = exec.Command("ip", "netns", "exec", h.ns, os.Args[0])
	n.cmd.Env = append(os.Environ(), nodeEnv+"="+strings.Join([]string{names[number], names[1-number], h.address + ":7946", peer.address + ":7946"}, " "))
	var err error
	if n.in, err = n.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	n.cmd.Stderr = os.Stderr
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(n.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			n.lines <- s.Text()
		}
	}()
	t.Cleanup(n.kill)
	return n
}

// kill ends the node without a goodbye. `ip netns exec` becomes the program it
// runs, so it is the node that is killed.
func (n *node) kill() {
	_ = n.cmd.Process.Kill() // it may have ended
	for range n.lines {
	}
	_ = n.cmd.Wait()
}

func (n *node) tell(command string) {
	n.t.Helper()
	if _, err := io.WriteString(n.in, command+"\n"); err != nil {
		n.t.Fatal(err)
	}
}

// hang ends what will not come; a slow machine is not judged by it.
const hang = 2 * time.Minute

// answer gives the node's next line.
func (n *node) answer() []string {
	n.t.Helper()
	select {
	case line, ok := <-n.lines:
		if !ok {
			n.t.Fatal("the node has ended")
		}
		return strings.Fields(line)
	case <-time.After(hang):
		n.t.Fatalf("no answer within %v", hang)
		return nil
	}
}

// ask tells and waits, and checks the answer's first words.
func (n *node) ask(command string, want ...string) []string {
	n.t.Helper()
	n.tell(command)
	got := n.answer()
	for i, word := range want {
		if i >= len(got) || got[i] != word {
			n.t.Fatalf("%s: got %v, want %v", command, got, want)
		}
	}
	return got
}

// A network that swallows everything, without a FIN: the link is dead after
// DeadAfter of silence, the call in flight ends as perhaps processed, and when
// the network is back so is the link (fault rows 1 and 2, field case 6).
func TestRootHalfOpenLinkIsFound(t *testing.T) {
	for name, rules := range map[string][]string{
		"both directions": {"INPUT", "OUTPUT"},
		"one direction":   {"INPUT"},
	} {
		t.Run(name, func(t *testing.T) {
			ha, hb := hosts(t)
			a, b := start(t, ha, hb, 0), start(t, hb, ha, 1)
			a.ask("wait", "linked")
			b.ask("wait", "linked")
			heard := time.Now()
			a.ask("call", "called", "Answered") // the last that is heard
			for _, chain := range rules {
				ha.run("iptables", "-A", chain, "-j", "DROP")
			}
			got := a.ask("call", "called", "MaybeProcessed")
			if took := time.Since(heard); took < 14*time.Second || slices.Contains(got, "deadline") { // not by the call's own time
				t.Errorf("found after %v: %v", took, got)
			}
			for _, chain := range rules {
				ha.run("iptables", "-F", chain)
			}
			a.ask("wait", "linked")
			a.ask("call", "called", "Answered")
			b.ask("wait", "linked")
			b.ask("call", "called", "Answered")
		})
	}
}

// A dialer that is killed, whose FIN is lost, and that comes back: the
// acceptor still holds the old link, finds by a probe that nobody is there, and
// takes the new one (fault row 4).
func TestRootRestartedDialerReplacesItsDeadLink(t *testing.T) {
	ha, hb := hosts(t)
	a, b := start(t, ha, hb, 0), start(t, hb, ha, 1)
	a.ask("wait", "linked")
	b.ask("wait", "linked")
	b.ask("call", "called", "Answered")
	for _, flag := range []string{"FIN", "RST"} { // the kernel's goodbyes are lost, then and later
		ha.run("iptables", "-A", "OUTPUT", "-p", "tcp", "--tcp-flags", flag, flag, "-j", "DROP")
	}
	a.kill()
	again := start(t, ha, hb, 0)
	again.ask("wait", "linked")
	again.ask("call", "called", "Answered")
	b.ask("wait", "linked")
	b.ask("call", "called", "Answered")
}
