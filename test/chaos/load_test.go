package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid"
)

// load is what a node does all the time: calls small and large, and streams
// that send as much as they may, none of them with a deadline; and calls that
// keep coming, whatever became of those before, and give up after a second.
type load struct {
	mu     sync.Mutex // protects report
	report report
}

// report is what a load has to say.
type report struct {
	Done       int    `json:"done"`       // calls and messages that ended well
	Failed     int    `json:"failed"`     // that ended with the link, or for want of one
	Running    int    `json:"running"`    // that have not ended
	Unexpected string `json:"unexpected"` // the first other error
}

func init() { //nolint:gochecknoinits // the table of commands is one of the tests' own
	commands["load"] = func(n *childNode, args []string) string {
		n.load = &load{}
		n.load.start(n.Connection(args[0]))
		return "loading"
	}
	commands["report"] = func(n *childNode, _ []string) string {
		n.load.mu.Lock()
		defer n.load.mu.Unlock()
		text, err := json.Marshal(n.load.report)
		if err != nil {
			return err.Error()
		}
		return string(text)
	}
}

// one does something and notes how it went. After the end of the link it waits
// for the next one.
func (l *load) one(c *grid.Connection, do func() error) {
	l.mu.Lock()
	l.report.Running++
	l.mu.Unlock()
	err := do()
	l.mu.Lock()
	l.report.Running--
	switch {
	case err == nil:
		l.report.Done++
	case errors.Is(err, grid.ErrDisconnected), errors.Is(err, grid.ErrNotLinked), errors.Is(err, grid.ErrUnknownHandler):
		l.report.Failed++
	case l.report.Unexpected == "":
		l.report.Unexpected = err.Error()
	}
	l.mu.Unlock()
	if err != nil {
		_ = c.Wait(context.Background())
	}
}

func (l *load) start(c *grid.Connection) {
	ctx := context.Background()
	for id := range 64 {
		size := 32 << 10
		if id < 4 {
			size = 4 << 20
		}
		body := make([]byte, size)
		go func() {
			for {
				l.one(c, func() error { _, err := c.Request(ctx, "echo", body); return err })
			}
		}()
	}
	go func() {
		body := make([]byte, 32<<10)
		for range time.Tick(5 * time.Millisecond) {
			go func() {
				ctx, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				_, _ = c.Request(ctx, "echo", body)
			}()
		}
	}()
	for range 8 {
		msg := make([]byte, 16<<10)
		go func() {
			for {
				var s *grid.CallerStream
				l.one(c, func() (err error) { s, err = c.OpenStream(ctx, "drain", nil); return err })
				for s != nil {
					l.one(c, func() error {
						err := s.Send(ctx, msg)
						if err != nil {
							s = nil
						}
						return err
					})
				}
			}
		}()
	}
}
