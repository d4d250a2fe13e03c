package telemetry

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// checkFolders refuses optional files whose folder is not there. A file that is
// missing is a key that a Secret does not have; without the folder the Secret is
// not mounted, and a target would go without its token or certificate: the
// receiver would refuse all entries, until there is no room for more. That is a
// pod which is told of another Secret before it is replaced by one that mounts
// it.
func (c *Config) checkFolders() error {
	var p problems
	c.each(func(t *Target, at string) {
		if !t.OptionalFiles {
			return
		}
		files := t.files()
		for _, name := range slices.Sorted(maps.Keys(files)) {
			folder := filepath.Dir(files[name])
			if _, err := os.Stat(folder); files[name] != "" && errors.Is(err, os.ErrNotExist) {
				p.add(at+"."+name, "there is no folder %s; mount the Secret there, which may be empty", folder)
				return // the others lie beside it
			}
		}
	})
	return p.err()
}

// files are the target's files, by their keys.
func (t *Target) files() map[string]string {
	all := make(map[string]string)
	tls := func(kind string, f *TLS) {
		all[kind+".caFile"], all[kind+".certFile"], all[kind+".keyFile"] = f.CAFile, f.CertFile, f.KeyFile
	}
	switch {
	case t.Webhook != nil:
		tls("webhook", &t.Webhook.TLS)
		all["webhook.tokenFile"] = t.Webhook.TokenFile
	case t.OTLP != nil:
		tls("otlp", &t.OTLP.TLS)
		all["otlp.tokenFile"] = t.OTLP.TokenFile
	case t.Kafka != nil:
		tls("kafka", &t.Kafka.TLS)
		all["kafka.passwordFile"] = t.Kafka.PasswordFile
	}
	return all
}
