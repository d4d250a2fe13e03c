// Package wire is the bytes of the protocol: it appends frames to a batch and
// parses them back. It owns no state, does no I/O and imports nothing of ours;
// docs/protocol.md describes the same bytes in words and testdata/vectors.txt
// fixes them for both.
//
// A batch is the content of one WebSocket message: frames one after the other,
// after four bytes of CRC-32C if either side asked for checksums. A frame is
//
//	head  1 byte   bit 7: the sender of this frame made the call it speaks of
//	               bits 0-6: the kind
//	size  uvarint  bytes that follow
//	fields         uvarints and length-prefixed strings, in the order of the
//	               kind's row in docs/protocol.md
//	body           what is left
//
// Kinds below 64 carry calls: an unknown one is a violation, because a call
// would be lost in silence. Kinds from 64 on steer the link: an unknown one is
// skipped, so that later versions can add hints.
//
// Parse never allocates, never panics and gives slices into its input.
package wire
