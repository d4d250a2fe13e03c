package peers

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"time"
)

// Names of the files in a directory that [WatchDir] reads. They are the keys
// of the ConfigMap that is mounted there.
const (
	ListFile = "peers.signed" // the document
	KeysFile = "peers.pub"    // PEM of the public keys to trust
)

// Poller is a [Source] that reads files again and again. It polls, and needs
// no help of the file system: the swapped link of a mounted ConfigMap, a file
// renamed over another and one written in place all show as other content.
//
// A list, or an error, is given when it differs from the one given before. So
// an error comes once and not at every reading, and the list after it comes
// even if it is the one before it. A signed document that verifies is whole and
// is given at once, and so is a good list at the very first reading. Anything
// else must read the same twice, a quarter of a second apart: it may be a file
// in the making.
type Poller struct {
	// Every is the time between readings; 0 means PollEvery. Set it before
	// the first call of Lists.
	Every time.Duration

	files func() ([][]byte, error)
	parse func(files [][]byte) (List, error)
}

// WatchFile polls a text file, see [ParseFile].
func WatchFile(path, self string) *Poller {
	return &Poller{
		files: func() ([][]byte, error) {
			text, err := readFile(path, MaxText)
			return [][]byte{text}, err
		},
		parse: func(files [][]byte) (List, error) {
			l, err := ParseFile(files[0], self)
			if err != nil {
				return List{}, fmt.Errorf("%s: %w", path, err)
			}
			return l, nil
		},
	}
}

// WatchDir polls a directory with a signed document of a grid in [ListFile]
// and the keys to trust in [KeysFile]: a mounted ConfigMap, or any other. Who
// may write there says who the peers are.
func WatchDir(dir, grid string) *Poller {
	return &Poller{
		files: func() ([][]byte, error) { return readDir(dir) },
		parse: func(files [][]byte) (List, error) {
			keys, err := ParsePublicKeys(files[1])
			if err != nil {
				return List{}, fmt.Errorf("%s: %w", filepath.Join(dir, KeysFile), err)
			}
			l, err := Verify(files[0], Trust{Keys: keys, Grid: grid})
			if err != nil {
				return List{}, fmt.Errorf("%s: %w", filepath.Join(dir, ListFile), err)
			}
			return l, nil
		},
	}
}

// Lists implements [Source].
func (p *Poller) Lists(ctx context.Context) iter.Seq2[List, error] {
	return func(yield func(List, error) bool) {
		every := p.Every
		if every <= 0 {
			every = PollEvery
		}
		var given, pending reading
		timer := time.NewTimer(0)
		defer timer.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
			if ctx.Err() != nil { // both were ready
				return
			}
			wait := every
			switch now := p.read(given); {
			case now.sum == given.sum:
				pending = reading{}
			case now.whole(given), now.sum == pending.sum:
				given, pending = now, reading{}
				if !yield(now.list, now.err) {
					return
				}
			default:
				pending, wait = now, min(settle, every)
			}
			timer.Reset(wait)
		}
	}
}

// reading is what came of reading the files once.
type reading struct {
	sum  [sha256.Size]byte // of the files, or of the error; zero: nothing was read
	list List
	err  error
}

// whole reports whether a reading need not be confirmed by a second one.
func (r reading) whole(given reading) bool {
	first := given.sum == [sha256.Size]byte{}
	return r.err == nil && (first || r.list.Signed())
}

// read reads the files, and parses them unless they are those given before.
func (p *Poller) read(given reading) reading {
	files, err := p.files()
	if err != nil {
		return reading{sum: sha256.Sum256([]byte(err.Error())), err: err}
	}
	h := sha256.New()
	for _, file := range files {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(file))))
		h.Write(file)
	}
	var now reading
	if h.Sum(now.sum[:0]); now.sum == given.sum {
		return given
	}
	now.list, now.err = p.parse(files)
	return now
}

// LoadTrust gives what a node trusts that reads its lists with [WatchDir], for
// documents that arrive by another road. Call it for each of them: the keys in
// the directory change when they are rotated.
func LoadTrust(dir, grid string) (Trust, error) {
	path := filepath.Join(dir, KeysFile)
	text, err := readFile(path, MaxKeyFile)
	if err != nil {
		return Trust{}, err
	}
	keys, err := ParsePublicKeys(text)
	if err != nil {
		return Trust{}, fmt.Errorf("%s: %w", path, err)
	}
	return Trust{Keys: keys, Grid: grid}, nil
}

// readDir reads document and keys. In a mounted ConfigMap both are links
// through the link ..data, which is swapped to change them: following it once
// gives two files of one version.
func readDir(dir string) ([][]byte, error) {
	if version, err := os.Readlink(filepath.Join(dir, "..data")); err == nil {
		dir = filepath.Join(dir, version)
	}
	doc, err := readFile(filepath.Join(dir, ListFile), MaxDocument)
	if err != nil {
		return nil, err
	}
	keys, err := readFile(filepath.Join(dir, KeysFile), MaxKeyFile)
	if err != nil {
		return nil, err
	}
	return [][]byte{doc, keys}, nil
}

// readFile reads a regular file of at most limit bytes. Opening a pipe would
// wait for its writer.
func readFile(path string, limit int) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: is %s, not a regular file", path, info.Mode().Type())
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > limit:
		return nil, fmt.Errorf("%s: %w: more than %d bytes", path, ErrMalformed, limit)
	}
	return text, nil
}
