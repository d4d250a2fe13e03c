package nodectl

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/settings"
)

var benchCommand = command{
	name: "bench", args: "PEER", least: 1, most: 1,
	about: `Measure calls from a running node to a peer: so many callers call its echo handler one
call after the other. It uses both nodes and their link as much as it can.`,
	examples: `  node bench node-1:7700
  node bench node-1:7700 --callers 1 --bytes 64 --for 5s
`,
	settings: func(o *options) []settings.Setting {
		const group = "The bench"
		return []settings.Setting{
			{Name: "callers", Group: group, FlagOnly: true, Default: "64", Value: settings.Int(&o.callers, 1, 1024), Help: "How many call at once."},
			{Name: "bytes", Group: group, FlagOnly: true, Default: "512B", Value: settings.Bytes(&o.bytes, 0, 1<<20), Help: "Size of request and reply."},
			{Name: "for", Group: group, FlagOnly: true, Default: "2s", Value: settings.Duration(&o.length, time.Millisecond, time.Minute), Help: "How long."},
			jsonSetting(o),
		}
	},
	run: runBench,
}

func runBench(ctx context.Context, v *invocation) error {
	ask, err := json.Marshal(adminapi.BenchRequest{Callers: v.callers, Bytes: int(v.bytes), ForMillis: int(v.length.Milliseconds())})
	if err != nil {
		return err
	}
	var result adminapi.BenchResult
	raw, err := v.client.json(ctx, http.MethodPost, v.path(adminapi.PathBench, url.Values{}), nil, bytes.NewReader(ask), &result)
	if err != nil {
		return err
	}
	if v.asJSON {
		_, err := v.Stdout.Write(raw)
		return err
	}
	fmt.Fprintf(v.Stdout, "%s to %s: %d callers, %d bytes each way, %.1f s\n%.0f calls/s, p50 %.3f ms, p99 %.3f ms, max %.3f ms\n",
		result.From, result.To, result.Callers, result.Bytes, result.Millis/1000,
		result.PerSecond, result.P50Millis, result.P99Millis, result.MaxMillis)
	for text, count := range result.Errors {
		fmt.Fprintf(v.Stdout, "%d failed: %s\n", count, text)
	}
	if len(result.Errors) > 0 {
		return &failure{status: exitFailed, text: "some calls failed"}
	}
	return nil
}
