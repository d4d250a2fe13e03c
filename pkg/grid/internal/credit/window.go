package credit

import "fmt"

// Window is the sender's side of a stream's credit: how many messages and
// bytes may still be sent before the receiver has read some.
type Window struct {
	msgs, bytes       int64 // left
	maxMsgs, maxBytes int64 // what the receiver announced; a grant never lifts the window above it
}

// NewWindow gives a full window of msgs messages and bytes bytes.
func NewWindow(msgs, bytes int64) Window {
	return Window{msgs, bytes, msgs, bytes}
}

// cost is what a message of n bytes takes of a window of max bytes: at most
// half, so that a message larger than the window can travel at all, and can do
// so while the receiver holds back a grant of less than half.
func cost(n int, max int64) int64 { return min(int64(n), max/2) }

// Cost is what Take takes for a message of n bytes.
func (w *Window) Cost(n int) int64 { return cost(n, w.maxBytes) }

// Take takes the credit for a message of n bytes, or nothing and reports false.
func (w *Window) Take(n int) bool {
	c := cost(n, w.maxBytes)
	if w.msgs < 1 || w.bytes < c {
		return false
	}
	w.msgs--
	w.bytes -= c
	return true
}

// Usable reports whether the window lets any message through, ever.
func (w *Window) Usable() bool { return w.maxMsgs > 0 }

// Give returns credit that the receiver granted. An error means that the
// receiver granted more than was used: a protocol violation.
func (w *Window) Give(msgs, bytes uint64) error {
	if msgs > uint64(w.maxMsgs-w.msgs) || bytes > uint64(w.maxBytes-w.bytes) {
		return fmt.Errorf("credit of %d messages and %d bytes is more than the %d and %d in use",
			msgs, bytes, w.maxMsgs-w.msgs, w.maxBytes-w.bytes)
	}
	w.msgs += int64(msgs)
	w.bytes += int64(bytes)
	return nil
}

// Receipt is the receiver's side of the same credit.
type Receipt struct {
	out      Window // what the sender has left
	msgs     int64  // read since the last grant
	bytes    int64
	halfMsgs int64
}

// NewReceipt gives the receiver's side of NewWindow(msgs, bytes).
func NewReceipt(msgs, bytes int64) Receipt {
	return Receipt{out: NewWindow(msgs, bytes), halfMsgs: (msgs + 1) / 2}
}

// Arrived counts a message of n bytes in. An error means that the sender had
// no credit for it: a protocol violation.
func (r *Receipt) Arrived(n int) error {
	if !r.out.Take(n) {
		return fmt.Errorf("message of %d bytes with credit left for %d messages and %d bytes", n, r.out.msgs, r.out.bytes)
	}
	return nil
}

// Unsent takes back the arrival of a message of n bytes that was begun and will
// not be finished.
func (r *Receipt) Unsent(n int) {
	r.out.msgs++
	r.out.bytes += r.out.Cost(n)
}

// Read counts a message of n bytes as read by the user and gives the grant
// that is due to the sender now; zero messages mean none is. Grants are held
// back until half the window has been read, so that they cost little.
func (r *Receipt) Read(n int) (msgs, bytes uint64) {
	r.msgs++
	r.bytes += cost(n, r.out.maxBytes)
	if r.msgs < r.halfMsgs && r.bytes < r.out.maxBytes/2 {
		return 0, 0
	}
	msgs, bytes = uint64(r.msgs), uint64(r.bytes)
	r.out.msgs += r.msgs
	r.out.bytes += r.bytes
	r.msgs, r.bytes = 0, 0
	return msgs, bytes
}
