package main

//go:generate go tool -modfile=../../tools/go.mod msgp -io=false -tests=false

// Written says that a key has a new value in the database.
type Written struct { //nolint:recvcheck // msgp gives some methods value receivers
	Key string `msg:"key"`
}
