package main

import (
	"os"
	"testing"

	"github.com/gridmesh/gridmesh/internal/envtestkit"
)

func TestMain(m *testing.M) { os.Exit(envtestkit.Run(m)) }
