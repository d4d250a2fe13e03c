// Package crashfs is a file system in memory that fails as disks do: it can
// stop at any step, in the middle of a write, and show afterwards what a killed
// process leaves, or what a machine without power does. Between crashes its
// steps can fail one by one, and its room can run out.
//
// Nothing that runs in production imports it.
package crashfs
