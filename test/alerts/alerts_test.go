package alerts

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
)

const source = "../../charts/gridmesh/alerts.yaml"

// parse reads the alerts as Prometheus would.
func parse(t *testing.T) map[string]rulefmt.Rule {
	t.Helper()
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	groups, errs := rulefmt.Parse(text, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if errs != nil {
		t.Fatal(errs)
	}
	all := make(map[string]rulefmt.Rule)
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			all[rule.Alert] = rule
		}
	}
	return all
}

// A scenario is series, one sample a minute from minute 0 on, and for whom an
// alert fires at which minute.
type scenario struct {
	name   string
	alert  string
	series string
	minute int
	fires  []string // labels but the alert's name and severity
}

// For one Grid of three: namespace n, Grid g, pods g-0 to g-2.
var scenarios = []scenario{
	{"a pod is not scraped", "GridMemberSilent", `
		up{job="gridmesh-node", namespace="n", gridmesh="g", pod="g-0"} 1x10
		up{job="gridmesh-node", namespace="n", gridmesh="g", pod="g-1"} 1x2 0x8
		up{job="other", namespace="n", pod="x"} 0x10`,
		9, []string{`gridmesh="g" job="gridmesh-node" namespace="n" pod="g-1"`}},
	{"a pod restarts", "GridMemberSilent", `
		up{job="gridmesh-node", namespace="n", gridmesh="g", pod="g-1"} 1x2 0x3 1x5`,
		9, nil},

	{"two links stay down", "GridLinksDown", `
		gridmesh_links{state="linked", namespace="n", gridmesh="g", pod="g-0"} 2x10
		gridmesh_links{state="down", namespace="n", gridmesh="g", pod="g-0"} 0x10
		gridmesh_links{state="down", namespace="n", gridmesh="g", pod="g-1"} 1x10
		gridmesh_links{state="dialing", namespace="n", gridmesh="g", pod="g-1"} 1x10`,
		6, []string{`gridmesh="g" namespace="n" pod="g-1"`}},
	{"a link drains", "GridLinksDown", `
		gridmesh_links{state="draining", namespace="n", gridmesh="g", pod="g-0"} 1x10`,
		6, nil},

	{"one pod stays behind", "GridPeerListStale", `
		gridmesh_peer_list_epoch{namespace="n", gridmesh="g", pod="g-0"} 7x10
		gridmesh_peer_list_epoch{namespace="n", gridmesh="g", pod="g-1"} 6x10
		gridmesh_peer_list_epoch{namespace="n", gridmesh="other", pod="other-0"} 99x10`,
		6, []string{`gridmesh="g" namespace="n"`}},
	{"all have the same list", "GridPeerListStale", `
		gridmesh_peer_list_epoch{namespace="n", gridmesh="g", pod="g-0"} 7x10
		gridmesh_peer_list_epoch{namespace="n", gridmesh="g", pod="g-1"} 7x10`,
		6, nil},

	{"a list is refused", "GridPeerListRefused", `
		gridmesh_node_peer_list_refused{namespace="n", gridmesh="g", pod="g-0"} 0x10
		gridmesh_node_peer_list_refused{namespace="n", gridmesh="g", pod="g-1"} 1x10`,
		3, []string{`gridmesh="g" namespace="n" pod="g-1"`}},

	{"strangers knock", "GridHandshakesRefused", `
		gridmesh_handshakes_refused_total{code="certificate", namespace="n", gridmesh="g", pod="g-0"} 0+1x40
		gridmesh_handshakes_refused_total{code="draining", namespace="n", gridmesh="g", pod="g-0"} 0+1x40`,
		30, []string{`code="certificate" gridmesh="g" namespace="n"`}},
	{"a rollout refuses some", "GridHandshakesRefused", `
		gridmesh_handshakes_refused_total{code="not-a-peer", namespace="n", gridmesh="g", pod="g-0"} 0+1x3 3x40`,
		30, nil},

	{"each link is lost once a minute", "GridReconnectStorm", `
		gridmesh_links{state="linked", namespace="n", gridmesh="g", pod="g-0"} 2x40
		gridmesh_links{state="linked", namespace="n", gridmesh="g", pod="g-1"} 2x40
		gridmesh_reconnects_total{reason="connection-lost", namespace="n", gridmesh="g", pod="g-0"} 0+2x40
		gridmesh_reconnects_total{reason="timeout", namespace="n", gridmesh="g", pod="g-1"} 0+2x40`,
		20, []string{`gridmesh="g" namespace="n"`}},
	{"a pod is killed, and others drain", "GridReconnectStorm", `
		gridmesh_links{state="linked", namespace="n", gridmesh="g", pod="g-0"} 2x40
		gridmesh_reconnects_total{reason="connection-lost", namespace="n", gridmesh="g", pod="g-0"} 0x5 1x35
		gridmesh_reconnects_total{reason="drained", namespace="n", gridmesh="g", pod="g-0"} 0+2x40`,
		12, nil},

	{"a link is congested", "GridCongested", `
		gridmesh_links_congested{namespace="n", gridmesh="g", pod="g-0"} 1x10
		gridmesh_links_congested{namespace="n", gridmesh="g", pod="g-1"} 0x10`,
		6, []string{`gridmesh="g" namespace="n" pod="g-0"`}},
	{"a link was congested for a while", "GridCongested", `
		gridmesh_links_congested{namespace="n", gridmesh="g", pod="g-0"} 1x3 0x10`,
		6, nil},

	{"a stream is not read", "GridCreditStarved", `
		gridmesh_stream_wait_longest_seconds{namespace="n", gridmesh="g", pod="g-0"} 0+60x20`,
		10, []string{`gridmesh="g" namespace="n" pod="g-0"`}},
	{"streams wait for a moment each", "GridCreditStarved", `
		gridmesh_stream_wait_longest_seconds{namespace="n", gridmesh="g", pod="g-0"} 3x20`,
		10, nil},

	{"calls are refused", "GridOverloaded", `
		gridmesh_overloads_refused_total{namespace="n", gridmesh="g", pod="g-0"} 0+10x30
		gridmesh_overloads_refused_total{namespace="n", gridmesh="g", pod="g-1"} 5x30`,
		20, []string{`gridmesh="g" namespace="n" pod="g-0"`}},

	{"handlers ignore their context", "GridHandlersOverdue", `
		gridmesh_handlers_overdue{namespace="n", gridmesh="g", pod="g-0"} 2x30`,
		20, []string{`gridmesh="g" namespace="n" pod="g-0"`}},

	// 7 days are 604800 s; minute 90 is second 5400.
	{"a certificate has 6 days to live", "GridCertExpiring", `
		gridmesh_node_certificate_expiry_timestamp_seconds{namespace="n", gridmesh="g", pod="g-0"} 523800x100
		gridmesh_node_certificate_expiry_timestamp_seconds{namespace="n", gridmesh="fine", pod="fine-0"} 2592000x100`,
		90, []string{`gridmesh="g" namespace="n"`}},
	{"a peer's certificate, where nodes do not tell their own", "GridCertExpiring", `
		gridmesh_peer_certificate_expiry_timestamp_seconds{namespace="n", gridmesh="g", pod="g-0"} 523800x100`,
		90, []string{`gridmesh="g" namespace="n"`}},

	{"certificate files are bad", "GridCertRefused", `
		gridmesh_node_certificate_refused{namespace="n", gridmesh="g", pod="g-0"} 1x10
		gridmesh_node_certificate_refused{namespace="n", gridmesh="g", pod="g-1"} 0x10`,
		6, []string{`gridmesh="g" namespace="n" pod="g-0"`}},

	{"a receiver is away", "GridTargetFailing", `
		gridmesh_target_failing{system="audit", target="trail", kind="webhook", namespace="n", gridmesh="g", pod="g-0"} 1x20
		gridmesh_target_failing{system="log", target="central", kind="webhook", namespace="n", gridmesh="g", pod="g-0"} 0x20
		gridmesh_target_failing{system="audit", target="trail", kind="webhook", namespace="n", gridmesh="g", pod="g-1"} 1x5 0x15`,
		15, []string{`gridmesh="g" namespace="n" pod="g-0" system="audit" target="trail"`}},
	{"a queue is full", "GridEntriesLost", `
		gridmesh_target_entries_dropped_total{system="log", target="central", kind="webhook", namespace="n", gridmesh="g", pod="g-0"} 0x5 0+7x10
		gridmesh_target_entries_rejected_total{system="log", target="central", kind="webhook", namespace="n", gridmesh="g", pod="g-0"} 0x20
		gridmesh_target_entries_dropped_total{system="audit", target="trail", kind="webhook", namespace="n", gridmesh="g", pod="g-0"} 3x20
		gridmesh_target_entries_rejected_total{system="audit", target="trail", kind="webhook", namespace="n", gridmesh="g", pod="g-0"} 0x20`,
		12, []string{`gridmesh="g" namespace="n" system="log" target="central"`}},
	{"entries that a receiver will not take", "GridEntriesLost", `
		gridmesh_target_entries_dropped_total{system="audit", target="trail", kind="webhook", namespace="n", gridmesh="g", pod="g-0"} 0x20
		gridmesh_target_entries_rejected_total{system="audit", target="trail", kind="webhook", namespace="n", gridmesh="g", pod="g-0"} 0x5 1x15`,
		9, []string{`gridmesh="g" namespace="n" system="audit" target="trail"`}},
	{"a disk is full", "GridAuditRefusesCalls", `
		gridmesh_audit_refused_calls_total{namespace="n", gridmesh="g", pod="g-0"} 0+10x20
		gridmesh_audit_refused_calls_total{namespace="n", gridmesh="g", pod="g-1"} 4x20`,
		10, []string{`gridmesh="g" namespace="n" pod="g-0"`}},
	{"a configuration is refused", "GridTelemetryRefused", `
		gridmesh_telemetry_configuration_refused{namespace="n", gridmesh="g", pod="g-0"} 1x10
		gridmesh_telemetry_configuration_refused{namespace="n", gridmesh="g", pod="g-1"} 0x10`,
		7, []string{`gridmesh="g" namespace="n" pod="g-0"`}},

	{"the operator is not scraped", "GridOperatorDown", `
		up{job="gridmesh-operator", namespace="s", pod="o"} 1x2 0x20`,
		15, []string{""}},
	{"one operator of two is there", "GridOperatorDown", `
		up{job="gridmesh-operator", namespace="s", pod="o"} 0x20
		up{job="gridmesh-operator", namespace="s", pod="p"} 1x20`,
		15, nil},

	{"the operator fails", "GridOperatorReconcileErrors", `
		controller_runtime_reconcile_errors_total{job="gridmesh-operator", controller="grid"} 0+1x40
		controller_runtime_reconcile_errors_total{job="another", controller="thing"} 0+1x40`,
		30, []string{`controller="grid"`}},
	{"a name is taken", "GridPeerListUnpublished", `
		gridmesh_operator_peer_list_problems_total{reason="NameConflict"} 0+2x40
		gridmesh_operator_peer_list_problems_total{reason="ServiceMissing"} 0 1x40`,
		30, []string{`reason="NameConflict"`}},
	{"a network policy is in the way", "GridNodesUnreachable", `
		gridmesh_operator_node_requests_total{kind="poll", result="failed"} 0+10x40
		gridmesh_operator_node_requests_total{kind="poll", result="ok"} 0+30x40`,
		30, []string{""}},
	{"a pod or two start", "GridNodesUnreachable", `
		gridmesh_operator_node_requests_total{kind="push", result="failed"} 0+1x40
		gridmesh_operator_node_requests_total{kind="poll", result="ok"} 0+30x40`,
		30, nil},
	{"two operators fight", "GridDriftRepaired", `
		gridmesh_operator_drift_repairs_total{kind="StatefulSet"} 0+5x90`,
		80, []string{`kind="StatefulSet"`}},
	{"somebody edits by hand", "GridDriftRepaired", `
		gridmesh_operator_drift_repairs_total{kind="StatefulSet"} 0x20 3x70`,
		80, nil},
	{"the operator failed once", "GridOperatorReconcileErrors", `
		controller_runtime_reconcile_errors_total{job="gridmesh-operator", controller="grid"} 0 1x40`,
		30, nil},
}

func TestAlerts(t *testing.T) {
	t.Parallel()
	all := parse(t)
	for _, s := range scenarios {
		t.Run(s.alert+"/"+s.name, func(t *testing.T) {
			t.Parallel()
			rule, there := all[s.alert]
			if !there {
				t.Fatalf("no alert %s in %s", s.alert, source)
			}
			if got := firing(t, rule, s); !slices.Equal(got, s.fires) {
				t.Errorf("at minute %d it fires for %q, want %q", s.minute, got, s.fires)
			}
		})
	}
}

// TestEachAlertFires: an alert that no scenario sets off may be one that nothing
// can.
func TestEachAlertFires(t *testing.T) {
	t.Parallel()
	quiet := parse(t)
	for _, s := range scenarios {
		if len(s.fires) > 0 {
			delete(quiet, s.alert)
		}
	}
	for name := range maps.Keys(quiet) {
		t.Errorf("no scenario in which %s fires", name)
	}
}

// firing evaluates a rule minute by minute, and returns for whom it fires in the
// end.
func firing(t *testing.T, rule rulefmt.Rule, s scenario) []string {
	t.Helper()
	store := promqltest.LoadedStorage(t, "load 1m\n\t"+strings.TrimSpace(s.series)+"\n")
	t.Cleanup(func() { _ = store.Close() })
	query := rules.EngineQueryFunc(promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery), store)
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(rule.Expr)
	if err != nil {
		t.Fatal(err)
	}
	alerting := rules.NewAlertingRule(rule.Alert, expr, time.Duration(rule.For), time.Duration(rule.KeepFiringFor),
		labels.FromMap(rule.Labels), labels.FromMap(rule.Annotations), labels.EmptyLabels(), "", true, slog.New(slog.DiscardHandler))
	for minute := range s.minute + 1 {
		at := time.Unix(0, 0).Add(time.Duration(minute) * time.Minute)
		if _, err := alerting.Eval(context.Background(), 0, at, query, nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, alert := range alerting.ActiveAlerts() {
		if alert.State != rules.StateFiring {
			continue
		}
		if text := alert.Annotations.String(); strings.Contains(text, "error") && !strings.Contains(rule.Annotations["description"], "error") || strings.Contains(text, "<no value>") {
			t.Errorf("annotations: %s", text)
		}
		var own []string
		alert.Labels.Range(func(l labels.Label) {
			if l.Name != "alertname" && l.Name != "severity" {
				own = append(own, l.Name+`="`+l.Value+`"`)
			}
		})
		got = append(got, strings.Join(own, " "))
	}
	slices.Sort(got)
	return got
}
