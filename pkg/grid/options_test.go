package grid

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

func plainOptions() Options { return Options{Local: "node-0:1", InsecurePlainText: true} }

// What cannot work is refused by one error that names the field and says what
// is allowed; nothing is left running.
func TestBadOptionsAreNamed(t *testing.T) {
	ca := newAuthority(t)
	good := StaticTLS(ca.issue(t, nil, "node-0"), ca.pool())
	with := func(f func(*TLS)) func(*Options) {
		c := *good
		f(&c)
		return func(o *Options) { o.TLS, o.InsecurePlainText = &c, false }
	}
	for name, c := range map[string]struct {
		change func(*Options)
		words  []string
	}{
		"no Local":            {func(o *Options) { o.Local = "" }, []string{"Local", "host:port"}},
		"bad Local":           {func(o *Options) { o.Local = "Node-0:1" }, []string{"Local", "lower case"}},
		"bad Grid":            {func(o *Options) { o.Grid = "a grid" }, []string{"Grid", "a-z"}},
		"long Grid":           {func(o *Options) { o.Grid = strings.Repeat("g", 256) }, []string{"Grid", "255"}},
		"bad peer":            {func(o *Options) { o.Peers = []string{"node-1"} }, []string{"node-1", "host:port"}},
		"peer twice":          {func(o *Options) { o.Peers = []string{"node-1:1", "node-1:1"} }, []string{"node-1:1", "twice"}},
		"relative Path":       {func(o *Options) { o.Path = "grid" }, []string{"Path", "comes first"}},
		"Path with a space":   {func(o *Options) { o.Path = "/a b" }, []string{"Path"}},
		"Path with an escape": {func(o *Options) { o.Path = "/%67rid" }, []string{"Path"}},
		"no security":         {func(o *Options) { o.InsecurePlainText = false }, []string{"TLS", "InsecurePlainText"}},
		"token only":          {func(o *Options) { o.InsecurePlainText = false; o.Auth = SharedToken(oldToken) }, []string{"TLS", "InsecurePlainText"}},
		"both":                {func(o *Options) { o.TLS = good }, []string{"TLS", "InsecurePlainText"}},
		"no Certificate":      {with(func(c *TLS) { c.Certificate = nil }), []string{"TLS.Certificate", "StaticTLS"}},
		"no Roots":            {with(func(c *TLS) { c.Roots = nil }), []string{"TLS.Roots", "StaticTLS"}},
		"Certificate fails": {with(func(c *TLS) {
			c.Certificate = func() (*tls.Certificate, error) { return nil, errors.New("no such file") }
		}), []string{"TLS.Certificate", "no such file"}},
		"empty Certificate": {with(func(c *TLS) { c.Certificate = func() (*tls.Certificate, error) { return nil, nil } }), []string{"TLS.Certificate"}},
		"Roots fail":        {with(func(c *TLS) { c.Roots = func() (*x509.CertPool, error) { return nil, errors.New("no such file") } }), []string{"TLS.Roots", "no such file"}},
		"nil Roots":         {with(func(c *TLS) { c.Roots = func() (*x509.CertPool, error) { return nil, nil } }), []string{"TLS.Roots"}},
		"MaxAge":            {with(func(c *TLS) { c.MaxAge = time.Second - 1 }), []string{"TLS.MaxAge", "a second"}},
		"negative MaxAge":   {with(func(c *TLS) { c.MaxAge = -1 }), []string{"TLS.MaxAge"}},
		"no Tokens":         {func(o *Options) { o.Auth = &Auth{} }, []string{"Auth.Tokens", "SharedToken"}},
		"short token":       {func(o *Options) { o.Auth = SharedToken([]byte("fifteen bytes..")) }, []string{"Auth.Tokens[0]", "15", "16"}},
		"empty tokens":      {func(o *Options) { o.Auth = SharedToken() }, []string{"Auth.Tokens", "at least one"}},
		"Topology":          {func(o *Options) { o.Topology = OnDemand }, []string{"Topology", "on-demand", "FullMesh"}},
		"unknown Topology":  {func(o *Options) { o.Topology = 7 }, []string{"Topology", "FullMesh"}},
		"forged error":      {func(o *Options) { o.ErrorCodes = map[Code]error{"lost": ErrDisconnected} }, []string{"ErrorCodes", "lost", "own"}},
		"no error":          {func(o *Options) { o.ErrorCodes = map[Code]error{"lost": nil} }, []string{"ErrorCodes", "lost", "nil"}},
		"long code":         {func(o *Options) { o.ErrorCodes = map[Code]error{Code(strings.Repeat("c", 129)): errors.New("own")} }, []string{"ErrorCodes", "128"}},
		"RemovalGrace":      {func(o *Options) { o.RemovalGrace = -1 }, []string{"RemovalGrace", "30s"}},
		"QueueShare":        {func(o *Options) { o.Congestion.QueueShare = 1.01 }, []string{"Congestion.QueueShare", "at most 1"}},
		"negative share":    {func(o *Options) { o.Congestion.QueueShare = -0.1 }, []string{"Congestion.QueueShare"}},
		"no number":         {func(o *Options) { o.Congestion.QueueShare = math.NaN() }, []string{"Congestion.QueueShare"}},
		"CreditWait":        {func(o *Options) { o.Congestion.CreditWait = -1 }, []string{"Congestion.CreditWait"}},
		"For":               {func(o *Options) { o.Congestion.For = -1 }, []string{"Congestion.For"}},
		"Eager and window":  {func(o *Options) { o.Limits.Eager = 2 << 20 }, []string{"Limits.Eager", "Limits.EagerWindow"}},
		"message and bytes": {func(o *Options) { o.Limits.MaxMessage = 200 << 20 }, []string{"Limits.MaxMessage", "Limits.RequestBytes"}},
		"bytes and process": {func(o *Options) { o.Limits.DataBytes = 1<<30 + 1 }, []string{"Limits.DataBytes", "Limits.ProcessBytes"}},
		"chunk and batch":   {func(o *Options) { o.Limits.Chunk = 200 << 10 }, []string{"Limits.2*Chunk", "Limits.MaxBatch"}},
		"ping and dead":     {func(o *Options) { o.Limits.PingEvery = 10 * time.Second }, []string{"PingEvery", "Limits.DeadAfter"}},
		"back-off":          {func(o *Options) { o.Limits.BackoffBase = 31 * time.Second }, []string{"Limits.BackoffBase", "Limits.BackoffCap"}},
		"probe":             {func(o *Options) { o.Limits.ProbeTimeout = 6 * time.Second }, []string{"Limits.ProbeTimeout", "Limits.HandshakeTimeout"}},
	} {
		o := plainOptions()
		c.change(&o)
		m, err := NewManager(t.Context(), o)
		if err == nil {
			_ = m.Close()
			t.Errorf("%s: accepted", name)
			continue
		}
		for _, word := range c.words {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: the error does not speak of %q: %v", name, word, err)
			}
		}
	}
}

func TestDefaultsOfOptions(t *testing.T) {
	o := plainOptions()
	if err := o.fill(); err != nil {
		t.Fatal(err)
	}
	if o.Grid != "default" || o.Path != "/grid/v1" || o.DefaultTimeout != time.Minute || o.RemovalGrace != 30*time.Second ||
		o.Congestion != (Congestion{0.5, time.Second, 10 * time.Second}) {
		t.Errorf("%+v", o)
	}
	if o.Limits != DefaultLimits() {
		t.Errorf("%+v", o.Limits)
	}
	o = plainOptions()
	o.DefaultTimeout = -1
	if err := o.fill(); err != nil || o.DefaultTimeout != -1 {
		t.Errorf("%v, %v", o.DefaultTimeout, err)
	}
	ca := newAuthority(t)
	mine := StaticTLS(ca.issue(t, nil, "node-0"), ca.pool())
	o = plainOptions()
	o.TLS, o.InsecurePlainText = mine, false
	if err := o.fill(); err != nil || o.TLS.MaxAge != 24*time.Hour || mine.MaxAge != 0 {
		t.Errorf("%v; MaxAge is %v, the user's own %v", err, o.TLS.MaxAge, mine.MaxAge)
	}
}

// Each number of Limits has a default, and is refused below and above its
// bounds by its name; a field without a row would never be checked.
func TestEachLimitIsBounded(t *testing.T) {
	seen := map[string]bool{}
	try := func(name string, set func(l *Limits), good bool) {
		t.Helper()
		l := Limits{}
		set(&l)
		err := l.fill()
		// At a bound a number may be at odds with another one, which has its own error.
		own := err != nil && strings.HasPrefix(err.Error(), "options: Limits."+name+" is ") && strings.Contains(err.Error(), "allowed are")
		if own == good {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i, n := range new(Limits).ints() {
		seen[n.name] = true
		set := func(v int) func(*Limits) { return func(l *Limits) { *l.ints()[i].v = v } }
		try(n.name, set(n.min-1-b2i(n.min == 1)), false) // 0 is the default
		try(n.name, set(n.min), true)
		try(n.name, set(n.def), true)
		try(n.name, set(n.max), true)
		if n.max < math.MaxInt {
			try(n.name, set(n.max+1), false)
		}
	}
	for i, n := range new(Limits).times() {
		seen[n.name] = true
		set := func(v time.Duration) func(*Limits) { return func(l *Limits) { *l.times()[i].v = v } }
		try(n.name, set(n.min-1), false)
		try(n.name, set(-1), false)
		try(n.name, set(n.min), true)
		try(n.name, set(n.max), true)
		try(n.name, set(n.max+1), false)
	}
	defaults := reflect.ValueOf(DefaultLimits())
	for i := range defaults.NumField() {
		if name := defaults.Type().Field(i).Name; !seen[name] {
			t.Errorf("%s is never checked", name)
		} else if defaults.Field(i).IsZero() {
			t.Errorf("%s has no default", name)
		}
	}
	// All that a link has to keep to is given to it.
	l := DefaultLimits()
	given := reflect.ValueOf(l.ofLink())
	for i := range given.NumField() {
		if given.Field(i).IsZero() {
			t.Errorf("a link's %s is not set", given.Type().Field(i).Name)
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Plain text is said aloud, once (fault promise 1).
func TestPlainTextIsLogged(t *testing.T) {
	lines := &logs{}
	o := plainOptions()
	o.Logger = slog.New(lines)
	m, err := NewManager(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	_ = m.Close()
	if got := lines.with("WARN", "plain text", "InsecurePlainText"); len(got) != 1 {
		t.Errorf("logged is %q", lines.with())
	}
}

// Without a logger, tests of users see nothing below error, unless they ask.
func TestDefaultLoggerIsQuietUnderTest(t *testing.T) {
	for asked, least := range map[string]slog.Level{"": slog.LevelError, "debug": slog.LevelDebug, "nonsense": slog.LevelError} {
		t.Setenv("GRIDMESH_TEST_LOG", asked)
		log := defaultLogger()
		if log.Enabled(context.Background(), least-1) || !log.Enabled(context.Background(), least) {
			t.Errorf("%q: the default logger has another level than %v", asked, least)
		}
	}
}
