package feed

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/internal/telemetry"
)

func gridWith(t *testing.T, spec string) *v1alpha1.Grid {
	t.Helper()
	g := new(v1alpha1.Grid)
	if err := yaml.UnmarshalStrict([]byte(spec), &g.Spec); err != nil {
		t.Fatal(err)
	}
	return g
}

// TestTelemetry: what a Grid says is what its pods read, by the same words, but
// for files, which are keys of a Secret.
func TestTelemetry(t *testing.T) {
	text, err := Telemetry(gridWith(t, `
logging:
  level: warn
  targets:
  - name: vector
    level: debug
    webhook:
      url: https://vector:8443/in
      format: loki
      labels: {app: mesh}
      headers: {X-Tenant: one}
      proxy: http://proxy:3128
      gzip: true
      timeout: 1m30s
      serverName: vector
      secretRef: {name: vector.client}
    batch: {entries: 10, bytes: 4Mi, age: 250ms}
    spool: {maxBytes: 128Mi}
  - {name: plain, webhook: {url: "http://plain", serverName: x, secretRef: {name: plain}}}
  - {name: otel, otlp: {url: "https://otel:4318/v1/logs", headers: {x-tenant: a}, gzip: true, timeout: 5s, serverName: otel, secretRef: {name: otel}}}
audit:
  outgoing: true
  timeout: 5s
  filter: [{handlers: [a.*], peers: ["!b"], results: [ok], direction: in, drop: true}]
  targets:
  - {name: here, policy: drop, console: {}}
  - name: topic
    policy: block
    kafka: {brokers: ["k:9093"], topic: t, tls: true, serverName: k, sasl: scram-sha-256, user: u, timeout: 20s, secretRef: {name: kafka}}
  - {name: open, kafka: {brokers: ["k:9092"], topic: t, secretRef: {name: kafka}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	want, err := telemetry.Parse([]byte(`
logging:
  level: warn
  targets:
  - name: vector
    level: debug
    optionalFiles: true
    webhook:
      url: https://vector:8443/in
      format: loki
      labels: {app: mesh}
      headers: {X-Tenant: one}
      proxy: http://proxy:3128
      gzip: true
      timeout: 90s
      serverName: vector
      caFile: /etc/gridmesh/targets/vector.client/ca.crt
      certFile: /etc/gridmesh/targets/vector.client/tls.crt
      keyFile: /etc/gridmesh/targets/vector.client/tls.key
      tokenFile: /etc/gridmesh/targets/vector.client/token
    batch: {entries: 10, bytes: 4Mi, age: 250ms}
    spool: {maxBytes: 128Mi}
  - {name: plain, optionalFiles: true, webhook: {url: "http://plain", tokenFile: /etc/gridmesh/targets/plain/token}}
  - name: otel
    optionalFiles: true
    otlp:
      url: https://otel:4318/v1/logs
      headers: {x-tenant: a}
      gzip: true
      timeout: 5s
      serverName: otel
      caFile: /etc/gridmesh/targets/otel/ca.crt
      certFile: /etc/gridmesh/targets/otel/tls.crt
      keyFile: /etc/gridmesh/targets/otel/tls.key
      tokenFile: /etc/gridmesh/targets/otel/token
audit:
  outgoing: true
  timeout: 5s
  filter: [{handlers: [a.*], peers: ["!b"], results: [ok], direction: in, drop: true}]
  targets:
  - {name: here, policy: drop, console: {}}
  - name: topic
    policy: block
    optionalFiles: true
    kafka:
      brokers: ["k:9093"]
      topic: t
      tls: true
      serverName: k
      caFile: /etc/gridmesh/targets/kafka/ca.crt
      certFile: /etc/gridmesh/targets/kafka/tls.crt
      keyFile: /etc/gridmesh/targets/kafka/tls.key
      sasl: scram-sha-256
      user: u
      passwordFile: /etc/gridmesh/targets/kafka/password
      timeout: 20s
  - {name: open, optionalFiles: true, kafka: {brokers: ["k:9092"], topic: t}}
`))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := telemetry.Parse([]byte(text)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("pods read %+v and %v,\nwant %+v", got, err, want)
	}
}

func TestTelemetryOfNothing(t *testing.T) {
	if text, err := Telemetry(new(v1alpha1.Grid)); err != nil || text != "{}\n" {
		t.Errorf("%q, %v", text, err)
	}
}

// TestTelemetryThatIsRefused: whatever pods would refuse, with the place in the
// Grid where it stands.
func TestTelemetryThatIsRefused(t *testing.T) {
	long := strings.Repeat("x", 500)
	var many []string
	for range 16 {
		many = append(many, `"`+long+`"`)
	}
	rule := "{handlers: [" + strings.Join(many, ",") + "]}"
	for name, test := range map[string]struct{ spec, want string }{
		"a URL": {
			`logging: {targets: [{name: a, webhook: {url: "https://[x"}}, {name: b, webhook: {url: "http://b"}, batch: {bytes: 1Ki, entries: 100001}}]}`,
			"spec.logging.targets[0].webhook.url: it is no URL; spec.logging.targets[1].batch.entries: ",
		},
		"a size":       {`audit: {targets: [{name: a, webhook: {url: "http://a"}, spool: {maxBytes: 1X}}]}`, `spec.audit.targets[0].spool.maxBytes: "1X" is not a size`},
		"a batch size": {`logging: {targets: [{name: a, webhook: {url: "http://a"}, batch: {bytes: 999999999Ti}}]}`, "spec.logging.targets[0].batch.bytes: "},
		"two at once":  {`audit: {targets: [{name: a, webhook: {url: "http://a"}, console: {}}]}`, "spec.audit.targets[0]: it is console and webhook at once"},
		"too much":     {"audit: {targets: [{name: a, console: {}}], filter: [" + strings.Repeat(rule+",", 40) + "]}", "allowed are 262144"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Telemetry(gridWith(t, test.spec))
			if problem := (*Problem)(nil); !errors.As(err, &problem) || problem.Reason != ReasonTelemetry || !strings.Contains(problem.Message, test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// TestPublishTelemetry: pods get what the Grid says, and nothing that they would
// refuse, nor while it is paused; their list is published all the same.
func TestPublishTelemetry(t *testing.T) {
	for _, adopted := range []bool{false, true} {
		g := newGrid(t, 2, adopted)
		g.makeSet(2)
		p := g.publisher(g.kube)
		epoch := uint64(0)
		look := func(step, want string) {
			t.Helper()
			out, err := g.publish(p, nil)
			if err != nil || out.list.Epoch != epoch {
				t.Errorf("%s: epoch %d and %v, want %d", step, out.list.Epoch, err, epoch)
			}
			if got := get(g, "demo-grid", new(corev1.ConfigMap)).Data["telemetry.json"]; !strings.Contains(got, want) {
				t.Errorf("%s: got %q, want %q", step, got, want)
			}
		}
		says := func(url string, paused bool) {
			t.Helper()
			change(g, g.grid(), func(g *v1alpha1.Grid) {
				g.Spec.Paused, g.Spec.Logging = paused, &v1alpha1.Logging{Targets: []v1alpha1.LogTarget{
					{Name: "central", Webhook: &v1alpha1.Webhook{URL: v1alpha1.ReceiverURL(url)}},
				}}
			})
		}
		look("before anything is said", "{}\n")
		says("https://one", false)
		look("a target", `"url":"https://one"`)
		says("https://[two", false)
		g.pod(0, "10.0.0.1")
		epoch++
		look("one that pods would refuse", `"url":"https://one"`)
		says("https://three", true)
		g.pod(1, "10.0.0.2")
		epoch++
		look("paused", `"url":"https://one"`)
		says("https://three", false)
		look("no longer paused", `"url":"https://three"`)
		change(g, get(g, "demo-grid", new(corev1.ConfigMap)), func(c *corev1.ConfigMap) { c.Data["telemetry.json"] = "{}" })
		look("changed by somebody else", `"url":"https://three"`)
		change(g, g.grid(), func(g *v1alpha1.Grid) { g.Spec.Logging = nil })
		look("taken back", "{}\n")
		if err := client.IgnoreNotFound(g.kube.Delete(t.Context(), g.grid())); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTelemetryWithoutRoom: what may wait for its targets has to fit on the disk
// of a pod of the Grid's own. A pod that was told of it all the same would be
// evicted, and lose what waits.
func TestTelemetryWithoutRoom(t *testing.T) {
	for spec, fits := range map[string]bool{
		`{image: a, logging: {targets: [{name: a, webhook: {url: "http://a"}}]}}`:                                          true,
		`{image: a, logging: {targets: [{name: a, webhook: {url: "http://a"}, spool: {maxBytes: 6Gi}}]}}`:                  false,
		`{image: a, storage: {emptyDir: {sizeLimit: 287Mi}}, audit: {targets: [{name: a, webhook: {url: "http://a"}}]}}`:   false,
		`{image: a, storage: {emptyDir: {sizeLimit: 288Mi}}, audit: {targets: [{name: a, webhook: {url: "http://a"}}]}}`:   true,
		`{image: a, storage: {emptyDir: {sizeLimit: 16Mi}}, audit: {targets: [{name: a, console: {}}]}}`:                   true,
		`{statefulSetRef: {name: a}, logging: {targets: [{name: a, webhook: {url: "http://a"}, spool: {maxBytes: 6Gi}}]}}`: true,
	} {
		text, err := nextTelemetry(gridWith(t, spec))
		if err != nil || (text != nil) != fits {
			t.Errorf("%s: %v, %v", spec, text, err)
		}
	}
}
