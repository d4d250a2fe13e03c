package otlp

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/protobuf/proto"

	"github.com/gridmesh/gridmesh/internal/target"
	"github.com/gridmesh/gridmesh/internal/target/posting"
)

const (
	headerKey   = "Idempotency-Key" // the same whenever the same entries are sent
	contentType = "application/x-protobuf"
)

// wire is what the exporter's HTTP client posts through. It serves one batch at
// a time.
type wire struct {
	o         *Options
	transport *http.Transport

	batch    target.Batch
	token    string
	answered bool  // the receiver has said something
	verdict  error // what that means for the batch
}

// begin is called before each batch.
func (w *wire) begin(b target.Batch, token string) {
	w.batch, w.token, w.answered, w.verdict = b, token, false, nil
}

// RoundTrip makes a request, and keeps what came of it: the last one counts, of
// those that a redirect makes.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.answered, w.verdict = false, nil
	r = r.Clone(r.Context())
	r.Header.Set(headerKey, strconv.Quote(w.batch.Key()))
	if w.token != "" {
		r.Header.Set("Authorization", "Bearer "+w.token)
	}
	if w.o.UserAgent != "" {
		r.Header.Set("User-Agent", w.o.UserAgent)
	}
	response, err := w.transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	reply, err := io.ReadAll(io.LimitReader(response.Body, posting.MostReply))
	_ = response.Body.Close() // what matters has been read
	response.Body, response.ContentLength = http.NoBody, 0
	if response.StatusCode/100 != 2 {
		w.answered, w.verdict = true, posting.Judge(response)
		return response, nil
	}
	if err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	w.answered, w.verdict = true, w.judge(response, reply)
	return response, nil
}

// judge looks for what a receiver has rejected while it took the rest, which it
// says in an answer of 200. OTLP wants such a batch not sent again, since some
// of it would come twice. But which entries were rejected it does not tell, and
// no entry is lost here without a word: smaller batches find it out, and
// log.record.uid tells the twins.
func (w *wire) judge(response *http.Response, reply []byte) error {
	kind, _, _ := strings.Cut(response.Header.Get("Content-Type"), ";")
	if strings.TrimSpace(kind) != contentType || len(reply) == 0 {
		return nil // it is what its status says
	}
	var result collectorpb.ExportLogsServiceResponse
	if err := proto.Unmarshal(reply, &result); err != nil {
		return fmt.Errorf("the receiver answered %d, but not as OTLP does; is the url right?", response.StatusCode)
	}
	if n := result.GetPartialSuccess().GetRejectedLogRecords(); n > 0 {
		return &target.Rejected{Reason: fmt.Sprintf("the receiver rejected %d of %d records", n, len(w.batch.Items))}
	}
	return nil
}
