package link

import "time"

// Limits are the numbers a link keeps to. The grid package documents, defaults
// and validates each (grid.Limits); here they are taken as they come.
type Limits struct {
	MaxMessage   int // bytes of one message, whole
	Chunk        int // bytes of a body that travel in one frame
	Eager        int // bytes up to which a chunked body doesn't wait for a grant
	EagerWindow  int // bytes of eager bodies begun and not finished, each way
	MaxBatch     int // bytes of one WebSocket message
	SendQueue    int // bytes of small frames that wait for the writer; beyond, senders wait
	QueueMark    int // of SendQueue: more than this in use counts towards congestion
	ControlQueue int // bytes of frames that the other side provoked and doesn't read; beyond, the link ends
	MaxCalls     int // calls served at once
	MaxHandlers  int // handlers that the other side may announce
	MaxHeader    int // bytes of an encoded request header
	MaxErrorText int // bytes of an error's code and message together; longer is cut
	StreamWindow int // bytes of a stream's unread messages

	RequestBytes int64 // bytes of requests held by running handlers, a link
	ReplyBytes   int64 // bytes of large replies being received, a link
	DataBytes    int64 // bytes of large stream messages received and unread, a link
	ProcessBytes int64 // each of the three, over all links of the process

	MaxTimeout   time.Duration // deadlines beyond travel as this
	PingEvery    time.Duration // idle time before a ping
	DeadAfter    time.Duration // silence that ends the link
	WriteTimeout time.Duration // for a write of up to 64 KiB
	GoodbyeWait  time.Duration // to get the last frame out
	WireOverhead int           // bytes on the wire beyond payload, before they must be in proportion

	InlineAfter int           // quick runs of a handler that was slow before its calls run on the reader again
	Tick        time.Duration // how often a reader that runs a handler is looked at
}
