package main

import (
	"bytes"
	"encoding/json"
	"testing"
)

// TestLogAndAuditAreMeasured runs each of their cases once, as short as can be.
func TestLogAndAuditAreMeasured(t *testing.T) {
	var out, log bytes.Buffer
	if err := bench(t.Context(), []string{"-d", "80ms", "-rounds", "1", "-run", "log,audit,webhook", "-json"}, &out, &log); err != nil {
		t.Fatalf("%v: %s", err, &log)
	}
	var got Report
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	picked, err := pickCases("log,audit,webhook")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range picked {
		for _, m := range c.Metrics {
			if got.find(c.Name(), "gridmesh", m.Name) == nil && (c.Name() != "log/set" || got.Machine.CPUs > 1) {
				t.Errorf("%s has no %s", c.Name(), m.Name)
			}
		}
	}
	for _, c := range picked {
		if r := got.find(c.Name(), "gridmesh", "p99_ratio"); c.Group == "webhook" && (r == nil || r.Median <= 0) {
			t.Errorf("%s: %+v", c.Name(), r)
		}
	}
}
