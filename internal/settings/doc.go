// Package settings reads a program's configuration from three places that say
// the same in the same words: command-line flags (--admin-addr), environment
// variables (GRID_ADMIN_ADDR) and one YAML file (admin-addr:). The first one
// that names a setting wins, in this order; then comes its default.
//
// A program owns one table of Settings. Flags, variables, keys, --help and the
// reference in docs/ are all made from it, so they cannot differ. Whatever the
// table does not know, and every value that it does not allow, is refused with
// the name, the value, where it stood and what is allowed; all of them at once,
// so that a user mends a file in one go.
//
// The package never ends the process, prints or keeps state of its own. What a
// combination of values means is for the program that owns the table.
package settings
