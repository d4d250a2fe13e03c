package forward

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/adminport"
	"github.com/gridmesh/gridmesh/internal/tail"
	"github.com/gridmesh/gridmesh/pkg/grid"
)

// rawMessage is the largest message that a raw stream is cut into. Several of
// them fit the window of a stream, so that it never stands still for credit.
const rawMessage = 16 << 10

// Streams opens streams for whoever holds the admin port: the body's messages go
// to the handler, the handler's are the answer's body, both at once. How it ended
// stands in the trailers. Its fields are not changed while it serves.
type Streams struct {
	Manager    *grid.Manager
	Tails      *tail.Server // ends tails of others when the node leaves
	MaxMessage int64        // bytes of a line that is sent
}

func (s *Streams) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, ok := Connection(s.Manager, w, r)
	if !ok {
		return
	}
	query := r.URL.Query()
	framing := query.Get(adminapi.ParamFraming)
	if framing != adminapi.FramingLines && framing != adminapi.FramingRaw {
		adminport.Fail(w, http.StatusBadRequest, adminapi.Error{
			Message: fmt.Sprintf("framing is %.100q", framing), Outcome: adminapi.OutcomeNotSent,
			Hint: "say " + adminapi.FramingLines + " or " + adminapi.FramingRaw,
		})
		return
	}
	ctx, cancel, ok := WithTimeout(w, r)
	if !ok {
		return
	}
	defer cancel()
	handler := grid.HandlerID(r.PathValue("handler"))
	if tail.IsTail(handler) { // it has no end, and would keep a node that leaves
		ctx, cancel = s.Tails.Until(ctx)
		defer cancel()
	}
	stream, err := conn.OpenStream(ctx, handler, []byte(query.Get(adminapi.ParamPayload)))
	if err != nil {
		Fail(w, err)
		return
	}
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex() // HTTP/2 needs no enabling, and says so
	SetDeadlines(control, 0, 0)    // a stream takes the time it takes

	if r.ProtoMajor == 1 {
		// The deadline that wakes a reader of the body, below, ends the whole
		// connection's context, and with it whatever request came next.
		w.Header().Set("Connection", "close")
	}
	w.Header().Set("Trailer", adminapi.HeaderOutcome+", "+adminapi.HeaderError)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	_ = control.Flush() // the other side learns that it may send; if it has gone, reading says so

	p := &pipe{ctx: ctx, stream: stream, lines: framing == adminapi.FramingLines, most: int(s.MaxMessage)}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		p.send(r.Body)
	}()
	err = p.receive(w, control)
	stream.Cancel(err)                      // no effect on one that has ended
	_ = control.SetReadDeadline(time.Now()) // wakes send, should it wait for the body
	<-sent
	_ = control.SetReadDeadline(time.Time{})
	if err == nil {
		w.Header().Set(adminapi.HeaderOutcome, adminapi.OutcomeAnswered)
		return
	}
	_, e := callError(err)
	w.Header().Set(adminapi.HeaderOutcome, e.Outcome)
	if text, err := json.Marshal(&e); err == nil {
		w.Header().Set(adminapi.HeaderError, strings.Map(headerSafe, string(text)))
	}
}

// headerSafe keeps what a header may carry: json.Marshal escapes all below
// space, and this drops what is above ASCII.
func headerSafe(r rune) rune {
	if r > '~' {
		return '?'
	}
	return r
}

// pipe joins a stream with the two bodies of a request.
type pipe struct {
	ctx    context.Context
	stream *grid.CallerStream
	lines  bool // a message is a line
	most   int  // bytes of a line
}

// send gives the stream the messages of the body. If the body ends badly, so
// does the stream: half of what was meant is not the whole.
func (p *pipe) send(body io.Reader) {
	next := p.rawMessages(body)
	if p.lines {
		next = p.lineMessages(body)
	}
	for {
		msg, err := next()
		switch {
		case errors.Is(err, io.EOF):
			_ = p.stream.CloseSend() // of a stream that has ended, or takes no messages: both are fine
			return
		case err != nil:
			p.stream.Cancel(fmt.Errorf("the messages to send could not be read: %w", err))
			return
		}
		switch err := p.stream.Send(p.ctx, msg); {
		case errors.Is(err, grid.ErrNoCapacity):
			p.stream.Cancel(err)
			return
		case err != nil:
			return // the stream has ended, and receive knows how
		}
	}
}

func (p *pipe) rawMessages(body io.Reader) func() ([]byte, error) {
	buf := make([]byte, rawMessage)
	return func() ([]byte, error) {
		for {
			n, err := body.Read(buf)
			if n > 0 {
				return buf[:n], nil // what err says is said again
			}
			if err != nil {
				return nil, err
			}
		}
	}
}

func (p *pipe) lineMessages(body io.Reader) func() ([]byte, error) {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, p.most+1) // and the line feed
	lines.Split(func(data []byte, atEnd bool) (int, []byte, error) {
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			return i + 1, data[:i], nil
		}
		if atEnd && len(data) > 0 {
			return len(data), data, nil
		}
		return 0, nil, nil
	})
	return func() ([]byte, error) {
		if lines.Scan() {
			return lines.Bytes(), nil
		}
		if errors.Is(lines.Err(), bufio.ErrTooLong) {
			return nil, fmt.Errorf("a line of more than %d bytes, which is max-message", p.most)
		}
		if lines.Err() != nil {
			return nil, lines.Err()
		}
		return nil, io.EOF
	}
}

// receive writes the stream's messages until its end. It returns nil after a
// clean one.
func (p *pipe) receive(w io.Writer, control *http.ResponseController) error {
	for {
		msg, err := p.stream.Recv(p.ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if p.lines {
			msg = append(msg, '\n')
		}
		_, err = w.Write(msg)
		if err == nil {
			err = control.Flush() // the other side may be a person who waits for it
		}
		if err != nil {
			return fmt.Errorf("the answer could not be written: %w", err)
		}
	}
}
