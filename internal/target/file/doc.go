// Package file is the sink of targets that write to a file of their own: one
// entry a line, rotated by size and age, old files compressed and in the end
// removed.
//
// The file is the only record that there is, so it also tells which entry was
// the last: file.go opens it, cuts a line that a crash has torn and reads its
// id. rotate.go moves it aside, compress.go makes it small, on a goroutine that
// Close waits for. A file that somebody else has moved away is made again.
package file
