package adminport

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/gridmesh/gridmesh/internal/adminapi"
)

// Body reads a body of at most limit bytes, or answers why not.
func Body(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, bool) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err == nil {
		return raw, true
	}
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		Fail(w, http.StatusRequestEntityTooLarge, adminapi.Error{Message: "the body is larger than allowed", Outcome: adminapi.OutcomeNotSent})
		return nil, false
	}
	Fail(w, http.StatusBadRequest, adminapi.Error{Message: "the body could not be read: " + err.Error(), Outcome: adminapi.OutcomeNotSent})
	return nil, false
}

// Text answers with a line for people and probes.
func Text(w http.ResponseWriter, status int, s string) {
	head(w, "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, s) // whoever asked has gone
}

// Answer answers with a document.
func Answer(w http.ResponseWriter, status int, v any) {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil { // a float that is no number, which no field here can be
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	head(w, "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(raw, '\n')) // whoever asked has gone
}

// Fail answers with what went wrong, and what to do.
func Fail(w http.ResponseWriter, status int, e adminapi.Error) {
	if e.Outcome != "" {
		w.Header().Set(adminapi.HeaderOutcome, e.Outcome)
	}
	Answer(w, status, &e)
}

func head(w http.ResponseWriter, kind string) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
}
