package telemetry

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

var (
	label      = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)
	headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$") // a token, as RFC 9110 has them
	levels     = []string{"debug", "info", "warn", "error"}
)

// consoleName is that of the console among the targets of the log.
const consoleName = "console"

// Values of File.Format.
const (
	formatJSON = "json"
	formatText = "text"
)

func (l *Logging) check(p *problems) {
	p.choice(keyLogging+".level", l.Level, levels...)
	p.targets(keyLogging, l.Targets, func(t *Target, at string) {
		p.choice(at+".level", t.Level, levels...)
		p.only(t.Policy != "", at+".policy", "only targets of the audit have a policy")
		p.only(t.Console != nil, at+".console", "the console is always a target of the log")
		p.only(t.Kafka != nil, at+".kafka", "only the audit goes to Kafka")
		p.only(t.Name == consoleName, at+".name", "this is the name of the console")
	})
}

func (a *Audit) check(p *problems) {
	between(p, keyAudit+".timeout", a.Timeout, Duration(minAuditTimeout), Duration(maxAuditTimeout))
	if err := a.Filter.Check(); err != nil {
		at, reason := "", err.Error()
		if strings.HasPrefix(reason, "[") {
			at, reason, _ = strings.Cut(reason, ": ")
		}
		p.add(keyAudit+".filter"+at, "%s", reason)
	}
	p.targets(keyAudit, a.Targets, func(t *Target, at string) {
		p.choice(at+".policy", t.Policy, PolicyDrop, PolicyBlock)
		p.only(t.Level != "", at+".level", "only targets of the log have a level")
		p.only(t.Console != nil && t.Policy == PolicyBlock, at+".policy", "what is printed on a console is not safe; only drop is possible")
		p.only(t.File != nil && t.File.Format == formatText, at+".file.format", "a record is always json")
	})
}

// targets checks what the targets of log and audit have in common, and hands
// each over for what they have not.
func (p *problems) targets(key string, targets []Target, each func(t *Target, at string)) {
	if len(targets) > maxTargets {
		p.add(key+".targets", "%d targets, allowed are %d", len(targets), maxTargets)
		return
	}
	names := make(map[string]int)
	for i := range targets {
		t, at := &targets[i], fmt.Sprintf("%s.targets[%d]", key, i)
		switch before, twice := names[t.Name]; {
		case t.Name == "":
			p.add(at+".name", "it is missing")
		case len(t.Name) > maxName || !label.MatchString(t.Name):
			p.add(at+".name", "%.80q is no label of up to %d of a-z, 0-9 and -, which begins with a letter", t.Name, maxName)
		case twice:
			p.add(at+".name", "%s.targets[%d] has the name %s, too", key, before, t.Name)
		default:
			names[t.Name] = i
		}
		each(t, at)
		t.check(p, at)
	}
}

func (t *Target) check(p *problems, at string) {
	var kinds []string
	for name, is := range map[string]bool{
		"console": t.Console != nil, "file": t.File != nil, "webhook": t.Webhook != nil, "otlp": t.OTLP != nil, "kafka": t.Kafka != nil,
	} {
		if is {
			kinds = append(kinds, name)
		}
	}
	slices.Sort(kinds)
	switch {
	case len(kinds) == 0:
		p.add(at, "it says not where entries go: give one of file, webhook, otlp and, for the audit, kafka or console")
	case len(kinds) > 1:
		p.add(at, "it is %s at once; make a target of each", strings.Join(kinds, " and "))
	}
	if t.File != nil || t.Console != nil {
		p.only(t.Batch != Batch{}, at+".batch", "only a webhook, otlp and kafka have batches")
		p.only(t.Spool != Spool{}, at+".spool", "only a webhook, otlp and kafka have a spool")
		p.only(t.OptionalFiles, at+".optionalFiles", "only a webhook, otlp and kafka have such files")
	}
	between(p, at+".batch.entries", t.Batch.Entries, minBatchEntries, maxBatchEntries)
	between(p, at+".batch.bytes", t.Batch.Bytes, minBatchBytes, maxBatchBytes)
	between(p, at+".batch.age", t.Batch.Age, Duration(minBatchAge), Duration(maxBatchAge))
	between(p, at+".spool.maxBytes", t.Spool.MaxBytes, minSpool, maxSpool)
	switch {
	case t.File != nil:
		t.File.check(p, at+".file")
	case t.Webhook != nil:
		w, at := t.Webhook, at+".webhook"
		checkHTTP(p, at, w.URL, w.Headers, w.TokenFile)
		checkPairs(p, at+".labels", w.Labels)
		w.TLS.check(p, at)
		between(p, at+".timeout", w.Timeout, Duration(time.Second), Duration(maxTimeout))
		o := w.options()
		p.sink(at, o.Check())
	case t.OTLP != nil:
		o, at := t.OTLP, at+".otlp"
		checkHTTP(p, at, o.URL, o.Headers, o.TokenFile)
		o.TLS.check(p, at)
		between(p, at+".timeout", o.Timeout, Duration(time.Second), Duration(maxTimeout))
		c := o.options()
		p.sink(at, c.Check())
	case t.Kafka != nil:
		k, at := t.Kafka, at+".kafka"
		k.TLS.check(p, at)
		p.path(at+".passwordFile", k.PasswordFile)
		if len(k.Brokers) > maxMembers {
			p.add(at+".brokers", "%d brokers, allowed are %d: one that answers tells of the others", len(k.Brokers), maxMembers)
		}
		between(p, at+".timeout", k.Timeout, Duration(time.Second), Duration(maxTimeout))
		o := k.options("node")
		p.sink(at, o.Check())
	}
}

func (f *File) check(p *problems, at string) {
	switch {
	case f.Path == "":
		p.add(at+".path", "it is missing")
	case strings.HasSuffix(f.Path, "/"):
		p.add(at+".path", "it is a folder")
	default:
		p.path(at+".path", f.Path)
	}
	p.choice(at+".format", f.Format, formatJSON, formatText)
	between(p, at+".maxBytes", f.MaxBytes, minFileBytes, maxFileBytes)
	between(p, at+".maxAge", f.MaxAge, Duration(minFileAge), Duration(maxFileAge))
	between(p, at+".keep", f.Keep, 1, maxKeep)
}

func (t *TLS) check(p *problems, at string) {
	p.path(at+".caFile", t.CAFile)
	p.path(at+".certFile", t.CertFile)
	p.path(at+".keyFile", t.KeyFile)
}

// checkHTTP checks what receivers by HTTP have in common, of what their sinks
// do not check themselves.
func checkHTTP(p *problems, at, url string, headers map[string]string, tokenFile string) {
	if len(url) > maxURL {
		p.add(at+".url", "it has %d bytes, allowed are %d", len(url), maxURL)
	}
	checkPairs(p, at+".headers", headers)
	for name := range headers {
		if !headerName.MatchString(name) {
			p.add(at+".headers", "%.80q is no name of a header", name)
		}
		if strings.EqualFold(name, "Authorization") && tokenFile != "" {
			p.add(at+".headers", "tokenFile sets %s already", name)
		}
	}
	p.path(at+".tokenFile", tokenFile)
}

func checkPairs(p *problems, at string, pairs map[string]string) {
	if len(pairs) > maxMembers {
		p.add(at, "%d entries, allowed are %d", len(pairs), maxMembers)
	}
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		if name == "" || len(name)+len(pairs[name]) > maxValue {
			p.add(at, "%.80q and its value have %d bytes, allowed are a name and %d", name, len(name)+len(pairs[name]), maxValue)
		}
	}
}

// checkPaths refuses two files in one place, whoever writes them.
func checkPaths(p *problems, c *Config) {
	paths := make(map[string]string)
	each := func(key string, targets []Target) {
		for i := range targets {
			f := targets[i].File
			if f == nil || f.Path == "" {
				continue
			}
			at, path := fmt.Sprintf("%s.targets[%d].file.path", key, i), filepath.Clean(f.Path)
			if before, twice := paths[path]; twice {
				p.add(at, "%s is this file, too", before)
			}
			paths[path] = at
		}
	}
	each(keyLogging, c.Logging.Targets)
	each(keyAudit, c.Audit.Targets)
}

// sink adds what a sink says of its options, which begins with the name of one.
func (p *problems) sink(at string, err error) {
	if err == nil {
		return
	}
	name, reason, ok := strings.Cut(err.Error(), ": ")
	if key, known := sinkKeys[name]; known {
		name = key
	}
	for _, before := range p.all { // it was refused already, with the same words or better ones
		if before.Path == at+"."+name {
			return
		}
	}
	if !ok {
		p.add(at, "%v", err)
		return
	}
	p.add(at+"."+name, "%s", reason)
}

// sinkKeys are the names that sinks have for what is another key here.
var sinkKeys = map[string]string{"header": "headers", "tls": "certFile", "token_file": "tokenFile"}

func (p *problems) choice(at, value string, options ...string) {
	if value != "" && !slices.Contains(options, value) {
		p.add(at, "%.80q is none of %s", value, strings.Join(options, ", "))
	}
}

// only adds why, if a key was set that may not be.
func (p *problems) only(set bool, at, why string) {
	if set {
		p.add(at, "%s", why)
	}
}

func (p *problems) path(at, path string) {
	if len(path) > maxPath || strings.Contains(path, "\x00") {
		p.add(at, "it is no path of up to %d bytes", maxPath)
	}
}

// between refuses what is neither the default, 0, nor between two bounds.
func between[T ~int | ~int64](p *problems, at string, v, least, most T) {
	if v != 0 && (v < least || v > most) {
		p.add(at, "it is %v, allowed is %v to %v", v, least, most)
	}
}
