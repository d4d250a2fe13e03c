package feed

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gridmesh/gridmesh/api/v1alpha1"
	"github.com/gridmesh/gridmesh/controllers/names"
	"github.com/gridmesh/gridmesh/internal/audit"
	"github.com/gridmesh/gridmesh/internal/telemetry"
)

// maxTelemetry bounds telemetry.json: it shares a ConfigMap, of 1 MiB at most,
// with the peer list.
const maxTelemetry = 256 << 10

// Telemetry writes telemetry.json: where the pods of the Grid send log and audit.
// The same Grid gives the same bytes. What a pod would refuse is a *Problem here.
func Telemetry(g *v1alpha1.Grid) (string, error) {
	if g.Spec.Logging == nil && g.Spec.Audit == nil {
		return "{}\n", nil // said, so that pods drop what was said before
	}
	c, err := telemetryOf(g)
	if err != nil {
		return "", &Problem{Reason: ReasonTelemetry, Message: err.Error()}
	}
	text, err := json.Marshal(&c)
	if err != nil {
		return "", fmt.Errorf("write %s: %w", names.KeyTelemetry, err)
	}
	if len(text) > maxTelemetry {
		return "", &Problem{Reason: ReasonTelemetry, Message: fmt.Sprintf(
			"spec.logging and spec.audit make a file of %d bytes for the pods, allowed are %d; use fewer patterns, headers or labels", len(text), maxTelemetry)}
	}
	// Read back as a pod reads it.
	if _, err := telemetry.ParsePod(text); err != nil {
		return "", &Problem{Reason: ReasonTelemetry, Message: inSpec(err)}
	}
	return string(text) + "\n", nil
}

// inSpec says where in the Grid what a pod would refuse stands.
func inSpec(err error) string {
	all := []error{err}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		all = several.Unwrap()
	}
	said := make([]string, len(all))
	for i, one := range all {
		said[i] = one.Error()
		if key := (*telemetry.KeyError)(nil); errors.As(one, &key) && key.Path != "" {
			said[i] = "spec." + said[i]
		}
	}
	return strings.Join(said, "; ")
}

func telemetryOf(g *v1alpha1.Grid) (telemetry.Config, error) {
	var c telemetry.Config
	var bad []error
	if l := g.Spec.Logging; l != nil {
		c.Logging.Level = string(l.Level)
		for i := range l.Targets {
			t := &l.Targets[i]
			made := telemetry.Target{Name: string(t.Name), Level: string(t.Level), Webhook: webhookOf(t.Webhook), OTLP: otlpOf(t.OTLP)}
			bad = append(bad, waiting(&made, t.Batch, t.Spool, fmt.Sprintf("spec.logging.targets[%d]", i)))
			c.Logging.Targets = append(c.Logging.Targets, made)
		}
	}
	if a := g.Spec.Audit; a != nil {
		c.Audit.Outgoing, c.Audit.Timeout = a.Outgoing, duration(a.Timeout)
		for _, r := range a.Filter {
			c.Audit.Filter = append(c.Audit.Filter, audit.Rule{
				Handlers: texts(r.Handlers), Peers: texts(r.Peers), Results: texts(r.Results), Direction: string(r.Direction), Drop: r.Drop,
			})
		}
		for i := range a.Targets {
			t := &a.Targets[i]
			made := telemetry.Target{Name: string(t.Name), Policy: string(t.Policy), Webhook: webhookOf(t.Webhook), OTLP: otlpOf(t.OTLP), Kafka: kafkaOf(t.Kafka)}
			if t.Console != nil {
				made.Console = new(telemetry.Console)
			}
			bad = append(bad, waiting(&made, t.Batch, t.Spool, fmt.Sprintf("spec.audit.targets[%d]", i)))
			c.Audit.Targets = append(c.Audit.Targets, made)
		}
	}
	return c, errors.Join(bad...)
}

// waiting sets how entries wait for a target. Its files are keys of a Secret,
// each of which may be missing.
func waiting(t *telemetry.Target, b *v1alpha1.Batch, s *v1alpha1.Spool, at string) error {
	t.OptionalFiles = t.Console == nil
	var bad []error
	if b != nil {
		if b.Entries != nil {
			t.Batch.Entries = int(*b.Entries)
		}
		t.Batch.Age = duration(b.Age)
		bad = append(bad, size(&t.Batch.Bytes, b.Bytes, at+".batch.bytes"))
	}
	if s != nil {
		bad = append(bad, size(&t.Spool.MaxBytes, s.MaxBytes, at+".spool.maxBytes"))
	}
	return errors.Join(bad...)
}

func webhookOf(w *v1alpha1.Webhook) *telemetry.Webhook {
	if w == nil {
		return nil
	}
	return &telemetry.Webhook{
		URL: string(w.URL), Format: string(w.Format), Labels: pairs(w.Labels), Headers: pairs(w.Headers), Proxy: string(w.Proxy),
		Gzip: w.Gzip, Timeout: duration(w.Timeout),
		TLS: files(w.SecretRef, strings.HasPrefix(string(w.URL), "https:"), w.ServerName), TokenFile: file(w.SecretRef, names.KeyToken),
	}
}

func otlpOf(o *v1alpha1.OTLP) *telemetry.OTLP {
	if o == nil {
		return nil
	}
	return &telemetry.OTLP{
		URL: string(o.URL), Headers: pairs(o.Headers), Gzip: o.Gzip, Timeout: duration(o.Timeout),
		TLS: files(o.SecretRef, strings.HasPrefix(string(o.URL), "https:"), o.ServerName), TokenFile: file(o.SecretRef, names.KeyToken),
	}
}

func kafkaOf(k *v1alpha1.Kafka) *telemetry.Kafka {
	if k == nil {
		return nil
	}
	made := &telemetry.Kafka{
		Brokers: texts(k.Brokers), Topic: k.Topic, UseTLS: k.TLS, TLS: files(k.SecretRef, k.TLS, k.ServerName),
		SASL: string(k.SASL), User: k.User, Timeout: duration(k.Timeout),
	}
	if k.SASL != "" {
		made.PasswordFile = file(k.SecretRef, names.KeyPassword)
	}
	return made
}

// files are those of a Secret that are for TLS, where there is TLS.
func files(ref *v1alpha1.TargetSecret, is bool, server string) telemetry.TLS {
	if !is {
		return telemetry.TLS{}
	}
	return telemetry.TLS{
		CAFile: file(ref, names.KeyCA), CertFile: file(ref, names.KeyCert), KeyFile: file(ref, names.KeyKey), ServerName: server,
	}
}

func file(ref *v1alpha1.TargetSecret, key string) string {
	if ref == nil {
		return ""
	}
	return names.TargetFile(ref.Name, key)
}

func size(into *telemetry.Size, from v1alpha1.Size, at string) error {
	if from == "" {
		return nil
	}
	if err := into.UnmarshalText([]byte(from)); err != nil {
		return fmt.Errorf("%s: %q is %w", at, from, err)
	}
	return nil
}

func duration(d *metav1.Duration) telemetry.Duration {
	if d == nil {
		return 0
	}
	return telemetry.Duration(d.Duration)
}

func texts[T ~string](from []T) []string {
	var all []string
	for _, text := range from {
		all = append(all, string(text))
	}
	return all
}

func pairs[T ~string](from map[string]T) map[string]string {
	if len(from) == 0 {
		return nil
	}
	all := make(map[string]string, len(from))
	for name, value := range from {
		all[name] = string(value)
	}
	return all
}
