package wire

import (
	"encoding/binary"
	"hash/crc32"
)

// ChecksumSize is what a batch's checksum takes at its front, in bytes.
const ChecksumSize = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Seal writes the CRC-32C of what follows into the first ChecksumSize bytes of b, little endian.
func Seal(b []byte) {
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[ChecksumSize:], castagnoli))
}

// Unseal checks and cuts off what Seal wrote.
func Unseal(b []byte) ([]byte, error) {
	if len(b) < ChecksumSize {
		return nil, &ViolationError{Reason: "batch is shorter than its checksum"}
	}
	if binary.LittleEndian.Uint32(b) != crc32.Checksum(b[ChecksumSize:], castagnoli) {
		return nil, &ViolationError{Reason: "batch fails its CRC-32C"}
	}
	return b[ChecksumSize:], nil
}
