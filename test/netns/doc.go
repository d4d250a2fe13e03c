// Package netns tests nodes of a grid in network namespaces of its own making,
// where whole directions can be cut as real networks cut them: without a FIN
// and without a word. The tests need root and Linux and stand behind the build
// tag root; `make test-root` runs them.
package netns
