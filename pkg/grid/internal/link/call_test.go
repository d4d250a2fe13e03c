package link

import (
	"bytes"
	"context"
	"testing"
)

func TestEchoOfEverySize(t *testing.T) {
	for name, mk := range map[string]func(testing.TB, Limits, []*Handler, []*Handler) (end, end){"memory": memoryPair, "websocket": wsPair} {
		t.Run(name, func(t *testing.T) {
			x, y := mk(t, testLimits(), []*Handler{echo()}, []*Handler{echo()})
			l := testLimits()
			for _, n := range []int{0, 1, 512, l.Chunk - 1, l.Chunk, l.Chunk + 1, l.Eager, l.Eager + 1, 5 << 20} {
				for _, from := range []end{x, y} {
					req := bytes.Repeat([]byte{byte(n)}, n)
					got, err := from.Call(context.Background(), &Call{Handler: "echo", Body: req})
					if err != nil || !bytes.Equal(got, req) || got == nil {
						t.Fatalf("%d bytes: got %d, nil %v, %v", n, len(got), got == nil, err)
					}
				}
			}
		})
	}
}
