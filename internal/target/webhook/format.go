package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gridmesh/gridmesh/internal/target"
	"github.com/gridmesh/gridmesh/internal/target/posting"
)

// Formats of bodies.
const (
	NDJSON        = "ndjson"        // an entry a line: Vector, Fluent Bit, most others
	JSON          = "json"          // one array
	Loki          = "loki"          // its push API
	Elasticsearch = "elasticsearch" // its bulk API, and OpenSearch's
)

// Formats lists them.
func Formats() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(formats)), func(name string) bool { return name == "" })
}

// format is how a batch becomes a body.
type format struct {
	contentType string
	encode      func(to *bytes.Buffer, b target.Batch, labels map[string]string)
	// judge judges an answer 2xx; nil: it is what it says.
	judge func(reply []byte, b target.Batch) error
	// most is how long an answer may be; nil: posting.MostReply.
	most func(entries int) int64
}

var formats = map[string]format{
	"":            {contentType: "application/x-ndjson", encode: encodeLines},
	NDJSON:        {contentType: "application/x-ndjson", encode: encodeLines},
	JSON:          {contentType: "application/json", encode: encodeArray},
	Loki:          {contentType: "application/json", encode: encodeLoki},
	Elasticsearch: {contentType: "application/x-ndjson", encode: encodeBulk, judge: judgeBulk, most: mostBulk},
}

func encodeLines(to *bytes.Buffer, b target.Batch, _ map[string]string) {
	for _, item := range b.Items {
		to.Write(item.Data)
		to.WriteByte('\n')
	}
}

func encodeArray(to *bytes.Buffer, b target.Batch, _ map[string]string) {
	to.WriteByte('[')
	for i, item := range b.Items {
		if i > 0 {
			to.WriteByte(',')
		}
		to.Write(item.Data)
	}
	to.WriteByte(']')
}

// encodeLoki makes one stream: its labels, and for each entry its time in
// nanoseconds and the entry as a string.
func encodeLoki(to *bytes.Buffer, b target.Batch, labels map[string]string) {
	if len(labels) == 0 {
		labels = map[string]string{"job": "gridmesh"} // Loki takes no stream without one
	}
	names, err := json.Marshal(labels)
	if err != nil {
		names = []byte(`{"job":"gridmesh"}`) // strings can always be written
	}
	to.WriteString(`{"streams":[{"stream":`)
	to.Write(names)
	to.WriteString(`,"values":[`)
	for i, item := range b.Items {
		if i > 0 {
			to.WriteByte(',')
		}
		at := target.TimeOf(item.Data)
		if at.IsZero() {
			at = item.Time
		}
		if at.IsZero() {
			at = time.Now()
		}
		to.WriteString(`["`)
		to.Write(strconv.AppendInt(to.AvailableBuffer(), at.UnixNano(), 10))
		to.WriteString(`",`)
		line, err := json.Marshal(string(item.Data))
		if err != nil {
			line = []byte(`""`) // strings can always be written
		}
		to.Write(line)
		to.WriteByte(']')
	}
	to.WriteString(`]}]}`)
}

// encodeBulk makes a document of each entry, under its id: one that comes twice
// is there once. Its origin stands in front of it: several may write to one index.
func encodeBulk(to *bytes.Buffer, b target.Batch, _ map[string]string) {
	for _, item := range b.Items {
		if id := target.IDOf(item.Data); id != nil {
			fmt.Fprintf(to, "{\"create\":{\"_id\":%q}}\n", b.Origin+"/"+string(id))
		} else {
			to.WriteString("{\"create\":{}}\n")
		}
		to.Write(item.Data)
		to.WriteByte('\n')
	}
}

// mostBulk: an answer has some hundred bytes for each document, and up to a
// thousand for one that was rejected.
func mostBulk(entries int) int64 {
	return max(posting.MostReply, min(int64(entries)<<10, maxBulk))
}

const maxBulk = 16 << 20 // bytes; for more the batch is halved

// judgeBulk looks at what became of each document: the answer to the whole is
// 200 even if none was taken.
func judgeBulk(reply []byte, b target.Batch) error {
	if int64(len(reply)) >= mostBulk(len(b.Items)) && len(b.Items) > 1 {
		// Half of it tells of half as many. What was taken is there already then.
		return &target.Rejected{Reason: fmt.Sprintf("the receiver answered with more than %d bytes", len(reply))}
	}
	var result struct {
		Errors *bool `json:"errors"`
		Items  []map[string]struct {
			Status int `json:"status"`
		} `json:"items"`
	}
	if err := json.Unmarshal(reply, &result); err != nil || result.Errors == nil {
		return errors.New("the receiver answered 200, but not as a bulk API does")
	}
	if !*result.Errors {
		return nil
	}
	if len(result.Items) != len(b.Items) {
		return fmt.Errorf("the receiver told of %d documents, and not of all %d", len(result.Items), len(b.Items))
	}
	rejected := 0
	for _, item := range result.Items {
		for _, done := range item {
			switch {
			case done.Status/100 == 2 || done.Status == http.StatusConflict: // there already
			case done.Status == http.StatusBadRequest || done.Status == http.StatusRequestEntityTooLarge:
				rejected = done.Status
			default:
				return fmt.Errorf("the receiver answered %d for a document", done.Status)
			}
		}
	}
	if rejected > 0 {
		return &target.Rejected{Reason: fmt.Sprintf("the receiver answered %d for a document", rejected)}
	}
	return nil
}
