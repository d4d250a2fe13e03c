// Package gridpod makes a program that runs in a pod a member of a grid: the
// operator says who the peers are, the program registers handlers and calls.
//
//	pod, err := gridpod.FromDir("/etc/gridmesh")
//	if err != nil {
//		return err
//	}
//	m, err := grid.NewManager(context.Background(), pod.Options())
//	if err != nil {
//		return err
//	}
//	if err := Greet.Register(m, greet); err != nil {
//		return err
//	}
//	return pod.Serve(m)
//
// FromDir reads what the pod template mounts: the ConfigMap and the Secret of
// the Grid. Options has the pod's name, its certificate, which is read again
// when it changes, and how peers are found and their lists checked. Serve opens
// both ports, keeps the peer list by all three roads (the mount, a push of the
// operator's, and peers), answers probes, and on SIGTERM leaves without a
// failed call. docs/embedding.md has what the pod template needs.
//
// The admin port has /livez, /readyz, /metrics, /statusz and /v1/ack for
// everybody on the network, and takes signed peer lists; it takes no calls. Who is
// on the pod's own machine, as through a port-forward, may read tails by it. It
// speaks HTTPS where the Grid has TLS.
//
// Where the Grid has targets for log or audit, the pod's calls are audited and
// its log goes there, besides the program's own logger; LogHandler has the
// program's log go there, too. What cannot be delivered waits below GRID_DATA_DIR
// or /var/lib/gridmesh, if a volume is mounted there, and else in memory. The
// newest 1,000 entries of both are there for node log tail and node audit tail:
// Serve registers the streams log.tail and audit.tail, unless the program has
// handlers of these names, and members of the mesh may read them; with the
// variable GRID_TAILS at local, the pod alone may, by its admin port.
//
// Goroutines and locks are those of internal/member and internal/telemetry, which
// cmd/node uses as well, but for one that Serve has follow the targets of the
// Grid; this package only puts them to use.
package gridpod
