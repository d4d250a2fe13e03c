package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gridmesh/gridmesh/internal/target"
	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/gridtest"
)

// Secrets of one kind each. What is said of a failure may hold none of them.
const (
	canaryToken    = "canary-token-5101"
	canaryHeader   = "canary-header-5102"
	canaryPath     = "canary-path-5103"
	canaryPassword = "canary-password-5104"
	canaryRequest  = "canary-request-5105"
	canaryReply    = "canary-reply-5106"
	canaryError    = "canary-error-5107"
	canaryMessage  = "canary-message-5108"
)

// TestCanaries plants secrets wherever a user may have some, has every kind of
// receiver fail in every way, and looks for them in all that is written: console,
// rings, queues, what was set aside, status and metrics (faults.md 85;
// field-history L7, L24).
func TestCanaries(t *testing.T) {
	dir, console := t.TempDir(), &console{}
	s, err := Open(Options{Node: "node-0:7700", Version: "v1", Console: console, LogFormat: "json", Level: slog.LevelDebug, DataDir: filepath.Join(dir, "data")})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(fails))
	defer server.Close()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	token, password := write("token", canaryToken), write("password", canaryPassword)
	var targets []Target
	headers := map[string]string{"X-Api-Key": canaryHeader}
	for _, how := range []string{"400", "401", "404", "429", "500", "away", "cut"} {
		at := server.URL + "/" + how + "/" + canaryPath
		targets = append(targets,
			Target{Name: "hook-" + how, Webhook: &Webhook{URL: at, Headers: headers, TokenFile: token}},
			Target{Name: "otlp-" + how, OTLP: &OTLP{URL: at, Headers: headers, TokenFile: token}})
	}
	dead := strings.Replace(server.URL, "http:", "https:", 1) + "/" + canaryPath // it speaks no TLS
	kafka := &Kafka{Brokers: []string{strings.TrimPrefix(server.URL, "http://")}, Topic: "t", SASL: "plain", User: "u", PasswordFile: password, Timeout: Duration(time.Second)}
	var c Config
	c.Logging.Targets = append(slices.Clone(targets), Target{Name: "tls", Webhook: &Webhook{URL: dead, TokenFile: token}})
	c.Audit.Targets = append(slices.Clone(targets), Target{Name: "kafka", Kafka: kafka}, Target{Name: "tls", OTLP: &OTLP{URL: dead, TokenFile: token}})
	c.Audit.Outgoing = true
	if err := s.Apply(c); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{`{logging: {targets: [{name: x, webhook: {url: "https://u:` + canaryPassword + `@h/", headers: {"X Y": ` + canaryHeader + `}}}]}}`} {
		_, err := Parse([]byte(bad))
		if err == nil {
			t.Fatal("it was taken")
		}
		s.Refused(err)
	}
	if err := call(t, s); err != nil {
		t.Fatal(err)
	}
	for failing := 0; failing < len(c.Logging.Targets)+len(c.Audit.Targets); {
		if t.Context().Err() != nil {
			t.Fatalf("%+v", s.Status())
		}
		<-time.After(10 * time.Millisecond)
		failing = 0
		for _, a := range s.Status().Targets {
			if a.LastError != "" {
				failing++
			}
		}
	}
	written := map[string]string{}
	status, err := json.Marshal(s.Status())
	if err != nil {
		t.Error(err)
	}
	written["status"] = string(status)
	registry := prometheus.NewRegistry()
	registry.MustRegister(s.Collector())
	families, err := registry.Gather()
	if err != nil {
		t.Error(err)
	}
	written["metrics"] = fmt.Sprint(families)
	for name, ring := range map[string]*target.Ring{"log": s.Log().Ring(), "audit": s.Audit().Ring()} {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if ring.End() == 0 {
			t.Errorf("nothing in the ring of the %s", name)
		}
		for r := ring.Read(1000); ; {
			line, _, err := r.Next(ended)
			if err != nil {
				break
			}
			written[name] += string(line) + "\n"
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel() // what is not delivered stays on disk
	if err := s.Close(ended); err != nil {
		t.Error(err)
	}
	written["console"] = console.text.String()
	err = filepath.WalkDir(filepath.Join(dir, "data"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		written[path] = string(text)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if len(written) < 30 || !strings.Contains(written["console"], "answered 500") {
		t.Errorf("%d places were looked at; the console says\n%s", len(written), written["console"])
	}
	for where, text := range written {
		if at := strings.Index(text, "canary-"); at >= 0 {
			t.Errorf("%s: …%.300q", where, text[max(at-200, 0):])
		}
	}
}

// fails answers as the first element of the path says, and repeats all that it
// was told.
func fails(w http.ResponseWriter, r *http.Request) {
	how, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	body, _ := io.ReadAll(r.Body) // of whoever is cut off, a part
	echo := fmt.Sprintf("%s %v %s", r.URL, r.Header, body)
	code := 0
	switch _, _ = fmt.Sscan(how, &code); how {
	case "away":
		http.Redirect(w, r, "http://127.0.0.1:1/"+canaryPath, http.StatusTemporaryRedirect)
	case "cut":
		panic(http.ErrAbortHandler)
	default:
		w.WriteHeader(code)
		_, _ = io.WriteString(w, echo)
	}
}

// call makes calls and streams whose every word is a secret.
func call(t *testing.T, s *System) error {
	t.Helper()
	mesh := gridtest.New(t, 2, func(o *grid.Options) {
		o.Logger, o.Interceptors, o.OnEvent = s.Log().Logger(), []grid.Interceptor{s.Audit().Interceptor()}, s.Audit().OnEvent
	})
	mesh.Register(func(m *grid.Manager) error {
		return errors.Join(
			m.RegisterSingle("echo", func(context.Context, []byte) ([]byte, error) { return []byte(canaryReply), nil }),
			m.RegisterSingle("fails", func(context.Context, []byte) ([]byte, error) {
				return nil, grid.NewError(grid.CodeNotFound, canaryError)
			}),
			m.RegisterStream("count", grid.StreamHandler{InCapacity: 5, OutCapacity: 5, Serve: func(ctx context.Context, s *grid.HandlerStream) error {
				if _, err := s.Recv(ctx); err != nil {
					return err
				}
				return errors.New(canaryError)
			}}),
		)
	})
	mesh.WaitLinked()
	conn := mesh.Conn(0, 1)
	for _, h := range []grid.HandlerID{"echo", "fails", "none"} {
		if reply, err := conn.Request(t.Context(), h, []byte(canaryRequest)); (err == nil) != (h == "echo") || err == nil && string(reply) != canaryReply {
			return fmt.Errorf("%s: %w", h, err)
		}
	}
	stream, err := conn.OpenStream(t.Context(), "count", []byte(canaryRequest))
	if err != nil {
		return err
	}
	if err := stream.Send(t.Context(), []byte(canaryMessage)); err != nil {
		return err
	}
	if _, err := stream.Recv(t.Context()); err == nil {
		return errors.New("the stream did not fail")
	}
	return nil
}
