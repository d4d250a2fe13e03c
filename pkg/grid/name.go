package grid

import (
	"crypto/sha256"
	"encoding/binary"
	"net"
	"strconv"
)

// hostOf is the host of a valid name, without brackets.
func hostOf(name string) string {
	host, _, err := net.SplitHostPort(name)
	if err != nil {
		return name
	}
	return host
}

// dials reports whether the node called local dials the one called remote.
// Both sides get to the same answer without talking. Names that differ in one
// number only, as the pods of a StatefulSet or ports on one host do, take
// turns by parity, which gives contiguous ordinals equal shares to within one;
// for all others a hash of the pair decides.
func dials(local, remote string) bool {
	if local > remote {
		return !dials(remote, local)
	}
	if a, b, ok := oneNumber(local, remote); ok {
		odd := (a^b)&1 == 1
		return (a < b) == odd
	}
	h := sha256.New()
	for _, s := range [...]string{local, remote} {
		_ = binary.Write(h, binary.BigEndian, uint32(len(s)))
		h.Write([]byte(s))
	}
	return h.Sum(nil)[0]&1 == 0
}

// oneNumber gives the two numbers in which the names differ, if they differ in
// exactly one decimal number and in nothing else.
func oneNumber(s, t string) (a, b uint64, ok bool) {
	for s != "" && t != "" {
		m, n := digits(s), digits(t)
		if (m == 0) != (n == 0) || m == 0 && s[0] != t[0] {
			return 0, 0, false
		}
		if m == 0 {
			s, t = s[1:], t[1:]
			continue
		}
		if s[:m] != t[:n] {
			x, err1 := strconv.ParseUint(s[:m], 10, 64)
			y, err2 := strconv.ParseUint(t[:n], 10, 64)
			if ok || err1 != nil || err2 != nil || x == y {
				return 0, 0, false
			}
			a, b, ok = x, y, true
		}
		s, t = s[m:], t[n:]
	}
	return a, b, ok && s == t
}

// digits is how many decimal digits s starts with.
func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}
