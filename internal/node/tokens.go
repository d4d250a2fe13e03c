package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

const (
	minToken     = 16      // bytes; fewer can be guessed
	maxTokenFile = 1 << 16 // bytes
	maxTokens    = 8       // a rotation needs two
	tokensEvery  = 5 * time.Second
)

// tokenFile is a file of tokens, one a line, read again when it changes. A bad
// new one is refused and the old ones stay. Its errors never show a token.
type tokenFile struct {
	path    string
	log     *slog.Logger
	current atomic.Pointer[[][]byte]
	refused atomic.Uint64
	lastBad atomic.Pointer[string] // what was refused last, so that it is logged once
}

// openTokens reads the file for the first time. Without a path there are no tokens.
func openTokens(path string, log *slog.Logger) (*tokenFile, error) {
	t := &tokenFile{path: path, log: log}
	if path == "" {
		return t, nil
	}
	tokens, err := readTokens(path)
	if err != nil {
		return nil, err
	}
	t.current.Store(&tokens)
	return t, nil
}

// tokens are those in force.
func (t *tokenFile) tokens() [][]byte {
	if all := t.current.Load(); all != nil {
		return *all
	}
	return nil
}

// Any reports whether there are tokens.
func (t *tokenFile) Any() bool { return len(t.tokens()) > 0 }

// Accepts reports whether text is one of the tokens, in a time that tells
// nothing about them.
func (t *tokenFile) Accepts(text string) bool {
	given := sha256.Sum256([]byte(text))
	found := 0
	for _, token := range t.tokens() {
		known := sha256.Sum256(token)
		found |= subtle.ConstantTimeCompare(given[:], known[:])
	}
	return found == 1
}

// run polls the file until ctx ends.
func (t *tokenFile) run(ctx context.Context) {
	if t.path == "" {
		return
	}
	ticker := time.NewTicker(tokensEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			t.reload()
		}
	}
}

// reload reads the file again.
func (t *tokenFile) reload() {
	if t.path == "" {
		return
	}
	tokens, err := readTokens(t.path)
	if err != nil {
		text := err.Error()
		if was := t.lastBad.Swap(&text); was == nil || *was != text {
			t.refused.Add(1)
			t.log.Error("token file refused, the old tokens stay in force", "error", err)
		}
		return
	}
	t.lastBad.Store(nil)
	if !equalTokens(tokens, t.tokens()) {
		t.current.Store(&tokens)
		t.log.Info("token file reloaded", "file", t.path, "tokens", len(tokens))
	}
}

func equalTokens(a, b [][]byte) bool {
	return bytes.Equal(bytes.Join(a, []byte{'\n'}), bytes.Join(b, []byte{'\n'}))
}

func readTokens(path string) ([][]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxTokenFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxTokenFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, maxTokenFile)
	}
	var tokens [][]byte
	number := 0
	for line := range bytes.Lines(text) {
		number++
		token := bytes.TrimSpace(line)
		if len(token) == 0 {
			continue
		}
		if len(token) < minToken {
			return nil, fmt.Errorf("%s: line %d: a token of %d bytes, allowed are %d or more; make one with: openssl rand -hex 32", path, number, len(token), minToken)
		}
		tokens = append(tokens, token)
	}
	switch {
	case len(tokens) == 0:
		return nil, errors.New(path + ": no token in it; make one with: openssl rand -hex 32")
	case len(tokens) > maxTokens:
		return nil, fmt.Errorf("%s: %d tokens, allowed are %d", path, len(tokens), maxTokens)
	}
	return tokens, nil
}
