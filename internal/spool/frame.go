package spool

import (
	"encoding/binary"
	"hash/crc32"
	"time"
)

// A segment begins with magic, whose last byte is the version of its format.
// Frames follow: length and gap bit (4 bytes), CRC-32C (4), id (8), time of
// entry in nanoseconds (8), data; little endian. The checksum begins with the
// segment's number, so that what a disk has kept of one file is never taken for
// an entry of another.
const (
	magic     = "gridspl\x02"
	headBytes = int64(len(magic))
	frameHead = 24
	gapBit    = 1 << 31

	// MaxEntry is the largest entry in bytes: it bounds what a flipped bit in a
	// length can make a reader hold.
	MaxEntry = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Entry is one entry of a spool.
type Entry struct {
	ID   uint64
	Gap  bool      // stands for entries that are missing, up to this id; Data says why
	At   time.Time // when it entered the spool; Append sets it
	Data []byte
}

func appendFrame(b []byte, segment uint64, e Entry, at time.Time) []byte {
	length := uint32(len(e.Data))
	if e.Gap {
		length |= gapBit
	}
	start := len(b)
	b = binary.LittleEndian.AppendUint64(b, uint64(length)) // and no checksum yet
	b = binary.LittleEndian.AppendUint64(b, e.ID)
	b = binary.LittleEndian.AppendUint64(b, uint64(at.UnixNano()))
	b = append(b, e.Data...)
	binary.LittleEndian.PutUint32(b[start+4:], checksum(segment, b[start:]))
	return b
}

// checksum of a whole frame, its own four bytes left out. The segment's number is
// what it begins with, so that it takes part without being written anywhere.
func checksum(segment uint64, frame []byte) uint32 {
	return crc32.Update(crc32.Update(uint32(segment), castagnoli, frame[:4]), castagnoli, frame[8:])
}

// frameLength gives the length of the frame that begins with head, or 0 if none
// can begin so: its length is too large, or its id is not near behind last.
// Whoever looks for a frame at every byte must not sum up a megabyte at each.
func frameLength(head []byte, last uint64) int {
	length := binary.LittleEndian.Uint32(head) &^ gapBit
	if length > MaxEntry || binary.LittleEndian.Uint64(head[8:])-last > 1<<40 {
		return 0
	}
	return frameHead + int(length)
}

// parseFrame reads a whole frame; its Data stays part of it.
func parseFrame(segment uint64, frame []byte) (Entry, bool) {
	return Entry{
		ID:   binary.LittleEndian.Uint64(frame[8:]),
		Gap:  binary.LittleEndian.Uint32(frame)&gapBit != 0,
		At:   time.Unix(0, int64(binary.LittleEndian.Uint64(frame[16:]))),
		Data: frame[frameHead:],
	}, binary.LittleEndian.Uint32(frame[4:]) == checksum(segment, frame)
}
