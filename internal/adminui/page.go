package adminui

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"time"

	"github.com/gridmesh/gridmesh/internal/adminapi"
)

// AssetPath is where the page expects its assets.
const AssetPath = adminapi.PathStatus + "/assets/"

//go:embed page.html
var source string

//go:embed assets
var assets embed.FS

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"since": since, "until": until, "millis": millis, "bytes": bytesText, "count": count, "percent": percent,
	"peerKind": func(p adminapi.Peer) string { return peerKind(&p) }, "memberKind": memberKind,
	"float": func(n int) float64 { return float64(n) }, "float64": func(n int64) float64 { return float64(n) },
	"entries": func(n uint64) string { return count(float64(n)) }, "seconds": func(s float64) string { return millis(s * 1000) },
	"lost": func(t adminapi.Target) uint64 { return t.Dropped + t.Rejected },
	"deref": func(t *time.Time) time.Time {
		if t == nil {
			return time.Time{}
		}
		return *t
	},
}).Parse(source))

// policy lets the page use its own assets and nothing else from anywhere, and
// no other page frame it.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Write answers a request with the page.
func Write(w http.ResponseWriter, v View) error {
	var text bytes.Buffer // whole or not at all: half a page would look like half a mesh
	if err := page.Execute(&text, v); err != nil {
		return err
	}
	protect(w)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, err := w.Write(text.Bytes())
	return err
}

// Assets serves what the page needs under AssetPath.
func Assets() http.Handler {
	files := http.StripPrefix(adminapi.PathStatus+"/", http.FileServerFS(assets))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protect(w)
		w.Header().Set("Cache-Control", "max-age=60")
		files.ServeHTTP(w, r)
	})
}

func protect(w http.ResponseWriter) {
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "no-referrer")
}
