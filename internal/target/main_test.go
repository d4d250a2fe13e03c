package target

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(sequenceVariable); dir != "" {
		sequenceChild(dir)
		return
	}
	goleak.VerifyTestMain(m)
}
