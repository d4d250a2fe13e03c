package telemetry

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSecretsThatAreNotMounted: a pod that was told of a Secret which it does not
// mount keeps what it had. One that is mounted and lacks keys will do.
func TestSecretsThatAreNotMounted(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "secret")
	c, err := Parse(fmt.Appendf(nil, `
logging: {targets: [{name: a, spool: {maxBytes: 1GiB}, optionalFiles: true, webhook: {url: "https://a", caFile: %[1]s/ca.crt, tokenFile: %[1]s/token}}]}
audit: {targets: [{name: b, policy: block, optionalFiles: true, kafka: {brokers: ["b:1"], topic: t, tls: true, certFile: %[1]s/tls.crt, keyFile: %[1]s/tls.key}}]}
`, folder))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(Options{Console: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ended, cancel := context.WithCancel(t.Context())
		cancel() // nobody is there to deliver to
		if err := s.Close(ended); err != nil {
			t.Error(err)
		}
	}()
	err = s.Apply(c)
	for _, want := range []string{"logging.targets[0].webhook.caFile: there is no folder " + folder, "audit.targets[0].kafka.certFile: there is no folder " + folder} {
		if err == nil || strings.Count(err.Error(), want) != 1 || strings.Count(err.Error(), folder) != 2 {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	for range 20 { // what is tried again is told of once
		if again := s.Apply(c); again == nil || again.Error() != err.Error() {
			t.Fatalf("another time it says %v, not %v", again, err)
		}
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	c.Audit.Targets[0].Policy, c.Logging.Targets[0].Spool = "", Spool{} // what needs a disk
	if err := s.Apply(c); err != nil {
		t.Errorf("with the folder: %v", err)
	}
}
