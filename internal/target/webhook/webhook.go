package webhook

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gridmesh/gridmesh/internal/target"
	"github.com/gridmesh/gridmesh/internal/target/posting"
	"github.com/gridmesh/gridmesh/internal/target/tlsfiles"
)

// Options say where to post, and how.
type Options struct {
	URL       string
	Format    string            // one of Formats; "" is NDJSON
	Labels    map[string]string // of the stream, for Loki
	TLS       tlsfiles.Options
	TokenFile string // sent as a bearer token
	Header    map[string]string
	Proxy     string        // the URL of a proxy; "": none, whatever the environment says
	Compress  bool          // with gzip
	Timeout   time.Duration // of a request as a whole. Default 10 s, at least 1 s
	UserAgent string
}

// Check says what cannot work. The error begins with the name of the option.
func (o *Options) Check() error {
	if err := posting.CheckURL(o.URL); err != nil {
		return err
	}
	if err := posting.CheckTimeout(o.Timeout); err != nil {
		return err
	}
	if _, ok := formats[o.Format]; !ok {
		return fmt.Errorf("format: %q is none of %v", o.Format, Formats())
	}
	if len(o.Labels) > 0 && o.Format != Loki {
		return fmt.Errorf("labels: only %s has labels", Loki)
	}
	if o.Proxy != "" {
		if p, err := url.Parse(o.Proxy); err != nil || p.Host == "" {
			return errors.New("proxy: it is no URL with a host")
		}
	}
	if err := posting.CheckHeader(o.Header, reserved); err != nil {
		return err
	}
	if err := o.TLS.Check(); err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	return nil
}

// Headers that a request gets.
const (
	headerKey   = "Idempotency-Key" // the same whenever the same entries are sent
	headerCount = "Gridmesh-Entries"
)

var reserved = map[string]bool{
	headerKey: true, headerCount: true, "Content-Type": true, "Content-Encoding": true, "Content-Length": true,
	"Host": true, "Transfer-Encoding": true, "Connection": true,
}

// Sink posts batches.
type Sink struct {
	o      Options
	format format
	files  *tlsfiles.Files
	token  tlsfiles.Secret
	client *http.Client
	body   bytes.Buffer
	packed bytes.Buffer
	zip    *gzip.Writer
}

// Open makes a sink. It dials nobody.
func Open(o Options) (*Sink, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if o.Timeout == 0 {
		o.Timeout = posting.DefaultTimeout
	}
	files, err := tlsfiles.Open(o.TLS)
	if err != nil {
		return nil, err
	}
	s := &Sink{o: o, format: formats[o.Format], files: files, token: tlsfiles.Secret{Path: o.TokenFile}, zip: gzip.NewWriter(nil)}
	if _, err := s.token.Read(); err != nil {
		return nil, err
	}
	if err := s.connect(); err != nil {
		return nil, err
	}
	return s, nil
}

// connect makes the client, or makes it anew when the files for TLS are new: a
// connection keeps the certificate with which it was made.
func (s *Sink) connect() error {
	config, changed, err := s.files.Config()
	if s.client != nil && !changed {
		return err
	}
	var proxy *url.URL
	if s.o.Proxy != "" {
		var unparsed error
		if proxy, unparsed = url.Parse(s.o.Proxy); unparsed != nil {
			return errors.New("proxy: it is no URL")
		}
	}
	if s.client != nil {
		s.client.CloseIdleConnections()
	}
	s.client = &http.Client{Transport: posting.Transport(config, proxy, s.o.Timeout), Timeout: s.o.Timeout, CheckRedirect: posting.SameHost}
	return err
}

// Send posts a batch.
func (s *Sink) Send(ctx context.Context, b target.Batch) error {
	if err := s.connect(); err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	request, err := s.request(ctx, b)
	if err != nil {
		return err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return posting.Cause(err)
	}
	most := int64(posting.MostReply)
	if s.format.most != nil {
		most = s.format.most(len(b.Items))
	}
	reply, err := io.ReadAll(io.LimitReader(response.Body, most))
	closed := response.Body.Close()
	if response.StatusCode/100 != 2 {
		return posting.Judge(response)
	}
	if err = errors.Join(err, closed); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	if s.format.judge != nil {
		return s.format.judge(reply, b)
	}
	return nil
}

// request makes the request for a batch.
func (s *Sink) request(ctx context.Context, b target.Batch) (*http.Request, error) {
	s.body.Reset()
	s.format.encode(&s.body, b, s.o.Labels)
	body := s.body.Bytes()
	if s.o.Compress {
		s.packed.Reset()
		s.zip.Reset(&s.packed)
		if _, err := s.zip.Write(body); err != nil {
			return nil, err
		}
		if err := s.zip.Close(); err != nil {
			return nil, err
		}
		body = s.packed.Bytes()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.o.URL, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("url: it is no URL")
	}
	h := request.Header
	for name, value := range s.o.Header {
		h.Set(name, value)
	}
	h.Set("Content-Type", s.format.contentType)
	h.Set(headerKey, strconv.Quote(b.Key()))
	h.Set(headerCount, strconv.Itoa(len(b.Items)))
	if s.o.Compress {
		h.Set("Content-Encoding", "gzip")
	}
	if s.o.UserAgent != "" {
		h.Set("User-Agent", s.o.UserAgent)
	}
	token, err := s.token.Read()
	if err != nil {
		return nil, fmt.Errorf("tokenFile: %w", err)
	}
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	return request, nil
}

// Close closes the connections.
func (s *Sink) Close() error {
	s.client.CloseIdleConnections()
	return nil
}
