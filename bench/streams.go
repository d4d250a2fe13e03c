package main

import (
	"context"
	"strconv"
)

const messagesPerStream = 2000

// streamCases have the handler send, down 1 and 16 streams at once.
func streamCases() []Case {
	var list []Case
	for _, n := range []int{1, 16} {
		list = append(list, Case{
			Group: "streams", Variant: strconv.Itoa(n), Needs: CanStream,
			Metrics: []Metric{
				{Name: "messages", Head: "messages/s", Beside: true},
				{Name: "allocs", Head: "allocs/msg"},
				{Name: "bytes", Head: "B/msg"},
				{Name: "cpu_us", Head: "cpu µs/msg"},
			},
			Run: func(ctx context.Context, s System, w stopwatch) (Values, error) {
				return onPair(ctx, s, Settings{}, func(p Pair) (Values, error) {
					// The request is only what the crowd checks the reply with.
					streams := crowd{callers: n, size: askSize, caller: func(int) Caller { return streamReader{p} }}
					r, err := w.measured(ctx, streams)
					if err != nil {
						return nil, err
					}
					return Values{
						"messages": r.perSecond() * messagesPerStream,
						"allocs":   r.allocs() / messagesPerStream,
						"bytes":    r.bytes() / messagesPerStream,
						"cpu_us":   r.cpuMicros() / messagesPerStream,
					}, nil
				})
			},
		})
	}
	return list
}

// streamReader is a caller whose every call is one stream read to its end.
type streamReader struct{ pair Pair }

func (r streamReader) Call(ctx context.Context, req, _ []byte) ([]byte, error) {
	return req, r.pair.StreamFrom(ctx, messagesPerStream, smallSize)
}
