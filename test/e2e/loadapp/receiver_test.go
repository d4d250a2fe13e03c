package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gridmesh/gridmesh/test/e2e/ledger"
)

// TestReceiverSeesWhatIsMissing: holes, twins and gaps, through a restart.
func TestReceiverSeesWhatIsMissing(t *testing.T) {
	name := filepath.Join(t.TempDir(), "received")
	s, err := openStore(name)
	if err != nil {
		t.Fatal(err)
	}
	record := func(n int, more string) string {
		return fmt.Sprintf(`{"id":"00000000000a-%016d","node":"demo-1","event":"call","direction":"in","handler":"echo","result":"ok"%s}`+"\n", n, more)
	}
	send := func(lines ...string) {
		t.Helper()
		if err := s.take("audit", strings.NewReader(strings.Join(lines, ""))); err != nil {
			t.Fatal(err)
		}
	}
	send(record(1, ""), record(2, ""))
	send(record(2, ""), record(4, ""))
	if err := s.file.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = openStore(name); err != nil {
		t.Fatal(err)
	}
	send(record(4, ""), `{"id":"00000000000a-0000000000000007","node":"demo-1","event":"gap"}`+"\n")
	var text bytes.Buffer
	if err := s.sum(&text); err != nil {
		t.Fatal(err)
	}
	var got ledger.Receipts
	if err := json.Unmarshal(text.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	r := got["audit"]["00000000000a"]
	if r == nil || r.Node != "demo-1" || r.First != 1 || r.Last != 7 || r.Entries != 4 || r.Twice != 2 || r.Calls["echo ok"] != 3 ||
		!slices.Equal(r.Missing, []uint64{3, 5, 6}) || len(r.Gaps) != 1 {
		t.Errorf("got %+v", r)
	}
	if err := s.file.Close(); err != nil {
		t.Fatal(err)
	}
}
