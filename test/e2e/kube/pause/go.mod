module github.com/gridmesh/gridmesh/test/e2e/kube/pause

go 1.26.0
