package tail

import (
	"encoding/json"
	"fmt"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/audit"
)

// auditFilter makes the filter for records of the audit.
func auditFilter(ask *adminapi.AuditTail) (filter, error) {
	for name, list := range map[string][]string{
		"events": ask.Events, "handlers": ask.Handlers, "peers": ask.Peers, "results": ask.Results,
	} {
		if err := checkPatterns(name, list); err != nil {
			return nil, err
		}
	}
	if ask.Direction != "" && ask.Direction != audit.In && ask.Direction != audit.Out {
		return nil, fmt.Errorf("direction: %.100q is neither in nor out", ask.Direction)
	}
	rule := audit.Rule{Handlers: ask.Handlers, Peers: ask.Peers, Results: ask.Results, Direction: ask.Direction}
	events := audit.Rule{Results: ask.Events} // patterns like any other
	if len(ask.Events)+len(ask.Handlers)+len(ask.Peers)+len(ask.Results) == 0 && ask.Direction == "" {
		return func([]byte) bool { return true }, nil
	}
	return func(entry []byte) bool {
		// Another's text cannot pass for one of these keys: it stands in strings.
		var of struct {
			Event     string `json:"event"`
			Peer      string `json:"peer"`
			Handler   string `json:"handler"`
			Direction string `json:"direction"`
			Result    string `json:"result"`
		}
		if json.Unmarshal(entry, &of) != nil {
			return false
		}
		return events.Matches(&audit.Record{Result: of.Event}) &&
			rule.Matches(&audit.Record{Peer: of.Peer, Handler: of.Handler, Direction: of.Direction, Result: of.Result})
	}, nil
}
