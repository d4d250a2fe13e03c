package link

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

// What a peer writes of itself goes into errors, logs, status and metrics: it is
// cut to what a correct peer sends, whole characters of it.
func TestTextOfAPeerIsBounded(t *testing.T) {
	l := testLimits()
	code, text := bytes.Repeat([]byte("c"), 100<<10), []byte(strings.Repeat("ä", 50<<10))
	check := func(what, code, text string) {
		t.Helper()
		if len(code) > wire.MaxHandlerName || len(text) > l.MaxErrorText || len(text) < l.MaxErrorText-1 || !utf8.ValidString(text) {
			t.Errorf("%s: a code of %d bytes and a text of %d", what, len(code), len(text))
		}
	}
	answered := func(answer wire.Kind) error {
		x, p := attack(t, l, false)
		ended := make(chan error, 1)
		go func() {
			_, err := x.Call(context.Background(), &Call{Handler: "echo"})
			ended <- err
		}()
		f := p.next(wire.Request)
		p.send(wire.Frame{Kind: answer, ID: f.ID, Code: code, Message: text})
		return <-ended
	}
	remote := (*Remote)(nil)
	if err := answered(wire.Error); errors.As(err, &remote) {
		check("ERROR", remote.Code, remote.Message)
	} else {
		t.Errorf("ERROR gives %v", err)
	}
	refused := (*Failure)(nil)
	if err := answered(wire.Refused); errors.As(err, &refused) {
		check("REFUSED", refused.Code, refused.Text)
	} else {
		t.Errorf("REFUSED gives %v", err)
	}
	x, p := attack(t, l, false)
	p.send(wire.Frame{Kind: wire.Goodbye, Code: code, Message: text})
	<-x.Done()
	cut := x.cause.Load()
	check("GOODBYE", cut.Code, cut.Message)
}
