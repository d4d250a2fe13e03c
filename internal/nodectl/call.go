package nodectl

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/internal/settings"
)

var callCommand = command{
	name: "call", args: "PEER HANDLER", least: 2, most: 2,
	about: `Call a handler at a peer, through a running node. Standard input is the request,
standard output is the reply. A plain node serves echo, info, status, mesh and bench.`,
	examples: `  echo hello | node call node-1:7700 echo
  node call node-1:7700 info </dev/null
  node call node-1:7700 bench --data '{"to":"node-2:7700","callers":64,"bytes":512,"for_ms":1000}'
`,
	settings: func(o *options) []settings.Setting {
		return []settings.Setting{
			timeoutSetting(o, "The time the call has. Without it, the node's default-timeout."),
			waitSetting(o),
			{Name: "data", Alias: "d", Group: groupCall, FlagOnly: true, Value: settings.String(&o.data, "TEXT", "any text", nil),
				Help: "The request, instead of standard input."},
		}
	},
	run: runCall,
}

var streamCommand = command{
	name: "stream", args: "PEER HANDLER", least: 2, most: 2,
	about: `Open a stream to a handler at a peer, through a running node. Each line of standard
input is a message to the handler, each message of the handler is a line of standard
output; with --raw both are plain bytes. The end of the input ends the requests, and
the command ends with the stream. A plain node serves digest, log.tail and audit.tail.`,
	examples: `  node stream node-1:7700 digest --raw <file
  tail -f events | node stream node-1:7700 audit.feed
`,
	settings: func(o *options) []settings.Setting {
		return []settings.Setting{
			timeoutSetting(o, "The time the whole stream has. Without it, any."),
			waitSetting(o),
			{Name: "raw", Group: groupCall, FlagOnly: true, Value: settings.Switch(&o.raw), Help: "Bytes instead of lines, cut into messages anywhere."},
			{Name: "payload", Group: groupCall, FlagOnly: true, Value: settings.String(&o.payload, "TEXT", "any text", nil),
				Help: "What the stream is opened with."},
		}
	},
	run: runStream,
}

// path is where the call goes, with its options in the query.
func (v *invocation) path(prefix string, query url.Values) string {
	if v.timeout > 0 {
		query.Set(adminapi.ParamTimeout, v.timeout.String())
	}
	if v.wait {
		query.Set(adminapi.ParamWait, "true")
	}
	parts := []string{prefix}
	for _, arg := range v.args {
		parts = append(parts, url.PathEscape(arg))
	}
	path := strings.Join(parts, "/")
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return path
}

func runCall(ctx context.Context, v *invocation) error {
	var request []byte
	if v.set.IsSet("data") {
		request = []byte(v.data)
	} else {
		v.sayIfTerminal("the request")
		var err error
		if request, err = io.ReadAll(v.Stdin); err != nil {
			return &failure{status: exitUsage, text: "standard input could not be read: " + err.Error()}
		}
	}
	response, err := v.client.do(ctx, http.MethodPost, v.path(adminapi.PathCall, url.Values{}), nil, bytes.NewReader(request))
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	written := &lastByte{w: v.Stdout}
	if _, err := io.Copy(written, response.Body); err != nil {
		return &failure{status: exitFailed, text: "the reply came, but not to its end: " + err.Error()}
	}
	if isTerminal(v.Stdout) && written.last != '\n' {
		fmt.Fprintln(v.Stdout) // so that the prompt does not stand behind it
	}
	return nil
}

func runStream(ctx context.Context, v *invocation) error {
	query := url.Values{adminapi.ParamFraming: {adminapi.FramingLines}}
	if v.raw {
		query.Set(adminapi.ParamFraming, adminapi.FramingRaw)
	}
	if v.payload != "" {
		query.Set(adminapi.ParamPayload, v.payload)
	}
	v.sayIfTerminal("what to send")
	body, stop := interruptible(ctx, v.Stdin)
	defer stop()
	response, err := v.client.do(ctx, http.MethodPost, v.path(adminapi.PathStream, query), nil, body)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(v.Stdout, response.Body); err != nil {
		if ctx.Err() != nil {
			return &failure{status: exitMaybe, text: "given up before the stream ended"}
		}
		return &failure{status: exitMaybe, text: "the stream broke off: " + err.Error(), hint: "see the node's log"}
	}
	switch outcome := response.Trailer.Get(adminapi.HeaderOutcome); {
	case outcome == adminapi.OutcomeAnswered && response.Trailer.Get(adminapi.HeaderError) == "":
		return nil
	case response.Trailer.Get(adminapi.HeaderError) != "":
		var e adminapi.Error
		if err := json.Unmarshal([]byte(response.Trailer.Get(adminapi.HeaderError)), &e); err != nil {
			return &failure{status: exitFailed, text: "the stream ended with an error that cannot be read: " + err.Error()}
		}
		return failed(&e)
	default:
		return &failure{status: exitMaybe, text: "the stream broke off without its end", hint: "see the node's log"}
	}
}

// interruptible gives what r has until ctx ends: while the transport waits for a
// body it does not look at the context, and a terminal may say nothing for long.
// What then still waits for r ends with the process.
func interruptible(ctx context.Context, r io.Reader) (body io.Reader, stop func() bool) {
	body, w := io.Pipe()
	go func() {
		_, err := io.Copy(w, r)
		_ = w.CloseWithError(err)
	}()
	return body, context.AfterFunc(ctx, func() { _ = w.CloseWithError(ctx.Err()) })
}

// sayIfTerminal tells a person why nothing happens.
func (v *invocation) sayIfTerminal(what string) {
	if isTerminal(v.Stdin) {
		fmt.Fprintf(v.Stderr, "Type %s, and end it with Ctrl-D.\n", what)
	}
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull) // a character device, too, and nobody sits at it
	return err != nil || !os.SameFile(info, null)
}

// lastByte remembers how what was written ended.
type lastByte struct {
	w    io.Writer
	last byte
}

func (l *lastByte) Write(p []byte) (int, error) {
	if len(p) > 0 {
		l.last = p[len(p)-1]
	}
	return l.w.Write(p)
}
