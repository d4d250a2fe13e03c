package member

import (
	"context"
	"net"
	"time"
)

// lookupTime is what a name server has before a hint is taken instead of its
// answer. It leaves the rest of the dial's time to dial.
const lookupTime = 2 * time.Second

// resolver gives the address to dial for a peer: what the configuration says;
// else the name itself; and for a name that cannot be resolved yet, the hint of
// the signed list, as a new pod's name may take half a minute to be known.
func resolver(
	fixed map[string]string, hints func() map[string]string, lookup func(context.Context, string) ([]string, error),
) func(context.Context, string) (string, error) {
	return func(ctx context.Context, name string) (string, error) {
		if addr, ok := fixed[name]; ok {
			return addr, nil
		}
		hint, ok := hints()[name]
		if !ok {
			return name, nil
		}
		host, port, err := net.SplitHostPort(name)
		if err != nil {
			return "", err
		}
		ctx, cancel := context.WithTimeout(ctx, lookupTime)
		defer cancel()
		if _, unknown := lookup(ctx, host); unknown != nil {
			name = net.JoinHostPort(hint, port)
		}
		return name, nil
	}
}
