// Package v1alpha1 is the Kubernetes API of Gridmesh: the kind Grid of the group
// gridmesh.io. It owns the types, their defaults and the rules by which the API
// server refuses what cannot work; it holds no behaviour. controllers reads and
// writes it; programs that make Grids import it, or its apply configurations.
//
// +kubebuilder:object:generate=true
// +kubebuilder:ac:generate=true
// +groupName=gridmesh.io
package v1alpha1

//go:generate go tool -modfile=../../tools/go.mod controller-gen object paths=.
//go:generate go tool -modfile=../../tools/go.mod controller-gen applyconfiguration paths=.
//go:generate go tool -modfile=../../tools/go.mod controller-gen crd paths=. output:crd:dir=../../config/crd
//go:generate go tool -modfile=../../tools/go.mod crd-ref-docs --log-level=ERROR --source-path=. --config=../../tools/apidoc/config.yaml --templates-dir=../../tools/apidoc --renderer=markdown --output-path=../../docs/api.md
