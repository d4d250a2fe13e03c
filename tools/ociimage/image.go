package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"strings"
)

const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar"
)

// image says what to write.
type image struct {
	name       string // with a tag: gridmesh/node:v0.1.0
	os, arch   string
	user       string
	entrypoint string // a path in the image
	labels     map[string]string
	files      []file
}

// The documents of the OCI image specification, as far as they are used here.
type (
	descriptor struct {
		MediaType   string            `json:"mediaType"`
		Digest      string            `json:"digest"`
		Size        int               `json:"size"`
		Annotations map[string]string `json:"annotations,omitempty"`
		Platform    *platform         `json:"platform,omitempty"`
	}
	platform struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
	}
	manifest struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Config        descriptor   `json:"config"`
		Layers        []descriptor `json:"layers"`
	}
	index struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Manifests     []descriptor `json:"manifests"`
	}
	config struct {
		platform

		Created string      `json:"created"`
		Config  runConfig   `json:"config"`
		RootFS  rootFS      `json:"rootfs"`
		History []stepTaken `json:"history"`
	}
	runConfig struct {
		User       string            `json:"User"`       //nolint:tagliatelle // the specification's spelling
		Entrypoint []string          `json:"Entrypoint"` //nolint:tagliatelle // the same
		WorkingDir string            `json:"WorkingDir"` //nolint:tagliatelle // the same
		Labels     map[string]string `json:"Labels"`     //nolint:tagliatelle // the same
	}
	rootFS struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"` //nolint:tagliatelle // the same
	}
	stepTaken struct {
		Created   string `json:"created"`
		CreatedBy string `json:"created_by"` //nolint:tagliatelle // the same
	}
	// dockerManifest is what `docker load` before release 25 reads instead.
	dockerManifest struct {
		Config   string   `json:"Config"`   //nolint:tagliatelle // Docker's spelling
		RepoTags []string `json:"RepoTags"` //nolint:tagliatelle // the same
		Layers   []string `json:"Layers"`   //nolint:tagliatelle // the same
	}
)

// epoch is when everything was made: times would make each build another image.
const epoch = "1970-01-01T00:00:00Z"

// write writes the image's layout to out as a tar.
func (i *image) write(out io.Writer) error {
	files, err := layer(append(append([]file{}, users...), i.files...))
	if err != nil {
		return err
	}
	l := layout{w: tar.NewWriter(out)}
	runs := platform{Architecture: i.arch, OS: i.os}
	rootLayer := l.blob(typeLayer, files)
	configured := l.document(typeConfig, config{
		platform: runs,
		Created:  epoch,
		Config:   runConfig{User: i.user, Entrypoint: []string{i.entrypoint}, WorkingDir: "/", Labels: i.labels},
		RootFS:   rootFS{Type: "layers", DiffIDs: []string{rootLayer.Digest}},
		History:  []stepTaken{{Created: epoch, CreatedBy: "ociimage"}},
	})
	whole := l.document(typeManifest, manifest{SchemaVersion: 2, MediaType: typeManifest, Config: configured, Layers: []descriptor{rootLayer}})
	whole.Platform = &runs
	whole.Annotations = map[string]string{
		"io.containerd.image.name":          fullName(i.name),
		"org.opencontainers.image.ref.name": i.name[strings.LastIndex(i.name, ":")+1:],
	}
	l.json("index.json", index{SchemaVersion: 2, MediaType: typeIndex, Manifests: []descriptor{whole}})
	l.json("manifest.json", []dockerManifest{{Config: blobPath(configured), RepoTags: []string{i.name}, Layers: []string{blobPath(rootLayer)}}})
	l.json("oci-layout", map[string]string{"imageLayoutVersion": "1.0.0"})
	return l.close()
}

// fullName is a name as containerd keeps it, with the registry that is meant
// when none is named: the kubelet asks for it in this form.
func fullName(name string) string {
	first, rest, found := strings.Cut(name, "/")
	switch {
	case !found:
		return "docker.io/library/" + name
	case rest != "" && (first == "localhost" || strings.ContainsAny(first, ".:")):
		return name
	default:
		return "docker.io/" + name
	}
}

// layout writes the files of an image layout; the first error stays.
type layout struct {
	w   *tar.Writer
	err error
}

func (l *layout) put(name string, data []byte) {
	if l.err == nil {
		l.err = put(l.w, file{path: name, mode: 0o644, data: data})
	}
}

func (l *layout) json(name string, document any) []byte {
	data, err := json.Marshal(document)
	if err != nil && l.err == nil {
		l.err = err
	}
	if name != "" {
		l.put(name, data)
	}
	return data
}

func (l *layout) blob(mediaType string, data []byte) descriptor {
	sum := sha256.Sum256(data)
	d := descriptor{MediaType: mediaType, Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: len(data)}
	l.put(blobPath(d), data)
	return d
}

func (l *layout) document(mediaType string, document any) descriptor {
	return l.blob(mediaType, l.json("", document))
}

func (l *layout) close() error {
	if l.err != nil {
		return l.err
	}
	return l.w.Close()
}

// blobPath is where a layout keeps what d describes.
func blobPath(d descriptor) string { return "blobs/" + strings.Replace(d.Digest, ":", "/", 1) }
