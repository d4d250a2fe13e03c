package link

// Transport moves whole batches between two links. One goroutine reads, one
// other writes, and Close may be called by anybody and unblocks both.
type Transport interface {
	// ReadBatch reads one batch. It is the reader's until it calls putBatch.
	ReadBatch() (*batch, error)
	// WriteBatch writes one batch. It doesn't keep b.
	WriteBatch(b []byte) error
	Close() error
	// Wire gives the bytes read and written so far.
	Wire() (in, out uint64)
}
