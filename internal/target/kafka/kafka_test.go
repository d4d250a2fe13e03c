package kafka

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/gridmesh/gridmesh/internal/certs"
	"github.com/gridmesh/gridmesh/internal/freeport"
	"github.com/gridmesh/gridmesh/internal/target"
	"github.com/gridmesh/gridmesh/internal/target/tlsfiles"
)

const topic = "audit"

// cluster is a Kafka in this process.
func cluster(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(8, topic)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func open(t *testing.T, o Options) *Sink {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func batch(first, last uint64) target.Batch {
	b := target.Batch{Origin: "k"}
	for id := first; id <= last; id++ {
		b.Items = append(b.Items, target.Item{ID: id, Data: fmt.Appendf(nil, `{"id":"%s","time":"2026-03-01T10:00:00.000000001Z"}`, target.FormatID("0192f3a4b5c6", id))})
	}
	return b
}

// consume reads n records.
func consume(t *testing.T, n int, opts ...kgo.Opt) (all []*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.ConsumeTopics(topic))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for len(all) < n {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		all = append(all, fetches.Records()...)
	}
	return all
}

// TestProduces: all records in one partition, in order, with their ids.
func TestProduces(t *testing.T) {
	c := cluster(t)
	s := open(t, Options{Brokers: c.ListenAddrs(), Topic: topic, Key: "node-0:7700"})
	for first := uint64(1); first <= 300; first += 100 {
		if err := s.Send(t.Context(), batch(first, first+99)); err != nil {
			t.Fatal(err)
		}
	}
	for i, r := range consume(t, 300, kgo.SeedBrokers(c.ListenAddrs()...)) {
		want := batch(uint64(i+1), uint64(i+1)).Items[0].Data
		if !bytes.Equal(r.Value, want) || string(r.Key) != "node-0:7700" || len(r.Headers) != 1 || string(r.Headers[0].Value) != target.FormatID("0192f3a4b5c6", uint64(i+1)) {
			t.Fatalf("record %d: %s, key %s, %v", i, r.Value, r.Key, r.Headers)
		}
		if r.Timestamp.UnixMilli() != 1772359200000 {
			t.Fatalf("time %v", r.Timestamp)
		}
	}
}

// TestDownAndUp: a Kafka that is away fails a batch within the timeout, without
// a pile of goroutines, and takes it when it is back (field-history L16, L21,
// D12).
func TestDownAndUp(t *testing.T) {
	addrs, err := freeport.Addrs(1)
	if err != nil {
		t.Fatal(err)
	}
	address := addrs[0]
	s := open(t, Options{Brokers: []string{address}, Topic: topic, Timeout: time.Second})
	before := runtime.NumGoroutine()
	for range 5 {
		if err := s.Send(t.Context(), batch(1, 10)); err == nil {
			t.Fatal("it produced to nobody")
		}
	}
	if n := runtime.NumGoroutine(); n > before+20 {
		t.Errorf("%d goroutines, %d before", n, before)
	}
	_, port, _ := net.SplitHostPort(address)
	number := 0
	if _, err := fmt.Sscan(port, &number); err != nil {
		t.Fatal(err)
	}
	cluster(t, kfake.Ports(number))
	for {
		if err := s.Send(t.Context(), batch(1, 10)); err == nil {
			break
		} else if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
	consume(t, 10, kgo.SeedBrokers(address))
}

// TestBlackHole: a broker that takes connections and says nothing keeps Send no
// longer than its timeout, nor Close: else this test has no end.
func TestBlackHole(t *testing.T) {
	var listen net.ListenConfig
	l, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	s := open(t, Options{Brokers: []string{l.Addr().String()}, Topic: topic, Timeout: time.Second})
	if err := s.Send(t.Context(), batch(1, 1)); err == nil {
		t.Fatal("it produced to nobody")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Send(ctx, batch(1, 1)); err == nil {
		t.Fatal("it produced to nobody")
	}
	_ = s.Close()
}

// TestTooLarge: a record that Kafka will not take is rejected, not tried for ever.
func TestTooLarge(t *testing.T) {
	c := cluster(t)
	s := open(t, Options{Brokers: c.ListenAddrs(), Topic: topic})
	b := batch(1, 1)
	b.Items[0].Data = []byte(`{"x":"` + strings.Repeat("x", 2<<20) + `"}`)
	err := s.Send(t.Context(), b)
	if _, rejected := errors.AsType[*target.Rejected](err); !rejected {
		t.Errorf("got %v", err)
	}
}

// TestUnknownTopic: no topic is made, and the failure is not final: somebody may
// make it.
func TestUnknownTopic(t *testing.T) {
	c := cluster(t)
	s := open(t, Options{Brokers: c.ListenAddrs(), Topic: "none", Timeout: 2 * time.Second})
	err := s.Send(t.Context(), batch(1, 1))
	if _, rejected := errors.AsType[*target.Rejected](err); err == nil || rejected {
		t.Errorf("got %v", err)
	}
}

// TestLogin: TLS with our certificate and a password, both from files that
// change (faults.md 86).
func TestLogin(t *testing.T) {
	dir := t.TempDir()
	authority, err := certs.NewAuthority("kafka")
	if err != nil {
		t.Fatal(err)
	}
	issued, err := authority.Issue(certs.Leaf{Grid: "g", Name: "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(issued.Cert, issued.Key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, text []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, mechanism := range Mechanisms() {
		c := cluster(t, kfake.TLS(&tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}),
			kfake.EnableSASL(), kfake.Superuser(strings.ToUpper(mechanism), "gridmesh", "right"))
		password := write("password", []byte("wrong\n"))
		s := open(t, Options{
			Brokers: c.ListenAddrs(), Topic: topic, Timeout: 3 * time.Second, TLS: tlsfiles.Options{CA: write("ca.crt", authority.PEM)},
			Mechanism: mechanism, User: "gridmesh", PasswordFile: password,
		})
		if err := s.Send(t.Context(), batch(1, 1)); err == nil || strings.Contains(err.Error(), "wrong") {
			t.Fatalf("%s: with a wrong password: %v", mechanism, err)
		}
		write("password", []byte("right\n"))
		for err := errors.New("not yet"); err != nil; { // the client waits a while before it logs in again
			if ended := t.Context().Err(); ended != nil {
				t.Fatalf("%s: %v, %v", mechanism, ended, err)
			}
			err = s.Send(t.Context(), batch(1, 1))
		}
		_ = s.Close()
	}
}

// TestChecks: what cannot work is refused with the option's name.
func TestChecks(t *testing.T) {
	brokers := []string{"kafka:9092"}
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Topic: "t"}, "brokers:"},
		{Options{Brokers: []string{"kafka:9092", "kafka"}, Topic: "t"}, "brokers[1]:"},
		{Options{Brokers: brokers}, "topic:"},
		{Options{Brokers: brokers, Topic: strings.Repeat("x", 250)}, "topic:"},
		{Options{Brokers: brokers, Topic: "t", Timeout: 1}, "timeout:"},
		{Options{Brokers: brokers, Topic: "t", Mechanism: "gssapi"}, "sasl:"},
		{Options{Brokers: brokers, Topic: "t", Mechanism: Plain}, "user:"},
		{Options{Brokers: brokers, Topic: "t", User: "u"}, "sasl:"},
		{Options{Brokers: brokers, Topic: "t", Mechanism: Plain, User: "u", PasswordFile: "/none"}, "/none"},
		{Options{Brokers: brokers, Topic: "t", TLS: tlsfiles.Options{Key: "k"}}, "tls:"},
		{Options{Brokers: brokers, Topic: "t", TLS: tlsfiles.Options{CA: "/none"}}, "/none"},
	} {
		if s, err := Open(c.o); err == nil || s != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
		}
	}
}

// TestEntryWithoutID: one that says neither who it is nor when is a record like
// others, of now (field-history L21).
func TestEntryWithoutID(t *testing.T) {
	c := cluster(t)
	s := open(t, Options{Brokers: c.ListenAddrs(), Topic: topic, Key: "node-0:7700"})
	before := time.Now().Add(-time.Second)
	for _, text := range []string{`{"event":"start"}`, "a line of text"} {
		if err := s.Send(t.Context(), target.Batch{Origin: "k", Items: []target.Item{{ID: 1, Data: []byte(text)}}}); err != nil {
			t.Fatal(err)
		}
	}
	r := consume(t, 2, kgo.SeedBrokers(c.ListenAddrs()...))
	for i, want := range []string{`{"event":"start"}`, "a line of text"} {
		if string(r[i].Value) != want || string(r[i].Key) != "node-0:7700" || len(r[i].Headers) != 0 || r[i].Timestamp.Before(before) {
			t.Errorf("%+v", r[i])
		}
	}
}

// TestHugeAnswer: who is taken for a broker cannot have the node take as much
// memory as it says that its answer will be long.
func TestHugeAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var all []net.Conn
		defer func() {
			for _, c := range all {
				_ = c.Close()
			}
		}()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all = append(all, c)
			_, _ = c.Read(make([]byte, 1<<10))
			_, _ = c.Write([]byte{90 << 20 >> 24, 90 << 20 >> 16 & 0xff, 0, 0}) // and nothing more
		}
	}()
	defer func() { <-ended }()
	defer func() { _ = l.Close() }()
	s := open(t, Options{Brokers: []string{l.Addr().String()}, Topic: topic, Timeout: time.Second})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := s.Send(t.Context(), batch(1, 1)); err == nil {
		t.Error("it was taken")
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 32<<20 {
		t.Errorf("%d bytes were taken from memory", n)
	}
}
