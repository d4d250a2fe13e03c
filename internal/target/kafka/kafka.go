// Package kafka is the sink of targets that produce to a topic of Kafka: a
// record an entry, all of a node in one partition, so that they stay in order
// there.
//
// It is franz-go behind the seam of internal/target: one client, whose own
// queue holds no more than the batch that Send was given. What franz-go starts,
// Close ends. Entries come at least once; the header "id" tells twins.
package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/gridmesh/gridmesh/internal/target"
	"github.com/gridmesh/gridmesh/internal/target/tlsfiles"
)

// Options say where to produce to, and how.
type Options struct {
	Brokers []string // host:port; one that answers tells of the others
	Topic   string   // it has to be there
	Key     string   // of all records: the node's name

	UseTLS bool // set it for the authorities of the system; files of TLS set it as well
	TLS    tlsfiles.Options

	Mechanism    string // one of Mechanisms; "": no login
	User         string
	PasswordFile string

	Timeout time.Duration // of a batch as a whole. Default 30 s, at least 1 s
}

const (
	defaultTimeout = 30 * time.Second
	leastTimeout   = time.Second
	dialTimeout    = 10 * time.Second
	mostTopic      = 249 // bytes, says Kafka

	mostAnswer = 4 << 20 // bytes: a topic of 10,000 partitions is described in one
)

// Mechanisms of SASL.
const (
	Plain    = "plain"
	Scram256 = "scram-sha-256"
	Scram512 = "scram-sha-512"
)

// Mechanisms lists them.
func Mechanisms() []string { return []string{Plain, Scram256, Scram512} }

// Check says what cannot work. The error begins with the name of the option.
func (o *Options) Check() error {
	if len(o.Brokers) == 0 {
		return errors.New("brokers: there is none")
	}
	for i, b := range o.Brokers {
		if host, port, err := net.SplitHostPort(b); err != nil || host == "" || port == "" {
			return fmt.Errorf("brokers[%d]: %q is not host:port", i, b)
		}
	}
	switch {
	case o.Topic == "" || len(o.Topic) > mostTopic:
		return fmt.Errorf("topic: it has %d bytes, allowed are 1 to %d", len(o.Topic), mostTopic)
	case o.Timeout != 0 && o.Timeout < leastTimeout:
		return fmt.Errorf("timeout: it is %v, allowed is %v or more", o.Timeout, leastTimeout)
	case o.Mechanism != "" && !slices.Contains(Mechanisms(), o.Mechanism):
		return fmt.Errorf("sasl: %q is none of %v", o.Mechanism, Mechanisms())
	case o.Mechanism != "" && (o.User == "" || o.PasswordFile == ""):
		return errors.New("user: a login takes user and passwordFile")
	case o.Mechanism == "" && (o.User != "" || o.PasswordFile != ""):
		return fmt.Errorf("sasl: there is a user; say which of %v", Mechanisms())
	}
	if err := o.TLS.Check(); err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	return nil
}

// Sink produces batches.
type Sink struct {
	o      Options
	client *kgo.Client
	files  *tlsfiles.Files // nil without TLS
}

// Open makes a sink. It dials nobody yet.
func Open(o Options) (*Sink, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	s := &Sink{o: o}
	options := []kgo.Opt{
		kgo.SeedBrokers(o.Brokers...), kgo.DefaultProduceTopic(o.Topic), kgo.ClientID("gridmesh"), kgo.DisableClientMetrics(),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerLinger(0),
		// A broker that has gone silent must not keep Send beyond its context;
		// that a batch may then be there twice is what its entries have ids for.
		// (RecordDeliveryTimeout counts from the time of a record, days ago maybe.)
		kgo.AllowIdempotentProduceCancellation(), kgo.ProduceRequestTimeout(o.Timeout),
		kgo.RetryTimeout(o.Timeout), kgo.DialTimeout(dialTimeout),
		kgo.MaxBufferedRecords(1 << 20), // Send bounds it
		// So much memory an answer may take before a byte of it has come. The
		// second is about what we never do, and may not be more.
		kgo.BrokerMaxReadBytes(mostAnswer), kgo.FetchMaxBytes(mostAnswer),
	}
	if o.UseTLS || o.TLS.CA != "" || o.TLS.Cert != "" {
		files, err := tlsfiles.Open(o.TLS)
		if err != nil {
			return nil, err
		}
		s.files = files
		options = append(options, kgo.Dialer(s.dial))
	}
	if o.Mechanism != "" {
		if _, err := s.password().Read(); err != nil {
			return nil, err
		}
		options = append(options, kgo.SASL(s.login()))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, err
	}
	s.client = client
	return s, nil
}

// dial makes a connection with what is in the files now.
func (s *Sink) dial(ctx context.Context, network, address string) (net.Conn, error) {
	config, _, err := s.files.Config()
	if err != nil {
		return nil, err
	}
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: dialTimeout}, Config: config}
	return d.DialContext(ctx, network, address)
}

func (s *Sink) password() tlsfiles.Secret { return tlsfiles.Secret{Path: s.o.PasswordFile} }

// login reads the password at each login.
func (s *Sink) login() sasl.Mechanism {
	auth := func(context.Context) (scram.Auth, error) {
		password, err := s.password().Read()
		return scram.Auth{User: s.o.User, Pass: password}, err
	}
	switch s.o.Mechanism {
	case Scram256:
		return scram.Sha256(auth)
	case Scram512:
		return scram.Sha512(auth)
	default:
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			password, err := s.password().Read()
			return plain.Auth{User: s.o.User, Pass: password}, err
		})
	}
}

// Send produces a batch, and returns when all brokers that have to have it do.
func (s *Sink) Send(ctx context.Context, b target.Batch) error {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	records := make([]*kgo.Record, 0, len(b.Items))
	for _, item := range b.Items {
		// Copies: the client may still read what it has given up on.
		r := &kgo.Record{Key: []byte(s.o.Key), Value: slices.Clone(item.Data)}
		if id := target.IDOf(item.Data); id != nil {
			r.Headers = []kgo.RecordHeader{{Key: "id", Value: slices.Clone(id)}}
		}
		if at := target.TimeOf(item.Data); !at.IsZero() {
			r.Timestamp = at
		}
		records = append(records, r)
	}
	err := s.client.ProduceSync(ctx, records...).FirstErr()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge), errors.Is(err, kerr.InvalidRecord):
		return &target.Rejected{Reason: err.Error()}
	}
	return err
}

// Close ends the client.
func (s *Sink) Close() error {
	s.client.Close()
	return nil
}
