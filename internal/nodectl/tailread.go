package nodectl

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/gridmesh/gridmesh/internal/adminapi"
)

// readTail reads one node's tail to its end.
func (v *invocation) readTail(ctx context.Context, node, handler, request string, out *tailOutput) error {
	query := url.Values{adminapi.ParamFraming: {adminapi.FramingLines}, adminapi.ParamPayload: {request}}
	path := adminapi.PathStream + "/" + url.PathEscape(node) + "/" + handler + "?" + query.Encode()
	body, said := io.Pipe() // what was read is said by it
	defer func() { _ = said.Close() }()
	// While the transport waits for the body it does not look at the context.
	stop := context.AfterFunc(ctx, func() { _ = said.CloseWithError(ctx.Err()) })
	defer stop()
	response, err := v.client.do(ctx, http.MethodPost, path, nil, body)
	if err != nil {
		return tailFailure(err)
	}
	defer func() { _ = response.Body.Close() }()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(make([]byte, 0, 64<<10), tailLine)
	unsaid := 0
	for lines.Scan() {
		if err := out.write(node, lines.Bytes()); err != nil {
			return &failure{status: exitFailed, text: "the output could not be written: " + err.Error()}
		}
		if unsaid += len(lines.Bytes()); unsaid >= adminapi.TailAck {
			_, _ = fmt.Fprintf(said, "%d\n", unsaid) // the response says what became of the stream
			unsaid = 0
		}
	}
	if err := lines.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return &failure{status: exitFailed, text: fmt.Sprintf("it sends a line of more than %d bytes, which is no entry", tailLine)}
		}
		return &failure{status: exitFailed, text: "the tail broke off: " + err.Error(), hint: "see the node's log"}
	}
	switch said := response.Trailer.Get(adminapi.HeaderError); {
	case said != "":
		var e adminapi.Error
		if err := json.Unmarshal([]byte(said), &e); err != nil {
			return &failure{status: exitFailed, text: "the tail ended with an error that cannot be read: " + err.Error()}
		}
		return tailFailure(failed(&e))
	case response.Trailer.Get(adminapi.HeaderOutcome) != adminapi.OutcomeAnswered:
		return &failure{status: exitFailed, text: "the tail broke off without its end", hint: "see the node's log"}
	}
	return nil
}

// tailFailure is a failure of a stream, of which it does not matter whether it
// has run: a tail changes nothing.
func tailFailure(err error) error {
	f := (*failure)(nil)
	if !errors.As(err, &f) {
		return err
	}
	g := *f
	g.text = withoutOutcome(f.text)
	if f.noHandler {
		g.status = exitFailed
		g.text = "it shows no tails: it is of a release without them, or a program that has none"
		g.hint = "node status --mesh tells the versions"
	}
	if g.status == exitMaybe {
		g.status = exitFailed
	}
	return &g
}
