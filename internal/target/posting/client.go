package posting

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// DefaultTimeout is that of a request as a whole.
	DefaultTimeout = 10 * time.Second
	// LeastTimeout keeps a slip of the pen from failing every request.
	LeastTimeout = time.Second
	// MostReply bounds an answer that is read; the rest costs the connection.
	MostReply = 1 << 20

	idleTimeout   = 90 * time.Second
	mostRedirects = 3
)

// CheckURL says what cannot work, and nothing of what stands in it.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return errors.New("url: it is no URL") // the error would show what stands in it
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return errors.New("url: it does not begin with https:// or http:// and a host")
	case u.User != nil:
		return errors.New("url: there is a password in it; use tokenFile or headers")
	}
	return nil
}

// CheckTimeout says what cannot work; 0 is the default.
func CheckTimeout(d time.Duration) error {
	if d != 0 && d < LeastTimeout {
		return fmt.Errorf("timeout: it is %v, allowed is %v or more", d, LeastTimeout)
	}
	return nil
}

// CheckHeader says what cannot work. reserved are those that a sink sets itself,
// in the canonical form.
func CheckHeader(header map[string]string, reserved map[string]bool) error {
	for name, value := range header {
		if reserved[http.CanonicalHeaderKey(name)] {
			return fmt.Errorf("header: %s is set by the target itself", name)
		}
		if strings.ContainsAny(name+value, "\r\n\x00") || name == "" {
			return fmt.Errorf("header: %q or its value has a line break in it, or is empty", name)
		}
	}
	return nil
}

// Transport makes a transport for one receiver. A proxy is used where there is
// one, whatever the environment says.
func Transport(config *tls.Config, proxy *url.URL, timeout time.Duration) *http.Transport {
	t := &http.Transport{
		TLSClientConfig:       config,
		DialContext:           (&net.Dialer{Timeout: timeout}).DialContext,
		TLSHandshakeTimeout:   timeout,
		ResponseHeaderTimeout: timeout,
		IdleConnTimeout:       idleTimeout,
		MaxIdleConnsPerHost:   1,
		ForceAttemptHTTP2:     true,
	}
	if proxy != nil {
		t.Proxy = http.ProxyURL(proxy)
	}
	return t
}

// SameHost follows a redirect that keeps method and body and leads to the same
// server: entries are for nobody else.
func SameHost(r *http.Request, before []*http.Request) error {
	first := before[0]
	if len(before) > mostRedirects || r.Method != first.Method || r.URL.Scheme != first.URL.Scheme || r.URL.Host != first.URL.Host {
		return http.ErrUseLastResponse
	}
	return nil
}

// Cause is what a client's error says without the URL.
func Cause(err error) error {
	if cause, ok := errors.AsType[*url.Error](err); ok {
		return cause.Err
	}
	return err
}
