package telemetry

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"

	"github.com/gridmesh/gridmesh/internal/audit"
)

var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$") //nolint:gocritic // each line has a beginning, with (?m)

// foreign begins examples that are for somebody else to read, Helm included.
var foreign = regexp.MustCompile(`^# ([a-z]+\.yaml\b|helm )`)

// dataDir is the setting of a node beside those that are read here.
var dataDir = regexp.MustCompile(`(?m)^data-dir: .*\n`)

// TestDocs reads every example of the pages, makes what it says, and sends to it:
// each receiver takes what the real one does, and has all entries.
func TestDocs(t *testing.T) {
	for page, want := range map[string]int{"logging.md": 5, "audit.md": 5} {
		text, err := os.ReadFile("../../docs/" + page)
		if err != nil {
			t.Fatal(err)
		}
		ours := 0
		for _, block := range yamlBlock.FindAllStringSubmatch(string(text), -1) {
			if foreign.MatchString(block[1]) {
				var theirs map[string]any
				if err := yaml.Unmarshal([]byte(block[1]), &theirs); err != nil {
					t.Errorf("%s: %v in\n%s", page, err, block[1])
				}
				continue
			}
			ours++
			t.Run(fmt.Sprintf("%s/%d", page, ours), func(t *testing.T) {
				text := dataDir.ReplaceAllString(block[1], "")
				c, err := Parse([]byte(text))
				if err == nil {
					err = c.CheckWith(text != block[1]) // as a node that is given just this
				}
				if err != nil {
					t.Fatalf("%v in\n%s", err, block[1])
				}
				tryExample(t, &c)
			})
		}
		if ours != want {
			t.Errorf("%s: %d examples, want %d", page, ours, want)
		}
	}
}

// tryExample has each target of an example send to a receiver that is here.
func tryExample(t *testing.T, c *Config) {
	t.Helper()
	r := &everybody{t: t, got: map[string][]string{}}
	server := httptest.NewServer(r)
	defer server.Close()
	dir := t.TempDir()
	files := map[string]string{}
	var topics []string
	var cluster *kfake.Cluster
	for _, targets := range [][]Target{c.Logging.Targets, c.Audit.Targets} {
		for i := range targets {
			e := &targets[i]
			e.Level = "" // all of them get all
			switch {
			case e.File != nil:
				e.File.Path = filepath.Join(dir, e.Name)
				files[e.Name] = e.File.Path
			case e.Webhook != nil:
				e.Webhook.URL = r.at(server.URL, e.Name, e.Webhook.URL)
				e.Webhook.TLS, e.Webhook.TokenFile = TLS{}, ""
			case e.OTLP != nil:
				e.OTLP.URL = r.at(server.URL, e.Name, e.OTLP.URL)
				e.OTLP.TLS, e.OTLP.TokenFile = TLS{}, ""
			case e.Kafka != nil:
				if cluster == nil {
					var err error
					if cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, e.Kafka.Topic)); err != nil {
						t.Fatal(err)
					}
					t.Cleanup(cluster.Close)
				}
				topics = append(topics, e.Kafka.Topic)
				e.Kafka = &Kafka{Brokers: cluster.ListenAddrs(), Topic: e.Kafka.Topic}
			}
		}
	}
	var console bytes.Buffer
	s, err := Open(Options{Node: "node-0:7700", Version: "v1", Console: &console, LogFormat: "json", Level: slog.LevelInfo, DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(*c); err != nil {
		t.Fatal(err)
	}
	const entries = 5
	for n := range entries {
		s.Log().Logger().Error("an entry", "n", n)
		s.Audit().Add(&audit.Record{Time: time.Now(), Event: audit.EventCall, Handler: "h" + strconv.Itoa(n)})
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // for what is never taken
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
	for name, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		r.got[name] = strings.Split(strings.TrimSpace(string(text)), "\n")
	}
	for _, targets := range [][]Target{c.Logging.Targets, c.Audit.Targets} {
		for i := range targets {
			e := &targets[i]
			switch {
			case e.Console != nil:
				r.got[e.Name] = strings.Split(strings.TrimSpace(console.String()), "\n")
			case e.Kafka != nil:
				r.got[e.Name] = consume(t, cluster, topics, entries+2)
			}
			if n := len(r.got[e.Name]); n < entries {
				t.Errorf("%s has %d entries: %q", e.Name, n, r.got[e.Name])
			}
		}
	}
}

// consume reads n records.
func consume(t *testing.T, c *kfake.Cluster, topics []string, n int) (all []string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics(topics...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for len(all) < n {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		for _, r := range fetches.Records() {
			all = append(all, string(r.Value))
		}
	}
	return all
}

// everybody takes what Vector, Loki, Elasticsearch and collectors take, each at
// its path below the target's name, and refuses all else.
type everybody struct {
	t *testing.T

	mu  sync.Mutex
	got map[string][]string // by target
}

// at gives the URL of the receiver that stands for another one.
func (r *everybody) at(server, name, example string) string {
	r.t.Helper()
	u, err := url.Parse(example)
	if err != nil {
		r.t.Fatal(err)
	}
	return server + "/" + name + u.Path
}

func (r *everybody) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	name, path, _ := strings.Cut(strings.TrimPrefix(q.URL.Path, "/"), "/")
	var body io.Reader = q.Body
	if q.Header.Get("Content-Encoding") == "gzip" {
		zip, err := gzip.NewReader(body)
		if err != nil {
			r.t.Error(err)
			return
		}
		body = zip
	}
	text, err := io.ReadAll(body)
	if err != nil {
		r.t.Error(err)
		return
	}
	take := map[string]func(http.ResponseWriter, *http.Request, []byte) ([]string, error){
		"": takeLines, "loki/api/v1/push": takeLoki, "gridmesh/_bulk": takeBulk, "v1/logs": takeOTLP,
	}[path]
	if take == nil || q.Method != http.MethodPost {
		r.t.Errorf("%s %s: nobody is there", q.Method, q.URL.Path)
		w.WriteHeader(http.StatusNotFound)
		return
	}
	entries, err := take(w, q, text)
	if err != nil {
		r.t.Errorf("%s: %v in %s", q.URL.Path, err, text)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got[name] = append(r.got[name], entries...)
}

// takeLines: an object of JSON a line, as Vector's http_server decodes it.
func takeLines(_ http.ResponseWriter, _ *http.Request, body []byte) (all []string, err error) {
	for line := range strings.Lines(string(body)) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil || !strings.HasSuffix(line, "\n") {
			return nil, fmt.Errorf("%q is no entry: %w", line, err)
		}
		all = append(all, line)
	}
	return all, nil
}

func takeLoki(w http.ResponseWriter, q *http.Request, body []byte) (all []string, err error) {
	var push struct {
		Streams []struct {
			Stream map[string]string `json:"stream"`
			Values [][2]string       `json:"values"`
		} `json:"streams"`
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&push); err != nil {
		return nil, err
	}
	if q.Header.Get("Content-Type") != "application/json" || q.Header.Get("X-Scope-Orgid") != "tenant-1" {
		return nil, fmt.Errorf("headers %v", q.Header)
	}
	for _, s := range push.Streams {
		if s.Stream["job"] != "gridmesh" || s.Stream["cluster"] != "a" {
			return nil, fmt.Errorf("labels %v", s.Stream)
		}
		for _, v := range s.Values {
			if ns, err := strconv.ParseInt(v[0], 10, 64); err != nil || time.Since(time.Unix(0, ns)).Abs() > time.Hour {
				return nil, fmt.Errorf("time %q: %w", v[0], err)
			}
			all = append(all, v[1])
		}
	}
	w.WriteHeader(http.StatusNoContent)
	return all, nil
}

func takeBulk(w http.ResponseWriter, q *http.Request, body []byte) (all []string, err error) {
	if kind := q.Header.Get("Content-Type"); kind != "application/x-ndjson" {
		return nil, fmt.Errorf("content type %s", kind)
	}
	lines := strings.Split(string(body), "\n")
	if len(lines)%2 != 1 || lines[len(lines)-1] != "" {
		return nil, fmt.Errorf("%d lines", len(lines))
	}
	var items []string
	for i := 0; i+1 < len(lines); i += 2 {
		var action map[string]struct {
			ID string `json:"_id"`
		}
		var document struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal([]byte(lines[i]), &action); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(lines[i+1]), &document); err != nil {
			return nil, err
		}
		if create, ok := action["create"]; !ok || len(action) != 1 || document.ID == "" || !strings.HasSuffix(create.ID, "/"+document.ID) {
			return nil, fmt.Errorf("%s before %s", lines[i], lines[i+1])
		}
		all = append(all, lines[i+1])
		items = append(items, `{"create":{"status":201}}`)
	}
	fmt.Fprintf(w, `{"took":1,"errors":false,"items":[%s]}`, strings.Join(items, ","))
	return all, nil
}

func takeOTLP(w http.ResponseWriter, q *http.Request, body []byte) (all []string, err error) {
	if kind := q.Header.Get("Content-Type"); kind != "application/x-protobuf" {
		return nil, fmt.Errorf("content type %s", kind)
	}
	var request collectorpb.ExportLogsServiceRequest
	if err := proto.Unmarshal(body, &request); err != nil {
		return nil, err
	}
	for _, resource := range request.GetResourceLogs() {
		for _, scope := range resource.GetScopeLogs() {
			for _, record := range scope.GetLogRecords() {
				if record.GetTimeUnixNano() == 0 || record.GetSeverityNumber() == 0 {
					return nil, fmt.Errorf("record %v", record)
				}
				all = append(all, record.GetBody().GetStringValue())
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	return all, nil
}
