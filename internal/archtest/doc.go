// Package archtest holds the tests of the tree itself: which package may
// import what, how long a file may be, what no file may contain. Each rule is
// a function from a tree to its violations, so that the tests can show on
// planted trees that it fails when broken, before they ask it about this one.
//
// Nothing imports this package. What a linter can check is in .golangci.yml;
// here stands what needs to know this house.
package archtest
