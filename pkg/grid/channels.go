package grid

import (
	"context"
	"sync"
)

// Stream is the caller's end of a stream as channels: a thin adapter over
// CallerStream with a goroutine for each direction. They end when Responses
// was read to its end, or with the context given to NewStream.
type Stream struct {
	// Responses gives the responses, then an error if the stream ended badly,
	// and is closed.
	Responses <-chan Response
	// Requests takes the requests; a slice sent belongs to the library from
	// then on. Close it to end the sending side. After the other side ended the
	// stream, what is sent is swallowed, so a plain send doesn't hang. After the
	// end of the context nobody takes requests any more: who cancels while
	// another goroutine sends has that one select on ctx.Done too. Nil if the
	// handler's InCapacity is 0.
	Requests chan<- []byte
}

// Response is one response, or the error that ended the stream.
type Response struct {
	Msg []byte
	Err error
}

// NewStream opens a stream like OpenStream and gives it as channels.
func (c *Connection) NewStream(ctx context.Context, h HandlerID, payload []byte) (*Stream, error) {
	cs, err := c.OpenStream(ctx, h, payload)
	if err != nil {
		return nil, err
	}
	responses := make(chan Response, 1) // its one place is for the error that nobody may miss
	s := &Stream{Responses: responses}
	if cs.s.Sends() {
		requests := make(chan []byte)
		s.Requests = requests
		go pumpRequests(ctx, cs, requests)
	}
	go pumpResponses(ctx, cs, responses)
	return s, nil
}

// pumpRequests sends what its user does until it closes the channel, or the
// stream and its context have ended.
func pumpRequests(ctx context.Context, cs *CallerStream, requests <-chan []byte) {
	for {
		select {
		case msg, ok := <-requests:
			if !ok {
				// Closed by its user. If the context is done that is a
				// cancellation, which must not look like a clean end.
				if ctx.Err() == nil {
					_ = cs.CloseSend() // fails only after the end
				}
				return
			}
			_ = cs.Send(ctx, msg) // after the end it is swallowed
		case <-cs.Done():
			swallow(ctx, requests)
			return
		}
	}
}

// swallow takes what is sent after a stream's end until its user is done.
func swallow(ctx context.Context, requests <-chan []byte) {
	for {
		select {
		case _, ok := <-requests:
			if !ok {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// pumpResponses hands responses over. The channel's one place makes sure that
// an error is never missed: without it a reader who comes after ctx's end would
// find the channel closed, and take a cut for a clean end. So credit for a
// response goes back when the next one could be placed: then it has been taken.
func pumpResponses(ctx context.Context, cs *CallerStream, responses chan Response) {
	defer close(responses)
	defer cs.s.HandedAll()
	placed := -1 // size of the response that may lie in the channel
	for {
		msg, err := cs.s.Next(ctx)
		if isEOF(err) {
			return
		}
		if err != nil {
			cs.Cancel(err) // ctx's end, if the stream has not ended by itself
			err = cs.p.publicError(cs.h, err)
		}
		select {
		case responses <- Response{msg, err}:
		case <-ctx.Done():
			cs.Cancel(ctx.Err())
			select {
			case <-responses: // a response that nobody took
			default:
			}
			responses <- Response{Err: firstErr(err, &contextError{ctx.Err(), true})}
			return
		}
		if err != nil {
			return
		}
		cs.s.Handed() // what lies in the channel is its user's memory, who may have taken it: nobody would tell us
		switch {
		case cs.s.Window() == 1:
			cs.s.Took(len(msg)) // else the next one could never come
		default:
			if placed >= 0 {
				cs.s.Took(placed)
			}
			placed = len(msg)
		}
	}
}

func firstErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// serveChannels serves the form with channels by the core form.
func (s StreamHandler) serveChannels(ctx context.Context, hs *HandlerStream) error {
	returned := make(chan struct{})
	receiving, stop := context.WithCancel(ctx)
	var pumps sync.WaitGroup
	defer pumps.Wait() // what was sent last is on its way before the end is
	defer stop()
	defer close(returned)
	var in, out chan []byte
	if s.InCapacity > 0 {
		in = make(chan []byte)
		pumps.Go(func() { pumpIn(receiving, hs, in) })
	}
	if s.OutCapacity > 0 {
		out = make(chan []byte)
		pumps.Go(func() { pumpOut(ctx, hs, out, returned) })
	}
	return s.Handle(ctx, hs.Payload(), in, out)
}

// pumpIn gives the handler its requests. After a cut the handler's context is
// done before in closes: the link sees to that order.
func pumpIn(ctx context.Context, hs *HandlerStream, in chan<- []byte) {
	defer close(in)
	defer hs.s.HandedAll()
	for {
		msg, err := hs.s.Next(ctx)
		if err != nil {
			return
		}
		select {
		case in <- msg:
			hs.s.Handed()
			hs.s.Took(len(msg))
		case <-ctx.Done():
			return
		}
	}
}

// pumpOut sends the handler's responses. out is never closed: a goroutine that
// the handler left behind would panic.
func pumpOut(ctx context.Context, hs *HandlerStream, out <-chan []byte, returned <-chan struct{}) {
	for {
		select {
		case msg := <-out:
			_ = hs.Send(ctx, msg) // after the end it is swallowed, so that a plain send never hangs
		case <-returned:
			return
		}
	}
}
