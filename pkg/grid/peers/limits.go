package peers

import "time"

// The limits of a list. They are part of the document's format, not settings:
// a list that one node takes, every node takes.
const (
	// MaxNames is how many names a list holds. It bounds what a publisher gone
	// wrong makes each node of a mesh dial.
	MaxNames = 10_000

	// MaxNameLength is the longest name in bytes: the longest DNS name with a
	// port, as far as protocols with one byte for a length carry it.
	MaxNameLength = 255

	// MaxGridLength is the longest grid id in bytes.
	MaxGridLength = 255

	// MaxDocument is the largest signed document in bytes. A ConfigMap holds
	// 1 MiB in all; this leaves 64 KiB of it for the public keys. It bounds
	// what a stranger makes a node read before the signature is looked at.
	MaxDocument = 960 << 10

	// MaxInflated is the largest payload in bytes after inflating. It stops a
	// document of 1 MiB from becoming 1 GiB.
	MaxInflated = 16 << 20

	// MaxSignatures is how many signatures a document carries, and MaxKeys how
	// many keys a node trusts. A rotation needs two of each.
	MaxSignatures = 8
	MaxKeys       = 8

	// MaxKeyFile is the largest file of PEM keys in bytes.
	MaxKeyFile = 64 << 10

	// MaxText is the largest text file of names in bytes: MaxNames of
	// MaxNameLength, and as much again of comments.
	MaxText = 5 << 20

	// MaxEpoch is the highest epoch: the largest integer that every reader of
	// JSON carries exactly.
	MaxEpoch = 1<<53 - 1
)

const (
	// PollEvery is how often a [Poller] reads its files, unless told otherwise.
	PollEvery = 5 * time.Second

	// settle is the time between two readings that must agree before a change
	// counts which nothing but its rest proves whole.
	settle = 250 * time.Millisecond
)
