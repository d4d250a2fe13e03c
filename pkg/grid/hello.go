package grid

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"net/http"
	"slices"
	"strconv"

	"github.com/tinylib/msgp/msgp"

	"github.com/gridmesh/gridmesh/pkg/grid/internal/link"
	"github.com/gridmesh/gridmesh/pkg/grid/internal/wire"
	"github.com/gridmesh/gridmesh/pkg/grid/peers"
)

// What the upgrade's request and answer carry. Names and grid stand there,
// too, because the proof of the token is about them and is checked before any
// msgpack is parsed.
const (
	subprotocol = "gridmesh.v1"
	version     = 1

	headerGrid  = "Gridmesh-Grid"
	headerFrom  = "Gridmesh-From"
	headerTo    = "Gridmesh-To"
	headerNonce = "Gridmesh-Nonce"
	headerRoom  = "Gridmesh-Hello-Bytes"

	// leastHello is what everybody takes of a hello, mostHello what it has at
	// most, and may have where the other side says nothing.
	leastHello = 4 * kib
	mostHello  = 64 * kib
)

// roomIn says how large a hello may be for who sent header.
func roomIn(header http.Header) (int, error) {
	text := header.Get(headerRoom)
	if text == "" {
		return mostHello, nil
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n < leastHello {
		return 0, fmt.Errorf("%s is %.20q, it has to be a number from %d on", headerRoom, text, leastHello)
	}
	return min(int(n), mostHello), nil
}

// A greeting is one WebSocket message of the handshake:
//
//	crc32c  4 bytes   little endian, over all that follows
//	kind    1 byte
//	proof   32 bytes  of the shared token; zeros without one
//	body              what the kind says
type greetingKind byte

const (
	greetHello   greetingKind = 1 // msgpack map, see hello
	greetRefusal greetingKind = 2 // msgpack map, see refusal
	greetList    greetingKind = 3 // a signed peer list, as it was published

	greetingHead = 4 + 1 + proofSize
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendGreeting(kind greetingKind, proof [proofSize]byte, body []byte) []byte {
	b := make([]byte, 4, greetingHead+len(body))
	b = append(b, byte(kind))
	b = append(b, proof[:]...)
	b = append(b, body...)
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	return b
}

// parseGreeting takes a greeting apart. The proof is still to be checked; until
// then the body is a stranger's.
func parseGreeting(b []byte) (kind greetingKind, proof [proofSize]byte, body []byte, err error) {
	if len(b) < greetingHead {
		return 0, proof, nil, fmt.Errorf("greeting of %d bytes, the least are %d", len(b), greetingHead)
	}
	if binary.LittleEndian.Uint32(b) != crc32.Checksum(b[4:], castagnoli) {
		return 0, proof, nil, errors.New("greeting fails its CRC-32C")
	}
	copy(proof[:], b[5:])
	return greetingKind(b[4]), proof, b[greetingHead:], nil
}

type (
	instanceID [16]byte // of a process, random
	linkToken  [16]byte // of a link, random, given by its acceptor; zero: none
)

// hello is what each side says of itself. Keys are those of docs/protocol.md.
type hello struct {
	Grid     string
	Name     string
	To       string // the name that the sender takes the receiver for
	Instance instanceID
	// Token is, in the acceptor's hello, that of the new link; in the dialer's,
	// that of the last link it had with this peer.
	Token linkToken
	// Renew asks that calls running on the link of Token may end there.
	Renew    bool
	Features []string // reserved
	Limits   link.Side
	Checksum bool
	Handlers []wire.Handler // as many as fit; the others are announced on the link
	Epoch    uint64         // of the sender's peer list
	Topology string
}

// errVersion tells a hello of another version from a malformed one: a later
// version may give any key another type.
type errVersion uint64

func (e errVersion) Error() string {
	return fmt.Sprintf("hello is of version %d, this node speaks %d", uint64(e), version)
}

// appendHello appends as many handlers of h as room leaves, in bytes of the
// whole body, and says how many that were.
func appendHello(b []byte, h *hello, room int) (_ []byte, handlers int) {
	start := len(b)
	b = msgp.AppendMapHeader(b, 13)
	// The version goes first: who does not know it reads no further.
	b = msgp.AppendUint64(msgp.AppendString(b, "v"), version)
	b = msgp.AppendString(msgp.AppendString(b, "grid"), h.Grid)
	b = msgp.AppendString(msgp.AppendString(b, "name"), h.Name)
	b = msgp.AppendString(msgp.AppendString(b, "to"), h.To)
	b = msgp.AppendBytes(msgp.AppendString(b, "instance"), h.Instance[:])
	token := h.Token[:]
	if h.Token == (linkToken{}) {
		token = nil
	}
	b = msgp.AppendBytes(msgp.AppendString(b, "token"), token)
	b = msgp.AppendBool(msgp.AppendString(b, "renew"), h.Renew)
	b = msgp.AppendArrayHeader(msgp.AppendString(b, "features"), uint32(len(h.Features)))
	for _, f := range h.Features {
		b = msgp.AppendString(b, f)
	}
	limits := limitsOf(&h.Limits)
	b = msgp.AppendMapHeader(msgp.AppendString(b, "limits"), uint32(len(limits)))
	for _, l := range limits {
		b = msgp.AppendUint64(msgp.AppendString(b, l.key), uint64(*l.v))
	}
	b = msgp.AppendBool(msgp.AppendString(b, "crc"), h.Checksum)
	b = msgp.AppendUint64(msgp.AppendString(b, "epoch"), h.Epoch)
	b = msgp.AppendString(msgp.AppendString(b, "topology"), h.Topology)
	b = msgp.AppendString(b, "handlers")
	var list []byte
	for _, w := range h.Handlers {
		before := len(list)
		list = msgp.AppendArrayHeader(list, 5)
		list = msgp.AppendString(list, w.Name)
		list = msgp.AppendUint64(list, w.Number)
		list = msgp.AppendBool(list, w.Stream)
		list = msgp.AppendUint32(list, w.In)
		list = msgp.AppendUint32(list, w.Out)
		if len(b)-start+msgp.ArrayHeaderSize+len(list) > room {
			list = list[:before]
			break
		}
		handlers++
	}
	b = msgp.AppendArrayHeader(b, uint32(handlers))
	return append(b, list...), handlers
}

// checkHandlers holds announced handlers to what a link holds them to later.
// Whoever sends a hello can't know yet how many the other side takes: the first
// ones count.
func (h *hello) checkHandlers(most int) error {
	h.Handlers = h.Handlers[:min(len(h.Handlers), most)]
	seen := make(map[string]bool, len(h.Handlers))
	for _, w := range h.Handlers {
		if seen[w.Name] {
			return fmt.Errorf("hello: handlers has %q twice", w.Name)
		}
		seen[w.Name] = true
	}
	return nil
}

// parseHello reads the body of a hello. Keys it does not know are skipped,
// those it knows have their type or are refused by name.
func parseHello(b []byte) (*hello, error) {
	h := &hello{}
	versioned := false
	err := eachKey(b, "hello", func(key string, r *reader) error {
		switch key {
		case "v":
			versioned = true
			if v := r.uint(); r.err == nil && v != version {
				return errVersion(v)
			}
		case "grid":
			h.Grid = r.string(maxGrid)
		case "name":
			h.Name = r.string(peers.MaxNameLength)
		case "to":
			h.To = r.string(peers.MaxNameLength)
		case "instance":
			r.fixed(h.Instance[:])
		case "token":
			if t := r.bytes(len(h.Token)); len(t) != 0 && len(t) != len(h.Token) {
				r.fail("has neither 0 nor 16 bytes")
			} else {
				copy(h.Token[:], t)
			}
		case "renew":
			h.Renew = r.bool()
		case "features":
			h.Features = r.features()
		case "limits":
			h.Limits = readLimits(r)
		case "crc":
			h.Checksum = r.bool()
		case "epoch":
			h.Epoch = r.uint()
		case "topology":
			h.Topology = r.string(maxFeature)
		case "handlers":
			h.Handlers = readHandlers(r)
		default:
			r.skip()
		}
		return r.err
	})
	switch {
	case err != nil:
		return nil, err
	case !versioned:
		return nil, errors.New("hello: v is missing")
	case h.Instance == instanceID{}:
		return nil, errors.New("hello: instance is missing")
	case h.Limits.MaxMessage == 0, h.Limits.MaxCalls == 0, h.Limits.StreamWindow == 0, h.Limits.EagerWindow == 0:
		return nil, errors.New("hello: limits lacks one of max_message, max_calls, stream_window and eager_window")
	}
	return h, nil
}

// sideLimit is a limit that a hello carries.
type sideLimit struct {
	key string
	v   *int
	def int // for who does not say; 0: everybody has to
}

// limitsOf are the limits of a hello, in their order.
func limitsOf(s *link.Side) []sideLimit {
	return []sideLimit{
		{"max_message", &s.MaxMessage, 0},
		{"max_calls", &s.MaxCalls, 0},
		{"stream_window", &s.StreamWindow, 0},
		{"eager_window", &s.EagerWindow, 0},
		{"eager", &s.Eager, 256 * kib},
		{"max_batch", &s.MaxBatch, 256 * kib},
		{"max_header", &s.MaxHeader, 4 * kib},
		{"max_handlers", &s.MaxHandlers, 4096},
	}
}

// leastBatch is the smallest batch that everybody reads: frames have to fit it.
const leastBatch = 16 * kib

func readLimits(r *reader) (s link.Side) {
	limits := limitsOf(&s)
	for range r.mapping() {
		key := r.string(maxFeature)
		i := slices.IndexFunc(limits, func(l sideLimit) bool { return l.key == key })
		if i < 0 {
			r.skip()
			continue
		}
		// What is more than we would ever use is as good as that.
		*limits[i].v = int(min(r.uint(), math.MaxInt32))
	}
	for _, l := range limits {
		if *l.v == 0 {
			*l.v = l.def
		}
	}
	if r.err == nil && s.MaxBatch < leastBatch {
		r.fail(fmt.Sprintf("has a max_batch of %d bytes, the least are %d", s.MaxBatch, leastBatch))
	}
	return s
}

func readHandlers(r *reader) []wire.Handler {
	var all []wire.Handler
	for range r.array(6) { // the shortest handler takes six bytes
		if n := r.array(1); r.err == nil && n < 5 {
			r.fail(fmt.Sprintf("has a handler of %d fields, the least are 5", n))
		} else if r.err == nil {
			w := wire.Handler{Name: r.string(wire.MaxHandlerName), Number: r.uint(), Stream: r.bool(), In: r.capacity(), Out: r.capacity()}
			if w.Name == "" {
				r.fail("has a handler without a name")
			}
			for range n - 5 {
				r.skip()
			}
			all = append(all, w)
		}
		if r.err != nil {
			return nil
		}
	}
	return all
}

// refusal is the answer to a hello that is not accepted.
type refusal struct {
	Code    string // one of those that Refusal lists, or one of a later version
	Message string // a sentence for the operator of the other side
	Epoch   uint64 // of the sender's peer list

	ours   bool   // made by this node, not received
	peer   string // of one that is ours: who is refused, empty if not known
	behind bool   // of one that is ours: the other side has a newer list, and is asked for it
	handed uint64 // of one received: the epoch of our list, which the other side was given; 0: it was not
}

// Error is the sentence that the operator of the refused side reads.
func (r *refusal) Error() string { return r.Code + ": " + r.Message }

func encodeRefusal(r *refusal) []byte {
	b := msgp.AppendMapHeader(nil, 3)
	b = msgp.AppendString(msgp.AppendString(b, "code"), r.Code)
	b = msgp.AppendString(msgp.AppendString(b, "message"), r.Message)
	return msgp.AppendUint64(msgp.AppendString(b, "epoch"), r.Epoch)
}

func parseRefusal(b []byte) (*refusal, error) {
	ref := &refusal{}
	err := eachKey(b, "refusal", func(key string, r *reader) error {
		switch key {
		case "code":
			ref.Code = r.string(maxFeature)
		case "message":
			ref.Message = r.string(maxSentence)
		case "epoch":
			ref.Epoch = r.uint()
		default:
			r.skip()
		}
		return r.err
	})
	if err == nil && ref.Code == "" {
		err = errors.New("refusal: code is missing")
	}
	return ref, err
}
