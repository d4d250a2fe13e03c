package grid_test

//go:generate go tool -modfile=../../tools/go.mod msgp -file messages_test.go -o messages_gen_test.go -io=false -tests=false

// LockArgs and LockReply are the messages of the examples.
type LockArgs struct { //nolint:recvcheck // msgp gives some methods value receivers
	Name  string
	Owner string
	Tries int
}

// LockReply answers LockArgs.
type LockReply struct { //nolint:recvcheck // as above
	Granted bool
	Holder  string
}

// Tree holds others like it, and all kinds of fields without any limit.
type Tree struct {
	Name     string            `msg:"name"`
	Size     int64             `msg:"size"`
	Data     []byte            `msg:"data"`
	Words    []string          `msg:"words"`
	Labels   map[string]string `msg:"labels"`
	Children []*Tree           `msg:"children"`
	Any      any               `msg:"any"`
}

// Borrowed keeps the bytes that it was decoded from.
type Borrowed struct {
	Inner []BorrowedPart
}

// BorrowedPart is where Borrowed does.
type BorrowedPart struct {
	Data []byte `msg:"data,zerocopy"`
}
