package feed

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/gridmesh/gridmesh/internal/adminapi"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// refusal is a node's answer that it did not do what was asked.
type refusal struct {
	status int
	text   string
	list   []byte // the one that it uses instead, as it claims
}

func (r *refusal) Error() string {
	if r.text == "" {
		return "answered " + strconv.Itoa(r.status) + " " + http.StatusText(r.status)
	}
	return "refused: " + r.text
}

// readAck reads the answer of a node, of so many bytes at most, whatever it is: a
// node may be broken, or not a node. The text in it is made fit to be shown.
func readAck(resp *http.Response, most int64, want *Target, grid string) (adminapi.Ack, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil {
		return adminapi.Ack{}, err
	}
	if int64(len(body)) > most {
		return adminapi.Ack{}, fmt.Errorf("answered with more than %d bytes", most)
	}
	if resp.StatusCode != http.StatusOK {
		var e adminapi.Error
		_ = json.Unmarshal(body, &e) // not a node's answer: the status says it
		return adminapi.Ack{}, &refusal{resp.StatusCode, plain(e.Message), e.List}
	}
	var ack adminapi.Ack
	if err := json.Unmarshal(body, &ack); err != nil {
		return adminapi.Ack{}, errors.New("answered with something else than an acknowledgement; is it a node?")
	}
	switch {
	case ack.Name != want.Name:
		return adminapi.Ack{}, fmt.Errorf("calls itself %s, not %s; does its POD_NAME differ from its pod's name?", quoted(ack.Name), want.Name)
	case ack.Grid != grid:
		return adminapi.Ack{}, fmt.Errorf("is of the grid %s, not %s", quoted(ack.Grid), grid)
	case ack.Epoch > peers.MaxEpoch || len(ack.MeshID) > peers.MaxNameLength || len(ack.Keys) > peers.MaxKeys || len(ack.TargetsFailing) > maxTargets ||
		!count(ack.Links.Up) || !count(ack.Links.Expected) || !count(ack.Links.Congested) ||
		ack.CertificateExpires != nil && !date(*ack.CertificateExpires):
		return adminapi.Ack{}, errors.New("answered with numbers that cannot be true")
	}
	ack.Instance, ack.Version, ack.Source, ack.ListError = plain(ack.Instance), plain(ack.Version), plain(ack.Source), plain(ack.ListError)
	ack.TelemetryError = plain(ack.TelemetryError)
	for _, texts := range [][]string{ack.Keys, ack.TargetsFailing} {
		for i, text := range texts {
			texts[i] = plain(text)
		}
	}
	return ack, nil
}

func count(n int) bool { return n >= 0 && n <= peers.MaxNames }

// date reports whether the API server takes t as one, in UTC: a status with
// another is refused whole.
func date(t time.Time) bool { return t.Unix() > 0 && t.UTC().Year() <= 9999 }

func quoted(s string) string { return strconv.Quote(plain(s)) }

// plain makes a stranger's text fit to be shown: one line, and not long.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s[:min(len(s), 4*maxText)], "?"))
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText-len("…")], "") + "…"
}

// describe says in one sentence why an attempt failed. The same failure gives the
// same text: without ports of our own and the like, which change each time.
func describe(err error) string {
	var (
		refused  *refusal
		dial     *net.OpError
		host     x509.HostnameError
		unknown  x509.UnknownAuthorityError
		invalid  x509.CertificateInvalidError
		verify   *tls.CertificateVerificationError
		timedOut interface{ Timeout() bool }
	)
	switch {
	case errors.As(err, &refused):
		return refused.Error()
	case errors.As(err, &host), errors.As(err, &unknown), errors.As(err, &invalid), errors.As(err, &verify):
		return plain("its certificate does not prove who it is: " + certificateFault(err))
	case errors.Is(err, syscall.ECONNREFUSED):
		return "cannot be connected: nothing listens on its admin port"
	case errors.As(err, &timedOut) && timedOut.Timeout(), errors.Is(err, context.DeadlineExceeded):
		if errors.As(err, &dial) && dial.Op == "dial" {
			return "cannot be connected: no answer from its address; does a NetworkPolicy keep the operator out?"
		}
		return "does not answer within " + attemptTime.String()
	case errors.As(err, &dial) && dial.Op == "dial":
		return plain("cannot be connected: " + dial.Err.Error())
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &dial):
		return "cut the connection"
	}
	return plain(err.Error())
}

func certificateFault(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		if _, ok := err.(x509.HostnameError); ok {
			return err.Error()
		}
		err = inner
	}
}
