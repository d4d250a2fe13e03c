// Package targettest is for tests of sinks that post entries to a receiver over
// HTTP: what all of them have to hold to, as tests that they call, and the
// certificates that it takes. Only tests use it.
package targettest
