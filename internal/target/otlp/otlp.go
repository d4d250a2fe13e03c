package otlp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"

	"github.com/gridmesh/gridmesh/internal/target"
	"github.com/gridmesh/gridmesh/internal/target/posting"
	"github.com/gridmesh/gridmesh/internal/target/tlsfiles"
)

// Options say where to send, and how.
type Options struct {
	URL       string // without a path: of OTLP's own, /v1/logs
	TLS       tlsfiles.Options
	TokenFile string // sent as a bearer token
	Header    map[string]string
	Compress  bool          // with gzip
	Timeout   time.Duration // of a request as a whole. Default 10 s, at least 1 s
	UserAgent string        // "" is the exporter's

	// The resource of all records: service.name (default "gridmesh"),
	// service.instance.id and service.version.
	Service, Node, Version string
}

const (
	defaultPath    = "/v1/logs"
	defaultService = "gridmesh"
	scopeName      = "github.com/gridmesh/gridmesh"
)

var reserved = map[string]bool{
	headerKey: true, "Content-Type": true, "Content-Encoding": true, "Content-Length": true,
	"Host": true, "Transfer-Encoding": true, "Connection": true,
}

// Check says what cannot work. The error begins with the name of the option.
func (o *Options) Check() error {
	if err := posting.CheckURL(o.URL); err != nil {
		return err
	}
	if strings.ContainsAny(o.URL, "?#") {
		return errors.New("url: there is a ? or # in it, which OTLP has no use for; a token belongs into tokenFile or headers")
	}
	if err := posting.CheckTimeout(o.Timeout); err != nil {
		return err
	}
	if err := posting.CheckHeader(o.Header, reserved); err != nil {
		return err
	}
	if err := o.TLS.Check(); err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	return nil
}

// endpoint is where records go.
func (o *Options) endpoint() (string, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return "", errors.New("url: it is no URL")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = defaultPath
	}
	return u.String(), nil
}

// Sink sends batches.
type Sink struct {
	o        Options
	files    *tlsfiles.Files
	token    tlsfiles.Secret
	wire     wire
	exporter *otlploghttp.Exporter
	provider *sdklog.LoggerProvider
	logger   log.Logger
	records  collector
}

// Open makes a sink. It dials nobody.
func Open(o Options) (*Sink, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if o.Timeout == 0 {
		o.Timeout = posting.DefaultTimeout
	}
	if o.Service == "" {
		o.Service = defaultService
	}
	endpoint, err := o.endpoint()
	if err != nil {
		return nil, err
	}
	files, err := tlsfiles.Open(o.TLS)
	if err != nil {
		return nil, err
	}
	s := &Sink{o: o, files: files, token: tlsfiles.Secret{Path: o.TokenFile}}
	s.wire.o = &s.o
	if _, err := s.token.Read(); err != nil {
		return nil, err
	}
	if err := s.connect(); err != nil {
		return nil, err
	}
	compression := otlploghttp.NoCompression
	if o.Compress {
		compression = otlploghttp.GzipCompression
	}
	// All that the environment could set is set: what it says is for other
	// programs, and what it says wrongly would be told of in places of its own.
	s.exporter, err = otlploghttp.New(context.Background(),
		otlploghttp.WithEndpointURL(endpoint),
		otlploghttp.WithHTTPClient(&http.Client{Transport: &s.wire, Timeout: o.Timeout, CheckRedirect: posting.SameHost}),
		otlploghttp.WithHeaders(o.Header),
		otlploghttp.WithCompression(compression),
		otlploghttp.WithTimeout(o.Timeout),
		otlploghttp.WithTLSClientConfig(nil),
		otlploghttp.WithRetry(otlploghttp.RetryConfig{Enabled: false}),
		otlploghttp.WithMaxRequestSize(0), // batches are bounded where they are made
	)
	if err != nil {
		return nil, posting.Cause(err)
	}
	s.provider = sdklog.NewLoggerProvider(
		sdklog.WithResource(o.resource()),
		sdklog.WithProcessor(&s.records),
		sdklog.WithAttributeCountLimit(-1), // an entry arrives whole
		sdklog.WithAttributeValueLengthLimit(-1),
		sdklog.WithAllowKeyDuplication(), // there are none: record.go sees to that
	)
	s.logger = s.provider.Logger(scopeName, log.WithInstrumentationVersion(o.Version))
	return s, nil
}

// connect makes the transport, or makes it anew when the files for TLS are new:
// a connection keeps the certificate with which it was made.
func (s *Sink) connect() error {
	config, changed, err := s.files.Config()
	if s.wire.transport != nil && !changed {
		return err
	}
	if s.wire.transport != nil {
		s.wire.transport.CloseIdleConnections()
	}
	s.wire.transport = posting.Transport(config, nil, s.o.Timeout)
	return err
}

// Send exports a batch.
func (s *Sink) Send(ctx context.Context, b target.Batch) error {
	if err := s.connect(); err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	token, err := s.token.Read()
	if err != nil {
		return fmt.Errorf("tokenFile: %w", err)
	}
	s.wire.begin(b, token)
	err = s.exporter.Export(ctx, s.convert(ctx, b))
	if s.wire.answered {
		return s.wire.verdict
	}
	return posting.Cause(err)
}

// Close closes the connections.
func (s *Sink) Close() error {
	err := errors.Join(s.exporter.Shutdown(context.Background()), s.provider.Shutdown(context.Background()))
	s.wire.transport.CloseIdleConnections()
	return err
}
