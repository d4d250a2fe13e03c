package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// askSize is the length of the request that asks for a stream.
const askSize = 8

// newAsk is the request for a stream of n messages of size bytes.
func newAsk(n, size int) []byte {
	ask := binary.LittleEndian.AppendUint32(nil, uint32(n))
	return binary.LittleEndian.AppendUint32(ask, uint32(size))
}

// parseAsk reads what newAsk wrote.
func parseAsk(ask []byte) (n, size int, err error) {
	if len(ask) != askSize {
		return 0, 0, fmt.Errorf("the request for a stream has %d bytes, want %d", len(ask), askSize)
	}
	return int(binary.LittleEndian.Uint32(ask)), int(binary.LittleEndian.Uint32(ask[4:])), nil
}

// countMessages receives until the stream's clean end, and fails unless there
// were exactly n messages of size bytes.
func countMessages(n, size int, receive func() ([]byte, error)) error {
	for got := 0; ; got++ {
		message, err := receive()
		if errors.Is(err, io.EOF) {
			if got != n {
				return fmt.Errorf("a stream ended after %d messages, want %d", got, n)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("receive message %d of a stream: %w", got+1, err)
		}
		if len(message) != size {
			return fmt.Errorf("message %d of a stream has %d bytes, want %d", got+1, len(message), size)
		}
	}
}
