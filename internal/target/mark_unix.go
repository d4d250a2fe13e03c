//go:build unix

package target

import (
	"encoding/binary"
	"os"
	"syscall"
)

// mark is a number in a file that is as cheap to change as a variable: its page
// is shared with the kernel, which keeps it when the process is killed.
type mark struct {
	page   []byte
	offset int
}

func (m *mark) open(file *os.File, offset int) (err error) {
	m.page, err = syscall.Mmap(int(file.Fd()), 0, sequenceBytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	m.offset = offset
	return err
}

func (m *mark) set(n uint64) {
	if m.page != nil {
		binary.LittleEndian.PutUint64(m.page[m.offset:], n)
	}
}

func (m *mark) close() {
	_ = syscall.Munmap(m.page) // fails only for what was never mapped
	m.page = nil
}
