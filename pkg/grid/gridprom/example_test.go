package gridprom_test

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gridmesh/gridmesh/pkg/grid"
	"github.com/gridmesh/gridmesh/pkg/grid/gridprom"
)

func Example() {
	calls := gridprom.NewCalls(gridprom.CallsOptions{})
	m, err := grid.NewManager(context.Background(), grid.Options{
		Local: "node-0.example:7946", InsecurePlainText: true,
		Interceptors: []grid.Interceptor{calls.Interceptor()},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()

	registry := prometheus.NewRegistry()
	registry.MustRegister(gridprom.New(m), calls)

	// Serve it with promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).
	families, err := registry.Gather()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range families {
		if f.GetName() == "gridmesh_info" {
			fmt.Println(f.GetMetric()[0].GetLabel()[1].GetValue())
		}
	}
	// Output: node-0.example:7946
}
