// Command demo is `make demo`: it builds the node, starts three of them on
// loopback with throw-away certificates, and has them work while it looks on.
// Requests run among all of them, a file is streamed from one to another, all
// are asked at once, one is killed and comes back, and a fourth one is added.
//
//	go run ./internal/demo -for 15s
//
// It is no node itself. It uses what any user has: the node's settings, its
// admin port and signals. So its figures are what it called and what it read
// there. The last line of its output is one JSON object (result), and its exit
// status is 0 only if everything went well: 1 says that something did not, 2
// that the command line is wrong, 130 that it was interrupted before it had
// shown everything.
//
// The way through the files: main.go (start to end) → show.go (what happens
// when) → cluster.go (the nodes) and process.go (one of them) → traffic.go
// (calls among them) → admin.go (how to talk to a node) → screen.go (what is
// printed).
package main
