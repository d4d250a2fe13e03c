package member

import "time"

// relogPushed is how often refused pushes are logged at most, and showPushed
// for how long the last one is told to who asks for an acknowledgement.
const (
	relogPushed = 10 * time.Second
	showPushed  = time.Minute
)

// pushRefusals counts signed lists that somebody pushed and that were refused.
type pushRefusals struct {
	count, logged uint64
	last          time.Time // when one was logged
	why           string    // of the newest
	at            time.Time // when that was
}

// refuse notes a list that is not going to be used, as the state of the list.
func (f *feed) refuse(err error) {
	f.disagree(err)
	f.log.Error("peer list refused, the last good one stays in use", "error", err, "peers", len(f.m.Load().PeerList().Names))
}

// disagree does so where others see to the log.
func (f *feed) disagree(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused++
	f.lastError = err.Error()
}

// refusePushed notes a signed list that was pushed and refused. Anybody may
// push, if only what was once signed, so this does not become the state of the
// list that status shows, and the log has it now and then.
func (f *feed) refusePushed(err error, from string) {
	now := time.Now()
	f.mu.Lock()
	p := &f.pushed
	p.count++
	p.why, p.at = "pushed by "+from+": "+err.Error(), now
	fresh, since := now.Sub(p.last) >= relogPushed, p.count-p.logged
	if fresh {
		p.last, p.logged = now, p.count
	}
	f.mu.Unlock()
	if fresh {
		f.log.Warn("pushed peer list refused", "error", err, "from", from, "refused_since_last", since)
	}
}

// complaint is what an acknowledgement says of lists that are not in use.
func (f *feed) complaint() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lastError == "" && time.Since(f.pushed.at) < showPushed {
		return f.pushed.why
	}
	return f.lastError
}

// feedCounts is what metrics say of the feed.
type feedCounts struct {
	refused   uint64
	pushed    uint64 // of those that anybody may bring
	lastError string
}

func (f *feed) counts() feedCounts {
	f.mu.Lock()
	defer f.mu.Unlock()
	return feedCounts{f.refused, f.pushed.count, f.lastError}
}
