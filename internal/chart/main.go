package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// root is the tree, seen from the folder in which go generate runs this.
const root = "../.."

// part is one generated file of the chart.
type part struct {
	path string
	make func(root string) ([]byte, error)
}

func parts() []part {
	return []part{
		{"charts/gridmesh/templates/crds/grids.yaml", crdTemplate},
		{"charts/gridmesh/templates/_rules.tpl", rulesTemplate},
	}
}

func main() { os.Exit(run()) }

func run() int {
	for _, p := range parts() {
		text, err := p.make(root)
		if err == nil {
			err = os.WriteFile(filepath.Join(root, p.path), text, 0o644) //nolint:gosec // part of a source tree: everybody may read it
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "chart: %s: %v\n", p.path, err)
			return 1
		}
	}
	return 0
}
