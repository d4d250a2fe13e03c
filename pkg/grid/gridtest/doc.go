// Package gridtest makes grids in the process of a test: it is to grid what
// httptest is to net/http.
//
//	func TestLock(t *testing.T) {
//		mesh := gridtest.New(t, 3)
//		mesh.Register(func(m *grid.Manager) error { return Acquire.Register(m, acquire) })
//		mesh.WaitLinked()
//
//		reply, err := Acquire.Call(t.Context(), mesh.Conn(0, 1), &LockArgs{Name: "a"})
//		…
//		mesh.Cut(0, 1) // and what does my program do now?
//	}
//
// The nodes are real Managers behind real HTTP servers, with real upgrades and
// handshakes; only the bytes between them pass through memory, where a test
// can cut, stall and slow them by pair. Nothing listens on the machine, so
// tests run in parallel as they like.
//
// All of it works within a bubble of testing/synctest, where minutes of stalls
// and back-off take no time. Make the mesh inside the bubble, with the bubble's
// own t; the bubble then also fails the test for every goroutine left behind.
//
// Buffers given to grid.Release are overwritten, and a second release panics:
// use after release shows in tests, not in production.
//
// The mesh closes itself when its test ends, and fails the test if a node does
// not come to its end, if a handler runs on after that (it does not heed its
// context), or if a connection is left open. It runs no user code and starts no
// goroutine but those of the servers. The tests of this library use it, too.
package gridtest
