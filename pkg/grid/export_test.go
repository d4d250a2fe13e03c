package grid

// Decode is the typed layer's decoding by itself. Fuzzing needs it without the
// goroutines of a link, whose steps look like new finds.
func Decode[T any, P msgPtr[T]](b []byte) (*T, error) {
	c := newCodec[T, P]()
	return c.decode(b)
}
