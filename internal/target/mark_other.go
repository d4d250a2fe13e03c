//go:build !unix

package target

import (
	"encoding/binary"
	"os"
)

// mark is a number in a file.
type mark struct {
	file   *os.File
	offset int64
}

func (m *mark) open(file *os.File, offset int) error {
	m.file, m.offset = file, int64(offset)
	return nil
}

func (m *mark) set(n uint64) {
	if m.file != nil {
		// A failure shows when the file is closed, and in a gap that is too short.
		_, _ = m.file.WriteAt(binary.LittleEndian.AppendUint64(nil, n), m.offset)
	}
}

func (m *mark) close() { m.file = nil }
