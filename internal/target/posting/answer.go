package posting

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gridmesh/gridmesh/internal/target"
)

// Judge tells what an answer other than 2xx means for a batch.
func Judge(r *http.Response) error {
	what := fmt.Sprintf("the receiver answered %d", r.StatusCode)
	if text := http.StatusText(r.StatusCode); text != "" {
		what += " " + text
	}
	switch r.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		// It is about what was sent, and the same would be sent again. All others
		// are about how or where, which somebody may mend.
		return &target.Rejected{Reason: what}
	case http.StatusUnauthorized, http.StatusForbidden:
		what += "; are token and certificate right?"
	case http.StatusNotFound:
		what += "; is the path of the url right?"
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		what += ", which leads to another server or loses the entries; set the url to where it leads"
	case http.StatusConflict:
		what += "; it may be taking the same batch"
	}
	if after := retryAfter(r.Header.Get("Retry-After"), time.Now()); after > 0 {
		return &target.Later{After: after, Reason: what}
	}
	return errors.New(what)
}

// retryAfter reads a header: seconds, or a date.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return at.Sub(now)
	}
	return 0
}
