// Package fsys is the little that spools and log files ask of a file system, as
// an interface: so that tests can crash it between any two steps, and fill it.
//
// It holds nothing and decides nothing. internal/spool and internal/target use it.
package fsys
