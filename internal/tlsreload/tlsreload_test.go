package tlsreload

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/gridmesh/gridmesh/internal/certs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const nodeName = "node-0:7700"

func newAuthority(t *testing.T) *certs.Authority {
	t.Helper()
	authority, err := certs.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	return authority
}

func issue(t *testing.T, a *certs.Authority, leaf certs.Leaf) certs.Issued {
	t.Helper()
	leaf.Name = nodeName
	issued, err := a.Issue(leaf)
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

func write(t *testing.T, dir string, issued certs.Issued, authorities []byte) {
	t.Helper()
	if err := issued.Write(dir, authorities); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, dir, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// serial tells certificates apart.
func serial(t *testing.T, s *Source) string {
	t.Helper()
	cert, err := s.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	return cert.Leaf.SerialNumber.String()
}

func TestWhatIsRefused(t *testing.T) {
	authority, other := newAuthority(t), newAuthority(t)
	good := issue(t, authority, certs.Leaf{})
	for _, tt := range []struct {
		name  string
		spoil func(dir string)
		want  string
	}{
		{"no certificate", func(dir string) { _ = os.Remove(filepath.Join(dir, "tls.crt")) }, "no such file"},
		{"no key", func(dir string) { _ = os.Remove(filepath.Join(dir, "tls.key")) }, "no such file"},
		{"no authorities", func(dir string) { _ = os.Remove(filepath.Join(dir, "ca.crt")) }, "no such file"},
		{"empty certificate", func(dir string) { put(t, dir, "tls.crt", nil) }, "failed to find any PEM data"},
		{"half a certificate", func(dir string) { put(t, dir, "tls.crt", good.Cert[:len(good.Cert)/2]) }, "failed to find any PEM data"},
		{"another's key", func(dir string) { put(t, dir, "tls.key", issue(t, authority, certs.Leaf{}).Key) }, "private key does not match public key"},
		{"empty bundle", func(dir string) { put(t, dir, "ca.crt", nil) }, "ca.crt: no authority in it"},
		{"half a bundle", func(dir string) { put(t, dir, "ca.crt", authority.PEM[:len(authority.PEM)/2]) }, "ca.crt: what follows authority 0 is cut off or not PEM"},
		{"a bundle cut in its second", func(dir string) {
			put(t, dir, "ca.crt", append(bytes.Clone(authority.PEM), other.PEM[:len(other.PEM)/2]...))
		}, "ca.crt: what follows authority 1 is cut off or not PEM"},
		{"a key in the bundle", func(dir string) { put(t, dir, "ca.crt", good.Key) }, "ca.crt: a private key among the authorities"},
		{"no DER in the bundle", func(dir string) {
			put(t, dir, "ca.crt", []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
		}, "ca.crt: authority 1: malformed certificate"},
		{"too large", func(dir string) { put(t, dir, "ca.crt", make([]byte, maxFile+1)) }, "ca.crt: larger than 1048576 bytes"},
		{"expired", func(dir string) {
			write(t, dir, issue(t, authority, certs.Leaf{NotAfter: time.Now().Add(-time.Minute)}), authority.PEM)
		}, "the certificate expired at"},
		{"not yet valid", func(dir string) {
			write(t, dir, issue(t, authority, certs.Leaf{NotBefore: time.Now().Add(time.Minute)}), authority.PEM)
		}, "the certificate is not valid before"},
		{"to be dialled only", func(dir string) {
			write(t, dir, issue(t, authority, certs.Leaf{Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}), authority.PEM)
		}, "lacks the extended key usage clientAuth"},
		{"to dial only", func(dir string) {
			write(t, dir, issue(t, authority, certs.Leaf{Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}), authority.PEM)
		}, "lacks the extended key usage serverAuth"},
		{"the check", nil, "tls.crt: not for me"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, good, authority.PEM)
			var check func(*x509.Certificate) error
			if tt.spoil == nil {
				check = func(*x509.Certificate) error { return errors.New("not for me") }
			} else {
				tt.spoil(dir)
			}
			if _, err := Open(Options{Files: InDir(dir), Check: check}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("at start: %v; want %q", err, tt.want)
			}

			// The same, found later: the old set stays, once logged, once counted.
			write(t, dir, good, authority.PEM)
			var log bytes.Buffer
			var refuse error
			source, err := Open(Options{
				Files: InDir(dir), Logger: slog.New(slog.NewTextHandler(&log, nil)),
				Check:    func(*x509.Certificate) error { return refuse },
				OnChange: func(bool) { t.Error("told of a change") },
			})
			if err != nil {
				t.Fatal(err)
			}
			before := serial(t, source)
			if tt.spoil == nil {
				refuse = errors.New("not for me")
				write(t, dir, issue(t, authority, certs.Leaf{}), authority.PEM)
			} else {
				tt.spoil(dir)
			}
			for range 3 {
				if err := source.Reload(); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("later: %v; want %q", err, tt.want)
				}
			}
			if serial(t, source) != before {
				t.Error("the old certificate did not stay")
			}
			if stats := source.Stats(); stats.Refused != 1 || stats.Reloads != 0 || !strings.Contains(stats.LastError, tt.want) {
				t.Errorf("stats are %+v", stats)
			}
			if n := strings.Count(log.String(), "certificate files refused"); n != 1 {
				t.Errorf("logged %d times:\n%s", n, &log)
			}

			// And mended.
			refuse = nil
			write(t, dir, good, authority.PEM)
			if err := source.Reload(); err != nil || source.Stats().LastError != "" {
				t.Errorf("after mending: %v, %q", err, source.Stats().LastError)
			}
		})
	}
}

func TestPolling(t *testing.T) {
	authority, next := newAuthority(t), newAuthority(t)
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		// Certificates know the real time, the bubble begins in 2000.
		leaf := certs.Leaf{NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
		first, second := issue(t, authority, leaf), issue(t, authority, leaf)
		write(t, dir, first, authority.PEM)
		var log bytes.Buffer
		var changes []bool
		source, err := Open(Options{
			Files: InDir(dir), Logger: slog.New(slog.NewTextHandler(&log, nil)),
			OnChange: func(authorities bool) { changes = append(changes, authorities) },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); source.Run(ctx) }()
		defer func() { stop(); <-done }()
		poll := func() { time.Sleep(PollEvery); synctest.Wait() }

		poll()
		if len(changes) != 0 {
			t.Fatal("a change where there was none")
		}
		was := serial(t, source)

		// Caught between the two renames: no alarm, and the pair when it is whole.
		put(t, dir, "tls.crt", second.Cert)
		poll()
		if serial(t, source) != was || log.Len() != 0 || source.Stats().Refused != 0 {
			t.Errorf("half a change made an alarm: %s", &log)
		}
		put(t, dir, "tls.key", second.Key)
		poll()
		if serial(t, source) == was || source.Stats().Reloads != 1 || len(changes) != 1 || changes[0] {
			t.Errorf("after a whole change: %+v, changes %v", source.Stats(), changes)
		}

		// Bad for two polls is bad.
		was = serial(t, source)
		put(t, dir, "tls.key", first.Key)
		poll()
		poll()
		poll()
		if serial(t, source) != was || source.Stats().Refused != 1 || strings.Count(log.String(), "refused") != 1 {
			t.Errorf("after a bad change: %+v\n%s", source.Stats(), &log)
		}
		put(t, dir, "tls.key", second.Key)
		poll()
		if source.Stats().LastError != "" {
			t.Errorf("mended, but %q", source.Stats().LastError)
		}

		// A bundle of two authorities, then one.
		put(t, dir, "ca.crt", append(bytes.Clone(authority.PEM), next.PEM...))
		poll()
		if len(changes) != 2 || !changes[1] {
			t.Errorf("changes are %v", changes)
		}

		// Not valid yet, and an hour later it is, though no file changes.
		early := certs.Leaf{NotBefore: time.Now().Add(10 * time.Minute), NotAfter: time.Now().Add(time.Hour)}
		was = serial(t, source)
		third := issue(t, authority, early)
		put(t, dir, "tls.crt", third.Cert)
		put(t, dir, "tls.key", third.Key)
		poll()
		poll()
		if serial(t, source) != was || !strings.Contains(source.Stats().LastError, "not valid before") {
			t.Errorf("a certificate of the future: %+v", source.Stats())
		}
		time.Sleep(10 * time.Minute)
		poll()
		if serial(t, source) == was || source.Stats().LastError != "" {
			t.Errorf("it became valid, but: %+v", source.Stats())
		}
	})
}

func TestLinksSwappedAsAKubeletDoes(t *testing.T) {
	authority := newAuthority(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "..1"), issue(t, authority, certs.Leaf{}), authority.PEM)
	write(t, filepath.Join(dir, "..2"), issue(t, authority, certs.Leaf{}), authority.PEM)
	for link, to := range map[string]string{"..data": "..1", "tls.crt": "..data/tls.crt", "tls.key": "..data/tls.key", "ca.crt": "..data/ca.crt"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	source, err := Open(Options{Files: InDir(dir), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	was := serial(t, source)
	if err := os.Symlink("..2", filepath.Join(dir, "..next")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "..next"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	if err := source.Reload(); err != nil || serial(t, source) == was {
		t.Errorf("the new certificate is not in use: %v", err)
	}
	roots, err := source.Roots()
	if err != nil || roots.Equal(x509.NewCertPool()) {
		t.Errorf("roots: %v", err)
	}
}
