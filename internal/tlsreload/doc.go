// Package tlsreload keeps a node's certificate, key and bundle of authorities
// as they are in its files: read at start, and again whenever their content
// changes, without a restart. A new set that does not work is refused, logged
// and counted, and the old one stays.
//
// Files are polled, not watched: a poll sees renames, links swapped by a
// kubelet, network file systems and bind mounts alike. What is compared is
// their content, so that neither a touched file nor a clock set back matters.
//
// The package never dials and never listens. What it gives is asked for afresh
// at every handshake (grid.TLS).
package tlsreload
