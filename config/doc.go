// Package config holds no code: it is the folder of the manifests, as kustomize
// bases, and of the tests that build them and ask an API server about them. Two
// are generated elsewhere: crd from the types, by api/v1alpha1, and rbac/role.yaml
// from the markers of the code, by controllers. charts/gridmesh takes both.
package config
