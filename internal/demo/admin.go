package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/gridmesh/gridmesh/internal/adminapi"
)

// admin talks to the nodes' admin ports.
type admin struct{ http http.Client }

func newAdmin() *admin {
	return &admin{http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
}

func (a *admin) close() { a.http.CloseIdleConnections() }

// do gives the answer's body and trailer, or the node's own words why there is none.
func (a *admin) do(ctx context.Context, method, addr, path string, body io.Reader) ([]byte, http.Header, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, body)
	if err != nil {
		return nil, nil, err
	}
	response, err := a.http.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, nil, err
	}
	if response.StatusCode == http.StatusOK {
		return raw, response.Trailer, nil
	}
	var e adminapi.Error
	if json.Unmarshal(raw, &e) == nil && e.Message != "" {
		return nil, nil, &e
	}
	return nil, nil, errors.New(response.Status)
}

// status asks a node how it is.
func (a *admin) status(ctx context.Context, addr string) (*adminapi.Status, error) {
	raw, _, err := a.do(ctx, http.MethodGet, addr, adminapi.PathStatus, http.NoBody)
	if err != nil {
		return nil, err
	}
	var status adminapi.Status
	return &status, json.Unmarshal(raw, &status)
}

// call calls a handler at peer through the node at addr.
func (a *admin) call(ctx context.Context, addr, peer, handler string, payload []byte) ([]byte, error) {
	path := adminapi.PathCall + "/" + url.PathEscape(peer) + "/" + handler
	reply, _, err := a.do(ctx, http.MethodPost, addr, path, bytes.NewReader(payload))
	return reply, err
}

// stream sends all of body to a stream handler at peer, and gives what came back.
func (a *admin) stream(ctx context.Context, addr, peer, handler string, body io.Reader) ([]byte, error) {
	path := adminapi.PathStream + "/" + url.PathEscape(peer) + "/" + handler + "?" + adminapi.ParamFraming + "=" + adminapi.FramingRaw
	raw, trailer, err := a.do(ctx, http.MethodPost, addr, path, body)
	if err != nil {
		return nil, err
	}
	if outcome := trailer.Get(adminapi.HeaderOutcome); outcome != adminapi.OutcomeAnswered {
		return nil, fmt.Errorf("the stream ended as %q: %s", outcome, trailer.Get(adminapi.HeaderError))
	}
	return raw, nil
}
