package main

import "time"

//go:generate go tool -modfile=../../tools/go.mod msgp -io=false -tests=false

// Claim asks for a lock. A claim for no time gives it back.
type Claim struct { //nolint:recvcheck // msgp gives some methods value receivers
	Lock  string        `msg:"lock"`
	Owner string        `msg:"owner"`
	For   time.Duration `msg:"for"`
}
