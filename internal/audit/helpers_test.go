package audit

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"

	"github.com/gridmesh/gridmesh/internal/target"
)

// schema is docs/audit.schema.json.
var schema = sync.OnceValues(func() (*validate.SchemaValidator, error) {
	text, err := os.ReadFile("../../docs/audit.schema.json")
	if err != nil {
		return nil, err
	}
	var s spec.Schema
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, err
	}
	return validate.NewSchemaValidator(&s, nil, "record", strfmt.Default), nil
})

// parse reads a record and holds it to the schema.
func parse(t *testing.T, line []byte) map[string]any {
	t.Helper()
	validator, err := schema()
	if err != nil {
		t.Fatal(err)
	}
	var record map[string]any
	if err := json.Unmarshal(line, &record); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	if result := validator.Validate(record); !result.IsValid() {
		t.Errorf("%s: %v", line, errors.Join(result.Errors...))
	}
	return record
}

// receiver is a sink that keeps records.
type receiver struct {
	mu      sync.Mutex
	lines   [][]byte
	fails   error
	hangs   bool
	changed chan struct{}
}

func (r *receiver) Send(ctx context.Context, b target.Batch) error {
	r.mu.Lock()
	hangs, fails := r.hangs, r.fails
	r.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	if fails != nil {
		return fails
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, item := range b.Items {
		r.lines = append(r.lines, slices.Clone(item.Data))
	}
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
	return nil
}

func (r *receiver) Close() error { return nil }

// got gives what has come.
func (r *receiver) got() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

// records gives those that have come, each of which fits the schema.
func (r *receiver) records(t *testing.T) (all []map[string]any) {
	t.Helper()
	for _, line := range r.got() {
		all = append(all, parse(t, line))
	}
	return all
}

// wait waits for a record with these values, and gives it.
func (r *receiver) wait(t *testing.T, want map[string]any) map[string]any {
	t.Helper()
	for {
		r.mu.Lock()
		if r.changed == nil {
			r.changed = make(chan struct{})
		}
		changed := r.changed
		r.mu.Unlock()
		all := r.records(t)
		for _, record := range all {
			if matches(record, want) {
				return record
			}
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatalf("no record with %v among %v", want, all)
		}
	}
}

func matches(record, want map[string]any) bool {
	for key, value := range want {
		if record[key] != value {
			return false
		}
	}
	return true
}

// openAudit makes an audit with one target.
func openAudit(t *testing.T, o Options, r target.Sink, change func(*target.Options, *Config)) *Audit {
	t.Helper()
	if o.Report == nil {
		o.Report = slog.New(slog.DiscardHandler)
	}
	if o.Node == "" {
		o.Node = "node-0:7700"
	}
	a, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	to := a.TargetOptions(target.Options{
		Name: "test", Kind: "test", Sink: func() (target.Sink, error) { return r, nil }, BatchAge: time.Millisecond,
	})
	var c Config
	if change != nil {
		change(&to, &c)
	}
	c.Targets = []*target.Target{target.New(to)}
	a.Swap(c)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = a.Close(ctx)
	})
	return a
}
