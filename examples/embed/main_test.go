package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestMain makes this binary the program itself where the environment says so.
func TestMain(m *testing.M) {
	if os.Getenv("NAMES") != "" {
		main()
	}
	os.Exit(m.Run())
}

// given is how many names tests were given.
var given = rand.IntN(lastPort - firstPort)

// Below those that the system gives to outgoing connections, and beside those
// that other tests take.
const firstPort, lastPort = 32_700, 32_768

// freeName finds a port that nobody listens at, and gives none twice.
func freeName(t *testing.T) string {
	t.Helper()
	for {
		given++
		name := fmt.Sprintf("127.0.0.1:%d", firstPort+given%(lastPort-firstPort))
		if l, err := net.Listen("tcp", name); err == nil {
			_ = l.Close()
			return name
		}
	}
}

// start runs the program and gives the first line that it prints.
func start(ctx context.Context, t *testing.T, names ...string) func() string {
	t.Helper()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "NAMES="+strings.Join(names, ","))
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	return func() string {
		line, _ := bufio.NewReader(out).ReadString('\n')
		return line
	}
}

// TestTwoServersGreetEachOther runs the program as its comment says.
func TestTwoServersGreetEachOther(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	a, b := freeName(t), freeName(t)
	fromA, fromB := start(ctx, t, a, b), start(ctx, t, b, a)
	if got, want := fromA(), b+" greets "+a+" <nil>\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := fromB(), a+" greets "+b+" <nil>\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestErrorsAreSaid: a name that can't be one is refused with a sentence.
func TestErrorsAreSaid(t *testing.T) {
	if err := run(t.Context(), []string{"no port"}); err == nil || !strings.Contains(err.Error(), "Local") {
		t.Errorf("got %v", err)
	}
}
