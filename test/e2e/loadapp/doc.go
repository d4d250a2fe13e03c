// Command loadapp is the load of the end-to-end tests: a member of a grid that
// embeds the library, calls its peers without pause, and has every call written
// down by a ledger outside of the mesh, so that a test can say of each whether
// it was answered and how often it ran.
//
//	loadapp            a member; its settings are variables, see member.go
//	loadapp ledger     keeps the ledger and serves it on :8080
//	loadapp receiver   takes log and audit, see receiver.go
//
// As /node in an image it also takes the node's place in a Grid that has its
// own StatefulSet, and then ignores the node's flags.
package main
