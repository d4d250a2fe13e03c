// Command gotest runs `go test` in one or more modules and reads its events,
// so that what did not run cannot pass for what did.
//
// It prints go test's own closing lines ("ok pkg 1.2s"), the output of what
// failed and of nothing else, every skipped test with its words, at the end the
// last words of what failed, and one last line "N passed, N failed, N skipped".
// Its exit status is 1 when a test failed, when a test was skipped without a line
// in the skips file, or when nothing ran at all.
//
//	go run ./gotest -C .. -C ../bench -race auto -skips ../.ci/skips -- -count=1 ./...
//
// It never decides what to run: everything after "--" goes to `go test` as it
// is. The Makefile is its only caller.
package main
