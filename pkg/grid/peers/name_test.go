package peers

import (
	"strings"
	"testing"
)

func TestValidName(t *testing.T) {
	host := func(n int) string { // a host of n bytes
		return strings.Repeat("a.", n/2-1) + strings.Repeat("a", 2+n%2)
	}
	for _, test := range []struct {
		name string
		why  string // "": valid
	}{
		{"node-0:9000", ""},
		{"n:1", ""},
		{"n:65535", ""},
		{"0:9000", "no IPv4"},
		{"node_0.rack_1:9000", ""},
		{"demo-3.demo.default.svc:9000", ""},
		{"xn--nde-sna.example:443", ""},
		{"1node:9000", ""},
		{"10.0.0.1:9000", ""},
		{"127.0.0.1:9000", ""},
		{"[2001:db8::1]:9000", ""},
		{"[::1]:9000", ""},
		{host(249) + ":9000", ""},
		{host(250) + ":9000", ""},
		{host(251) + ":9000", "256 bytes long, allowed are 255"},
		{strings.Repeat("a", 62) + ":1", ""},
		{strings.Repeat("a", 63) + ":1", ""},
		{strings.Repeat("a", 64) + ":1", "label of 64 bytes"},

		{"", "is empty"},
		{"node-0", "no port"},
		{"node-0:", "port"},
		{":9000", "no host"},
		{"node-0:0", "1 to 65535"},
		{"node-0:65536", "1 to 65535"},
		{"node-0:99999999999999999999", "1 to 65535"},
		{"node-0:09000", "leading zeros"},
		{"node-0:+9000", "1 to 65535"},
		{"node-0:-1", "1 to 65535"},
		{"node-0: 9000", "1 to 65535"},
		{"node-0:9000 ", "1 to 65535"},
		{"node-0:grid", "1 to 65535"},
		{"node-0:٣", "1 to 65535"},
		{"Node-0:9000", "lower case"},
		{"[2001:DB8::1]:9000", "lower case"},
		{"https://node-0:9000", "URL"},
		{"node-0:9000/grid", "1 to 65535"},
		{"user@node-0:9000", `has "@" in its host`},
		{"node 0:9000", `has " " in its host`},
		{"node-0\n:9000", `in its host`},
		{"node-\x00:9000", `\x00`},
		{"nöde:9000", `has "ö" in its host`},
		{"n\xff:9000", `\xff`},
		{"-node:9000", "begins or ends with '-'"},
		{"node-.a:9000", "begins or ends with '-'"},
		{".node:9000", "empty label"},
		{"node.:9000", "empty label"},
		{"a..b:9000", "empty label"},
		{"2001:db8::1:9000", "in brackets"},
		{"::1", "in brackets"},
		{"[2001:db8::1]", "no port after the brackets"},
		{"[2001:db8::1]9000", "no port after the brackets"},
		{"[2001:db8::1]:0", "1 to 65535"},
		{"[2001:db8:0:0:0:0:0:1]:9000", "write [2001:db8::1]"},
		{"[fe80::1%eth0]:9000", "zone"},
		{"[::ffff:10.0.0.1]:9000", "write 10.0.0.1"},
		{"[10.0.0.1]:9000", "no IPv6"},
		{"[node]:9000", "no IPv6"},
		{"[]:9000", "no IPv6"},
		{"[::]:9000", "no single server"},
		{"0.0.0.0:9000", "no single server"},
		{"224.0.0.1:9000", "no single server"},
		{"10.0.0.256:9000", "no IPv4"},
		{"10.0.1:9000", "no IPv4"},
		{"010.0.0.1:9000", "no IPv4"},
	} {
		err := ValidName(test.name)
		switch {
		case err == nil && test.why != "":
			t.Errorf("%q is taken, want an error with %q", test.name, test.why)
		case err != nil && (test.why == "" || !strings.Contains(err.Error(), test.why)):
			t.Errorf("%q: error %q, want one with %q", test.name, err, test.why)
		case err != nil && len(test.name) < 80 && !strings.Contains(err.Error(), quote(test.name)):
			t.Errorf("error %q does not name %q", err, test.name)
		}
	}
}

func TestValidNameBoundsItsError(t *testing.T) {
	if err := ValidName(strings.Repeat("\x00", 1<<20)); len(err.Error()) > 1024 {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
	if err := ValidName("n:" + strings.Repeat("\xff", 250)); len(err.Error()) > 1024 {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
}
