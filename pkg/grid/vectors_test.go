package grid

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
)

const protocolPage = "../../docs/protocol.md"

// hexBytes is bytes as hex digits in JSON.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// handshakeVectors is what testdata/handshake.json holds: the bytes of
// docs/protocol.md that stand before the first frame. They may never change
// for version 1.
type handshakeVectors struct {
	Proofs    []vectorProof    `json:"proofs"`
	Hellos    []vectorHello    `json:"hellos"`
	Refusals  []vectorRefusal  `json:"refusals"`
	Greetings []vectorGreeting `json:"greetings"`
	Broken    []vectorBroken   `json:"broken"`
	Headers   []vectorHeader   `json:"headers"`
	Dials     []vectorDial     `json:"dials"`
}

type vectorProof struct {
	Name                string   `json:"name"`
	Token               hexBytes `json:"token"`
	DialerNonce         hexBytes `json:"dialerNonce"`
	AcceptorNonce       hexBytes `json:"acceptorNonce"`
	DialerNonceHeader   string   `json:"dialerNonceHeader"`
	AcceptorNonceHeader string   `json:"acceptorNonceHeader"`
	Dialer              string   `json:"dialer"`
	Acceptor            string   `json:"acceptor"`
	Grid                string   `json:"grid"`
	Exporter            hexBytes `json:"exporter"`      // of TLS; empty without
	DialerMessage       hexBytes `json:"dialerMessage"` // what the dialer's proof is the HMAC of
	DialerProof         hexBytes `json:"dialerProof"`
	AcceptorProof       hexBytes `json:"acceptorProof"`
}

type vectorHello struct {
	Name      string          `json:"name"`
	Grid      string          `json:"grid"`
	From      string          `json:"from"`
	To        string          `json:"to"`
	Instance  hexBytes        `json:"instance"`
	LinkToken hexBytes        `json:"linkToken"` // empty: none
	Renew     bool            `json:"renew"`
	CRC       bool            `json:"crc"`
	Features  []string        `json:"features"`
	Limits    map[string]int  `json:"limits"`
	Handlers  []vectorHandler `json:"handlers"`
	Epoch     uint64          `json:"epoch"`
	Topology  string          `json:"topology"`
	Body      hexBytes        `json:"body"`
	Lenient   bool            `json:"lenient"` // read so, but not written so
}

type vectorHandler struct {
	Name   string `json:"name"`
	Number uint64 `json:"number"`
	Stream bool   `json:"stream"`
	In     uint32 `json:"in"`
	Out    uint32 `json:"out"`
}

type vectorRefusal struct {
	Code    string   `json:"code"`
	Message string   `json:"message"`
	Epoch   uint64   `json:"epoch"`
	Body    hexBytes `json:"body"`
}

type vectorGreeting struct {
	Name     string       `json:"name"`
	Kind     greetingKind `json:"kind"`
	Proof    hexBytes     `json:"proof"`
	Body     hexBytes     `json:"body"`
	Greeting hexBytes     `json:"greeting"`
}

type vectorBroken struct {
	Name  string   `json:"name"`
	What  string   `json:"what"` // hello, refusal or greeting
	Why   string   `json:"why"`
	Bytes hexBytes `json:"bytes"`
}

type vectorHeader struct {
	Header  Header   `json:"header"`
	Bytes   hexBytes `json:"bytes"`
	Lenient bool     `json:"lenient"` // read so, but not written so
}

type vectorDial struct {
	A      string `json:"a"`
	B      string `json:"b"`
	Dialer string `json:"dialer"`
}

// hello is the hello that the vector's fields describe.
func (v *vectorHello) hello() *hello {
	h := &hello{
		Grid: v.Grid, Name: v.From, To: v.To, Renew: v.Renew, Features: append([]string(nil), v.Features...), Checksum: v.CRC, Epoch: v.Epoch, Topology: v.Topology,
	}
	for _, l := range limitsOf(&h.Limits) {
		*l.v = v.Limits[l.key]
	}
	copy(h.Instance[:], v.Instance)
	copy(h.Token[:], v.LinkToken)
	for _, w := range v.Handlers {
		h.Handlers = append(h.Handlers, wire.Handler(w))
	}
	return h
}

func readHandshakeVectors(tb testing.TB) (v handshakeVectors) {
	tb.Helper()
	text, err := os.ReadFile("testdata/handshake.json")
	if err != nil {
		tb.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		tb.Fatal(err)
	}
	for i, field := range reflect.ValueOf(v).Fields() {
		if field.Len() == 0 {
			tb.Fatalf("testdata/handshake.json has no %s", i.Name)
		}
	}
	return v
}

func TestVectorProofs(t *testing.T) {
	for _, v := range readHandshakeVectors(t).Proofs {
		tr := transcript{v.DialerNonce, v.AcceptorNonce, v.Dialer, v.Acceptor, v.Grid, v.Exporter}
		dialer, acceptor := tr.prove(v.Token, proofOfDialer), tr.prove(v.Token, proofOfAcceptor)
		if !bytes.Equal(dialer[:], v.DialerProof) || !bytes.Equal(acceptor[:], v.AcceptorProof) {
			t.Errorf("%s: proofs %x and %x", v.Name, dialer, acceptor)
		}
		// The message as the page describes it, for who has to find a difference.
		mac := hmac.New(sha256.New, v.Token)
		mac.Write(v.DialerMessage)
		if !bytes.Equal(mac.Sum(nil), v.DialerProof) {
			t.Errorf("%s: the message is not that of the dialer's proof", v.Name)
		}
		for header, nonce := range map[string][]byte{v.DialerNonceHeader: v.DialerNonce, v.AcceptorNonceHeader: v.AcceptorNonce} {
			if got, err := decodeNonce(header); err != nil || !bytes.Equal(got, nonce) || encodeNonce(nonce) != header {
				t.Errorf("%s: nonce %s is %x, %v", v.Name, header, got, err)
			}
		}
	}
}

func TestVectorHellos(t *testing.T) {
	for _, v := range readHandshakeVectors(t).Hellos {
		want := v.hello()
		if made, n := appendHello(nil, want, testRoom); !v.Lenient && !bytes.Equal(made, v.Body) || n != len(want.Handlers) {
			t.Errorf("%s: appends to %x", v.Name, made)
		}
		if got, err := parseHello(v.Body); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v", v.Name, got, err)
		}
	}
}

func TestVectorRefusals(t *testing.T) {
	for _, v := range readHandshakeVectors(t).Refusals {
		want := refusal{Code: v.Code, Message: v.Message, Epoch: v.Epoch}
		if made := encodeRefusal(&want); !bytes.Equal(made, v.Body) {
			t.Errorf("%s: appends to %x", v.Code, made)
		}
		if got, err := parseRefusal(v.Body); err != nil || *got != want {
			t.Errorf("%s: got %+v, %v", v.Code, got, err)
		}
	}
}

func TestVectorGreetings(t *testing.T) {
	for _, v := range readHandshakeVectors(t).Greetings {
		var want [proofSize]byte
		copy(want[:], v.Proof)
		if made := appendGreeting(v.Kind, want, v.Body); !bytes.Equal(made, v.Greeting) {
			t.Errorf("%s: appends to %x", v.Name, made)
		}
		kind, proof, body, err := parseGreeting(v.Greeting)
		if err != nil || kind != v.Kind || proof != want || !bytes.Equal(body, v.Body) {
			t.Errorf("%s: got %d %x %x, %v", v.Name, kind, proof, body, err)
		}
	}
}

func TestVectorsThatAreBroken(t *testing.T) {
	read := map[string]func([]byte) error{
		"hello":    func(b []byte) error { _, err := parseHello(b); return err },
		"refusal":  func(b []byte) error { _, err := parseRefusal(b); return err },
		"greeting": func(b []byte) error { _, _, _, err := parseGreeting(b); return err },
	}
	for _, v := range readHandshakeVectors(t).Broken {
		err := read[v.What](v.Bytes)
		if v.Why == "" || err == nil || !strings.Contains(err.Error(), v.Why) {
			t.Errorf("%s: got %v, want %q", v.Name, err, v.Why)
		}
		if other := errVersion(0); strings.HasPrefix(v.Why, "hello is of version") != errors.As(err, &other) {
			t.Errorf("%s: %v: is it another version?", v.Name, err)
		}
	}
}

func TestVectorHeaders(t *testing.T) {
	for _, v := range readHandshakeVectors(t).Headers {
		if made, err := v.Header.encode(); err != nil || !v.Lenient && !bytes.Equal(made, v.Bytes) {
			t.Errorf("%v: encodes to %x, %v", v.Header, made, err)
		}
		if got := decodeHeader(v.Bytes); !maps.Equal(got, v.Header) {
			t.Errorf("%v: got %v", v.Header, got)
		}
	}
}

func TestVectorDials(t *testing.T) {
	for _, v := range readHandshakeVectors(t).Dials {
		if v.Dialer != v.A && v.Dialer != v.B {
			t.Fatalf("%s is neither %s nor %s", v.Dialer, v.A, v.B)
		}
		if got := dials(v.A, v.B); got != (v.Dialer == v.A) || dials(v.B, v.A) == got {
			t.Errorf("of %s and %s, the former dials: %t", v.A, v.B, got)
		}
	}
}

// inPage writes a limit as docs/protocol.md does.
func inPage(v reflect.Value) string {
	d, ok := reflect.TypeAssert[time.Duration](v)
	if !ok {
		return strconv.FormatInt(v.Int(), 10)
	}
	for _, unit := range []struct {
		d    time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "µs"}} {
		if d%unit.d == 0 {
			return fmt.Sprintf("%d %s", d/unit.d, unit.name)
		}
	}
	return d.String()
}

// The tables of docs/protocol.md are the code's: vectors, limits, codes, names of headers.
func TestProtocolPageIsTrue(t *testing.T) {
	text, err := os.ReadFile(protocolPage)
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	v := readHandshakeVectors(t)
	for what, quoted := range map[string]string{
		"path": "`" + RoutePath + "`", "subprotocol": "`" + subprotocol + "`", "exporter's label": "`" + exporterLabel + "`",
		"dialer's role": "`" + proofOfDialer + "`", "acceptor's role": "`" + proofOfAcceptor + "`", "renewal": "`" + renewHandler + "`",
		"nonce": v.Proofs[0].DialerNonceHeader, "dialer's proof": hex.EncodeToString(v.Proofs[0].DialerProof),
		"acceptor's proof": hex.EncodeToString(v.Proofs[0].AcceptorProof), "hello": hex.EncodeToString(v.Hellos[0].Body[:16]),
		"dialer's header": headerFrom, "acceptor's header": headerTo, "grid's header": headerGrid, "nonce's header": headerNonce, "room's header": headerRoom,
		"full mesh": "`" + FullMesh.String() + "`", "on demand": "`" + OnDemand.String() + "`",
	} {
		if !strings.Contains(page, quoted) {
			t.Errorf("the page does not quote the %s, %s", what, quoted)
		}
	}
	for _, v := range v.Dials {
		if row := fmt.Sprintf("| %#q | %#q | %#q |", v.A, v.B, v.Dialer); !strings.Contains(page, row) {
			t.Errorf("the page has no row %s", row)
		}
	}
	var codes []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| refusal \\|").FindAllStringSubmatch(page, -1) {
		codes = append(codes, row[1])
	}
	if want := slices.Sorted(slices.Values(refusalCodes)); !slices.Equal(slices.Sorted(slices.Values(codes)), want) {
		t.Errorf("the page has the codes of refusals %q, the code %q", codes, want)
	}
	defaults := reflect.ValueOf(DefaultLimits())
	rows := regexp.MustCompile("(?m)^\\| `([A-Z]\\w+)` \\| ([^|]+) \\|").FindAllStringSubmatch(page, -1)
	if len(rows) < 20 {
		t.Errorf("the page has %d limits", len(rows))
	}
	for _, row := range rows {
		if f := defaults.FieldByName(row[1]); !f.IsValid() || inPage(f) != row[2] {
			t.Errorf("the page says that %s is %s, by default it is %v", row[1], row[2], f)
		}
	}
}
