// Command chart writes the parts of charts/gridmesh that the code decides: the
// CustomResourceDefinition and the rules of its Roles, out of what controller-gen
// made of the types and markers (config/crd, config/rbac). So a chart cannot ask
// for other rights than the code was written for. `make generate` runs it; it
// never runs Helm and knows no other part of the chart.
//
// Its tests hold the rest of the chart to the tree: values and their schema,
// alerts, the metrics that they read, and the pages that they lead to. Behind the
// build tag chart they render it with the pinned Helms and have a real API server
// judge the result (`make chart-test`).
package main

//go:generate go run .
//go:generate sh -c "exec \"$(../../tools/tool charts/helm-docs)\" --log-level=warning --sort-values-order=file --chart-search-root=../../charts"
