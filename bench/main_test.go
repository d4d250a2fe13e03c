package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		main() // a test runs this program, and the program itself again for each measurement
		return
	}
	goleak.VerifyTestMain(m)
}

// quick makes a run of the whole program as short as it can be.
func quick(args ...string) []string { return append([]string{"-d", "20ms", "-rounds", "2"}, args...) }

func TestBenchWritesATable(t *testing.T) {
	var out, log bytes.Buffer
	if err := bench(t.Context(), quick("-run", "single/1,streams/1", "-systems", "tcpfloor,grpc"), &out, &log); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"single", "streams", "tcpfloor", "grpc", "allocs/op", "messages/s", "op/s ÷ grpc"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table has no %q:\n%s", want, &out)
		}
	}
	if rows := strings.Count(out.String(), "\n1 "); rows != 4 {
		t.Errorf("the table has %d rows, want two systems in two cases:\n%s", rows, &out)
	}
}

func TestBenchWritesJSON(t *testing.T) {
	var out, log bytes.Buffer
	if err := bench(t.Context(), quick("-run", "single/64", "-systems", "wsfloor", "-json"), &out, &log); err != nil {
		t.Fatal(err)
	}
	var got Report
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v in:\n%s", err, &out)
	}
	ops := got.find("single/64", "wsfloor", "ops")
	if ops == nil || len(ops.Rounds) != 2 || ops.Median <= 0 {
		t.Errorf("op/s = %+v, want two rounds above zero", ops)
	}
	if len(got.Results) != len(callMetrics) {
		t.Errorf("%d figures, want %d", len(got.Results), len(callMetrics))
	}
}

func TestBenchCheckDecidesTheExit(t *testing.T) {
	for _, tc := range []struct {
		name, aim string
		wantErr   string
		wantOut   string
	}{
		{"gate that holds", `want: 0.000001, gate: true`, "", "PASS"},
		{"gate that fails", `want: 1e12, gate: true`, "1 gates", "FAIL"},
		{"failing without being a gate", `want: 1e12`, "", "FAIL"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "aims.yaml")
			aim := `- {name: one, metric: single/1/ops, of: wsfloor, against: tcpfloor, op: ">=", ` + tc.aim + "}\n"
			if err := os.WriteFile(path, []byte(aim), 0o600); err != nil {
				t.Fatal(err)
			}
			var out, log bytes.Buffer
			err := bench(t.Context(), quick("-run", "single/1", "-systems", "tcpfloor,wsfloor", "-check", path), &out, &log)
			if (err == nil) != (tc.wantErr == "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
				t.Errorf("error = %v, want %q", err, tc.wantErr)
			}
			if !strings.Contains(out.String(), tc.wantOut) {
				t.Errorf("no %s in:\n%s", tc.wantOut, &out)
			}
		})
	}
}

func TestBenchProfilesOneCase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cpu.pprof")
	var out, log bytes.Buffer
	if err := bench(t.Context(), []string{"-d", "20ms", "-only", "single/64/tcpfloor", "-cpuprofile", path}, &out, &log); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() == 0 {
		t.Errorf("profile: %v, %v", info, err)
	}
	if !strings.Contains(out.String(), "1 rounds") {
		t.Errorf("-only alone should mean one round:\n%s", &out)
	}
}

func TestBenchRefusesBadFlags(t *testing.T) {
	for _, tc := range []struct {
		args string
		want string
	}{
		{"-run nothing", `"nothing"`},
		{"-systems soap", `"soap"`},
		{"-d 0s", "-d"},
		{"-rounds 0", "-rounds"},
		{"-only single", "single/64/grpc"},
		{"-only single/64/soap", "-list"},
		{"-only block/64/tcpfloor", "can't run"},
		{"-only single/1/grpc -run single", "leave out"},
		{"-cpuprofile x", "-only"},
		{"-check missing.yaml", "missing.yaml"},
		{"extra", `"extra"`},
	} {
		var out, log bytes.Buffer
		err := bench(t.Context(), strings.Fields(tc.args), &out, &log)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("bench %s: error = %v, want one with %q", tc.args, err, tc.want)
		}
	}
}

func TestBenchStopsWhenToldTo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, log bytes.Buffer
	if err := bench(ctx, quick("-run", "single"), &out, &log); err == nil || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("error = %v, want one that says it was stopped", err)
	}
}

func TestListNamesEveryCaseAndSystem(t *testing.T) {
	var out, log bytes.Buffer
	if err := bench(t.Context(), []string{"-list"}, &out, &log); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"single/64/ops", "mixed/32MiB/large_mbs", "growth/calls/cpu_us_10000", "tcpfloor", "grpc"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the list has no %q", want)
		}
	}
}
