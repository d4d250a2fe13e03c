package nodectl

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
)

// Exit statuses of commands.
const (
	exitDone    = 0
	exitFailed  = 1 // the handler answered with an error; or the status is not what it should be
	exitUsage   = 2
	exitNoAdmin = 3 // the node's admin port cannot be reached, or does not let us
	exitNotSent = 4 // the call has not run: calling again is safe
	exitMaybe   = 5 // the call may have run
)

const (
	dialTime     = 5 * time.Second
	maxErrorBody = 64 << 10
)

// client talks to a node's admin port.
type client struct {
	scheme string
	addr   string
	token  string
	http   *http.Client
}

// newClient makes a client for an address as the node's own setting has it.
func newClient(o *options) (*client, error) {
	host, port, err := net.SplitHostPort(o.admin)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // where a node listens on all addresses, one asks it here
	}
	c := &client{scheme: "http", addr: net.JoinHostPort(host, port)}
	if o.tokenFile != "" {
		text, err := os.ReadFile(o.tokenFile)
		if err != nil {
			return nil, err
		}
		first, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
		if c.token = strings.TrimSpace(first); c.token == "" {
			return nil, fmt.Errorf("%s: no token in it", o.tokenFile)
		}
	}
	transport := &http.Transport{
		DisableCompression: true,
		DialContext:        (&net.Dialer{Timeout: dialTime}).DialContext,
	}
	if transport.TLSClientConfig, err = o.clientTLS(host); err != nil {
		return nil, err
	}
	var protocols http.Protocols // a stream goes both ways at once, and a call that is given up is seen at once
	if transport.TLSClientConfig != nil {
		c.scheme = "https"
		protocols.SetHTTP2(true)
	} else {
		protocols.SetUnencryptedHTTP2(true)
	}
	transport.Protocols = &protocols
	c.http = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

func (c *client) close() { c.http.CloseIdleConnections() }

// do sends a request. An error is always a *failure.
func (c *client) do(ctx context.Context, method, path string, header http.Header, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.scheme+"://"+c.addr+path, body)
	if err != nil {
		return nil, &failure{status: exitUsage, text: err.Error()}
	}
	maps.Copy(request.Header, header)
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.unreached(ctx, err)
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer func() { _ = response.Body.Close() }()
	return nil, refused(response)
}

// failure is a command that did not do what it should: what to print, and the
// exit status.
type failure struct {
	status int
	text   string
	hint   string

	noHandler bool // the peer has no such handler
}

func (f *failure) Error() string { return f.text }

// unreached says why there was no answer at all.
func (c *client) unreached(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return &failure{status: exitMaybe, text: "given up before the answer came: the call may have run"}
	}
	var dial *net.OpError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &dial) && dial.Op == "dial":
		return &failure{
			status: exitNoAdmin, text: fmt.Sprintf("no node answers at %s: %v", c.addr, dial.Err),
			hint: "say where its admin port is with --admin-addr (GRID_ADMIN_ADDR); a node logs it when it starts",
		}
	case errors.Is(err, http.ErrSchemeMismatch):
		return &failure{
			status: exitNoAdmin, text: fmt.Sprintf("the admin port at %s does not speak TLS", c.addr),
			hint: "leave --admin-ca and --admin-insecure out, unless the node has admin-tls",
		}
	case errors.As(err, &certificate), errors.Is(err, errCertificate):
		return &failure{
			status: exitNoAdmin, text: fmt.Sprintf("the certificate of the admin port at %s is not believed: %v", c.addr, err),
			hint: "give the authority of the node's certificate with --admin-ca, and ask it by a name that the certificate is for",
		}
	}
	hint := "the call may have run; see the node's log"
	if c.scheme == "http" {
		hint += ". If the node has admin-tls, say --admin-ca"
	}
	return &failure{status: exitMaybe, text: "the connection to the node's admin port broke: " + err.Error(), hint: hint}
}

// refused makes what the node answered readable.
func refused(response *http.Response) error {
	var e adminapi.Error
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxErrorBody))
	if err != nil || json.Unmarshal(raw, &e) != nil || e.Message == "" {
		return &failure{status: exitNoAdmin, text: fmt.Sprintf("the answer is %s, not that of a node's admin port", response.Status), hint: "is --admin-addr right?"}
	}
	plain(&e)
	if response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden && e.Outcome == "" {
		return &failure{status: exitNoAdmin, text: e.Message, hint: e.Hint}
	}
	return failed(&e)
}

// failed turns an error of the admin port into a failure.
func failed(e *adminapi.Error) *failure {
	plain(e)
	f := &failure{status: exitFailed, text: e.Message, hint: e.Hint, noHandler: e.NoHandler}
	if e.Code != "" {
		f.text += " (code " + e.Code + ")"
	}
	switch e.Outcome {
	case adminapi.OutcomeNotSent:
		f.status = exitNotSent
		f.text += textNotSent
	case adminapi.OutcomeMaybe:
		f.status = exitMaybe
		f.text += textMaybe
	}
	return f
}

const (
	textNotSent = "\nIt has not run: calling again is safe."
	textMaybe   = "\nIt may have run: call again only if running twice does no harm."
)

// withoutOutcome is the text of a failure without what is said of calls.
func withoutOutcome(text string) string {
	return strings.TrimSuffix(strings.TrimSuffix(text, textNotSent), textMaybe)
}

// json sends a request whose answer is a document, and gives it parsed and as it is.
func (c *client) json(ctx context.Context, method, path string, header http.Header, body io.Reader, into any) ([]byte, error) {
	response, err := c.do(ctx, method, path, header, body)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, &failure{status: exitNoAdmin, text: "the answer broke off: " + err.Error()}
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return nil, &failure{
			status: exitNoAdmin, text: "the answer is not what a node says: " + err.Error(),
			hint: "is --admin-addr right, and the node of this version?",
		}
	}
	plain(into)
	return raw, nil
}

// getJSON asks for a document.
func (c *client) getJSON(ctx context.Context, path string, into any) ([]byte, error) {
	return c.json(ctx, http.MethodGet, path, http.Header{"Accept": {"application/json"}}, nil, into)
}
