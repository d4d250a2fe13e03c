package main

//go:generate go tool -modfile=../../tools/go.mod msgp -io=false -tests=false

// Greeting is what pods say to each other.
type Greeting struct { //nolint:recvcheck // msgp gives some methods value receivers
	From string `msg:"from"`
	Text string `msg:"text"`
}

// Number is one of a stream.
type Number struct { //nolint:recvcheck // msgp gives some methods value receivers
	N int64 `msg:"n"`
}
