//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "cluster: a node needs Linux; give the tests a KUBECONFIG of a cluster elsewhere")
	os.Exit(1)
}
