package mux

import "testing"

// Names for messages of tests.
var (
	roles  = []string{"caller", "handler"}
	states = []string{"open", "send closed", "recv closed", "closed"}
	events = []string{
		"send data", "send end", "send error", "send cancel",
		"recv data", "recv credit", "recv end", "recv error", "recv cancel", "cut",
	}
	verdicts = []string{"do", "ignore", "refuse", "violate"}
)

// step is where an event leads and what is done about it.
type step struct {
	to State
	v  Verdict
}

// Every role, state and event (fault rows 34, 35): the table is the whole
// truth, in the order of events above. States that a role never reaches are in
// it, too: whatever a peer sends, the answer is defined.
func TestEveryEventInEveryState(t *testing.T) {
	const d, i, r, v = Do, Ignore, Refuse, Violate
	table := map[Role]map[State][10]step{
		Caller: {
			//           send data        send end         send error       send cancel   recv data        recv credit      recv end     recv error   recv cancel      cut
			Open:       {{Open, d}, {SendClosed, d}, {Open, r}, {Closed, d}, {Open, d}, {Open, d}, {Closed, d}, {Closed, d}, {Open, v}, {Closed, d}},
			SendClosed: {{SendClosed, r}, {SendClosed, r}, {SendClosed, r}, {Closed, d}, {SendClosed, d}, {SendClosed, d}, {Closed, d}, {Closed, d}, {SendClosed, v}, {Closed, d}},
			RecvClosed: {{RecvClosed, d}, {SendClosed, d}, {RecvClosed, r}, {Closed, d}, {RecvClosed, v}, {RecvClosed, d}, {Closed, d}, {Closed, d}, {RecvClosed, v}, {Closed, d}},
			Closed:     {{Closed, r}, {Closed, r}, {Closed, r}, {Closed, r}, {Closed, i}, {Closed, i}, {Closed, i}, {Closed, i}, {Closed, v}, {Closed, i}},
		},
		Handler: {
			Open:       {{Open, d}, {Closed, d}, {Closed, d}, {Open, r}, {Open, d}, {Open, d}, {RecvClosed, d}, {Open, v}, {Closed, d}, {Closed, d}},
			SendClosed: {{SendClosed, r}, {Closed, d}, {Closed, d}, {SendClosed, r}, {SendClosed, d}, {SendClosed, d}, {RecvClosed, d}, {SendClosed, v}, {Closed, d}, {Closed, d}},
			RecvClosed: {{RecvClosed, d}, {Closed, d}, {Closed, d}, {RecvClosed, r}, {RecvClosed, v}, {RecvClosed, d}, {RecvClosed, v}, {RecvClosed, v}, {Closed, d}, {Closed, d}},
			Closed:     {{Closed, r}, {Closed, r}, {Closed, r}, {Closed, r}, {Closed, i}, {Closed, i}, {Closed, i}, {Closed, v}, {Closed, i}, {Closed, i}},
		},
	}
	seen := 0
	for role, byState := range table {
		for s, row := range byState {
			for ev, want := range row {
				seen++
				to, verdict := Next(role, s, Event(ev))
				if to != want.to || verdict != want.v {
					t.Errorf("%s, %s, %s: %s and %s, want %s and %s", roles[role], states[s], events[ev],
						states[to], verdicts[verdict], states[want.to], verdicts[want.v])
				}
			}
		}
	}
	if seen != len(roles)*len(states)*len(events) {
		t.Errorf("the table has %d of %d entries", seen, len(roles)*len(states)*len(events))
	}
}

// Whatever happens, no event brings a stream back, an event that is not done
// changes nothing, and what reaches both ends in a role leads only to the states
// of that role.
func TestStreamsNeverComeBack(t *testing.T) {
	for role := range Role(len(roles)) {
		reached := map[State]bool{Open: true}
		for range states {
			for s := range reached {
				for ev := range Event(len(events)) {
					to, v := Next(role, s, ev)
					if v != Do && to != s {
						t.Errorf("%s, %s: %s is not done and leads to %s", roles[role], states[s], events[ev], states[to])
					}
					if to < s {
						t.Errorf("%s: %s leads from %s back to %s", roles[role], events[ev], states[s], states[to])
					}
					reached[to] = true
				}
			}
		}
		foreign := RecvClosed
		if role == Handler {
			foreign = SendClosed
		}
		if reached[foreign] || !reached[Closed] {
			t.Errorf("%s reaches %v", roles[role], reached)
		}
	}
}
