// Package pki is a Grid's own authority: it makes keys and certificates, and
// decides when they are replaced and in which order, so that at every moment
// whatever certificate a node may still show is one that every other trusts.
//
// An authority is changed in three steps, each of which waits until the nodes
// have what the one before gave them:
//
//	steady ──► announcing: the new authority is trusted, the old one issues
//	       ──► retiring:   the new one issues, the old one is trusted
//	       ──► steady:     the old one is forgotten
//
// In each step a new certificate is issued. A node reads certificate and trusted
// authorities from one directory that changes as a whole, so one that says it
// uses that certificate trusts those authorities, too.
//
// It holds pure functions only: it reads no clock and writes nothing. controllers
// keeps its states in Secrets.
package pki
