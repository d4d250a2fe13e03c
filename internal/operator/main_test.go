package operator

import (
	"os"
	"testing"

	"github.com/gridmesh/gridmesh/internal/envtestkit"
)

func TestMain(m *testing.M) {
	through.Do(func() {}) // envtestkit says where libraries log
	os.Exit(envtestkit.Run(m))
}
