// Package poddir reads the directory by which a pod learns of its grid: what
// the operator writes into grid.json, and where the peer list and the
// certificate are mounted beside it.
//
//	<dir>/grid/grid.json      what the pod is told (File)
//	<dir>/grid/peers.signed   the peer list, and peers.pub, the keys to trust
//	<dir>/tls/                tls.crt, tls.key and ca.crt, where there is TLS
//
// pkg/grid/gridpod, internal/node and internal/nodectl read it; whoever writes
// grid.json uses File. The package watches nothing: lists and certificates are
// watched by those who use them, and grid.json counts at the start only.
package poddir
