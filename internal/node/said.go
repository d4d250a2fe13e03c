package node

import (
	"encoding/json"
	"fmt"

	"github.com/gridmesh/gridmesh/internal/adminapi"
)

// Limits of what a node may say of itself to others. Against one that answers
// with millions of peers: a few bytes of JSON become hundreds of a Peer.
const (
	maxStatus   = 512 << 10 // bytes
	maxRefusals = 32        // as grid.Manager.Refusals gives
	maxWords    = 64        // of any other list or map in it
)

// said is a status as another node wrote it. Its long lists stay text until it
// is known how long they are.
type said struct {
	adminapi.Status

	Peers     []json.RawMessage `json:"peers"`
	Refusals  []json.RawMessage `json:"refusals"`
	Telemetry *saidTelemetry    `json:"telemetry"`
}

type saidTelemetry struct {
	adminapi.Telemetry

	Targets    []json.RawMessage `json:"targets"`
	LeftQueues []json.RawMessage `json:"left_queues"`
}

// readStatus reads what a node of a mesh of so many says of itself. Its list may
// be another than ours for a while, and longer.
func readStatus(raw []byte, nodes int) (*adminapi.Status, error) {
	if len(raw) > maxStatus {
		return nil, fmt.Errorf("its status has %d bytes, allowed are %d", len(raw), maxStatus)
	}
	var s said
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("its status is not what a node says: %w", err)
	}
	words := max(len(s.Waiting), len(s.Reconnects), len(s.Refused))
	if s.Certificate != nil {
		words = max(words, len(s.Certificate.Names))
	}
	if s.Telemetry != nil {
		words = max(words, len(s.Telemetry.Targets), len(s.Telemetry.LeftQueues))
	}
	if len(s.Peers) > 2*nodes+maxWords || len(s.Refusals) > maxRefusals || words > maxWords {
		return nil, fmt.Errorf("its status tells of %d peers, in a mesh of %d, and of %d refusals", len(s.Peers), nodes, len(s.Refusals))
	}
	var err error
	if s.Status.Peers, err = readAll[adminapi.Peer](s.Peers); err == nil {
		s.Status.Refusals, err = readAll[adminapi.Refusal](s.Refusals)
	}
	if err == nil && s.Telemetry != nil {
		s.Telemetry.Telemetry.Targets, err = readAll[adminapi.Target](s.Telemetry.Targets)
		s.Status.Telemetry = &s.Telemetry.Telemetry // without what is left on its disk
	}
	if err != nil {
		return nil, fmt.Errorf("its status is not what a node says: %w", err)
	}
	return &s.Status, nil
}

func readAll[T any](texts []json.RawMessage) ([]T, error) {
	all := make([]T, len(texts))
	for i, text := range texts {
		if err := json.Unmarshal(text, &all[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}
