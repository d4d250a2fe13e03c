package peers

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// ValidName reports whether s may name a peer, and if not, why.
//
// A name is host:port, at most [MaxNameLength] bytes. It is compared byte by
// byte everywhere, so each peer has one way to be written: lower case; a port
// of 1 to 65535 without leading zeros; a host name of dot-separated labels of
// 1 to 63 letters, digits, '-' and '_' (no '-' at either end), an IPv4 address,
// or an IPv6 address in brackets in the shortest form. A name is not resolved.
func ValidName(s string) error {
	if plainName(s) {
		return nil
	}
	if why := whyNotName(s); why != "" {
		return fmt.Errorf("peer name %s %s", quote(s), why)
	}
	return nil
}

func whyNotName(s string) string {
	switch {
	case s == "":
		return "is empty; write host:port, such as node-0:9000"
	case len(s) > MaxNameLength:
		return fmt.Sprintf("is %d bytes long, allowed are %d", len(s), MaxNameLength)
	case strings.Contains(s, "://"):
		return "is a URL; write host:port and nothing else"
	case strings.ContainsFunc(s, func(r rune) bool { return r >= 'A' && r <= 'Z' }):
		return "has upper case; names are compared byte by byte, write it in lower case"
	}
	if s[0] == '[' {
		host, port, ok := strings.Cut(s[1:], "]:")
		if !ok {
			return "has no port after the brackets; write [address]:port"
		}
		if why := whyNotIPv6(host); why != "" {
			return why
		}
		return whyNotPort(port)
	}
	host, port, ok := strings.Cut(s, ":")
	switch {
	case !ok:
		return "has no port; write host:port"
	case strings.Contains(port, ":"):
		return "has more than one colon; an IPv6 address stands in brackets: [2001:db8::1]:9000"
	}
	if why := whyNotHost(host); why != "" {
		return why
	}
	return whyNotPort(port)
}

// plainName reports whether s is a good name of the common kind, a DNS name with a
// port. It looks at each byte once: each node does it for each name of each list.
func plainName(s string) bool {
	label, letters := 0, false // bytes of the label so far; a host of digits may be an address
	i := 0
	for ; i < len(s) && s[i] != ':'; i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z' || c == '_':
			letters = true
		case c >= '0' && c <= '9':
		case c == '-' && label > 0:
		case c == '.' && label > 0 && s[i-1] != '-':
			label = -1
		default:
			return false
		}
		if label++; label > 63 {
			return false
		}
	}
	return letters && label > 0 && s[i-1] != '-' && len(s) <= MaxNameLength && i < len(s) && whyNotPort(s[i+1:]) == ""
}

func whyNotPort(port string) string {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || port[0] == '0' {
		return fmt.Sprintf("has port %s, allowed are 1 to 65535 without leading zeros", quote(port))
	}
	return ""
}

func whyNotIPv6(host string) string {
	addr, err := netip.ParseAddr(host)
	switch {
	case err != nil || !addr.Is6():
		return "has no IPv6 address in its brackets"
	case addr.Zone() != "":
		return "has a zone, which means something on one machine only"
	case addr.Is4In6():
		return "has an IPv4 address in IPv6 form; write " + addr.Unmap().String()
	case addr.String() != host:
		return "has an IPv6 address in a long form; write [" + addr.String() + "]"
	}
	return whyNotAddr(addr)
}

func whyNotAddr(addr netip.Addr) string {
	if addr.IsUnspecified() || addr.IsMulticast() {
		return "has an address that no single server has; write the one that others dial"
	}
	return ""
}

func whyNotHost(host string) string {
	if host == "" {
		return "has no host; write host:port"
	}
	// What looks like an address must be one: no resolver knows 1.2.3 or
	// 10.0.0.256, and some read 010.0.0.1 as octal.
	if !strings.ContainsFunc(host, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }) {
		addr, err := netip.ParseAddr(host)
		if err != nil {
			return "has a host of digits that is no IPv4 address"
		}
		return whyNotAddr(addr)
	}
	for label := range strings.SplitSeq(host, ".") {
		switch {
		case label == "":
			return "has an empty label; no dot at either end of a host name, nor two in a row"
		case len(label) > 63:
			return fmt.Sprintf("has a label of %d bytes, allowed are 63", len(label))
		case label[0] == '-' || label[len(label)-1] == '-':
			return fmt.Sprintf("has a label %s that begins or ends with '-'", quote(label))
		}
		if strings.ContainsFunc(label, notLabelByte) {
			bad := strings.TrimFunc(label, func(r rune) bool { return !notLabelByte(r) })
			return fmt.Sprintf("has %s in its host, allowed are letters, digits, '-', '_' and '.'", quote(bad))
		}
	}
	return ""
}

func notLabelByte(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

// quote shows what somebody wrote, whatever it is and however long.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}
