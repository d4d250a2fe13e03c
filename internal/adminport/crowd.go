package adminport

import (
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
)

// Crowd bounds how many bodies of strangers are read at once. Where all places
// are taken the one who has been at it for longest makes room: who sends a body
// as slowly as it may keeps nobody out who sends one in a moment.
type Crowd struct {
	most int

	mu      sync.Mutex // protects what follows
	reading []*http.ResponseController
}

// NewCrowd gives a Crowd with so many places.
func NewCrowd(most int) *Crowd { return &Crowd{most: most} }

// Body is the function Body with a place. Who has lost it by the end is refused.
func (c *Crowd) Body(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, bool) {
	control := http.NewResponseController(w)
	c.enter(control)
	raw, ok := Body(w, r, limit)
	if kept := c.leave(control); ok && !kept {
		w.Header().Set("Retry-After", "1")
		Fail(w, http.StatusTooManyRequests, adminapi.Error{Message: "others came meanwhile, and were quicker", Outcome: adminapi.OutcomeNotSent, Hint: "try again"})
		return nil, false
	}
	return raw, ok
}

func (c *Crowd) enter(control *http.ResponseController) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.reading) >= c.most {
		// Under the lock: its handler has not returned, so the connection is its own.
		_ = c.reading[0].SetReadDeadline(time.Now()) // one that cannot be told ends in its own time
		c.reading = slices.Delete(c.reading, 0, 1)
	}
	c.reading = append(c.reading, control)
}

// leave gives a place back, and reports whether it was there until now.
func (c *Crowd) leave(control *http.ResponseController) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := slices.Index(c.reading, control)
	if at >= 0 {
		c.reading = slices.Delete(c.reading, at, at+1)
	}
	return at >= 0
}
