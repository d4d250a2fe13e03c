package member

import (
	"time"

	"github.com/gridmesh/gridmesh/internal/tlsreload"
)

// Config is what a member is told. Nothing in it is checked here that its
// readers (settings, grid.json) check.
type Config struct {
	Name    string // host:port, as in everybody's list
	Grid    string
	Version string // of the build

	Listen    string // address of the grid port
	AdminAddr string // address of the admin port
	AdminTLS  bool   // the admin port shows the certificate; only with one

	Lists   Lists
	Resolve map[string]string // where to dial a peer, instead of its name

	Certificate tlsreload.Files // zero: links are plain text
	Strict      bool            // a peer's certificate must carry its URI
	MaxAge      time.Duration   // of a link; 0: the library's default

	DefaultTimeout time.Duration // 0: the library's default
	RemovalGrace   time.Duration // of what runs with a removed peer, and on this node when it is removed; 0: the library's default
	DrainTimeout   time.Duration

	MaxMessage int64 // bytes; 0: the library's default, as for the next two
	MaxCalls   int
	MaxMemory  int64
}

// Lists says where peer lists come from: at most one of Names, File and Dir.
type Lists struct {
	Names []string      // in force until others are pushed
	File  string        // text, watched
	Dir   string        // a signed list and the keys to trust, watched; others may then come by push and from peers
	Save  string        // keeps the newest signed list, for a start without Dir's
	Every time.Duration // how often File or Dir is read; 0: peers.PollEvery
}

// TLS reports whether links are encrypted.
func (c *Config) TLS() bool { return c.Certificate != tlsreload.Files{} }
