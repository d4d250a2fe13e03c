//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// control is the back door of a cluster of our own: test/e2e/cluster says what
// it takes.
type control struct{ socket string }

// do has something done, and returns what was said of it.
func (c *control) do(t *testing.T, words ...string) string {
	t.Helper()
	conn, err := net.Dial("unix", c.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(hang))
	if _, err := fmt.Fprintln(conn, strings.Join(words, " ")); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	first, output, _ := strings.Cut(string(answer), "\n")
	if err != nil || first != "ok" {
		t.Fatalf("%s: %v: %s: %s", strings.Join(words, " "), err, first, output)
	}
	return output
}

// needControl skips a scenario that would hurt somebody else's cluster. It stands
// in the file skips, with what it would do.
func (s *suite) needControl(t *testing.T) *control {
	t.Helper()
	if s.control == nil {
		t.Skip("this cluster is not of our own making")
	}
	return s.control
}

// kill kills the process of a pod as the kernel does when memory is short: it
// gets no chance to say goodbye.
func (c *control) kill(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	for _, container := range pod.Status.ContainerStatuses {
		if container.Name == "node" {
			c.do(t, "kill", strings.TrimPrefix(container.ContainerID, "containerd://"))
			return
		}
	}
	t.Fatalf("pod %s has no container node", pod.Name)
}
